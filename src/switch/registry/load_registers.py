"""Loading of registers: population, accounts and paid history, taken into a home in one commit."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import msgspec
import numpy as np
from numpy.typing import NDArray

from switch.errors import UsageError
from switch.files.tables import TableLike, TableReader, open_table
from switch.files.threads import Progress
from switch.home import paid_bits
from switch.home.changes import (
    AddRegister,
    Change,
    ForgetHistory,
    ForgetRegisterFiles,
    SetPaid,
)
from switch.home.store import (
    FORMAT_DELTAS,
    FORMAT_REPLACED,
    FORMAT_REPRESENTATIVES,
    ROOM_SPARE,
    Home,
    raised,
)
from switch.registry import replaced
from switch.registry.delta import Delta, Taken, room_for_changes
from switch.registry.lookup import row_of
from switch.registry.register import Register, Rows, require_ids
from switch.registry.versions import Chain, Share
from switch.schema import ACCOUNTS, NO_ROW, PAID, POPULATION, REPLACED, Table, period_of

REPLACED_IDS = "replaced_ids"
"""The table of ids that others stand in place of, where rows are counted."""
LEAST_SHARE = Share(0, 1 << 32)
"""A share of nearly nobody."""
Words = dict[tuple[str, int], NDArray[np.uint64]]
"""Words of paid bits by (benefit, period)."""


class RegisterCompacted(TypedDict):
    """The register, written whole."""

    version: int
    deltas: int
    """Deltas that it had; without any nothing was written."""
    people: int
    accounts: int


@dataclass(frozen=True, slots=True)
class Tables:
    """Tables of registers, as far as they are given."""

    population: TableLike | None = None
    accounts: TableLike | None = None
    paid_history: TableLike | None = None
    replaced: TableLike | None = None


def current(home: Home, *, whole: bool = False, share: Share | None = None) -> Register:
    """The register of the last commit. whole: with the names, which are needed to change it. share:
    for the people of a share of all ids alone."""
    folder = home.folder("registers", home.catalog.register_seq())
    return Register.load(folder, whole=whole, digests=_digests(home), share=share)


class Opened:
    """The register of the last commit of a home, opened once."""

    def __init__(self) -> None:
        self._known: tuple[int, Register] | None = None

    def of(self, home: Home, *, people: bool = True) -> Register:
        """The register. people: with their records; without them it serves whoever has others judge
        lines. Raises UsageError where there is none."""
        version = home.catalog.register_seq()
        if version == 0:
            raise UsageError(f"{home.path} has no register: load one with `switch register`")
        if self._known is None or self._known[0] != version:
            if not people:
                return current(home, share=LEAST_SHARE)
            self._known = version, current(home)
        return self._known[1]

    def forget(self) -> None:
        """Let go of its memory."""
        self._known = None


def current_chain(home: Home) -> Chain:
    """The versions that make the register of the last commit."""
    return Chain(home.folder("registers", home.catalog.register_seq()), _digests(home))


def rows_of_person(chain: Chain, person_id: str) -> list[int]:
    """Rows of all ids that a person has or had in the registers, the present id's first, without
    reading the register. person_id: one of them (12 digits)."""
    now = int(chain.replaced.id_of(person_id))
    rows = [row_of(chain.last.folder, one) for one in (now, *chain.replaced.olds_of(now))]
    return [row for row in rows if row != NO_ROW]


def rows_of_row(home: Home, row: int) -> list[int]:
    """Rows of all ids that the person of a row has or had, that row among them."""
    old, to = rows_of_pairs(home)
    now = next(iter(to[old == row].tolist()), row)
    return [now, *old[to == now].tolist()]


def rows_of_pairs(home: Home) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Rows of ids of before, and those of the ids that stand in their place, where both have one,
    without reading the register."""
    chain = current_chain(home) if home.catalog.register_seq() else None
    return chain.rows_of_pairs() if chain else (np.empty(0, np.uint32), np.empty(0, np.uint32))


def _digests(home: Home) -> dict[str, str]:
    return home.digests(home.path / "registers")


