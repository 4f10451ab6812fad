"""Versions of the register proven: each delta says of few people what may have become of them.

The records, accounts and initials of the people whom deltas change are put together again, version
by version, from the bytes that docs/formats.md draws: rows stay with their ids and follow each
other, no account is lost, what a run looks up is what the accounts say, and counts add up.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from switch.home import paid_bits
from switch.home.rows import RegisterRow
from switch.home.store import Home
from switch.outcomes import Check
from switch.proof.chains import Records, compare, history_paths

_RECORD = np.dtype("<u8,<u8,<u8,<u4,<u2,<u2")
_ENTRY = np.dtype("<u8,<u4,<i4,<i4,<u2,u1,u1")
_DAY = np.dtype("<u4,<i4")
_ID = (1 << 40) - 1
_LATE, _DUPLICATE = 7, 11
"""Status of who is late, and of a duplicate identity: that of who is revoked, and the first or the
second bit above all flags."""
_ACTING = "representatives.bin"
_KINDS = 127
"""Highest number of a kind of accounts; one above it is a representative's."""
_ALWAYS, _OPEN = -(2**31), 2**31 - 1
_BLOCK = 1 << 20
"""Records that are read at a time of a whole version."""


class _Account(NamedTuple):
    """An account as the order in which a person's accounts count reads it."""

    priority: int
    valid_from: int
    participant: str
    text: bytes
    valid_to: int
    kind: int

    @property
    def is_acting(self) -> bool:
        """It is a representative's."""
        return self.kind > _KINDS

    @property
    def key(self) -> tuple[str, bytes]:
        return self.participant, self.text


class _Person(NamedTuple):
    """A person as a version has them."""

    row: int
    known: bool
    life: tuple[int, int, int, int | None]
    """Name key, initials, status, and the day from which on it holds."""
    accounts: tuple[_Account, ...]

    @property
    def is_late(self) -> bool:
        """The population database has not answered for the person."""
        return self.life[2] == _LATE


def kept(home: Home) -> list[RegisterRow]:
    """Versions of which the current register is made, the whole one first."""
    rows = {row.seq: row for row in home.catalog.registers()}
    chain = [rows[max(rows)]] if rows else []
    while chain and (before := _info(chain[0]).get("before")) in rows:
        chain.insert(0, rows[before])
    return chain


def checks(home: Home, records: Records) -> Iterator[Check]:
    """All that versions say of each other, and each delta against the version that it changes."""
    told = {detail["version"]: detail for _, detail in records.details("register")}
    for before, version in pairwise(home.catalog.registers()):
        fault = _follows(before, version, told.get(version.seq, {}))
        yield Check("register", f"version {version.seq}", fault)
    chain = kept(home)
    if any(_info(version).get("representatives") for version in chain):
        yield from _acting_checks(home, chain)
    if len(chain) < 2:
        return
    for version in chain:
        path = home.folder("registers", version.seq) / "register.json"
        stored = msgspec.json.decode(path.read_bytes())
        yield compare("register", f"version {version.seq}, files", _info(version), stored)
    made = int(home.catalog.meta("format"))
    yield compare("register", "format of a home with deltas", max(4, made), made)
    people = _People(home, chain)
    yield Check("register", f"version {chain[0].seq}, people", people.fault())
    for before, version in pairwise(chain):
        fault = people.change(version, told.get(version.seq, {})) or _unpaid(home, before, version)
        yield Check("register", f"version {version.seq}, changes", fault)


def _acting_checks(home: Home, chain: list[RegisterRow]) -> Iterator[Check]:
    """Accounts of representatives, version by version: who they are, and until when."""
    made = int(home.catalog.meta("format"))
    yield compare("register", "format of a home with representatives", max(5, made), made)
    for version in chain:
        folder, now = home.folder("registers", version.seq), _info(version)
        path = folder / _ACTING
        there = np.fromfile(path, _ENTRY) if _ACTING in now["files"] else np.empty(0, _ENTRY)
        mine = [np.empty(0, _ENTRY)]
        for part in _blocks(folder / "accounts.bin", _ENTRY):
            mine.append(part[part["f6"] > _KINDS])
        yield Check("register", f"version {version.seq}, representatives", _acting_fault(
            there, np.concatenate(mine), now, version is chain[0]
        ))  # fmt: skip


