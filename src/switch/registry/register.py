"""The register: people and their accounts in the form in which the core probes them.

One immutable folder a version (docs/formats.md draws the files):

    people.slots    the people table as it stands in memory, 32 bytes a slot
    since.bin       (row u32, day i32) of people whose status begins on a day, by row
    accounts.bin    every account, 24 bytes each, by row, the one that counts first in front
    lists.bin       the accounts of people for whom the inline account is not enough
    representatives.bin  accounts of representatives again, with the ids of those; if there are any
    heap.bin        texts of accounts that are not up to 17 digits
    masks.bin       initials of every person's name by row: all that a message may show
    register.json   counts, participant codes, digests

A row number is given once and never changed, so paid bits stay valid while the register grows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from switch.errors import InputRefused, VerificationFailed
from switch.files.columns import ID_LIMIT, NOBODY, Columns, Texts, looked_up, text_buffers
from switch.native import csv_text, people_table
from switch.native import names as name_kernel
from switch.native.pages import Pages
from switch.registry import replaced
from switch.registry.versions import (
    ACCOUNT,
    ACTING,
    KNOWN,
    MASK,
    PERSON,
    PROVEN_BYTES_MAX,
    REPRESENTATIVES,
    SINCE,
    Chain,
    Link,
    Masks,
    RegisterInfo,
    Share,
    acting_records,
    named,
    write_info,
    write_parts,
)
from switch.schema import (
    ACCOUNT_KINDS,
    DAY_MAX,
    DAY_MIN,
    LIFE,
    NO_CODE,
    NO_ROW,
    PRIORITY_MAX,
    UNKNOWN,
)

PARTICIPANT_CODES_MAX = 60_000


class Rows(Protocol):
    """Rows of a table of registers, in chunks (`TableReader`)."""

    name: str
    rows: int | None

    def chunks(self) -> Iterator[Columns]: ...


class Register:
    """People and accounts in memory. `Register()` is empty; `load` opens a version for screening,
    `load(..., whole=True)` for changing it."""

    def __init__(self) -> None:
        self.table = people_table.PeopleTable(0)
        self.since = np.empty(0, SINCE)
        self.accounts = np.empty(0, ACCOUNT)
        self.acting = np.empty(0, np.uint64)
        """Ids of representatives, one for each of the accounts that are theirs, in that order."""
        self.lists = np.empty(0, ACCOUNT)
        self.heap = np.empty(0, np.uint8)
        self.masks = np.empty(0, np.uint64)
        self.participants: list[str] = []
        self.unknown = 0
        """Rows that came of people whom the population database does not have."""
        self.fold = name_kernel.NOW
        """Version of the fold of the name keys: a register keeps that by which it was made."""
        self.replaced = replaced.NONE
        """Ids that others stand in place of."""
        self._pairs: tuple[NDArray[np.uint32], NDArray[np.uint32]] | None = None
        self.info: RegisterInfo | None = None
        self.initials = Masks(Path())
        """Initials by row, of a version that was opened."""

    @property
    def rows(self) -> int:
        return int(self.table.count)

    @property
    def late(self) -> int:
        """People for whom the population database has not answered, of a version that was
        opened or saved."""
        return (self.info.late or 0) if self.info else 0

    @property
    def nbytes(self) -> int:
        """Bytes that `save` writes, but for register.json."""
        parts = (self.since, self.accounts, self.lists, self.heap)
        acting = ACCOUNT.itemsize * len(self.acting)
        known = 8 * self.rows + acting + self.replaced.pairs.nbytes
        return int(self.table.nbytes + known + sum(part.nbytes for part in parts))

    # --- changing -------------------------------------------------------------------------------

    def forget_people(self) -> None:
        """Empty the population register; rows stay with their ids."""
        self.table.forget_people()
        self.fold = name_kernel.NOW
        self.since = np.empty(0, SINCE)

    def forget_accounts(self) -> None:
        self.accounts, self.acting = np.empty(0, ACCOUNT), np.empty(0, np.uint64)
        self.heap = np.empty(0, np.uint8)
        self._place_accounts()

    def put_people(self, reader: Rows) -> int:
        """Insert or replace the people of a population register; how many rows it had."""
        count = 0
        since = [self.since]
        if self.rows == 0 and reader.rows:
            self.table.reserve(reader.rows)
        for chunk in reader.chunks():
            ids = chunk["person_id"]
            require_ids(ids, reader.name, count)
            keys, masks = _keys(chunk["name"], self.fold, reader.name, count)
            status = _codes(chunk["status"], LIFE, reader.name, count, "status")
            is_unknown = status == LIFE.index(UNKNOWN)
            days = chunk.get("status_since")
            dated = np.zeros(len(ids), np.uint8)
            if days is not None:
                dated = ((days != DAY_MIN) & (status != 0) & ~is_unknown).astype(np.uint8)
            rows = np.empty(len(ids), np.uint32)
            self.table.put_people(ids, keys, status, dated, rows)
            if len(self.masks) < self.rows:
                wider = np.zeros(max(self.rows, len(self.masks) * 2), np.uint64)
                wider[: len(self.masks)] = self.masks
                self.masks = wider
            self.masks[rows] = np.where(is_unknown, np.uint64(0), masks)
            self.unknown += int(np.count_nonzero(is_unknown))
            if days is not None and dated.any():
                part = np.empty(int(dated.sum()), SINCE)
                part["row"], part["day"] = rows[dated == 1], days[dated == 1]
                since.append(part)
            count += len(ids)
        joined = np.concatenate(since)
        # Of several days for one row the last given counts; a stable sort keeps that order.
        order = np.argsort(joined["row"], kind="stable")
        joined = joined[order]
        last = np.ones(len(joined), bool)
        last[:-1] = joined["row"][1:] != joined["row"][:-1]
        self.since = joined[last]
        return count

    def put_accounts(self, reader: Rows) -> int:
        """Insert or replace accounts (key: person, participant, account)."""
        count = 0
        parts, acting = [self.accounts], [self.acting]
        heap = [self.heap]
        heap_size = len(self.heap)
        code = {name: i for i, name in enumerate(self.participants)}
        for chunk in reader.chunks():
            ids = chunk["person_id"]
            require_ids(ids, reader.name, count)
            part = np.empty(len(ids), ACCOUNT)
            rows = np.empty(len(ids), np.uint32)
            self.table.rows(self.replaced.of(ids), rows, True)
            part["row"] = rows
            offsets, data = text_buffers(chunk["account"].rows())
            require_accounts(offsets, data, len(ids), reader.name, count)
            words = np.empty(len(ids), np.uint64)
            room = np.empty(int(offsets[len(ids)] - offsets[0]) + len(ids), np.uint8)
            used, bad = people_table.pack_accounts(offsets, data, words, room, heap_size)
            assert bad < 0, "an account fits its word or the heap"
            heap.append(room[:used].copy())
            heap_size += used
            part["account"] = words
            part["participant"] = self._participant_codes(chunk["participant"], code, reader.name)
            part["kind"] = _codes(chunk["kind"], ACCOUNT_KINDS, reader.name, count, "kind")
            part["priority"] = chunk["priority"]
            part["valid_from"] = chunk.get("valid_from", DAY_MIN)
            part["valid_to"] = chunk.get("valid_to", DAY_MAX)
            whose = chunk.get("representative", np.empty(0, np.uint64))
            if len(whose):
                theirs = self.replaced.of(whose), self.replaced.of(ids)
                require_authority(*theirs, part["valid_to"], reader.name, count)
                part["kind"][whose != NOBODY] |= ACTING
            parts.append(part)
            acting.append(whose[whose != NOBODY])
            count += len(ids)
        self.accounts, self.acting = np.concatenate(parts), np.concatenate(acting)
        self.heap = np.concatenate(heap)
        self._place_accounts()
        return count

    def put_replaced(self, reader: Rows, version: int) -> int:
        """Take in ids that others stand in place of from a version on, with the accounts of those
        of before; how many rows the table had. Raises InputRefused."""
        parts = []
        count = 0
        for chunk in reader.chunks():
            for name in ("person_id", "replaced_by"):
                require_ids(chunk[name], reader.name, count, name)
            parts.append((chunk["person_id"], chunk["replaced_by"]))
            count += len(chunk["person_id"])
        if parts:
            table = tuple(np.concatenate(column) for column in zip(*parts, strict=True))
            before, place = self.replaced, (version, reader.name, self._are_known)
            self.replaced, fresh = before.with_table((table[0], table[1]), *place)
            self._join_accounts(fresh)
        # Also where none came: a delta has the lists of all its people.
        self._place_accounts()
        return count

    def _are_known(self, ids: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Tell which of some ids the population register has."""
        found = np.zeros(len(ids), PERSON)
        self.table.records(np.ascontiguousarray(ids), found.view(np.uint8))
        known: NDArray[np.bool_] = found["word"] & KNOWN != 0
        return known

    def _join_accounts(self, old: NDArray[np.uint64]) -> None:
        """Put accounts of ids of before behind those of the ids that stand in their place. One
        that both have stays as the new id has it, and of two old ids as the lower has it. old:
        ascending."""
        if not len(old):
            return
        before, now = self.rows_of(old), self.rows_of(last := self.replaced.of(old))
        number = np.full(self.rows + 1, -1, np.int64)
        number[before[before != NO_ROW]] = np.flatnonzero(before != NO_ROW)
        of = number[self.accounts["row"]]
        whose = np.full(len(self.accounts), NOBODY)
        whose[self.accounts["kind"] & ACTING != 0] = self.acting
        # Nobody represents themself, which a representative of before would.
        moves = np.flatnonzero((of >= 0) & (self.replaced.of(whose) != last[of]))
        moves = moves[np.argsort(-of[moves], kind="stable")]
        if not len(moves):
            return
        most = np.zeros(self.rows, np.int64)
        np.maximum.at(most, self.accounts["row"], self.accounts["priority"])
        joined = self.accounts[moves]
        joined["row"] = now[of[moves]]
        behind = most[joined["row"]] + joined["priority"]
        joined["priority"] = np.minimum(behind, PRIORITY_MAX)
        theirs = whose[moves]
        # Of equal ones the last counts.
        self.accounts = np.concatenate([joined, self.accounts])
        self.acting = np.concatenate([theirs[theirs != NOBODY], self.acting])

    def replaced_rows(self) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        """Rows of ids of before, and of those in their place, where both have one: of all."""
        if self._pairs is not None:
            return self._pairs
        before, now = self.rows_of(self.replaced.old), self.rows_of(self.replaced.last)
        both = (before != NO_ROW) & (now != NO_ROW)
        return before[both], now[both]

    def _participant_codes(
        self, texts: Texts, code: dict[str, int], file: str
    ) -> NDArray[np.uint16]:
        assert texts.index is not None
        lookup = []
        for name in texts.values.to_pylist():
            if name not in code:
                if len(code) >= PARTICIPANT_CODES_MAX:
                    what = f"more than {PARTICIPANT_CODES_MAX} participants"
                    remedy = "check the column; it should hold a few dozen codes"
                    raise InputRefused(
                        "PARTICIPANT_LIMIT", what, file=file, column="participant", remedy=remedy
                    )
                code[name] = len(code)
                self.participants.append(name)
            lookup.append(code[name])
        return looked_up(np.array(lookup or [0], np.uint16), texts.index)

    def _place_accounts(self) -> None:
        """Order everyone's accounts and set the inline ones."""
        rank = np.empty(len(self.participants), np.uint16)
        rank[np.argsort(np.array(self.participants, dtype=object))] = np.arange(
            len(self.participants), dtype=np.uint16
        )
        ordered = np.empty(len(self.accounts), ACCOUNT)
        starts = np.empty(self.rows + 1, np.uint32)
        given, target = self.accounts.view(np.uint8), ordered.view(np.uint8)
        try:
            kept = people_table.order_accounts(given, self.rows, rank, self.heap, target, starts)
        except ValueError as error:
            raise InputRefused(
                "ACCOUNT_LIMIT", str(error), remedy="remove accounts that are closed"
            ) from error
        self.acting = _acting(self.accounts, self.acting, ordered[:kept])
        self.accounts = ordered[:kept]
        sizes = np.diff(starts)
        first = self.accounts[starts[:-1][sizes > 0]]
        starts_on_a_day = first["valid_from"] != DAY_MIN
        inline = (0 < first["valid_from"]) & (first["valid_from"] < 0xFFFF)
        needs = np.zeros(self.rows, bool)
        needs[first["row"]] = (first["valid_to"] != DAY_MAX) | (
            starts_on_a_day & ((sizes[sizes > 0] > 1) | ~inline)
        )
        self.lists = self.accounts[needs[self.accounts["row"]]]
        list_ends = np.cumsum(np.where(needs, sizes, 0), dtype=np.uint32)
        self.table.put_accounts(starts, self.accounts.view(np.uint8), list_ends - sizes)

    # --- at rest --------------------------------------------------------------------------------

    def save(self, folder: Path) -> RegisterInfo:
        """Write this version whole into an existing empty folder."""
        parts: dict[str, NDArray[np.generic]] = {
            "since.bin": self.since,
            "accounts.bin": self.accounts,
            "lists.bin": self.lists,
            "heap.bin": self.heap,
            "masks.bin": self.all_masks(),
        }
        if len(self.acting):
            parts[REPRESENTATIVES] = acting_records(self.accounts, self.acting)
        if len(self.replaced):
            parts[replaced.NAME] = self.replaced.pairs
        views = {name: part.view(np.uint8).data for name, part in parts.items()}
        digests = write_parts(folder, {"people.slots": self.table.memory(), **views})
        people, _, late = self.table.audit()
        self.info = RegisterInfo(
            rows=self.rows,
            people=people,
            accounts=len(self.accounts),
            slots=self.table.nbytes // PERSON.itemsize,
            participants=self.participants,
            files=digests,
            fold=self.fold,
            late=late or msgspec.UNSET,
            representatives=len(self.acting) or msgspec.UNSET,
            replaced_ids=len(self.replaced) or msgspec.UNSET,
        )
        write_info(folder, self.info)
        return self.info

    def all_masks(self) -> NDArray[np.uint64]:
        """Initials of every row; those of strangers to the population register are 0."""
        if len(self.masks) < self.rows:
            more = np.zeros(self.rows - len(self.masks), np.uint64)
            self.masks = np.concatenate([self.masks, more])
        return self.masks[: self.rows]

    @staticmethod
    def load(
        folder: Path,
        *,
        whole: bool = False,
        digests: Mapping[str, str] | None = None,
        share: Share | None = None,
    ) -> Register:
        """Open a version: one sequential read of the whole one, and of the deltas behind it. whole:
        also what only a change needs. digests: of files of versions by folder and name, as
        committed; raises VerificationFailed for others. A people.slots above PROVEN_BYTES_MAX is
        proven where it is to be changed, and by `verify`; of such a one without deltas the slots of
        a share alone are read, where one is given."""
        register, chain = Register(), Chain(folder, digests)
        register.participants = chain.last.info.participants
        register.fold, register.info = chain.last.info.fold, chain.last.info
        register.replaced = chain.replaced
        size = chain.size(chain.whole, "people.slots", PERSON.itemsize) * PERSON.itemsize
        if share is not None and size > PROVEN_BYTES_MAX and not chain.deltas:
            register._read_share(chain, share)
        else:
            register._read_people(chain, whole)
        register.since = chain.array(chain.whole, "since.bin", SINCE)
        for link in chain.deltas:
            register.since = _over(register.since, chain.array(link, "since.bin", SINCE))
        register.lists = chain.joined("lists.bin", ACCOUNT)
        register.heap = chain.joined("heap.bin", np.dtype(np.uint8))
        if whole:
            register._read_rest(chain)
        return register

    def _read_share(self, chain: Chain, share: Share) -> None:
        self.table = people_table.PeopleTable.of_file(chain.share(share), chain.whole.info.rows)
        self._pairs = chain.rows_of_pairs()
        self.initials = Masks(chain.whole.folder / "masks.bin")

    def _read_people(self, chain: Chain, whole: bool) -> None:
        """The people table and the initials of those whom deltas change."""

        def fill(link: Link, view: memoryview) -> None:
            is_proven = whole or len(view) <= PROVEN_BYTES_MAX
            chain.fill(link, "people.slots", view, proven=is_proven)

        pages = Pages(chain.size(chain.whole, "people.slots", PERSON.itemsize) * PERSON.itemsize)
        fill(chain.whole, memoryview(pages))
        self.table = people_table.PeopleTable.of_memory(pages, chain.whole.info.rows)
        rows, masks = [np.empty(0, np.uint32)], [np.empty(0, MASK)]
        for link in chain.deltas:
            slots = np.empty(chain.size(link, "people.slots", PERSON.itemsize), PERSON)
            fill(link, slots.view(np.uint8).data)
            try:
                self.table.put_records(slots.view(np.uint8), link.info.rows)
            except ValueError as error:
                raise VerificationFailed(f"{link.folder}: {error}") from error
            # The last version that has a person counts.
            rows.insert(0, np.sort(slots["row"][slots["word"] != 0]))
            masks.insert(0, chain.array(link, "masks.bin", MASK))
            if len(rows[0]) != len(masks[0]):
                raise VerificationFailed(f"{link.folder} has initials of other people")
        changed, first = np.unique(np.concatenate(rows), return_index=True)
        path = chain.whole.folder / "masks.bin"
        self.initials = Masks(path, changed, np.concatenate(masks)[first])

    def _read_rest(self, chain: Chain) -> None:
        """Accounts and initials, which only a change needs."""
        self.masks = chain.array(chain.whole, "masks.bin", MASK)
        self.accounts = chain.array(chain.whole, "accounts.bin", ACCOUNT)
        self.acting = _ids_of(self.accounts, chain.acting(chain.whole))
        if not chain.deltas:
            return
        self.initials.put_into(self.all_masks())
        for link in chain.deltas:
            part = chain.array(link, "accounts.bin", ACCOUNT)
            changed = np.zeros(self.rows, bool)
            changed[part["row"]] = True
            is_kept = ~changed[self.accounts["row"]]
            theirs = self.acting[is_kept[self.accounts["kind"] & ACTING != 0]]
            self.acting = np.concatenate([theirs, _ids_of(part, chain.acting(link))])
            self.accounts = np.concatenate([self.accounts[is_kept], part])
        self.table.reserve(self.rows)
        self._place_accounts()

    def rows_of(self, ids: NDArray[np.integer]) -> NDArray[np.uint32]:
        """Row numbers of ids; NO_ROW for strangers."""
        rows = np.empty(len(ids), np.uint32)
        self.table.rows(np.ascontiguousarray(ids, np.uint64), rows, False)
        return rows

    def give_rows(self, ids: NDArray[np.integer]) -> NDArray[np.uint32]:
        """Row numbers of ids, new ones for strangers."""
        rows = np.empty(len(ids), np.uint32)
        self.table.rows(np.ascontiguousarray(ids, np.uint64), rows, True)
        return rows

    def participant_lookup(self, index: dict[str, int]) -> NDArray[np.uint16]:
        """Directory index of each of the register's participant codes, or NO_CODE."""
        return np.array([index.get(p, NO_CODE) for p in self.participants] or [NO_CODE], np.uint16)


