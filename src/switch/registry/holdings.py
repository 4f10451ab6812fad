"""Holdings: accounts that one person has in the register, and whether another one has them."""

from __future__ import annotations

import datetime
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from switch.errors import InputRefused
from switch.files.columns import NOBODY, text_buffers
from switch.native import people_table
from switch.registry.register import Register, require_accounts
from switch.registry.versions import ACTING, account_text
from switch.schema import ACCOUNT_KINDS, DAY_MAX, DAY_MIN

EPOCH = datetime.date(1970, 1, 1)
OF_THE_HEAP = 63
"""Bit of an account word whose text stands in the heap (native/account.pxd)."""


class Held(NamedTuple):
    """One account of a person."""

    participant: str
    account: str
    kind: str
    priority: int
    first: int
    """First and last day on which it may receive, since 1970; DAY_MIN and DAY_MAX where none."""
    last: int
    representative: str = ""
    """Id of who receives there for the person; '' for an account of their own."""

    @property
    def valid_from(self) -> datetime.date | None:
        return None if self.first == DAY_MIN else EPOCH + datetime.timedelta(self.first)

    @property
    def valid_to(self) -> datetime.date | None:
        return None if self.last == DAY_MAX else EPOCH + datetime.timedelta(self.last)


class Claimant(NamedTuple):
    """The one who says that an account is theirs, and whose money it is to receive."""

    person_id: int
    rows: list[int]
    """Rows of all ids that they have or had."""
    holder: list[int]
    """Those of the person whose money it is: their own, or of whom they represent."""


def day_number(day: datetime.date) -> int:
    """Days since 1970."""
    return (day - EPOCH).days


def accounts_of(register: Register, row: int) -> list[Held]:
    """All accounts of a person, the one that counts first in front. register: loaded whole."""
    places = np.flatnonzero(register.accounts["row"] == row)
    mine = register.accounts[places]
    whose = [f"{one:012d}" if one != NOBODY else "" for one in ids_of(register, places).tolist()]
    return [
        Held(
            register.participants[one["participant"]],
            account_text(int(one["account"]), register.heap),
            ACCOUNT_KINDS[one["kind"] & ~ACTING],
            int(one["priority"]),
            int(one["valid_from"]),
            int(one["valid_to"]),
            representative,
        )
        for one, representative in zip(mine, whose, strict=True)
    ]


def ids_of(register: Register, places: NDArray[np.intp]) -> NDArray[np.uint64]:
    """Ids of the representatives whose some accounts of a register are, NOBODY for a person's own.
    places: of the accounts, ascending."""
    is_acting = register.accounts["kind"] & ACTING != 0
    found = np.full(len(places), NOBODY)
    asked = is_acting[places]
    if asked.any():
        found[asked] = register.acting[(np.cumsum(is_acting) - 1)[places[asked]]]
    return found


def is_of_another(register: Register, place: tuple[str, str], day: int, who: Claimant) -> bool:
    """Somebody else has the account (participant, account), on a day since 1970 or later; whose an
    account is that a representative receives on, it is the representative's. What a representative
    received on for the person is not the person's later, either. register: loaded whole."""
    participant, account = place
    if participant not in register.participants:
        return False
    there = register.accounts["participant"] == register.participants.index(participant)
    at = np.flatnonzero(there)
    at = at[_is_account(register, register.accounts["account"][at], account)]
    entries, ids = register.accounts[at], ids_of(register, at)
    now = register.replaced.of(ids) == np.uint64(who.person_id)
    own = np.where(ids == NOBODY, np.isin(entries["row"], who.rows), now)
    counts = entries["valid_to"] >= day
    counts |= np.isin(entries["row"], who.holder) & (ids != NOBODY)
    return bool((counts & ~own).any())


def _is_account(register: Register, words: NDArray[np.uint64], account: str) -> NDArray[np.bool_]:
    """Those of some account words of a register that are of an account."""
    offsets, data = _buffers(account)
    packed, room = np.empty(1, np.uint64), np.empty(len(account) + 1, np.uint8)
    people_table.pack_accounts(offsets, data, packed, room, 0)
    if not int(packed[0]) >> OF_THE_HEAP:
        equal: NDArray[np.bool_] = words == packed[0]
        return equal
    at = np.flatnonzero(words >> np.uint64(OF_THE_HEAP) == 1)
    starts = words[at] - np.uint64(1 << OF_THE_HEAP)
    # A text begins with its length, so that no other one is read beyond its end.
    for place, byte in enumerate([len(account), *account.encode()]):
        same = register.heap[starts + np.uint64(place)] == byte
        at, starts = at[same], starts[same]
    found = np.zeros(len(words), bool)
    found[at] = True
    return found


def require_account(account: str) -> None:
    """Refuse a text that no account has. Raises InputRefused, which does not show it."""
    offsets, data = _buffers(account)
    try:
        require_accounts(offsets, data, 1, "", 0)
    except InputRefused as error:
        error.file = error.row = None
        raise


def masked(account: str) -> str:
    """An account of which its end alone is shown: a quarter of it, four characters at most."""
    shown = min(4, len(account) // 4)
    return "*" * (len(account) - shown) + account[len(account) - shown :]


def _buffers(account: str) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    return text_buffers(pa.array([account], pa.string()))