def _acting_fault(there: Any, mine: Any, now: dict[str, Any], is_whole: bool) -> str:
    """The fault of the records of representatives. there: of representatives.bin; mine: accounts
    that say that they are a representative's."""
    rest = [name for name in _ENTRY.names or () if name != "f0"]
    if len(there) != len(mine) or any((there[name] != mine[name]).any() for name in rest):
        return "representatives are not of the accounts that are theirs"
    if (there["f0"] >= 10**12).any():
        return "a representative is nobody"
    if (there["f3"] == _OPEN).any():
        return "an authority has no end"
    if is_whole and len(there) != now.get("representatives", 0):
        return "representatives are not as many as it says"
    return ""


def _info(version: RegisterRow) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(version.manifest)["register"]
    return found


def _follows(before: RegisterRow, version: RegisterRow, told: dict[str, Any]) -> str:
    """The fault of what a version says of the one before it, and of its audit record."""
    was, now = _info(before), _info(version)
    if told.get("before") != now.get("before"):
        return "the audit record names another version before it"
    if now["rows"] < was["rows"] or now["participants"][: len(was["participants"])] != list(
        was["participants"]
    ):
        return "rows or participants of the version before it are gone"
    names = (
        "rows",
        "people",
        "accounts",
        "participants",
        "fold",
        "late",
        "representatives",
        "replaced_ids",
    )
    if told.get("compacted") and [was.get(n) for n in names] != [now.get(n) for n in names]:
        return "it was compacted, and is not what was before"
    if "before" not in now:
        return ""
    if now["before"] != before.seq or now["fold"] != was["fold"]:
        return "it changes another version than the one before it"
    if (
        not now["rows"] - was["rows"]
        <= now["changed"] - was.get("changed", 0)
        <= _named_most(msgspec.json.decode(version.manifest)["counts"])
    ):
        return "it changes more people than rows came"
    paths, old = history_paths(version), history_paths(before)
    own = f"registers/{version.seq:06d}/"
    came = "paid" in msgspec.json.decode(version.manifest)["counts"]
    for key in {**paths, **old}:
        if paths.get(key) != old.get(key) and not (came and paths.get(key, "").startswith(own)):
            return f"paid bits of {key[0]} {key[1]} are not those of the version before it"
    return ""


def _named_most(counts: dict[str, int]) -> int:
    """Most people whom rows of tables name: a row about replaced ids names two."""
    return sum(counts.values()) + counts.get("replaced_ids", 0)


def _unpaid(home: Home, before: RegisterRow, version: RegisterRow) -> str:
    """The fault of a history: whom a delta's paid bits leave out, who were paid before."""
    paths = history_paths(version)
    for key, old in history_paths(before).items():
        words = paid_bits.read(home.path / old)
        now = paid_bits.read(home.path / paths[key])
        if len(now) < len(words) or (words & ~now[: len(words)]).any():
            return f"somebody was paid {key[0]} {key[1]} before, and is so no more"
    return ""


