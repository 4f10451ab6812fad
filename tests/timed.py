"""Doors at which a time may be said: calls of an engine that record one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from answering import said, write
from scene import line, run

from switch.engine import Engine

NEW = [line(5, period=202612)]
OF_CYCLES = ("settle", "settle one", "close a cycle", "abort")
"""Those of DOORS that need a calendar."""

DOORS: dict[str, Callable[..., Any]] = {
    "run": lambda engine, **told: run(engine, NEW, "NEW", **told),
    "settle": lambda engine, **told: engine.settle(**told),
    "settle one": lambda engine, **told: engine.settle("20261125-1", **told),
    "close a cycle": lambda engine, **told: engine.settle(close_only=True, **told),
    "abort": lambda engine, **told: engine.settle("20261125-1", abort="a test", **told),
    "reconcile": lambda engine, **told: engine.reconcile(answers_in(engine), **told),
    "close": lambda engine, **told: engine.close_day(**told),
    "write back": lambda engine, **told: engine.write_back(**told),
    "reissue": lambda engine, **told: engine.reissue(**told),
}


def answers_in(engine: Engine) -> Path:
    """A file of one confirmation, beside the home."""
    return write(engine.home.path.parent / "answers", [said(1)])
