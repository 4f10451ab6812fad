"""Spans: public calls as OpenTelemetry knows them, where whoever uses the library has it.

Nothing is imported for it: a call has a span where OpenTelemetry's API is in the process already,
which whoever traces has set up. A span says what a log line may say (`log.LOG_FIELDS`), no more.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from switch import log
from switch.errors import SwitchError

API = "opentelemetry.trace"
PREFIX = "switch."
OPENED = "Engine"
"""Type that opens a home."""


@contextlib.contextmanager
def span(call: str, given: Mapping[str, object]) -> Iterator[Callable[[object], None]]:
    """A span around a public call, and whom to tell its answer. call: its name. given: its
    arguments, of which the home alone is told. One that is refused has the status of an error and
    its rule, without its words, which may quote a file."""
    trace: Any = sys.modules.get(API)
    is_value = call == "__init__" and type(given.get("self")).__name__ != OPENED
    if trace is None or is_value:  # A value that is made is no work.
        yield _to_nobody
        return
    name = PREFIX + ("open" if call == "__init__" else call)
    how = {"record_exception": False, "set_status_on_exception": False}
    with trace.get_tracer("switch").start_as_current_span(name, **how) as found:
        _tell(found, log.home_of(given))

        def tell(answer: object) -> None:
            _tell(found, log.home_of(given) | log.fields_of(answer))

        try:
            yield tell
        except Exception as error:
            rule = str(error.told()["rule"]) if isinstance(error, SwitchError) else "FAULT"
            _tell(found, {"rule": rule})
            found.set_status(trace.StatusCode.ERROR, rule)
            raise


def _tell(found: Any, fields: Mapping[str, object]) -> None:
    for name, value in fields.items():
        found.set_attribute(PREFIX + name, value)


def _to_nobody(_: object) -> None:
    """Tell nobody."""
