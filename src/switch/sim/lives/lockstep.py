"""Lockstep: the engine and the auditor told the same things, and compared after each of them.

One home in a folder, one auditor beside it. `step` does one operation of a life on both; what
differs raises `Difference`. No clock, no thread of its own.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from switch.registry import delta
from switch.sim.lives import operations
from switch.sim.lives.citizens import Citizens
from switch.sim.lives.comparison import Comparison
from switch.sim.lives.control import Control
from switch.sim.lives.difference import require
from switch.sim.lives.fees import Fees
from switch.sim.lives.identities import Identities
from switch.sim.lives.lines import Lines
from switch.sim.lives.office import filed
from switch.sim.lives.paydays import Paydays
from switch.sim.lives.portal import Portal
from switch.sim.lives.rules import ruled, settings_of
from switch.sim.lives.sides import Sides
from switch.sim.lives.slips import Slips
from switch.sim.lives.tables import ACCOUNTS, PAID, PEOPLE, given, rows_table
from switch.sim.lives.way_back import WayBack

TIMELINES = 8
"""About so many lines of a life are asked for by `status`."""


class Lockstep:
    """One home and its auditor. Close it."""

    def __init__(
        self, folder: Path, nation: operations.Nation, *, chunk_rows: int | None = None
    ) -> None:
        """folder: empty, for the home and the tables. chunk_rows: instead of what a life says."""
        tables, mail = folder / "tables", folder / "mail"
        tables.mkdir(parents=True)
        mail.mkdir()
        self.sides = Sides(folder / "home", nation)
        self.comparison = Comparison(self.sides)
        self.paydays = Paydays(self.sides, self.comparison, tables, chunk_rows)
        self.way_back = WayBack(self.sides, mail)
        self.lines = Lines(self.sides, self.comparison)
        self.citizens = Citizens(self.sides, folder)
        self.identities = Identities(self.sides, folder)
        self.fees = Fees(self.sides)
        self.slips = Slips(self.sides, self.comparison, tables)
        self.control = Control(self.sides, self.paydays)
        self.portal = Portal(self.sides, self.control, folder)

    def close(self) -> None:
        """Let go of the home."""
        self.sides.close()

    def step(self, operation: operations.Operation) -> str:
        """Do one operation on both sides. Returns what happened, in words that depend on nothing
        but the life."""
        match operation:
            case operations.Payday():
                word = self.paydays.run(operation)
                self.way_back.compare_person(self.sides.auditor.commits)
            case operations.Race():
                word = self.paydays.race(operation.payday)
            case operations.PayAgain():
                word = self._pay_again(operation)
            case operations.Answers():
                word = self.way_back.answers(operation)
            case operations.Dispose():
                word = self.way_back.dispose(operation)
            case operations.NoteBreaks():
                word = self.way_back.note(operation)
            case operations.CancelLines():
                word = self.lines.cancel(operation)
            case operations.ExpireLines():
                word = self.lines.expire(operation)
            case operations.RecallLines():
                word = self.lines.recall(operation)
            case (
                operations.Bind()
                | operations.Claim()
                | operations.Identify()
                | operations.PayFees()
            ):
                word = self._citizens(operation)
            case operations.CloseDay():
                word = self.way_back.close_day(operation)
            case operations.Register():
                word = self._register(operation)
            case operations.Compact():
                word = self._compact(operation)
            case operations.Change():
                word = self._change(operation)
            case operations.Reopen():
                word = self.sides.reopen()
            case operations.OldCatalog():
                word = self.slips.old_catalog(operation)
            case operations.Settle():
                word = self._settle()
            case operations.Abort():
                word = self._abort(operation)
            case operations.Fund():
                word = self._fund(operation)
            case operations.OddDate():
                word = self.slips.odd_date(operation)
            case operations.Leap():
                word = self.slips.leap(operation)
            case operations.Verify():
                word = self.verify()
            case (
                operations.SetPolicy()
                | operations.Prepare()
                | operations.Sign()
                | operations.Stop()
                | operations.Release()
                | operations.Deliver()
            ):
                word = self._controls(operation)
        self.comparison.home()
        self.comparison.present()
        self.control.compare()
        self.portal.compare()
        self.slips.keep_catalog()
        return f"{type(operation).__name__}: {word}"

    def verify(self) -> str:
        """Prove the home from its files."""
        return self.sides.verify()

    def require_all_terminal(self) -> None:
        """In the end nothing waits: every line that was ever taken in is settled or refused, and
        where receivers answer, what became of it is final."""
        auditor = self.sides.auditor
        self.comparison.nothing_waits()
        lines, most = list(self.comparison.waited), TIMELINES
        if auditor.way_back.records.heard:
            self.way_back.all_is_final()
            # What was answered is told at some length.
            lines = [*auditor.way_back.deeds, *lines, *auditor.payments.sent]
            most = TIMELINES // 2
        for line in lines[:: 1 + len(lines) // most]:
            self.way_back.compare_story(line)
        for turn in range(0, len(auditor.people.lines), 1 + len(auditor.people.lines) // most):
            self.way_back.compare_person(turn)

    @property
    def link(self) -> str:
        """The last link of the audit chain: it stands for everything that was ever committed."""
        return self.sides.engine.home.catalog.heads().link

    # --- operations -----------------------------------------------------------------------------

    def _controls(self, operation: operations.Controls) -> str:
        match operation:
            case operations.SetPolicy():
                return self.control.set_policy(operation)
            case operations.Prepare():
                return self.control.prepare(operation)
            case operations.Sign():
                return self.control.sign(operation)
            case operations.Stop():
                return self.control.stop(operation)
            case operations.Release():
                return self.control.release(operation)
            case operations.Deliver():
                return self.portal.deliver(operation)

    def _citizens(
        self,
        operation: operations.Bind | operations.Claim | operations.Identify | operations.PayFees,
    ) -> str:
        match operation:
            case operations.Bind():
                return self.citizens.bind(operation)
            case operations.Claim():
                return self.citizens.claim(operation)
            case operations.PayFees():
                return self.fees.pay(operation)
            case operations.Identify():
                word = self.identities.ask(operation)
                self._compare_deltas()
                return word

    def _pay_again(self, operation: operations.PayAgain) -> str:
        payday = self.way_back.pays_again(operation)
        if self.sides.auditor.control.versions:
            payday = self.control.pays(filed(payday))
        return self.paydays.run(payday)

    def _register(self, operation: operations.Register) -> str:
        after = self.sides.auditor.copy()
        share = operation.share
        tables = operation.people, operation.accounts, operation.paid
        rule = after.register(*tables, operation.replace, share, operation.replaced)

        def act() -> None:
            kept, delta.CHANGES_SHARE = delta.CHANGES_SHARE, share
            try:
                self.sides.engine.register(
                    population=given(operation.people, PEOPLE),
                    accounts=given(operation.accounts, ACCOUNTS),
                    paid_history=given(operation.paid, PAID),
                    replaced=_pairs(operation.replaced),
                    replace=operation.replace,
                )
            finally:
                delta.CHANGES_SHARE = kept

        refusals = frozenset({rule} if rule else ())
        word, _ = self.sides.attempt(act, operation.fault, after, refusals)
        self._compare_deltas()
        return word

    def _compact(self, operation: operations.Compact) -> str:
        after = self.sides.auditor.copy()
        is_new = after.compact()
        compact = self.sides.engine.compact
        word, _ = self.sides.attempt(compact, operation.fault, after, replay=not is_new)
        self._compare_deltas()
        return word

    def _compare_deltas(self) -> None:
        """The register is written as the auditor says: whole, or as so many deltas."""
        chain = self.sides.engine.home.catalog.register_chain()
        folders = sorted(int(path.name) for path in (self.sides.home / "registers").glob("[0-9]*"))
        deltas = self.sides.auditor.people.deltas
        require("deltas of the register", deltas, max(len(chain) - 1, 0))
        require("versions of the register", chain, folders)

    def _change(self, operation: operations.Change) -> str:
        after, rules = self.sides.auditor.copy(), operation.rules
        tables = operation.participants, operation.debtors, operation.programmes
        refusals = after.change(*tables, None if rules is None else ruled(rules))

        def act() -> None:
            participants, debtors, programmes = map(given, tables)
            self.sides.engine.change_directory(
                participants=participants,
                debtors=debtors,
                programmes=programmes,
                settings=None if rules is None else settings_of(rules),
            )

        word, _ = self.sides.attempt(act, operation.fault, after, refusals)
        return word

    def _fund(self, operation: operations.Fund) -> str:
        """Fund accounts of those who have one of their own as things stand."""
        own = self.sides.auditor.fund(operation.balances)
        balances = [{"participant": code, "balance": sum_} for code, sum_ in own.items()]
        if balances:
            self.sides.engine.change_directory(balances=rows_table(balances))
        return f"{len(balances)} accounts"

    def _settle(self) -> str:
        """Settle all cycles; what recasts took out waits again, and receivers are told of it."""
        auditor, engine = self.sides.auditor, self.sides.engine
        if auditor.directory.rules.calendar is None and not auditor.cycles.known:
            return self.sides.refused(engine.settle)
        return self.comparison.cycles(engine.settle(), auditor.settle())

    def _abort(self, operation: operations.Abort) -> str:
        sides = self.sides
        name = next(iter(sides.auditor.cycles.unsettled()), None)
        if name is None:
            return "nothing"
        after = sides.auditor.copy()
        if after.cycles.known[name].answered:
            return sides.refused(lambda: sides.engine.settle(name, abort="it was drawn"))
        expected = after.abort()
        # It is closed first, which is a commit of its own.
        sides.engine.settle(name, close_only=True)
        sides.auditor.close(name)
        word, answers = sides.attempt(
            lambda: sides.engine.settle(name, abort="it was drawn"), operation.fault, after
        )
        if sides.auditor is not after:
            return word
        return self.comparison.cycles(answers or sides.engine.settle(name), [expected])


def _pairs(pairs: tuple[tuple[str, str], ...]) -> pa.Table | None:
    """A table of ids of before with those in their place; None for none."""
    columns = zip(*pairs, strict=True)
    names = ("person_id", "replaced_by")
    return pa.table(dict(zip(names, map(list, columns), strict=True))) if pairs else None