def _over(since: NDArray[np.void], later: NDArray[np.void]) -> NDArray[np.void]:
    """Records in order of row, with the later ones in place of those of equal rows."""
    place = np.searchsorted(since["row"], later["row"])
    is_there = np.append(since["row"], NO_ROW)[place] == later["row"]
    since[place[is_there]] = later[is_there]
    return np.insert(since, place[~is_there], later[~is_there])


def _ids_of(accounts: NDArray[np.void], acting: NDArray[np.void]) -> NDArray[np.uint64]:
    """Ids of the representatives of a version's accounts, in their order."""
    whose = named(accounts, acting)
    found: NDArray[np.uint64] = whose[whose != NOBODY]
    return found


def _acting(
    given: NDArray[np.void], ids: NDArray[np.uint64], kept: NDArray[np.void]
) -> NDArray[np.uint64]:
    """Ids of the representatives of those accounts that are kept, in their order. given: accounts
    as they came, of which the last counts where one came again; ids: of their representatives."""
    if not len(ids):
        return ids
    parts = [records[records["kind"] & ACTING != 0] for records in (given, kept)]
    both, came = np.concatenate(parts), len(ids)
    # Behind those that came with a key stand those that are kept with it: each has the last's id.
    order = np.lexsort((np.arange(len(both)), both["account"], both["participant"], both["row"]))
    last = np.maximum.accumulate(np.where(order < came, np.arange(len(order)), 0))
    found = np.empty(len(both), np.uint64)
    found[order] = ids[order[last]]
    return found[came:]


