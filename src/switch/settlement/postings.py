"""Postings: a cycle's nets move on settlement accounts, all or nothing, in double entry.

The steps and their accounts are those of the domain's table (docs/domain.md). Amounts are minor
units, always positive; a posting moves one amount from its debit account to its credit account, so
that each balances in itself (I1).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from switch.registry.directory import Directory
from switch.results import FiledSide
from switch.schema import CURRENCY
from switch.settlement import accounts
from switch.settlement.accounts import CERTIFY, CLEAR, FUND, ON_US, SETTLE, TREASURY


class Posting(NamedTuple):
    """One amount on its way, by a step of the domain's table (`accounts`)."""

    step: str
    debit: str
    credit: str
    amount: int


def settlement_account(directory: Directory, code: str) -> str:
    """The account at the State Bank of a participant of the directory."""
    kind = next(p.kind for p in directory.participants if p.participant == code)
    return accounts.settlement(kind, code)


class Reserve(NamedTuple):
    """Money set aside for one batch (P2) out of a treasury's settlement account."""

    participant: str
    account: str
    amount: int


def gross_reserves(directory: Directory, batch: int, pair_sum: NDArray[np.int64]) -> list[Reserve]:
    """All that treasuries pay to others by one batch, in order of code."""
    kinds = {p.participant: p.kind for p in directory.participants}
    found: dict[str, int] = {}
    for i, p in enumerate(directory.participants):
        if kinds[p.settled_by] == TREASURY:
            gross = sum(map(int, pair_sum[i])) - int(pair_sum[i, i])
            found[p.settled_by] = found.get(p.settled_by, 0) + gross
    return reserves_of(batch, found)


def net_reserves(
    directory: Directory, batch: int, nets: dict[str, int], reserved: dict[str, int]
) -> list[Reserve]:
    """Reserves for what treasuries owe in a cycle that stays open beyond what is set aside already.
    nets: of the cycle with this batch."""
    kinds = {p.participant: p.kind for p in directory.participants}
    return reserves_of(
        batch,
        {
            code: -net - reserved.get(code, 0)
            for code, net in nets.items()
            if kinds[code] == TREASURY and -net > reserved.get(code, 0)
        },
    )


def reserves_of(batch: int, amounts: dict[str, int]) -> list[Reserve]:
    """Reserves of a batch by participant, in order of code; none of zero."""
    account = accounts.reserve(batch)
    return [Reserve(code, account, sum_) for code, sum_ in sorted(amounts.items()) if sum_]


def clearing_postings(
    directory: Directory,
    batch: int,
    benefit_sum: NDArray[np.int64],
    pair_sum: NDArray[np.int64],
    reserves: list[Reserve],
) -> list[Posting]:
    """Postings of one batch up to its cycle's settlement, in the order in which they take effect.

    benefit_sum int64[programmes], pair_sum int64[participants, participants].
    """
    out = []
    for programme, amount in zip(directory.programmes, benefit_sum, strict=True):
        if amount:
            expense, payable = accounts.expense(programme.benefit), accounts.payable(batch)
            out.append(Posting(CERTIFY, expense, payable, int(amount)))
    codes = [p.participant for p in directory.participants]
    settles = [p.settled_by for p in directory.participants]
    for reserve in reserves:
        account = settlement_account(directory, reserve.participant)
        out.append(Posting(FUND, account, reserve.account, reserve.amount))
    for i, debtor in enumerate(codes):
        for j in range(len(codes)):
            amount = int(pair_sum[i, j])
            if amount and i == j:
                at = accounts.treasury_at(debtor), accounts.customers_at(debtor)
                out.append(Posting(ON_US, *at, amount))
            elif amount and settles[i] != settles[j]:
                between = accounts.position(settles[i]), accounts.position(settles[j])
                out.append(Posting(CLEAR, *between, amount))
    return out


def settling_postings(
    directory: Directory, cycle: str, nets: dict[str, int], reserves: list[Reserve]
) -> list[Posting]:
    """Postings by which a cycle settles: payers to the clearing account, first out of what was set
    aside; from it to receivers; and back what was set aside and not needed."""
    out, left = [], list(reserves)
    clearing = accounts.clearing(cycle)
    for code, net in nets.items():
        owed = max(-net, 0)
        for i, reserve in enumerate(left):
            used = min(owed, reserve.amount) if reserve.participant == code else 0
            if used:
                out.append(Posting(SETTLE, reserve.account, clearing, used))
                left[i] = reserve._replace(amount=reserve.amount - used)
                owed -= used
        if owed:
            out.append(Posting(SETTLE, settlement_account(directory, code), clearing, owed))
    for code, net in nets.items():
        if net > 0:
            out.append(Posting(SETTLE, clearing, settlement_account(directory, code), net))
    for reserve in left:
        if reserve.amount:
            account = settlement_account(directory, reserve.participant)
            out.append(Posting(FUND, reserve.account, account, reserve.amount))
    return out


def apply(balances: dict[str, int], postings: Iterable[Posting]) -> dict[str, int]:
    """Balances after postings: credit adds, debit takes. Accounts may go below zero."""
    after = dict(balances)
    for posting in postings:
        assert posting.amount > 0, posting
        if posting.debit.startswith(accounts.KEPT_BOOKS):
            after[posting.debit] = after.get(posting.debit, 0) - posting.amount
            after[posting.credit] = after.get(posting.credit, 0) + posting.amount
    return after


def require_settled(balances: dict[str, int], cycle: str) -> None:
    """I3: nothing is left on the cycle's clearing account."""
    account = accounts.clearing(cycle)
    assert balances.get(account, 0) == 0, f"{account} is not zero"


def rooms(directory: Directory, funds: dict[str, int], nets: dict[str, int]) -> dict[str, int]:
    """Amount by which each settlement participant may be debited in a cycle: what its net debit cap
    or its funds leave, whichever is less. Who has neither may be debited without limit.

    funds: of participants whose account is bound. nets: of the cycle so far.
    """
    found: dict[str, int] = {}
    for p in directory.participants:
        limits = []
        if p.net_debit_cap is not None:
            limits.append(p.net_debit_cap + nets.get(p.participant, 0))
        if p.participant in funds:
            limits.append(funds[p.participant])
        if limits and p.settled_by == p.participant:
            found[p.participant] = min(limits)
    return found


def require_room(nets: dict[str, int], room: dict[str, int]) -> None:
    """Nobody owes more than there was room for: lines without room waited. Room below zero (a cap
    was lowered within the cycle) lets nothing go out before as much has come in."""
    for code, limit in room.items():
        assert nets.get(code, 0) >= min(-limit, 0), f"{code} owes more than {limit}"


def request(
    directory: Directory, cycle: str, value_date: str, nets: dict[str, int], **of: object
) -> dict[str, object]:
    """settlement.json: what the settlement bank is asked to move, by settlement participant. of:
    the batch, or the batches of the cycle."""
    return {
        "cycle": cycle,
        **of,
        "currency": CURRENCY,
        "value_date": value_date,
        "sum": str(sum(net for net in nets.values() if net > 0)),
        "participants": sides(directory, nets),
    }


def sides(directory: Directory, nets: dict[str, int]) -> list[FiledSide]:
    """Amount that each settlement participant pays or receives; nets of zero are left out."""
    return [
        {
            "participant": code,
            "account": settlement_account(directory, code),
            "side": "credit" if net > 0 else "debit",
            "amount": str(abs(net)),
        }
        for code, net in nets.items()
        if net
    ]
