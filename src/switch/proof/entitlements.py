"""Entitlements of a home, as a proof adds them up: nothing is paid twice (I6).

Whom each batch cleared is marked by (benefit, period) and row of the register; what is marked
already, stands in the loaded history, or is of a benefit that excludes the line's is a fault. In
the end the paid bits that are kept say the same.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from switch.errors import VerificationFailed
from switch.home import paid_bits
from switch.home.store import Home
from switch.outcomes import Check
from switch.proof import registers
from switch.proof.chains import history_paths
from switch.proof.exclusive_groups import Groups
from switch.proof.replaced import ReplacedIds

Key = tuple[str, int]
"""(benefit, period)."""


class Entitlements:
    """Persons who were paid, by benefit and period, batch by batch."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.paid: dict[Key, Any] = {}
        """Persons cleared: bool by row."""
        self.history: dict[Key, Any] = {}
        """The same of the loaded history. It may tell of payments that were made here, too: only
        batches since its last change were judged with all of it."""
        self.history_since = 0
        self.cleared: set[Key] = set()
        self.replaced = ReplacedIds(home)

    @functools.cached_property
    def groups(self) -> Groups:
        """Exclusive groups as they were said, read once the chains are known to hold."""
        return Groups(self.home)

    def load(self, faults: Collection[str]) -> None:
        """Read the loaded history. faults: files that are not as they were committed, which are
        left alone, for damage may take a decoder down."""
        self.replaced = ReplacedIds(self.home, faults)
        for paid in self.home.catalog.paid("history"):
            if paid.path in faults:
                continue
            words = _words(self.home.path / paid.path)
            bits = np.unpackbits(words.view(np.uint8), bitorder="little").astype(bool)
            self.history[paid.benefit, paid.period] = bits
        for version in self.home.catalog.registers():
            if "paid" in msgspec.json.decode(version.manifest)["counts"]:
                self.history_since = version.seq

    def bits(self, key: Key, size: int) -> Any:
        """Persons cleared of a key, of at least so many rows; the caller may change them."""
        bits = self.paid.get(key)
        if bits is None:
            bits = self.paid[key] = np.zeros(size, bool)
        elif len(bits) < size:
            wider = np.zeros(max(size, 2 * len(bits)), bool)
            wider[: len(bits)] = bits
            bits = self.paid[key] = wider
        return bits

    def pay(self, seq: int, register: int, lines: Any, alive: Any) -> str:
        """Mark the entitlements of living lines of batch seq, which a version of the register
        judged; what is wrong with one of them, or ''."""
        history = self.history if register >= self.history_since else {}
        rows = np.asarray(lines["row"])[alive]
        periods = np.asarray(lines["period"])[alive]
        benefit = lines["benefit"].combine_chunks()
        names = benefit.dictionary.to_pylist()
        index = np.asarray(benefit.indices.fill_null(-1))[alive]
        keys = periods.astype(np.int64) << 16 | index
        joined = self.replaced.of(register)
        if np.isin(rows, joined.old).any():
            return "a person is paid by an id that another one stands in place of"
        for key in np.unique(keys):
            mine = rows[keys == key]
            name = (names[int(key) & 0xFFFF], int(key) >> 16)
            self.cleared.add(name)
            every = joined.with_rows(mine)
            bits = self.bits(name, int(every.max()) + 1)
            told = history.get(name, bits[:0])
            before = bits[every].any() or told[every[every < len(told)]].any()
            if before or len(np.unique(mine)) != len(mine):
                return f"an entitlement of {name[0]} {name[1]} is paid twice"
            if fault := self.groups.fault(seq, name, every, self.bits, history):
                return fault
            bits[mine] = True
        return ""

    def checks(self) -> Iterator[Check]:
        """Paid bits that are kept, against all that was marked."""
        kept = {file.path for file in self.home.catalog.files("registers/")}
        named = {paid.path for paid in self.home.catalog.paid()}
        for version in registers.kept(self.home):
            named |= set(history_paths(version).values())
        lost = {path for path in kept if path.endswith(".bits")} - named
        rows = self.home.catalog.paid("cleared")
        missing = self.cleared - {(paid.benefit, paid.period) for paid in rows}
        fault = f"{min(lost)} is not in use" if lost else ""
        if missing:
            fault = "no paid bits for {} {}".format(*min(missing))
        yield Check("I6 paid bits", "every entitlement has them", fault)
        for paid in rows:
            key = (paid.benefit, paid.period)
            words = _words(self.home.path / paid.path)
            stored = np.unpackbits(words.view(np.uint8), bitorder="little").astype(bool)
            known = self.bits(key, len(stored))
            same = np.array_equal(known[: len(stored)], stored) and not known[len(stored) :].any()
            yield Check(
                "I6 paid bits", f"{key[0]} {key[1]}", "" if same else "differ from the lines"
            )


def _words(path: Path) -> Any:
    try:
        return paid_bits.read(path)
    except OSError as error:
        raise VerificationFailed(f"{path} cannot be read: {error.strerror}") from error