class _People:
    """People whom deltas of a chain change, as the last version that was looked at has them."""

    def __init__(self, home: Home, chain: list[RegisterRow]) -> None:
        self._home = home
        slots = [self._read(version, "people.slots", _RECORD) for version in chain[1:]]
        ids = [np.empty(0, np.uint64)]
        ids += [part["f0"][part["f0"] != 0] & np.uint64(_ID) for part in slots]
        self._touched = np.unique(np.concatenate(ids))
        self._whole, self._info = chain[0], _info(chain[0])
        self._found: dict[int, _Person] = {}
        self._heap = np.empty(0, np.uint8)
        self._lists = np.empty(0, _ENTRY)
        self._sizes = [0, 0, 0]

    def _read(self, version: RegisterRow, name: str, kind: Any) -> Any:
        return np.fromfile(self._home.folder("registers", version.seq) / name, kind)

    def fault(self) -> str:
        """The fault of the whole version, whose people are looked at."""
        self.grow(self._whole)
        folder = self._home.folder("registers", self._whole.seq)
        records = [np.empty(0, _RECORD)]
        for part in _blocks(folder / "people.slots", _RECORD):
            used = part[part["f0"] != 0]
            self._sizes[0] += len(used)
            self._sizes[1] += int(np.count_nonzero(used["f0"] >> np.uint64(43) & np.uint64(1)))
            self._sizes[2] += int(np.count_nonzero(used["f0"] >> np.uint64(47) & np.uint64(1)))
            records.append(used[np.isin(used["f0"] & np.uint64(_ID), self._touched)])
        info = self._info
        if self._sizes != [info["rows"], info["people"], info.get("late", 0)]:
            return "it has other people than it says"
        found = np.concatenate(records)
        entries = [np.empty(0, _ENTRY)]
        for part in _blocks(folder / "accounts.bin", _ENTRY):
            entries.append(part[np.isin(part["f1"], found["f3"])])
        masks = np.memmap(folder / "masks.bin", "<u8", "r")[found["f3"]] if len(found) else []
        since = self._read(self._whole, "since.bin", _DAY)
        accounts = self.accounts(np.concatenate(entries), self._info["participants"])
        people, fault = self._people(found, masks, since, accounts, self._info["participants"])
        self._found = people
        return fault

    def grow(self, version: RegisterRow) -> None:
        """Texts and lists of a version stand behind those of the versions before."""
        self._heap = np.concatenate([self._heap, self._read(version, "heap.bin", np.uint8)])
        self._lists = np.concatenate([self._lists, self._read(version, "lists.bin", _ENTRY)])

    def change(self, version: RegisterRow, told: dict[str, Any]) -> str:
        """The fault of a delta; its people stand for those before it from now on. told: its audit
        record."""
        self.grow(version)
        now, counts = _info(version), msgspec.json.decode(version.manifest)["counts"]
        records = self._read(version, "people.slots", _RECORD)
        records = np.sort(records[records["f0"] != 0], order="f3")
        masks = self._read(version, "masks.bin", np.dtype("<u8"))
        if len(masks) != len(records) or len(np.unique(records["f3"])) != len(records):
            return "a person or a row stands in it twice"
        entries = self._read(version, "accounts.bin", _ENTRY)
        if not np.isin(entries["f1"], records["f3"]).all():
            return "it has accounts of people whom it does not change"
        accounts = self.accounts(entries, now["participants"])
        if not {"accounts", "replaced_ids"} & counts.keys():
            rows = {person.row: person.accounts for person in self._found.values()}
            accounts |= {int(row): rows.get(int(row), ()) for row in records["f3"]}
        since = self._read(version, "since.bin", _DAY)
        people, fault = self._people(records, masks, since, accounts, now["participants"])
        fault = self._came(people, counts, told.get("unknown", 0)) or fault
        own = np.unique(entries["f1"])
        before = [one for p in self._found.values() if p.row in own for one in p.accounts]
        acting = int((entries["f6"] > _KINDS).sum()) - sum(one.is_acting for one in before)
        was, self._info = self._info, now
        known = sum(p.known for p in people.values())
        known -= sum(self._found[n].known for n in people if n in self._found)
        late = sum(p.is_late for p in people.values())
        late -= sum(self._found[n].is_late for n in people if n in self._found)
        new = [p.row for n, p in people.items() if n not in self._found]
        self._found |= people
        if sorted(new) != list(range(was["rows"], now["rows"])):
            return fault or "new people have no rows of their own, one behind the other"
        totals = [was["people"] + known, was["accounts"] + len(entries) - len(before)]
        totals.append(was.get("changed", 0) + len(people))
        totals += [was.get("late", 0) + late, was.get("representatives", 0) + acting]
        said = [now["people"], now["accounts"], now["changed"]]
        if totals != [*said, now.get("late", 0), now.get("representatives", 0)]:
            return fault or "people, accounts or changes are not as many as it says"
        return fault

    def _came(self, people: dict[int, _Person], counts: dict[str, int], unknown: int) -> str:
        """The fault of what became of people since the version before. unknown: rows that said of
        somebody that the population database does not have them."""
        for number, person in people.items():
            was = self._found.get(number) or _Person(person.row, False, (0, 0, 0, None), ())
            if person.row != was.row:
                return f"row {was.row} has another number"
            if "population" not in counts and (person.known, person.life) != (was.known, was.life):
                return f"the person of row {was.row} changed, and no population came"
            unknown -= was.known and not person.known
            if unknown < 0:
                return f"the person of row {was.row} is in the population register no more"
            if not {a.key for a in was.accounts} <= {a.key for a in person.accounts}:
                return f"an account of row {was.row} is gone"
        return ""

    def accounts(self, entries: Any, participants: list[str]) -> dict[int, tuple[_Account, ...]]:
        found: dict[int, list[_Account]] = {}
        for word, row, start, end, participant, priority, kind in entries.tolist():
            name, text = participants[participant], self._text(word)
            found.setdefault(row, []).append(_Account(priority, start, name, text, end, kind))
        return {row: tuple(accounts) for row, accounts in found.items()}

    def _text(self, word: int) -> bytes:
        if word >> 63:
            start = word & (1 << 62) - 1
            return bytes(self._heap[start + 1 : start + 1 + int(self._heap[start])])
        return b"%0*d" % (word >> 57, word & (1 << 57) - 1)

    def _people(
        self, records: Any, masks: Any, since: Any, accounts: Any, participants: list[str]
    ) -> tuple[dict[int, _Person], str]:
        """People by id, and the fault of the first record that is not as its accounts say."""
        days: dict[int, int] = dict(since.tolist())
        found: dict[int, _Person] = {}
        fault = ""
        for record, mask in zip(records.tolist(), masks, strict=True):
            word, key, _, row, _, _ = record
            known, has_day = bool(word >> 43 & 1), bool(word >> 44 & 1)
            mine = accounts.get(row, ())
            day = days.get(row) if has_day else None
            life = (key, int(mask), word >> 47 << 2 | word >> 40 & 3, day)
            found[word & _ID] = _Person(row, known, life, mine)
            if has_day and day is None:
                fault = fault or f"row {row} has a status without its day"
            if not known and (key or life[2] or has_day):
                fault = fault or f"row {row} is a stranger with a name or a status"
            if life[2] not in (0, 1, 2, 3, _LATE, _DUPLICATE):
                fault = fault or f"row {row} is late, and not revoked for who does not know that"
            if list(mine) != sorted(mine) or len({a.key for a in mine}) != len(mine):
                fault = fault or f"accounts of row {row} stand in no order, or twice"
            if not self._leads(record, mine, participants):
                fault = fault or f"row {row} leads to another account than its first"
        return found, fault

    def _leads(
        self, record: tuple[int, ...], mine: tuple[_Account, ...], participants: list[str]
    ) -> bool:
        """A record leads to the account that counts first, or to all where the day decides."""
        word, _, account, row, participant, start = record
        if not mine:
            return not word >> 45 & 3 and account == participant == start == 0
        first, begins = mine[0], mine[0].valid_from != _ALWAYS
        depends = first.valid_to != _OPEN or (
            begins and (len(mine) > 1 or not 0 < first.valid_from < 65535)
        )
        if word >> 45 & 3 != (3 if depends else 1):
            return False
        if depends:
            listed = self._lists[account : account + len(mine) + 1]
            its = listed[listed["f1"] == row]
            told = self.accounts(its, participants).get(row, ())
            return told[: len(mine)] == mine and list(its[: len(mine)]) == list(listed[: len(mine)])
        day = first.valid_from if begins else 0
        return (participants[participant], self._text(account), start) == (*first.key, day)


