"""Balances of settlement accounts, now or as of a time: postings of all commits up to it."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pyarrow as pa

from switch.home.chain import Record
from switch.home.days import Times, times
from switch.home.store import Home
from switch.home.times import day_of, is_past, time_text
from switch.open_items.listing import Choice, Listing, listing
from switch.registry.directory import Directory
from switch.settlement import accounts
from switch.settlement.postings import Posting, apply, settlement_account

BALANCE = pa.schema(
    [
        ("participant", pa.string()),
        ("short_name", pa.string()),
        ("account", pa.string()),
        ("balance", pa.int64()),
        ("bound", pa.bool_()),
        ("reserved", pa.int64()),
        ("moved", pa.int64()),
        ("moved_at", pa.string()),
        ("moved_by", pa.string()),
    ]
)
"""A settlement account. bound: it may not go below zero. reserved: money set aside for cycles that
have not settled, which the balance has no more. moved: the change by the last commit that moved it,
moved_at its time, moved_by what it was."""


def balances(home: Home, *, at: datetime.date | str = "") -> Listing:
    """Settlement accounts (`Engine.balances`)."""
    time = time_text(at)
    known = times(home)
    directory = Directory.of_json(home.catalog.meta("directory").encode())
    books = _Books(msgspec.json.decode(home.catalog.meta("opening")))
    for record, stamp in _dated(home, known):
        if not time or _is_in(stamp, time):
            books.enter(home, record, stamp)
    if not time:
        kept = home.catalog.balances()
        assert not kept or kept == books.balances, "balances are not what was posted"
    names = {p.participant: p.short_name for p in directory.participants}
    own = {
        settlement_account(directory, p.participant)
        for p in directory.participants
        if p.settled_by == p.participant
    }
    own |= {a for a in books.balances if accounts.kind_of(a) in accounts.SETTLEMENT}
    rows = [books.row(account, names) for account in sorted(own, key=accounts.owner_of)]
    table = pa.Table.from_pylist(rows, BALANCE)
    choice = Choice({}, {}, [("participant", "ascending"), ("account", "ascending")], None)
    return listing(home, "balances", time or known.now, table, choice, "balance")


def _dated(home: Home, known: Times) -> Iterator[tuple[Record, str]]:
    """Audit records in their order, each with its time; one that was recorded without a time has
    that of the record before it."""
    days: dict[object, datetime.date] = {
        **{row.seq: known.day_of_batch(row) for row in home.catalog.batches()},
        **{row.cycle: known.day_of_cycle(row) for row in home.catalog.cycles() if row.at},
    }
    names = {"batch": "seq", "settlement": "cycle"}
    stamp = ""
    for record in home.catalog.audit.records():
        stamp = record.at or stamp
        name = msgspec.json.decode(record.detail).get(names.get(record.kind, ""))
        # A time that does not count is that of its value date or cut-off.
        yield record, days[name].isoformat() if name in known.slips else stamp


def _is_in(stamp: str, time: str) -> bool:
    """True where a commit of one time counts as of another: a day counts to its end."""
    if not stamp:
        return True
    is_day = len(time) == len("2026-11-25")
    return day_of(stamp) <= day_of(time) if is_day else is_past(stamp, time)


@dataclass
class _Books:
    """Accounts after the commits that were entered."""

    balances: dict[str, int]
    bound: set[str] = field(default_factory=set)
    """Owners of accounts that may not go below zero."""
    reserves: dict[str, dict[str, int]] = field(default_factory=dict)
    """Money on accounts of reserves, by them and by the owner that set it aside."""
    last: dict[str, tuple[int, str, str]] = field(default_factory=dict)
    """The last commit that moved an account: change, time, name."""

    def __post_init__(self) -> None:
        self.bound = {accounts.owner_of(account) for account in self.balances}

    def enter(self, home: Home, record: Record, stamp: str) -> None:
        """The postings of a commit."""
        name, posted = _posted(home, record)
        before = self.balances
        self.balances = apply(before, posted)
        for posting in posted:
            self._reserve(posting)
            for account in (posting.debit, posting.credit):
                change = self.balances.get(account, 0) - before.get(account, 0)
                self.last[account] = change, stamp, name
        if record.kind == "liquidity":
            bound = msgspec.json.decode(record.detail).get("bound", ())
            settled = (p.debit for p in posted), (p.credit for p in posted)
            self.bound.update(bound, *(map(accounts.owner_of, side) for side in settled))

    def _reserve(self, posting: Posting) -> None:
        for account, other, sign in (
            (posting.credit, posting.debit, 1),
            (posting.debit, posting.credit, -1),
        ):
            if accounts.kind_of(account) == accounts.RESERVE:
                owners = self.reserves.setdefault(account, {})
                owner = accounts.owner_of(other)
                owners[owner] = owners.get(owner, 0) + sign * posting.amount
                # A cycle that settles takes from the reserve without an owner, and empties it.
                if self.balances.get(account, 0) == 0 and sign < 0:
                    owners.clear()

    def row(self, account: str, names: dict[str, str]) -> dict[str, Any]:
        owner = accounts.owner_of(account)
        change, at, by = self.last.get(account, (None, None, None))
        return {
            "participant": owner,
            "short_name": names.get(owner, ""),
            "account": account,
            "balance": self.balances.get(account, 0),
            "bound": owner in self.bound,
            "reserved": sum(owners.get(owner, 0) for owners in self.reserves.values()),
            "moved": change,
            "moved_at": at,
            "moved_by": by,
        }


def _posted(home: Home, record: Record) -> tuple[str, list[Posting]]:
    """Name of a commit, and its postings."""
    detail = msgspec.json.decode(record.detail)
    if record.kind == "batch":
        rows = home.catalog.postings(detail["seq"])
        return f"batch {detail['batch_id']}", [Posting(*row[2:]) for row in rows]
    postings = detail.get("postings", ())
    if isinstance(postings, dict):  # Of answers and dispositions, by cycle.
        postings = [posting for parts in postings.values() for posting in parts]
    names = {"settlement": f"cycle {detail.get('cycle')}", "liquidity": "balances given"}
    return names.get(record.kind, record.kind), [Posting(*posting) for posting in postings]
