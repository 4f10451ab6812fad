"""Standing: balances, what unsettled cycles will do to them, and how the catalog keeps them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from switch.errors import InputRefused
from switch.files.tables import TableLike
from switch.home.changes import AddPosition, AddPosting, Change, SetBalance
from switch.home.rows import PostingRow
from switch.home.store import FORMAT_SAID, Home, raised
from switch.registry.directory import BALANCES, Directory, read_rows
from switch.settlement import accounts, postings
from switch.settlement.accounts import LIQUIDITY
from switch.settlement.netting import Position, settlement_nets
from switch.settlement.postings import Posting, Reserve, settlement_account


class Standing:
    """Balances, and what unsettled cycles will do to them."""

    def __init__(self, home: Home, directory: Directory) -> None:
        self.home, self.directory = home, directory
        opening = msgspec.json.decode(home.catalog.meta("opening"))
        self.balances: dict[str, int] = home.catalog.balances() or opening
        self.bound = _bound(home, opening)
        """Participants that may not owe more than they hold, whatever their kind became since."""
        self.nets: dict[str, dict[str, int]] = {}
        """By unsettled cycle and settlement participant."""
        for row in home.catalog.positions_pending():
            nets = self.nets.setdefault(row.cycle, {})
            nets[row.settled_by] = nets.get(row.settled_by, 0) + row.net
        self.reserves = _reserves(home.catalog.reserves_pending())
        """By unsettled cycle, in order of posting."""

    def nets_of(self, cycle: str) -> dict[str, int]:
        """In order of code; of no lines, nothing."""
        return dict(sorted(self.nets.get(cycle, {}).items()))

    def reserved(self, cycle: str) -> dict[str, int]:
        """Money set aside for a cycle, by treasury."""
        found: dict[str, int] = {}
        for reserve in self.reserves.get(cycle, []):
            found[reserve.participant] = found.get(reserve.participant, 0) + reserve.amount
        return found

    def holds(self, code: str, cycle: str) -> int:
        """Money that a participant has for a cycle: its balance and what is set aside."""
        return accounts.held(self.balances, code) + self.reserved(cycle).get(code, 0)

    def rooms(self, cycle: str) -> dict[str, int]:
        """Amount by which each may still be debited in a cycle. What other unsettled cycles will
        take is taken already; what they will bring has not come."""
        nets = self.nets_of(cycle)
        funds = self.funds(cycle)
        return postings.rooms(self.directory, funds, nets)

    def funds(self, cycle: str) -> dict[str, int]:
        """Money of bound participants with which they may be debited in a cycle, whatever their
        caps are: what other unsettled cycles will take is taken already."""
        nets, found = self.nets_of(cycle), {}
        for p in self.directory.participants:
            code = p.participant
            if code in self.bound:
                others = sum(
                    min(self.nets[other].get(code, 0) + self.reserved(other).get(code, 0), 0)
                    for other in self.nets
                    if other != cycle
                )
                found[code] = self.holds(code, cycle) + nets.get(code, 0) + others
        return found

    def short(self, cycle: str, nets: dict[str, int]) -> dict[str, int]:
        """Money that bound payers lack for the nets of a cycle."""
        found = {}
        for code, net in nets.items():
            missing = -net - max(self.holds(code, cycle), 0)
            if code in self.bound and net < 0 and missing > 0:
                found[code] = missing
        return found


def _bound(home: Home, opening: dict[str, int]) -> set[str]:
    """Participants whose settlement account was given a balance."""
    names = {*opening, *home.catalog.accounts_of(LIQUIDITY)}
    bound = {accounts.owner_of(account) for account in names}
    for record in home.catalog.audit.records("liquidity"):
        bound.update(msgspec.json.decode(record.detail).get("bound", ()))
    return bound


def _reserves(posted: list[PostingRow]) -> dict[str, list[Reserve]]:
    """Reserves by cycle, from the postings that made or released them."""
    found: dict[str, list[Reserve]] = {}
    for row in posted:
        reserves = found.setdefault(row.cycle, [])
        if row.step == accounts.REVERSAL:  # It was released: its lines were refused.
            pair = accounts.owner_of(row.credit), row.debit
            at = [kept[:2] for kept in reserves].index(pair)
            reserves[at] = reserves[at]._replace(amount=reserves[at].amount - row.amount)
            continue
        owner = accounts.owner_of(row.debit)
        reserves.append(Reserve(owner, row.credit, row.amount))
    return found


def nets_without(standing: Standing, cycle: str, gone: list[Position]) -> dict[str, int]:
    """Nets of a cycle after positions were taken out of it."""
    nets = standing.nets_of(cycle)
    for code, net in settlement_nets(gone).items():
        nets[code] += net
    return nets


def keep_positions(cycle: str, positions: Iterable[Position]) -> list[Change]:
    """Positions of one batch, added to those that its cycle has already."""
    return [AddPosition(cycle, *position) for position in positions]


def keep_postings(batch: int, cycle: str, postings: Iterable[Posting]) -> list[Change]:
    """Postings of a batch, 0 where they are of none."""
    return [AddPosting(batch, cycle, *posting) for posting in postings]


def keep_balances(balances: dict[str, int]) -> list[Change]:
    """Raises InputRefused where books would leave 64 bits: nothing is committed then."""
    for account, balance in sorted(balances.items()):
        if not -(2**63) < balance < 2**63:
            what = f"what {account} holds would leave 64 bits"
            remedy = "split the table; or begin a new home for what comes"
            raise InputRefused("TOTAL_RANGE", what, remedy=remedy)
    return [SetBalance(*row) for row in sorted(balances.items())]


def set_balances(
    home: Home, directory: Directory, given: dict[str, int], at: str, beside: dict[str, Any]
) -> None:
    """Settlement accounts hold what is given, by account, and are bound from now on. beside: what
    the audit record says besides, of its time and of whoever said so."""
    balances = Standing(home, directory).balances
    moved = []
    for account, amount in sorted(given.items()):
        code = accounts.owner_of(account)
        change = amount - accounts.held(balances, code)
        debit, credit = accounts.outside(code), account
        if change < 0:
            debit, credit = credit, debit
        if change:
            moved.append(Posting(LIQUIDITY, debit, credit, abs(change)))
    home.commit(
        at=at,
        kind="liquidity",
        detail={
            "postings": moved,
            # Also who holds what is given already, so that nothing is posted.
            "bound": sorted(map(accounts.owner_of, given)),
            **beside,
        },
        changes=[
            *keep_postings(0, "", moved),
            *keep_balances(postings.apply(balances, moved)),
            *(raised(home, FORMAT_SAID) if "said" in beside else []),
        ],
    )


def require_nobody_leaves(home: Home, old: Directory, new: Directory) -> None:
    """Require that a participant with a position in a cycle that is not settled keeps the account
    it settles by. Raises InputRefused."""
    before, after = ({p.participant: p for p in d.participants} for d in (old, new))
    for row in home.catalog.positions_pending():
        code, agent = row.participant, row.settled_by
        stays = code in after and after[code].settled_by == agent
        if not stays or after[agent].kind != before[agent].kind:
            what = f"participant {code} stands in a cycle that is not settled"
            remedy = "settle the cycle first, or leave the participant as it is"
            raise InputRefused("DIRECTORY_INVALID", what, column="participant", remedy=remedy)


def opening_balances(directory: Directory, balances: TableLike | None) -> dict[str, int]:
    """Money on settlement accounts by account, as a table of balances gives it. Raises InputRefused
    for an account that is none, stands twice, or holds less than nothing."""
    if balances is None:
        return {}
    file = str(balances) if isinstance(balances, str | Path) else BALANCES.name

    def refuse(row: int, column: str, what: str, remedy: str) -> InputRefused:
        return InputRefused(
            "DIRECTORY_INVALID", what, file=file, row=row, column=column, remedy=remedy
        )

    out: dict[str, int] = {}
    for i, row in enumerate(read_rows(balances, BALANCES), start=1):
        known = {p.participant for p in directory.participants if p.settled_by == p.participant}
        account = row["participant"]
        if account not in known or account in out:
            what = f"{account!r} has no settlement account, or stands twice"
            remedy = "name participants that settle for themselves, once each"
            raise refuse(i, "participant", what, remedy)
        if row["balance"] < 0:
            what = "an opening balance that binds is below zero"
            raise refuse(i, "balance", what, "give what the account holds, or leave it out")
        out[account] = row["balance"]
    return {settlement_account(directory, code): sum_ for code, sum_ in out.items()}
