"""Settlement: a cycle's nets move on settlement accounts, all or nothing, in double entry.

Floor 3. The steps and their accounts are those of the domain's table (docs/domain.md): P1 certify,
P2 fund, P3 clear, P4 settle, P12 on-us. Amounts are minor units, always positive; a posting moves
one amount from its debit account to its credit account, so that each balances in itself (I1).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from switch.directory import Directory


class Posting(NamedTuple):
    step: str
    debit: str
    credit: str
    amount: int


KEPT_BOOKS = ("T.", "S.", "B.")
"""Books with balances. Positions (N.) are not money: they live and end with their cycle."""


def settlement_account(directory: Directory, code: str) -> str:
    kind = next(p.kind for p in directory.participants if p.participant == code)
    return f"S.TREASURY[{code}]" if kind == "treasury" else f"S.BANK[{code}]"


def postings_of(
    directory: Directory,
    batch: str,
    cycle: str,
    benefit_sum: Any,
    pair_sum: Any,
    nets: dict[str, int],
) -> list[Posting]:
    """All postings of one batch and its cycle, in the order in which they take effect.

    benefit_sum int64[programmes], pair_sum int64[participants, participants]; nets by settlement
    participant.
    """
    out = []
    for programme, amount in zip(directory.programmes, benefit_sum, strict=True):
        if amount:
            out.append(
                Posting("P1", f"T.EXPENSE[{programme.benefit}]", f"T.PAYABLE[{batch}]", int(amount))
            )
    codes = [p.participant for p in directory.participants]
    settles = [p.settled_by for p in directory.participants]
    kinds = {p.participant: p.kind for p in directory.participants}
    reserve: dict[str, int] = {}
    for i in range(len(codes)):
        if kinds[settles[i]] == "treasury":
            gross = sum(map(int, pair_sum[i])) - int(pair_sum[i, i])
            reserve[settles[i]] = reserve.get(settles[i], 0) + gross
    reserve = {code: gross for code, gross in sorted(reserve.items()) if gross}
    for code, gross in reserve.items():
        account = settlement_account(directory, code)
        out.append(Posting("P2", account, f"S.RESERVE[{batch}]", gross))
    for i, debtor in enumerate(codes):
        for j in range(len(codes)):
            amount = int(pair_sum[i, j])
            if amount and i == j:
                out.append(Posting("P12", f"B.TREASURY[{debtor}]", f"B.CUSTOMER[{debtor}]", amount))
            elif amount and settles[i] != settles[j]:
                position = f"N.POSITION[{settles[i]}]"
                out.append(Posting("P3", position, f"N.POSITION[{settles[j]}]", amount))
    clearing = f"S.CLEARING[{cycle}]"
    for code, net in nets.items():
        if net < 0:
            account = settlement_account(directory, code)
            if code in reserve:
                account = f"S.RESERVE[{batch}]"
            out.append(Posting("P4", account, clearing, -net))
    for code, net in nets.items():
        if net > 0:
            out.append(Posting("P4", clearing, settlement_account(directory, code), net))
    for code, gross in reserve.items():
        left = gross + min(nets.get(code, 0), 0)
        if left:
            # What the treasury received in the same cycle was netted: that much stays unused.
            account = settlement_account(directory, code)
            out.append(Posting("P2", f"S.RESERVE[{batch}]", account, left))
    return out


def apply(balances: dict[str, int], postings: list[Posting]) -> dict[str, int]:
    """Balances after postings: credit adds, debit takes. Accounts may go below zero."""
    after = dict(balances)
    for posting in postings:
        assert posting.amount > 0, posting
        if posting.debit.startswith(KEPT_BOOKS):
            after[posting.debit] = after.get(posting.debit, 0) - posting.amount
            after[posting.credit] = after.get(posting.credit, 0) + posting.amount
    return after


def require_settled(balances: dict[str, int], cycle: str) -> None:
    """I3: nothing is left on the cycle's clearing account."""
    assert balances.get(f"S.CLEARING[{cycle}]", 0) == 0, f"S.CLEARING[{cycle}] is not zero"


def rooms(directory: Directory, balances: dict[str, int], guarded: set[str]) -> dict[str, int]:
    """How much each settlement participant may be debited in a cycle: its net debit cap or what
    its bound account holds, whichever is less. Who has neither may be debited without limit.

    guarded: settlement accounts whose opening balance was given; others may go below zero.
    """
    found: dict[str, int] = {}
    for p in directory.participants:
        account = settlement_account(directory, p.participant)
        limits = [] if p.net_debit_cap is None else [p.net_debit_cap]
        if account in guarded:
            limits.append(balances.get(account, 0))
        if limits and p.settled_by == p.participant:
            found[p.participant] = min(limits)
    return found


def require_room(nets: dict[str, int], room: dict[str, int]) -> None:
    """Nobody owes more than there was room for: lines without room waited."""
    for code, limit in room.items():
        assert nets.get(code, 0) >= -limit, f"{code} owes more than {limit}"


def request(
    directory: Directory, batch: str, cycle: str, value_date: str, nets: dict[str, int]
) -> dict[str, Any]:
    """settlement.json: what the settlement bank is asked to move, by settlement participant."""
    return {
        "cycle": cycle,
        "batch": batch,
        "currency": "VND",
        "value_date": value_date,
        "sum": str(sum(net for net in nets.values() if net > 0)),
        "participants": [
            {
                "participant": code,
                "account": settlement_account(directory, code),
                "side": "credit" if net > 0 else "debit",
                "amount": str(abs(net)),
            }
            for code, net in nets.items()
            if net
        ],
    }
