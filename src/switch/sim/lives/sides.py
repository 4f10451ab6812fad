"""The two sides of a life: one home and its auditor. An operation is tried on both, with a fault in
the middle of it or none.

After a fault the home must be as the auditor says before the operation, or after it where the
catalog's transaction had ended.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from switch import engine as engine_room
from switch.engine import Engine
from switch.errors import EnvironmentFailed, InputRefused, UsageError, VerificationFailed
from switch.proof.verify import verify
from switch.sim.auditor.auditor import Auditor
from switch.sim.lives.difference import Difference, require
from switch.sim.lives.faults import Crash, Faults
from switch.sim.lives.operations import Fault, Nation
from switch.sim.lives.rules import ruled, settings_of
from switch.sim.lives.tables import rows_table

KEY = b"0123456789abcdef"
USAGE = frozenset({"USAGE"})
"""The rule for an operation that nobody may ask for as things stand."""
NOTHING: frozenset[str] = frozenset()

Result = TypeVar("Result")


class Sides:
    """A home, the engine that has it open, and the auditor that is right about it. Close it."""

    def __init__(self, home: Path, nation: Nation) -> None:
        self.home = home
        self.auditor = Auditor(
            nation.participants,
            nation.debtors,
            nation.programmes,
            nation.opening,
            ruled(nation.rules),
        )
        opening = [{"participant": code, "balance": sum_} for code, sum_ in nation.opening.items()]
        self.engine = engine_room.init(
            home,
            participants=rows_table(nation.participants),
            debtors=rows_table(nation.debtors),
            programmes=rows_table(nation.programmes),
            balances=rows_table(opening) if opening else None,
            settings=settings_of(nation.rules),
            key=KEY,
        )

    def close(self) -> None:
        """Let go of the home."""
        self.engine.close()

    def reopen(self) -> str:
        """End the process in order, and begin another one."""
        self.engine.close()
        self.engine = Engine(self.home)
        return "done"

    def verify(self) -> str:
        """Prove the home from its files, as `switch verify` does."""
        self.engine.close()
        try:
            checks = verify(self.home)
        except VerificationFailed as error:
            raise Difference("verify", "no fault", str(error)) from error
        self.engine = Engine(self.home)
        return f"{len(checks)} checks"

    def refused(self, act: Callable[[], object], refusals: frozenset[str] = USAGE) -> str:
        """Try an operation that nobody may ask for as things stand. Returns the word for it."""
        word, _ = self.attempt(act, None, self.auditor, refusals)
        return word

    def attempt(
        self,
        act: Callable[[], Result],
        fault: Fault | None,
        after: Auditor,
        refusals: frozenset[str] = NOTHING,
        replay: bool | None = False,
        between: Sequence[Auditor] = (),
    ) -> tuple[str, Result | None]:
        """(word, result) of an operation, and the auditor that is right afterwards.

        refusals: rules of which one must be named, none if empty; replay: it may also be answered
        from what is stored, which commits nothing; None: nobody says whether it commits. between:
        auditors that are right behind each commit but the last, where there are several.
        """
        link = self.engine.home.catalog.heads().link
        result = None
        with Faults(self.home, fault) as faults:
            try:
                result, said = act(), "done"
                if faults.strike_after():
                    if replay is not None:
                        require("committed before it is answered", not replay, faults.committed)
                    said = "crashed"
            except InputRefused as error:
                said = error.rule
            except UsageError:
                (said,) = USAGE
            except Crash:
                said = "crashed"
            except EnvironmentFailed as error:
                if not faults.fired:
                    raise Difference("the machine", "obeys", str(error)) from error
                said = "failed"
        if faults.fired:
            assert fault is not None
            self._recover(faults, fault, said)
            if faults.committed:
                require("commits of what must be refused", NOTHING, refusals)
                seq = self.engine.home.catalog.heads().seq
                self.auditor = next((a for a in between if a.commits == seq), after)
            return f"{said} at {faults.fired}", None
        if said == "done":
            commits = (
                self.engine.home.catalog.heads().link != link if replay is None else not replay
            )
            if commits:
                require("refused by one of", NOTHING, refusals)
                self.auditor = after
        elif said not in refusals:
            raise Difference("refused by one of", set(refusals), said)
        # Which of several faults is met first is a matter of how the table is cut.
        return said if said == "done" or len(refusals) == 1 else "refused", result

    def _recover(self, faults: Faults, fault: Fault, said: str) -> None:
        """Open the home after a fault; one time in four that is cut short as well."""
        wanted = "failed" if fault.kind == "full" else "crashed"
        require(f"{fault.kind} at {faults.fired}", wanted, said)
        self.engine.close()
        if said == "crashed":
            faults.survive()
        if fault.salt % 4 == 0:
            fault = fault._replace(kind="crash", point=fault.salt % 3)
            with Faults(self.home, fault) as again, contextlib.suppress(Crash):
                Engine(self.home).close()
            if again.fired:
                again.survive()
        self.engine = Engine(self.home)
