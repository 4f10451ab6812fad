"""Sent before: what accounts were sent in a month by the batches of a home.

Nothing of it is kept: clearing files say what each account was sent, and commits of recasts, aborts
and answers which of these lines were taken back. Files of one month and of limited receivers alone
are read, when a run first meets one of their accounts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from switch.files.segment import Groups
from switch.home.history import MOVES, folders, moved_lines, recasts, went_back
from switch.home.store import Home

_REFERENCE, _IN_TABLE = 1 << 63, 1 << 62
_LENGTH_SHIFT, _DIGITS_MAX = np.uint64(57), 17
"""Account words, as native/account.pxd has them."""
_DIGITS = "^[0-9]{1,17}$"

Gone = dict[tuple[int, str], list[str]]
"""Transfer ids of lines that were taken back, by the batch that had cleared them and receiver."""


class Keys:
    """Accounts as numbers: the account word of one of digits, else a number that no word has. Equal
    texts have equal numbers, however they came."""

    def __init__(self, heap: NDArray[np.uint8]) -> None:
        """heap: the register's texts of accounts."""
        self._heap = heap
        self._numbers: dict[bytes, int] = {}

    def of_words(self, words: NDArray[np.uint64], named: Any) -> NDArray[np.uint64]:
        """Numbers of accounts by their words. named: `Texts` of the accounts that lines name, to
        whose rows words may refer; or None."""
        found = words.copy()
        kind = words >> np.uint64(62)
        given = np.flatnonzero(kind == 3)
        if len(given):
            rows = (words[given] & np.uint64(_IN_TABLE - 1)).astype(np.int64)
            found[given] = self.of_texts(named.take(rows).rows())
        for place in np.flatnonzero(kind == 2).tolist():
            start = int(words[place]) - _REFERENCE
            end = start + 1 + int(self._heap[start])
            found[place] = self._number(self._heap[start + 1 : end].tobytes())
        return found

    def of_texts(self, texts: pa.StringArray) -> NDArray[np.uint64]:
        """Numbers of accounts by their texts."""
        found = np.zeros(len(texts), np.uint64)
        digits = np.asarray(pc.match_substring_regex(texts, _DIGITS))
        short = texts.filter(pa.array(digits))
        value = np.asarray(short.cast(pa.int64())).astype(np.uint64)
        length = np.asarray(pc.binary_length(short)).astype(np.uint64)
        found[digits] = value | length << _LENGTH_SHIFT
        others = np.flatnonzero(~digits)
        for place, text in zip(others.tolist(), texts.take(pa.array(others)), strict=True):
            found[place] = self._number(text.as_py().encode())
        return found

    def _number(self, text: bytes) -> int:
        return self._numbers.setdefault(text, _REFERENCE | len(self._numbers))


class SentBefore:
    """Lines that the batches of a month sent, without those that were taken back since."""

    def __init__(self, home: Home, month: str, codes: Collection[str], keys: Keys) -> None:
        """month: of value dates, yyyy-mm. codes: of participants, whose accounts are asked for."""
        self._home, self._keys, self._codes = home, keys, frozenset(codes)
        batches = home.catalog.batches()
        self._batches = [row.seq for row in batches if row.value_date[:7] == month]
        self._back: Gone | None = None

    def of(self, codes: Iterable[str]) -> Iterator[tuple[NDArray[np.uint64], NDArray[np.int64]]]:
        """(numbers of accounts, amounts in minor units) of lines that were sent to some
        participants, a part of a file at a time. Raises VerificationFailed where a file is not as
        it was committed."""
        for seq in self._batches:
            folder = self._home.folder("batches", seq)
            names = self._home.digests(folder)
            for code in codes:
                for name in (f"clearing/{code}.parquet", f"clearing/{code}.arrow"):
                    if name in names:
                        groups = Groups(self._home.proven(folder / name))
                        back = self._gone().get((seq, code), [])
                        for account, amount in _sent(groups, back):
                            yield self._keys.of_texts(account), amount

    def _gone(self) -> Gone:
        if self._back is None:
            self._back = {}
            mine = set(self._batches)
            tables = [went_back(self._home, recast) for recast in recasts(self._home)]
            for folder in folders(self._home):
                tables += [moved_lines(self._home, folder, name) for name in MOVES]
            for table in tables:
                columns = (table[name].to_pylist() for name in _OF_GONE)
                for seq, code, transfer_id in zip(*columns, strict=True):
                    if seq in mine and code in self._codes:
                        self._back.setdefault((seq, code), []).append(transfer_id)
        return self._back


_OF_GONE = ("cleared_in", "participant", "transfer_id")


def _sent(groups: Groups, gone: list[str]) -> Iterator[tuple[pa.StringArray, NDArray[np.int64]]]:
    """(accounts, amounts) of the lines of a clearing file, but for those that were taken back."""
    names = ["creditor_account", "amount", *(["transfer_id"] * bool(gone))]
    for number in range(len(groups)):
        table = groups.read(number, names)
        if gone:
            table = table.filter(pc.invert(pc.is_in(table["transfer_id"], pa.array(gone))))
        yield table["creditor_account"].combine_chunks(), np.asarray(table["amount"])
