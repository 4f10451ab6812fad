"""Holdings: accounts that one person has in the register, and whether another one has them."""

from __future__ import annotations

import datetime
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from switch.errors import InputRefused
from switch.files.columns import text_buffers
from switch.native import people_table
from switch.registry.register import Register, require_accounts
from switch.registry.versions import account_text
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

    @property
    def valid_from(self) -> datetime.date | None:
        return None if self.first == DAY_MIN else EPOCH + datetime.timedelta(self.first)

    @property
    def valid_to(self) -> datetime.date | None:
        return None if self.last == DAY_MAX else EPOCH + datetime.timedelta(self.last)


def day_number(day: datetime.date) -> int:
    """Days since 1970."""
    return (day - EPOCH).days


def accounts_of(register: Register, row: int) -> list[Held]:
    """All accounts of a person, the one that counts first in front. register: loaded whole."""
    mine = register.accounts[register.accounts["row"] == row]
    return [
        Held(
            register.participants[one["participant"]],
            account_text(int(one["account"]), register.heap),
            ACCOUNT_KINDS[one["kind"]],
            int(one["priority"]),
            int(one["valid_from"]),
            int(one["valid_to"]),
        )
        for one in mine
    ]


def is_of_another(register: Register, row: int, participant: str, account: str, day: int) -> bool:
    """Somebody else has the account, on a day since 1970 or later. register: loaded whole; row: of
    the person."""
    if participant not in register.participants:
        return False
    theirs = register.accounts["participant"] == register.participants.index(participant)
    theirs &= (register.accounts["row"] != row) & (register.accounts["valid_to"] >= day)
    found = register.accounts["account"][theirs]
    offsets, data = _buffers(account)
    words, room = np.empty(1, np.uint64), np.empty(len(account) + 1, np.uint8)
    people_table.pack_accounts(offsets, data, words, room, 0)
    if not int(words[0]) >> OF_THE_HEAP:
        return bool((found == words[0]).any())
    starts = found[found >> np.uint64(OF_THE_HEAP) == 1] - np.uint64(1 << OF_THE_HEAP)
    text = account.encode()
    starts = starts[register.heap[starts] == len(text)]
    for place, byte in enumerate(text, start=1):
        starts = starts[register.heap[starts + np.uint64(place)] == byte]
    return bool(len(starts))


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