def load_registers(
    home: Home,
    tables: Tables,
    *,
    replace: bool,
    at: str,
    strict_columns: bool,
    progress: Progress | None,
    warn: Callable[[str], None],
    why: Mapping[str, object] | None = None,
) -> dict[str, int]:
    """Take registers into a home in one commit (`Engine.register`). why: what the audit record says
    beside, such as of a time that lies before others. Returns rows read by table."""

    def opened(table: TableLike, kind: Table, only: tuple[str, ...] | None = None) -> TableReader:
        """A table of the register, whose digest nothing records."""
        reader = open_table(
            table, kind, strict_columns=strict_columns, digest=False, only=only, room=home.path
        )
        for text in reader.warnings:
            warn(f"{reader.name}: {text}")
        reader.progress = progress
        return reader

    def readers() -> Iterator[tuple[str, TableReader]]:
        if tables.population is not None:
            only = ("person_id", "name", "status", "status_since")
            yield "population", opened(tables.population, POPULATION, only)
        if tables.accounts is not None:
            yield "accounts", opened(tables.accounts, ACCOUNTS)
        if tables.replaced is not None:
            yield REPLACED_IDS, opened(tables.replaced, REPLACED)
        if tables.paid_history is not None:
            yield "paid", opened(tables.paid_history, PAID)

    given: Iterator[tuple[str, TableReader]] = readers()
    register, few = _to_change(home, given, is_delta=not replace)
    counts: dict[str, int] = {}
    history: Words = {}
    rows: Rows
    for name, rows in itertools.chain[tuple[str, Rows]](few, given):
        if name == "population":
            if isinstance(register, Register) and replace:
                register.forget_people()
            counts[name] = register.put_people(rows)
        elif name == "accounts":
            if isinstance(register, Register) and replace:
                register.forget_accounts()
            counts[name] = register.put_accounts(rows)
        elif name == REPLACED_IDS:
            counts[name] = register.put_replaced(rows, home.catalog.register_seq() + 1)
        else:
            counts[name], history = _read_history(rows, register)
    version = _Version(register, history, replace and tables.paid_history is not None, counts)
    _commit(home, version, at, why or {})
    return counts


def compact(home: Home, *, at: str, why: Mapping[str, str] | None = None) -> RegisterCompacted:
    """Write the current register whole, without its deltas, in one commit (`Engine.compact`)."""
    chain = home.catalog.register_chain()
    if not chain:
        raise UsageError(f"{home.path} has no register: load one with `switch register`")
    merged = len(chain) - 1
    if merged:
        version = _Version(current(home, whole=True), {}, False, {})
        _commit(home, version, at, {"compacted": merged, **(why or {})})
    folder = home.folder("registers", home.catalog.register_seq())
    info = Chain(folder, _digests(home)).last.info
    return {
        "version": int(folder.name),
        "deltas": merged,
        "people": info.people,
        "accounts": info.accounts,
    }


def _to_change(
    home: Home, given: Iterator[tuple[str, TableReader]], *, is_delta: bool
) -> tuple[Register | Delta, list[tuple[str, Taken]]]:
    """The register that tables change: a delta where their rows are few, else the whole. Returns
    those tables, too, that were taken to find out."""
    few: list[tuple[str, Taken]] = []
    if not home.catalog.register_seq():
        return Register(), few
    if is_delta:
        chain = current_chain(home)
        left = room_for_changes(chain)
        for name, reader in given if left > 0 else ():
            few.append((name, Taken(reader, left)))
            left -= few[-1][1].count
            if left < 0:
                break
        if few and left >= 0:
            with_accounts = not {"accounts", REPLACED_IDS}.isdisjoint(dict(few))
            return Delta(chain, _named(chain, few), with_accounts), few
    return current(home, whole=True), few


def _named(chain: Chain, few: list[tuple[str, Taken]]) -> list[NDArray[np.uint64]]:
    """Ids of all people whom tables change, by name."""
    before = chain.replaced
    ids = []
    for name, taken in few:
        if name == REPLACED_IDS:
            ids.append(replaced.named(before, taken.pairs))
        else:
            ids += [before.of(part) if name == "accounts" else part for part in taken.ids]
    return ids


