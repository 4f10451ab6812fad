"""Loading of registers: population, accounts and paid history, taken into a home in one commit."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from switch.files.tables import TableLike, TableReader, open_table
from switch.files.threads import Progress
from switch.home import paid_bits
from switch.home.changes import AddRegister, Change, ForgetHistory, ForgetRegisterFiles, SetPaid
from switch.home.store import ROOM_SPARE, Home
from switch.registry.register import Register, require_ids
from switch.schema import ACCOUNTS, PAID, POPULATION, Table, period_of

Words = dict[tuple[str, int], NDArray[np.uint64]]
"""Words of paid bits by (benefit, period)."""


@dataclass(frozen=True, slots=True)
class Tables:
    """Tables of registers, as far as they are given."""

    population: TableLike | None = None
    accounts: TableLike | None = None
    paid_history: TableLike | None = None


def _read_history(reader: TableReader, register: Register) -> tuple[int, Words]:
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


def current(home: Home, *, whole: bool = False) -> Register:
    """The register of the last commit. whole: with the names, which are needed to change it."""
    folder = home.folder("registers", home.catalog.register_seq())
    return Register.load(folder, whole=whole, digests=home.digests(folder))


def load_registers(
    home: Home,
    tables: Tables,
    *,
    replace: bool,
    at: str,
    strict_columns: bool,
    progress: Progress | None,
    warn: Callable[[str], None],
    why: Mapping[str, str] | None = None,
) -> dict[str, int]:
    """Take registers into a home in one commit (`Engine.register`). why: what the audit record says
    of a time that lies before others. Returns rows read by table."""
    register = current(home, whole=True) if home.catalog.register_seq() else Register()
    counts: dict[str, int] = {}

    def opened(table: TableLike, kind: Table, only: tuple[str, ...] | None = None) -> TableReader:
        """A table of the register, whose digest nothing records."""
        reader = open_table(
            table, kind, strict_columns=strict_columns, digest=False, only=only, room=home.path
        )
        for text in reader.warnings:
            warn(f"{reader.name}: {text}")
        reader.progress = progress
        return reader

    if tables.population is not None:
        if replace:
            register.forget_people()
        only = ("person_id", "name", "status", "status_since")
        counts["population"] = register.put_people(opened(tables.population, POPULATION, only))
    if tables.accounts is not None:
        if replace:
            register.forget_accounts()
        counts["accounts"] = register.put_accounts(opened(tables.accounts, ACCOUNTS))
    history: Words = {}
    if tables.paid_history is not None:
        counts["paid"], history = _read_history(opened(tables.paid_history, PAID), register)
    swapped = replace and tables.paid_history is not None
    _commit(home, register, history, swapped, counts, at, why or {})
    return counts


def _commit(
    home: Home,
    register: Register,
    history: Words,
    replace_history: bool,
    counts: dict[str, int],
    at: str,
    why: Mapping[str, str],
) -> None:
    version = home.catalog.register_seq() + 1
    folder = home.folder("registers", version)
    old = home.paid_files("history")
    bits = 8 * paid_bits.words_of(register.rows) * (len(old) + len(history))
    home.require_room(register.nbytes + bits + ROOM_SPARE)
    changes: list[Change] = [ForgetHistory(), ForgetRegisterFiles()]
    with home.draft("registers") as draft:
        info = register.save(draft)
        named = []
        keys = sorted(set(history) | (set() if replace_history else set(old)))
        for number, key in enumerate(keys):
            name = f"paid-{number:04d}.bits"
            words = [] if replace_history or key not in old else [paid_bits.read(*old[key])]
            if key in history:
                words.append(paid_bits.pairs(register.rows, history[key])[0::2])
            paid_bits.write(draft / name, paid_bits.pairs(register.rows, *words)[0::2])
            path = f"{folder.relative_to(home.path).as_posix()}/{name}"
            changes.append(SetPaid("history", *key, path))
            named.append([*key, name])
        content = {
            "counts": counts,
            "history": named,
            "register": info,
            "replaced": replace_history,
        }
        manifest = msgspec.json.encode(content, order="sorted").decode()
        changes.append(AddRegister(version, manifest))
        home.commit(
            at=at,
            kind="register",
            detail={
                "version": version,
                **counts,
                "manifest": hashlib.sha256(manifest.encode()).hexdigest(),
                **why,
            },
            changes=changes,
            draft=draft,
            folder=folder,
        )
    home.drop_old_registers()
