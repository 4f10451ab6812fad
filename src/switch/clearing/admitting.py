"""Admitting: for how many persons an account may receive in one batch, where a setting says so.

Phase route, after screening. IN: row, participant, account word and the accounts that lines name.
OUT: reason ACCOUNT_SHARED. An account admits the first persons whose lines pass screening, lines
that had waited before the table's own; lines of others wait. Who is admitted stays so, and who is
not finds the account full for the rest of the batch: lines may be screened again and are answered
the same, whatever the chunks. It is Python for each living line, and keeps an entry an account: a
run that has the setting takes about a microsecond and 200 bytes more for each.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from switch.files.columns import Texts
from switch.reason import Reason

_REFERENCE, _IN_TABLE = 1 << 63, 1 << 62
_LENGTH_SHIFT, _DIGITS_MAX = 57, 17
"""Account words, as _account.pxd has them."""


class Admitted:
    """Persons by the account that receives for them in one batch."""

    def __init__(self, most: int, heap: Any) -> None:
        """most: persons an account. heap: uint8, the register's texts of accounts."""
        self._most, self._heap = most, heap
        self._alone: dict[tuple[int, int | bytes], int] = {}
        self._persons: dict[tuple[int, int | bytes], set[int]] = {}

    def hold(
        self, reason: Any, row: Any, participant: Any, account: Any, named: Texts | None
    ) -> None:
        """Write ACCOUNT_SHARED for living lines of one chunk whose account is full. Columns as
        `Core.screen` returns them; named: the accounts that lines name, row by row."""
        alive = np.flatnonzero(reason == Reason.NONE)
        words = account[alive]
        given = words >> np.uint64(62) == 3
        keys: list[int | bytes] = words.tolist()
        if given.any():
            assert named is not None
            at = (words[given] & np.uint64(_IN_TABLE - 1)).astype(np.int64)
            texts = named.take(at).rows().to_pylist()
            for place, text in zip(np.flatnonzero(given).tolist(), texts, strict=True):
                keys[place] = key_of(text)
        for place in np.flatnonzero(words >> np.uint64(62) == 2).tolist():
            start = int(words[place]) - _REFERENCE
            end = start + 1 + int(self._heap[start])
            keys[place] = self._heap[start + 1 : end].tobytes()
        full = [
            line
            for line, who, agent, key in zip(
                alive.tolist(), row[alive].tolist(), participant[alive].tolist(), keys, strict=True
            )
            if not self._admits((agent, key), who)
        ]
        reason[np.array(full, np.int64)] = Reason.ACCOUNT_SHARED

    def _admits(self, account: tuple[int, int | bytes], who: int) -> bool:
        first = self._alone.setdefault(account, who)
        if first == who:
            return True
        persons = self._persons.setdefault(account, {first})
        if who not in persons and len(persons) < self._most:
            persons.add(who)
        return who in persons


def key_of(text: str) -> int | bytes:
    """An account by which a table's and a register's are compared: its word where it is digits."""
    if len(text) <= _DIGITS_MAX and text.isascii() and text.isdigit():
        return int(text) | len(text) << _LENGTH_SHIFT
    return text.encode()
