"""Returns: money that goes back, and the postings that say so.

Columns IN: lines (recasting.WENT_BACK) that a receiver refused before their cycle settled, or whose
money it sent back afterwards. OUT: postings, positions and nets; all sums, a few rows a receiver.
Steps are the domain's: P7 refusal, P8 return, P9 re-issue, P10 write back.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from switch.registry.directory import Directory
from switch.settlement import booking, recasting
from switch.settlement.booking import BACK, RETURN, Posting
from switch.settlement.cycle import Standing, Statements, keep_positions


class Moved(NamedTuple):
    """What lines that go back do to one cycle."""

    cycle: str
    postings: list[Posting]
    positions: list[tuple[Any, ...]]

    def nets(self) -> dict[str, int]:
        """What changes by settlement participant, in order of code."""
        found: dict[str, int] = {}
        for _, settled_by, *_, net in self.positions:
            found[settled_by] = found.get(settled_by, 0) + net
        return dict(sorted(found.items()))

    def statements(self) -> Statements:
        return keep_positions(self.cycle, self.positions)


def refused(directory: Directory, standing: Standing, cycle: str, lines: Any) -> Moved:
    """Lines of a cycle that has not settled leave it (P7); what a treasury had set aside for them
    is released."""
    gone = Moved(
        cycle,
        recasting.reversals(directory, lines),
        recasting.positions_gone(directory, lines),
    )
    after = standing.nets_of(cycle)
    for code, net in gone.nets().items():
        after[code] += net
    spare = {
        code: sum_ - max(-after.get(code, 0), 0) for code, sum_ in standing.reserved(cycle).items()
    }
    for reserve in reversed(standing.reserves.get(cycle, [])):
        free = min(reserve.amount, spare[reserve.participant])
        if free > 0:
            account = booking.settlement_account(directory, reserve.participant)
            gone.postings.append(Posting(recasting.REVERSAL, reserve.account, account, free))
            spare[reserve.participant] -= free
    return gone


def returned(directory: Directory, cycle: str, lines: Any) -> Moved:
    """Money of lines that had settled comes back through another cycle (P8): receivers pay, and
    debtor agents get it."""
    postings: dict[tuple[str, str], int] = {}
    for _, debit, credit, amount in recasting.reversals(directory, lines):
        pair = debit, BACK if debit.startswith("T.PAYABLE") else credit
        postings[pair] = postings.get(pair, 0) + amount
    # What clearing had brought in is what goes out now, on the other side.
    positions = [
        (code, settled_by, -debit_count, -debit_sum, -credit_count, -credit_sum, net)
        for code, settled_by, credit_count, credit_sum, debit_count, debit_sum, net in (
            recasting.positions_gone(directory, lines)
        )
    ]
    return Moved(
        cycle, [Posting(RETURN, *pair, sum_) for pair, sum_ in postings.items()], positions
    )


def known(directory: Directory, lines: Any) -> Any:
    """The lines between whose sides money can move: both are in the directory, or are one. Those of
    the others wait until they are."""
    codes = pa.array([p.participant for p in directory.participants], pa.string())
    there = pc.and_(pc.is_in(lines["participant"], codes), pc.is_in(lines["debtor_agent"], codes))
    return lines.filter(pc.or_(there, pc.equal(lines["participant"], lines["debtor_agent"])))


def affordable(directory: Directory, standing: Standing, lines: Any) -> Any:
    """The lines whose receivers can pay them back at once: a bound account does not go below zero.
    Receivers are taken whole; those of the others wait."""
    settled_by = {p.participant: p.settled_by for p in directory.participants}
    while len(lines):
        nets = returned(directory, "", lines).nets()
        short = [
            code
            for code, net in nets.items()
            if code in standing.bound
            and net < 0
            and booking.held(standing.balances, code) + net < 0
        ]
        if not short:
            break
        wait = [code for code, settler in settled_by.items() if settler in short]
        lines = lines.filter(pc.invert(pc.is_in(lines["participant"], pa.array(wait, pa.string()))))
    return lines


def disposed(lines: Any, step: str) -> list[Posting]:
    """What came back goes to the budget again: for good (P10), or for a new line (P9)."""
    return [
        Posting(step, BACK, f"T.EXPENSE[{row['benefit']}]", row["amount_sum"])
        for row in recasting.summed(lines, ["benefit"])
    ]