def rows_of_ids(home: Home, ids: set[int]) -> dict[int, int]:
    """Rows of some ids by the current register; who stands in none is left out."""
    wanted = np.array(sorted(ids), np.uint64)
    found: dict[int, int] = {}
    for version in kept(home) if len(wanted) else ():
        for part in _blocks(home.folder("registers", version.seq) / "people.slots", _RECORD):
            person = part["f0"] & np.uint64(_ID)
            mine = (part["f0"] != 0) & np.isin(person, wanted)
            found.update(zip(person[mine].tolist(), part["f3"][mine].tolist(), strict=True))
    return found


def entries_of_rows(
    home: Home, chain: list[RegisterRow], rows: set[int]
) -> dict[int, dict[tuple[str, bytes], int | None]]:
    """Accounts of some rows, (participant, text), as the last version of a chain that has any of a
    row has them, each with the id of its representative or None."""
    wanted = np.array(sorted(rows), np.uint32)
    people = _People(home, chain)
    found: dict[int, dict[tuple[str, bytes], int | None]] = {}
    for version in chain:
        people.grow(version)
        folder, now = home.folder("registers", version.seq), _info(version)
        acting: Any = np.fromfile(folder / _ACTING, _ENTRY) if _ACTING in now["files"] else []
        begun, mine = 0, []
        for part in _blocks(folder / "accounts.bin", _ENTRY):
            is_acting = part["f6"] > _KINDS
            whose = begun + np.cumsum(is_acting) - 1
            begun += int(is_acting.sum())
            for place in np.flatnonzero(np.isin(part["f1"], wanted)).tolist():
                theirs = int(acting[int(whose[place])]["f0"]) if is_acting[place] else None
                mine.append((part[place : place + 1], theirs))
        for row in {int(entry["f1"][0]) for entry, _ in mine}:
            found[row] = {}
        for entry, theirs in mine:
            for row, (one,) in people.accounts(entry, now["participants"]).items():
                found[row][one.key] = theirs
    return found


def _blocks(path: Path, kind: np.dtype[Any]) -> Iterator[Any]:
    """Records of a file, so many at a time that all of a nation need no memory."""
    for start in range(0, path.stat().st_size, _BLOCK * kind.itemsize):
        yield np.fromfile(path, kind, _BLOCK, offset=start)