def require_authority(
    whose: NDArray[np.uint64],
    ids: NDArray[np.uint64],
    until: NDArray[np.int32],
    file: str,
    done: int,
) -> None:
    """Refuse representatives whose authority has no end, and who are the person. whose, ids: of the
    representatives (NOBODY where there is none) and of the persons; until: the last days."""
    is_acting = whose != NOBODY
    require_ids(np.where(is_acting, whose, np.uint64(0)), file, done, "representative")
    for rule, column, wrong, what, remedy in (
        (
            *("REPRESENTATIVE_SELF", "representative", whose == ids),
            "the representative is the person",
            "leave representative empty where the account is the person's own",
        ),
        (
            *("AUTHORITY_OPEN", "valid_to", until == DAY_MAX),
            "the authority of a representative has no end",
            "write in valid_to the last day on which the representative may receive",
        ),
    ):
        if (wrong & is_acting).any():
            row = done + int(np.argmax(wrong & is_acting)) + 1
            raise InputRefused(rule, what, file=file, row=row, column=column, remedy=remedy)


def require_ids(ids: NDArray[np.uint64], file: str, done: int, column: str = "person_id") -> None:
    """Refuse ids (uint64[n]) of more than 12 digits. done: rows of the file before these."""
    wrong = ids >= ID_LIMIT
    if wrong.any():
        raise InputRefused(
            "ID_FORMAT",
            "the person's id is not 12 digits",
            file=file,
            row=done + int(np.argmax(wrong)) + 1,
            column=column,
            remedy="write the 12 digits of the citizen id",
        )


