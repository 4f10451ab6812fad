"""Proof of exclusive groups: whom a batch paid had no other benefit of the group for the period.

Groups are those of the directory that was in force, as the audit chain has it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import numpy as np

from switch.home.store import Home

Key = tuple[str, int]
Bits = Callable[[Key, int], Any]


class Groups:
    """Exclusive groups by batch: batches are asked for in order."""

    def __init__(self, home: Home) -> None:
        self._said: list[tuple[int, dict[str, list[str]]]] = []
        """(number of the last batch before it, other benefits by benefit) of each directory."""
        seq = 0
        for record in home.catalog.audit.records():
            detail = msgspec.json.decode(record.detail)
            if record.kind == "batch":
                seq = detail["seq"]
            elif "directory" in detail and record.kind in ("init", "directory"):
                self._said.append((seq, _others(msgspec.json.decode(detail["directory"]))))

    def fault(self, seq: int, key: Key, rows: Any, bits: Bits, history: Mapping[Key, Any]) -> str:
        """Fault of people who are paid a (benefit, period) by batch seq; '' where there is none.
        rows: theirs in the register. bits: who was paid so far; history: who was by the loaded
        history."""
        benefit, period = key
        others: list[str] = []
        for before, said in self._said:
            if before < seq:
                others = said.get(benefit, [])
        size = int(rows.max()) + 1
        for other in others:
            told = history.get((other, period), np.zeros(0, bool))
            if bits((other, period), size)[rows].any() or told[rows[rows < len(told)]].any():
                return f"{benefit} and {other} of one group are paid to a person for {period}"
        return ""


def _others(directory: Any) -> dict[str, list[str]]:
    """The other benefits of its exclusive group, by benefit."""
    members: dict[str, list[str]] = {}
    for programme in directory["programmes"]:
        if name := programme.get("exclusive_group"):
            members.setdefault(name, []).append(programme["benefit"])
    return {
        benefit: [other for other in group if other != benefit]
        for group in members.values()
        for benefit in group
    }
