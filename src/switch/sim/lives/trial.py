"""Trial: one operation tried on the engine, with a fault in the middle of it or none, and what must
not differ.

After a fault the home must be as the auditor says before the operation, or after it where the
catalog's transaction had ended.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from switch.engine import Engine
from switch.errors import EnvironmentFailed, InputRefused, UsageError, VerificationFailed
from switch.proof.verify import verify
from switch.sim.auditor.auditor import Auditor
from switch.sim.lives.faults import Crash, Faults
from switch.sim.lives.operations import Fault

USAGE = "USAGE"
"""The word for an operation that nobody may ask for as things stand."""


class Difference(AssertionError):
    """The engine did other than the auditor says."""

    def __init__(self, where: str, expected: Any, got: Any) -> None:
        self.where, self.expected, self.got = where, expected, got
        super().__init__(f"{where}\n  expected {expected!r}\n  got      {got!r}")


def require(where: str, expected: Any, got: Any) -> None:
    """Raise Difference where two things differ; of lists and dicts, at their first difference."""
    if expected == got:
        return
    if isinstance(expected, dict) and isinstance(got, dict):
        for key in sorted({**expected, **got}, key=str):
            require(f"{where}, {key}", expected.get(key), got.get(key))
    if isinstance(expected, list) and isinstance(got, list):
        for i, pair in enumerate(zip(expected, got, strict=False)):
            require(f"{where}, row {i + 1}", *pair)
        raise Difference(f"{where}, rows", len(expected), len(got))
    raise Difference(where, expected, got)


def read_rows(path: Path) -> list[dict[str, Any]]:
    file = pq.ParquetFile(path)
    rows: list[dict[str, Any]] = file.read(use_threads=False).to_pylist()
    file.close()
    return rows


class Trial:
    """A home, its engine, and its auditor."""

    home: Path
    engine: Engine
    auditor: Auditor

    def verify(self) -> str:
        """What `switch verify` makes of the home."""
        self.engine.close()
        try:
            checks = verify(self.home)
        except VerificationFailed as error:
            raise Difference("verify", "no fault", str(error)) from error
        self.engine = Engine(self.home)
        return f"{len(checks)} checks"

    def _attempt(
        self,
        act: Callable[[], Any],
        fault: Fault | None,
        after: Auditor,
        refusals: frozenset[str],
        replay: bool | None = False,
    ) -> tuple[str, Any]:
        """(word, result) of an operation, and the auditor that is right afterwards.

        refusals: rules of which one must be named, none if empty; replay: it may also be answered
        from what is stored, which commits nothing; None: nobody says whether it commits.
        """
        link = self.engine.home.last_link()
        with Faults(self.home, fault) as faults:
            try:
                result = act()
                said = "done"
                if faults.strike_after():
                    if replay is not None:
                        require("committed before it is answered", not replay, faults.committed)
                    said = "crashed"
            except InputRefused as error:
                result, said = None, error.rule
            except UsageError:
                result, said = None, USAGE
            except Crash:
                result, said = None, "crashed"
            except EnvironmentFailed as error:
                if not faults.fired:
                    raise Difference("the machine", "obeys", str(error)) from error
                result, said = None, "failed"
        if faults.fired:
            assert fault is not None
            wanted = "failed" if fault.kind == "full" else "crashed"
            require(f"{fault.kind} at {faults.fired}", wanted, said)
            self.engine.close()
            if said == "crashed":
                faults.survive()
            self._open_after(fault)
            if faults.committed:
                require("commits of what must be refused", frozenset(), refusals)
                self.auditor = after
            return f"{said} at {faults.fired}", None
        if said == "done":
            commits = self.engine.home.last_link() != link if replay is None else not replay
            if commits:
                require("refused by one of", frozenset(), refusals)
                self.auditor = after
        elif said not in refusals:
            raise Difference("refused by one of", set(refusals), said)
        # Which of several faults is met first is a matter of how the table is cut.
        return said if said == "done" or len(refusals) == 1 else "refused", result

    def _open_after(self, fault: Fault) -> None:
        """Open the home after a fault; one time in four that is cut short as well."""
        if fault.salt % 4 == 0:
            fault = fault._replace(kind="crash", point=fault.salt % 3)
            with Faults(self.home, fault) as again, contextlib.suppress(Crash):
                Engine(self.home).close()
            if again.fired:
                again.survive()
        self.engine = Engine(self.home)