def require_accounts(
    offsets: NDArray[np.int32], data: NDArray[np.uint8], rows: int, file: str, done: int
) -> None:
    """Refuse texts that no account has. done: as of `require_ids`."""
    bad = csv_text.odd_accounts(offsets, data, np.empty(rows, np.uint8))
    if bad >= 0:
        fits = 1 <= offsets[bad + 1] - offsets[bad] <= 34
        raise InputRefused(
            "ACCOUNT_FORMAT" if fits else "ACCOUNT_LENGTH",
            "the account has a character that no account has, or a spreadsheet made a number of it"
            if fits
            else "the account is empty or longer than 34 characters",
            file=file,
            row=done + bad + 1,
            column="account",
            remedy="write it as the receiver does: letters, digits and / - ? : ( ) . , ' +, kept"
            " as text",
        )


def _keys(
    names: Texts, fold: int, file: str, done: int
) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    keys, masks, bad = name_keys(names, with_masks=True, fold=fold)
    require_utf8(bad, file, done, "name")
    return keys, masks


def require_utf8(bad: int, file: str, done: int, column: str) -> None:
    """Refuse a name that is not UTF-8. bad: its row behind those that are done, -1 for none."""
    if bad >= 0:
        what, row, remedy = "the name is not UTF-8", done + bad + 1, "write names in UTF-8"
        raise InputRefused("ENCODING", what, file=file, row=row, column=column, remedy=remedy)