def _read_history(reader: Rows, register: Register | Delta) -> tuple[int, Words]:
    """(rows of a paid history, their paid bits)."""
    count = 0
    bits: Words = {}
    for chunk in reader.chunks():
        ids = chunk["person_id"]
        require_ids(ids, reader.name, count)
        rows = register.give_rows(ids)
        benefit = chunk["benefit"]
        values = benefit.values.to_pylist()
        keys = benefit.index.astype(np.int64) << 16 | chunk["period"]
        for key in np.unique(keys):
            name = (values[key >> 16], period_of(int(key & 0xFFFF)))
            had = bits.get(name)
            if had is None or len(had) < 2 * paid_bits.words_of(register.rows):
                bits[name] = paid_bits.pairs(
                    max(register.rows, 0 if had is None else len(had) * 64),
                    *(() if had is None else (had[0::2],)),
                )
            paid_bits.mark(bits[name], rows[keys == key])
        count += len(ids)
    size = paid_bits.words_of(register.rows)
    return count, {name: had[0::2][:size].copy() for name, had in bits.items()}


@dataclass(frozen=True, slots=True)
class _Version:
    """A version to be committed. history: words of paid bits that came; counts: rows by table."""

    register: Register | Delta
    history: Words
    replace_history: bool
    counts: dict[str, int]

    @property
    def is_delta(self) -> bool:
        return isinstance(self.register, Delta)


def _commit(home: Home, version: _Version, at: str, why: Mapping[str, object]) -> None:
    seq = home.catalog.register_seq() + 1
    folder, register = home.folder("registers", seq), version.register
    files = home.paid_files("history")
    bits = 8 * paid_bits.words_of(register.rows) * (len(files) + len(version.history))
    home.require_room(register.nbytes + bits + ROOM_SPARE)
    changes: list[Change] = []
    if not version.is_delta:
        changes += [ForgetHistory(), ForgetRegisterFiles()]
    with home.draft("registers") as draft:
        info = register.save(draft)
        least = FORMAT_REPRESENTATIVES if info.representatives else FORMAT_DELTAS
        least = FORMAT_REPLACED if info.replaced_ids else least
        if version.is_delta or info.representatives or info.replaced_ids:
            changes += raised(home, least)
        named = []
        for key, path in _write_history(draft, version, files):
            top = folder if path.parent == draft else path.parent
            changes.append(
                SetPaid("history", *key, (top / path.name).relative_to(home.path).as_posix())
            )
            # What an earlier version has stands where it is.
            named.append([*key, path.name if top == folder else f"{top.name}/{path.name}"])
        content = {
            "counts": version.counts,
            "history": named,
            "register": info,
            "replaced": version.replace_history,
        }
        manifest = msgspec.json.encode(content, order="sorted").decode()
        changes.append(AddRegister(seq, manifest))
        home.commit(
            at=at,
            kind="register",
            detail={
                "version": seq,
                **version.counts,
                **({"before": seq - 1} if version.is_delta else {}),
                **({"unknown": register.unknown} if register.unknown else {}),
                "manifest": hashlib.sha256(manifest.encode()).hexdigest(),
                **why,
            },
            changes=changes,
            draft=draft,
            folder=folder,
        )
    home.drop_old_registers()


def _write_history(
    draft: Path, version: _Version, old: dict[tuple[str, int], tuple[Path, str]]
) -> Iterator[tuple[tuple[str, int], Path]]:
    """Paid bits by (benefit, period): those of a whole version are all written into it, those of a
    delta as far as they change."""
    kept = {} if version.replace_history else old
    rows = version.register.rows
    for number, key in enumerate(sorted({*version.history, *kept})):
        if version.is_delta and key not in version.history:
            yield key, kept[key][0]
            continue
        path = draft / f"paid-{number:04d}.bits"
        words = [paid_bits.read(*kept[key])] if key in kept else []
        if key in version.history:
            words.append(paid_bits.pairs(rows, version.history[key])[0::2])
        paid_bits.write(path, paid_bits.pairs(rows, *words)[0::2])
        yield key, path
