"""Deltas: a few rows of registers become a small version, and the whole one stays as it is.

The people whom the rows name are looked up in the versions at rest, and stand in a register of
their own, with rows of its own, in which the same rules change them. What is written are their
records as they are then, with the row numbers of the whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from switch.errors import VerificationFailed
from switch.files import columns
from switch.files.columns import NOBODY
from switch.files.tables import TableReader
from switch.native import people_table
from switch.registry import replaced
from switch.registry.register import Register, Rows
from switch.registry.versions import (
    ACCOUNT,
    HAS_ACCOUNT,
    KNOWN,
    LISTED,
    MAPPED_PROVEN_MAX,
    MASK,
    PERSON,
    REFERENCE,
    REPRESENTATIVES,
    SINCE,
    UNANSWERED,
    Chain,
    RegisterInfo,
    accounts_of,
    acting_records,
    ranges,
    write_info,
    write_parts,
)

CHANGES_SHARE = 20
"""Deltas together have at most a 20th as many records as the register has rows: opening them then
costs a tenth of opening the register, and a person is still found in one or two looks. What is
beyond is written whole, which pays for itself by then."""
LINKS_MAX = 50
"""Most deltas behind a whole version: each costs an opening some file handles."""
ROWS_MAX = 0xFFFFFFF0
"""Most rows of a register (native/people_table.pyx)."""


class Taken:
    """A table of which rows are taken in advance, until there are more than most of them."""

    def __init__(self, reader: TableReader, most: int) -> None:
        self.name, self.rows = reader.name, reader.rows
        self._later = reader.chunks()
        self._held: list[columns.Columns] = []
        self.count = 0
        """Rows that were taken: all, unless there are more than most."""
        while self.count <= most and (chunk := next(self._later, None)) is not None:
            self._held.append(chunk)
            self.count += len(chunk["person_id"])

    @property
    def ids(self) -> list[NDArray[np.uint64]]:
        """Ids of the persons of the rows that were taken."""
        return [chunk["person_id"] for chunk in self._held]

    @property
    def pairs(self) -> list[tuple[NDArray[np.uint64], NDArray[np.uint64]]]:
        """(ids, ids in their place) of the rows that were taken, of a table of these."""
        return [(chunk["person_id"], chunk["replaced_by"]) for chunk in self._held]

    def chunks(self) -> Iterator[columns.Columns]:
        """All chunks, once."""
        while self._held:
            yield self._held.pop(0)
        yield from self._later


def room_for_changes(chain: Chain) -> int:
    """Most rows that may come as one more delta of a version; none where it is written whole."""
    if len(chain.deltas) >= LINKS_MAX:
        return 0
    return chain.last.info.rows // CHANGES_SHARE - (chain.last.info.changed or 0)


class Delta:
    """Changes of a version of the register, for few people. with_accounts: accounts change, too."""

    def __init__(self, chain: Chain, ids: list[NDArray[np.uint64]], with_accounts: bool) -> None:
        self._chain, self._with_accounts = chain, with_accounts
        self._before = chain.last.info
        named = np.unique(np.concatenate(ids))
        found = chain.people(named, MAPPED_PROVEN_MAX)
        # In order of row, so that what is written in order of these rows is so in the whole's, too.
        found = found[np.argsort(found["row"])]
        self._rows = found["row"].copy()
        if (np.diff(self._rows) == 0).any() or (self._rows >= self._before.rows).any():
            raise VerificationFailed(f"{chain.last.folder}: people have rows of others")
        self._known, self._late = (
            int(np.count_nonzero(found["word"] & flag)) for flag in (KNOWN, UNANSWERED)
        )
        found["row"] = np.arange(len(found))
        part = self._part = Register()
        part.table = people_table.PeopleTable(len(named))
        part.table.put_records(found.view(np.uint8), len(found))
        part.fold = self._before.fold
        part.participants = list(self._before.participants)
        part.replaced = chain.replaced
        part.masks = self._masks()
        part.since = self._since()
        self._texts = self._places = np.empty(0, np.uint64)
        self._accounts_before = self._acting_before = 0
        try:
            if with_accounts:
                self._take_accounts(self._rows[found["word"] & HAS_ACCOUNT != 0])
        except IndexError as error:
            raise VerificationFailed(f"{chain.last.folder}: accounts have no texts") from error

    # --- looking up -----------------------------------------------------------------------------

    def _local(self, rows: NDArray[np.uint32]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """(own rows, which are there) of rows of the whole."""
        place = np.searchsorted(self._rows, rows)
        place[place == len(self._rows)] = 0
        return place, self._rows[place] == rows if len(self._rows) else np.zeros(len(rows), bool)

    def _masks(self) -> NDArray[np.uint64]:
        masks = np.zeros(len(self._rows), MASK)
        whole = self._chain.mapped(self._chain.whole, "masks.bin", MAPPED_PROVEN_MAX).view(MASK)
        in_whole = self._rows < len(whole)
        masks[in_whole] = whole[self._rows[in_whole]]
        for link in self._chain.deltas:
            slots = self._chain.mapped(link, "people.slots", MAPPED_PROVEN_MAX).view(PERSON)
            rows = np.sort(slots["row"][slots["word"] != 0])
            place, is_own = self._local(rows)
            masks[place[is_own]] = self._chain.array(link, "masks.bin", MASK)[is_own]
        return masks

    def _since(self) -> NDArray[np.void]:
        parts = []
        for link in reversed(self._chain.links):
            since = self._chain.array(link, "since.bin", SINCE)
            place, is_own = self._local(since["row"])
            since = since[is_own]
            since["row"] = place[is_own]
            parts.append(since)
        found = np.concatenate(parts)
        return found[np.unique(found["row"], return_index=True)[1]]

    def _take_accounts(self, rows: NDArray[np.uint32]) -> None:
        """All accounts of those people who have any, with their texts."""
        found, whose = accounts_of(self._chain.account_files(MAPPED_PROVEN_MAX), rows)
        found["row"] = self._local(found["row"])[0]
        self._part.acting = whose[whose != NOBODY]
        self._accounts_before, self._acting_before = len(found), len(self._part.acting)
        in_heap = found["account"] & REFERENCE != 0
        self._places = np.unique(found["account"][in_heap])
        self._part.heap, self._texts = self._taken_texts(self._places & ~REFERENCE)
        place = np.searchsorted(self._places, found["account"][in_heap])
        found["account"][in_heap] = self._texts[place] | REFERENCE
        self._part.accounts = found

    def _taken_texts(
        self, places: NDArray[np.uint64]
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint64]]:
        """(texts of the heaps at places in all of them, places of those in the result)."""
        texts, starts = [np.empty(0, np.uint8)], [np.empty(0, np.uint64)]
        begin = done = 0
        for link in self._chain.links:
            heap = self._chain.mapped(link, "heap.bin", MAPPED_PROVEN_MAX)
            mine = places[(places >= begin) & (places < begin + len(heap))].astype(np.intp) - begin
            sizes = heap[mine].astype(np.intp) + 1
            texts.append(heap[ranges(mine, sizes)])
            starts.append((done + np.cumsum(sizes) - sizes).astype(np.uint64))
            begin, done = begin + len(heap), done + int(sizes.sum())
        return np.concatenate(texts), np.concatenate(starts)

    # --- changing, as a register does ------------------------------------------------------------

    @property
    def rows(self) -> int:
        """Rows of the whole, with those that were given here."""
        return self._before.rows + self._part.rows - len(self._rows)

    @property
    def unknown(self) -> int:
        """As of `Register`."""
        return self._part.unknown

    @property
    def nbytes(self) -> int:
        """Bytes that `save` writes, but for register.json."""
        return self._part.nbytes

    def put_people(self, reader: Rows) -> int:
        """Insert or replace people, as of `Register`."""
        return self._part.put_people(reader)

    def put_accounts(self, reader: Rows) -> int:
        """Insert or replace accounts, as of `Register`."""
        assert self._with_accounts
        return self._part.put_accounts(reader)

    def put_replaced(self, reader: Rows, version: int) -> int:
        """Take in ids that others stand in place of, as of `Register`."""
        assert self._with_accounts
        return self._part.put_replaced(reader, version)

    def give_rows(self, ids: NDArray[np.integer]) -> NDArray[np.uint32]:
        """Row numbers of ids in the whole, new ones for strangers."""
        return self._all_rows(self._part.give_rows(ids))

    def _all_rows(self, own: NDArray[np.uint32]) -> NDArray[np.uint32]:
        new = np.arange(self._before.rows, self.rows, dtype=np.uint32)
        return np.concatenate([self._rows, new])[own]

    # --- at rest --------------------------------------------------------------------------------

    def save(self, folder: Path) -> RegisterInfo:
        """Write what changes into an existing empty folder."""
        part, chain = self._part, self._chain
        assert self.rows <= ROWS_MAX
        known, _, late = part.table.audit()
        people = np.frombuffer(part.table.memory(), PERSON).copy()
        accounts, lists, since = part.accounts.copy(), part.lists.copy(), part.since.copy()
        used = people["word"] != 0
        for records in (people, accounts, lists, since):
            records["row"] = self._all_rows(records["row"])
        people["row"][~used] = 0
        if self._with_accounts:
            listed = people["word"] & LISTED != 0
            begin = sum(chain.size(link, "lists.bin", ACCOUNT.itemsize) for link in chain.links)
            people["account"][listed] += np.uint64(begin)
            people["account"][~listed] = self._words(people["account"][~listed])
            accounts["account"] = self._words(accounts["account"])
            lists["account"] = self._words(lists["account"])
        parts: dict[str, NDArray[np.generic]] = {
            "people.slots": people,
            "since.bin": since,
            "accounts.bin": accounts,
            "lists.bin": lists,
            "heap.bin": part.heap[self._heap_size :],
            "masks.bin": part.all_masks(),
        }
        if len(part.acting):
            parts[REPRESENTATIVES] = acting_records(accounts, part.acting)
        version = np.uint64(int(chain.last.folder.name))
        came = part.replaced.pairs[part.replaced.pairs["version"] > version]
        if len(came):
            parts[replaced.NAME] = came
        views = {name: records.view(np.uint8).data for name, records in parts.items()}
        info = msgspec.structs.replace(
            self._before,
            rows=self.rows,
            people=self._before.people + known - self._known,
            accounts=self._before.accounts + len(accounts) - self._accounts_before,
            slots=len(people),
            participants=part.participants,
            files=write_parts(folder, views),
            before=int(chain.last.folder.name),
            changed=(self._before.changed or 0) + part.rows,
            late=(self._before.late or 0) + late - self._late or msgspec.UNSET,
            representatives=(self._before.representatives or 0)
            + (len(part.acting) - self._acting_before)
            or msgspec.UNSET,
            replaced_ids=len(part.replaced) or msgspec.UNSET,
        )
        write_info(folder, info)
        return info

    @property
    def _heap_size(self) -> int:
        """Bytes of texts that were taken from versions before."""
        if not len(self._texts):
            return 0
        last = int(self._texts[-1])
        return last + 1 + int(self._part.heap[last])

    def _words(self, words: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """Account words whose texts stand in the heaps of all versions, from those of here."""
        begin = sum(self._chain.size(link, "heap.bin") for link in self._chain.links)
        own, taken = words.copy(), self._heap_size
        in_heap = words & REFERENCE != 0
        places = words[in_heap] & ~REFERENCE
        old = places < taken
        moved = places - np.uint64(taken) + np.uint64(begin) | REFERENCE
        moved[old] = self._places[np.searchsorted(self._texts, places[old])]
        own[in_heap] = moved
        return own
