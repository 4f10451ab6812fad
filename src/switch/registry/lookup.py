"""Look up: one person's row, found in a register at rest without reading the register.

The people table lies in people.slots as it stands in memory (docs/formats.md), so that a search
begins at the slot of the id's hash and ends a few records later.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from switch.errors import VerificationFailed
from switch.files.disk import machine
from switch.registry.versions import RegisterInfo
from switch.schema import NO_ROW

SLOT_BYTES = 32
SLOTS_READ = 64
"""Slots read at once: a search rarely needs more than a few."""
SLOTS_SCANNED = 1 << 15
"""Slots read at once of a whole table: a megabyte, which stays in the cache of a core."""
_ID_MASK = (1 << 40) - 1
_ID_BITS, _ROW_BITS = np.uint64(_ID_MASK), np.uint64((1 << 32) - 1)
_U64 = (1 << 64) - 1
_SLOT = struct.Struct("<QQQIHH")


def first_slot(person_id: int, slots: int) -> int:
    """The slot at which the search for an id begins (native/people_table.pxd)."""
    mixed = person_id * 0x9E3779B97F4A7C15 & _U64
    mixed = (mixed ^ mixed >> 32) * 0xD6E8FEB86659FD93 & _U64
    return mixed * slots >> 64


def row_of(folder: Path, person_id: int) -> int:
    """The row of a person in a version of the register, NO_ROW for who stands in none. folder: of
    the version, beside which stand those that it is made of. Raises VerificationFailed where
    people.slots is no such table."""
    with machine(folder):
        text = (folder / "register.json").read_bytes()
        path = folder / "people.slots"
        handle = os.open(path, os.O_RDONLY)
        try:
            info = _info_of(text, handle, path)
            row = _found(handle, path, info.slots, person_id)
        finally:
            os.close(handle)
    before = info.before or 0
    if row == NO_ROW and 0 < before < int(folder.name):
        return row_of(folder.with_name(f"{before:06d}"), person_id)
    return row


def people_at_rest(
    folder: Path, fits: Callable[[NDArray[np.uint64]], NDArray[np.bool_]]
) -> Iterator[tuple[NDArray[np.uint64], NDArray[np.uint64]]]:
    """(ids, rows) of the people in a version of the register whose ids fit, a part of the table at
    a time, in the order of their slots. folder: of the version alone, without those that it
    follows. fits: which of some ids. Raises VerificationFailed where people.slots is no such
    table."""
    path = folder / "people.slots"
    slots_read = np.empty((SLOTS_SCANNED, SLOT_BYTES // 8), np.uint64)
    with machine(folder), path.open("rb", buffering=0) as file:
        left = _info_of((folder / "register.json").read_bytes(), file.fileno(), path).slots
        while left:
            part = slots_read[: min(left, SLOTS_SCANNED)]
            if file.readinto(part.data.cast("B")) != part.nbytes:
                raise _damaged(path)
            left -= len(part)
            found = np.flatnonzero(fits(part[:, 0] & _ID_BITS))
            found = found[part[found, 0] != 0]  # An empty slot is nobody, of the id 0.
            yield part[found, 0] & _ID_BITS, part[found, 3] & _ROW_BITS


def _info_of(text: bytes, handle: int, path: Path) -> RegisterInfo:
    """The content of register.json, whose number of slots is that of the table."""
    try:
        info = msgspec.json.decode(text, type=RegisterInfo)
    except msgspec.DecodeError as error:
        raise _damaged(path) from error
    if info.slots * SLOT_BYTES != os.fstat(handle).st_size:
        raise _damaged(path)
    return info


def _found(handle: int, path: Path, slots: int, person_id: int) -> int:
    slot, looked = first_slot(person_id, slots) if slots else 0, 0
    while looked < slots:
        count = min(SLOTS_READ, slots - slot, slots - looked)
        content = os.pread(handle, count * SLOT_BYTES, slot * SLOT_BYTES)
        if len(content) != count * SLOT_BYTES:
            raise _damaged(path)
        for word, _, _, row, _, _ in _SLOT.iter_unpack(content):
            if not word:
                return NO_ROW
            if word & _ID_MASK == person_id:
                return int(row)
        looked += count
        slot = (slot + count) % slots
    return NO_ROW


def _damaged(path: Path) -> VerificationFailed:
    return VerificationFailed(f"{path} is not as it was committed: restore it from a copy")