def name_keys(
    names: Texts, with_masks: bool = False, fold: int = name_kernel.NOW
) -> tuple[NDArray[np.uint64], NDArray[np.uint64], int]:
    """(keys, masks or none of them, index of the first row that is not UTF-8 or -1)."""
    offsets, data = names.buffers()
    count = len(names.values)
    keys = np.empty(count, np.uint64)
    masks = np.empty(count if with_masks else 0, np.uint64)
    bad = name_kernel.name_keys(offsets, data, keys, masks if with_masks else None, fold)
    if names.index is None:
        return keys, masks, bad
    if bad >= 0:
        bad = int(np.argmax(names.index == bad))
    if count == 0:
        keys, masks = np.zeros(1, np.uint64), np.zeros(1, np.uint64)
    known = looked_up(keys, names.index)
    return known, looked_up(masks, names.index) if with_masks else masks, bad


def _codes(
    texts: Texts, known: tuple[str, ...], file: str, done: int, column: str
) -> NDArray[np.uint8]:
    assert texts.index is not None
    values = texts.values.to_pylist()
    lookup = np.array([known.index(v) if v in known else 255 for v in values] or [0], np.uint8)
    codes = looked_up(lookup, texts.index)
    if (codes == 255).any():
        row = int(np.argmax(codes == 255))
        what = f"{column} is none of {', '.join(known)}"
        remedy = f"write one of {', '.join(known)}"
        raise InputRefused(
            "VALUE_UNKNOWN", what, file=file, row=done + row + 1, column=column, remedy=remedy
        )
    return codes
