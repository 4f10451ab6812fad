"""Returns: money that goes back, and the postings that say so.

Columns IN: lines (WENT_BACK) that a receiver refused before their cycle settled, or whose
money it sent back afterwards. OUT: postings, positions and nets; all sums, a few rows a receiver.
Steps are the domain's: P7 refusal, P8 return, P9 re-issue, P10 write back.
"""

from __future__ import annotations

from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from switch.home.changes import Change
from switch.registry.directory import Directory
from switch.settlement import accounts
from switch.settlement.accounts import PAYABLE, RETURN, RETURNED, REVERSAL
from switch.settlement.netting import Position, settlement_nets
from switch.settlement.postings import Posting, settlement_account
from switch.settlement.reversal import positions_gone, reversals, summed
from switch.settlement.standing import Standing, keep_positions, nets_without


class MoneyBack(NamedTuple):
    """Effects of lines that go back on one cycle."""

    cycle: str
    postings: list[Posting]
    positions: list[Position]

    def nets(self) -> dict[str, int]:
        """Changes by settlement participant, in order of code."""
        return settlement_nets(self.positions)

    def changes(self) -> list[Change]:
        return keep_positions(self.cycle, self.positions)


def refused(directory: Directory, standing: Standing, cycle: str, lines: pa.Table) -> MoneyBack:
    """Lines of a cycle that has not settled leave it (P7); what a treasury had set aside for them
    is released."""
    gone = MoneyBack(cycle, reversals(directory, lines), positions_gone(directory, lines))
    after = nets_without(standing, cycle, gone.positions)
    spare = {
        code: sum_ - max(-after.get(code, 0), 0) for code, sum_ in standing.reserved(cycle).items()
    }
    for reserve in reversed(standing.reserves.get(cycle, [])):
        free = min(reserve.amount, spare[reserve.participant])
        if free > 0:
            account = settlement_account(directory, reserve.participant)
            gone.postings.append(Posting(REVERSAL, reserve.account, account, free))
            spare[reserve.participant] -= free
    return gone


def returned(directory: Directory, cycle: str, lines: pa.Table) -> MoneyBack:
    """Money of lines that had settled comes back through another cycle (P8): receivers pay, and
    debtor agents get it."""
    postings: dict[tuple[str, str], int] = {}
    for _, debit, credit, amount in reversals(directory, lines):
        pair = debit, RETURNED if accounts.kind_of(debit) == PAYABLE else credit
        postings[pair] = postings.get(pair, 0) + amount
    # What clearing had brought in is what goes out now, on the other side.
    positions = [
        p._replace(
            credit_count=-p.debit_count,
            credit_sum=-p.debit_sum,
            debit_count=-p.credit_count,
            debit_sum=-p.credit_sum,
        )
        for p in positions_gone(directory, lines)
    ]
    posted = [Posting(RETURN, *pair, sum_) for pair, sum_ in postings.items()]
    return MoneyBack(cycle, posted, positions)


def known(directory: Directory, lines: pa.Table) -> pa.Table:
    """The lines between whose sides money can move: both are in the directory, or are one. Those of
    the others wait until they are."""
    codes = pa.array([p.participant for p in directory.participants], pa.string())
    there = pc.and_(pc.is_in(lines["participant"], codes), pc.is_in(lines["debtor_agent"], codes))
    return lines.filter(pc.or_(there, pc.equal(lines["participant"], lines["debtor_agent"])))


def affordable(directory: Directory, standing: Standing, lines: pa.Table) -> pa.Table:
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
            and accounts.held(standing.balances, code) + net < 0
        ]
        if not short:
            break
        wait = [code for code, settler in settled_by.items() if settler in short]
        lines = lines.filter(pc.invert(pc.is_in(lines["participant"], pa.array(wait, pa.string()))))
    return lines


def disposed(lines: pa.Table, step: str) -> list[Posting]:
    """Money that came back goes to the budget again: for good (P10), or for a new line (P9)."""
    return [
        Posting(step, RETURNED, accounts.expense(row["benefit"]), row["amount_sum"])
        for row in summed(lines, ["benefit"])
    ]
