"""Positions of a batch, and what clearing posts for it, in steps of the domain's table.

Of the engine it imports `schema`, `reason` and `errors` alone. Amounts are whole dong.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from switch.sim.auditor.cycles import EMPTY, Cycles
from switch.sim.auditor.directory import Directory
from switch.sim.auditor.expected import Cycle, Owed, Position, Posting


def positions_of(cleared: Sequence[Owed], directory: Directory) -> list[Position]:
    """Positions of those who took part; a line within one institution enters none."""
    sums: dict[str, list[int]] = {}
    for owed in cleared:
        if not owed.is_on_us:
            for code, at in ((owed.participant, 0), (owed.agent, 2)):
                mine = sums.setdefault(code, [0, 0, 0, 0])
                mine[at] += 1
                mine[at + 1] += owed.amount
    return [
        Position(code, directory.settler(code), *(*mine, mine[1] - mine[3]))
        for code, mine in sorted(sums.items())
    ]


def postings_of(
    seq: int, cycle: str, cleared: Sequence[Owed], positions: Sequence[Position], cycles: Cycles
) -> Counter[Posting]:
    """Amounts by posting of steps P1, P2, P3, P4 and P12: all that a run posts for a batch."""
    found: Counter[Posting] = Counter()
    for owed in cleared:
        found[Posting("P1", owed.expense, owed.payable)] += owed.amount
        if owed.is_on_us:
            code = owed.agent
            found[Posting("P12", f"B.TREASURY[{code}]", f"B.CUSTOMER[{code}]")] += owed.amount
        elif owed.payer != owed.payee:
            debit, credit = f"N.POSITION[{owed.payer}]", f"N.POSITION[{owed.payee}]"
            found[Posting("P3", debit, credit)] += owed.amount
    nets: Counter[str] = Counter()
    for position in positions:
        nets[position.settled_by] += position.net
    reserve = f"S.RESERVE[{seq:06d}]"
    if cycles.directory.rules.calendar:
        found += _set_aside(reserve, nets, cycles.known.get(cycle, EMPTY), cycles.directory)
    else:
        found += _settled_at_once(reserve, f"S.CLEARING[{cycle}]", nets, cleared, cycles.directory)
    return +found


def _set_aside(
    reserve: str, nets: Counter[str], cycle: Cycle, directory: Directory
) -> Counter[Posting]:
    """P2: money that treasuries set aside, as far as a cycle owes it and it is not yet set aside.

    When lines paid to a treasury are refused, it owes more than before: so the whole cycle counts.
    """
    found: Counter[Posting] = Counter()
    owes = Counter(nets)
    owes.update(cycle.nets)
    for code in set(owes) & set(directory.treasuries()):
        lacks = -owes[code] - cycle.reserved[code]
        found[Posting("P2", directory.account(code), reserve)] += max(lacks, 0)
    return found


def _settled_at_once(
    reserve: str, clearing: str, nets: Counter[str], cleared: Sequence[Owed], directory: Directory
) -> Counter[Posting]:
    """P2 and P4 of a batch that settles at once: a treasury sets the gross aside."""
    found: Counter[Posting] = Counter()
    gross: Counter[str] = Counter()
    for owed in cleared:
        if not owed.is_on_us and owed.payer in directory.treasuries():
            gross[owed.payer] += owed.amount
    for code, amount in gross.items():
        account = directory.account(code)
        found[Posting("P2", account, reserve)] += amount
        found[Posting("P2", reserve, account)] += amount + min(nets[code], 0)
    for code, net in nets.items():
        account = directory.account(code)
        if net < 0:
            found[Posting("P4", reserve if code in gross else account, clearing)] += -net
        else:
            found[Posting("P4", clearing, account)] += net
    return found
