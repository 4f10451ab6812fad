"""Parts of a table: what its lines above zero add up to, by programme and by debtor account.

A dossier declares them, and people sign them, as the most that the table pays: a line below zero is
refused when it is screened, and takes nothing from what the others are paid.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from switch.errors import InputRefused
from switch.files.columns import Columns, Texts

PARTS = {"programmes": "benefit", "debtors": "debtor_account"}
"""Fields of a dossier, and the column by which each divides the sum."""
EXACT_BELOW = 1 << 33
"""Amounts below this add up exactly as doubles, as no chunk has more than 2**20 lines."""


class Parts:
    """The sums of a table's lines above zero, chunk by chunk: the most that it pays. Amounts are
    minor units."""

    def __init__(self) -> None:
        self._sums: dict[str, dict[str, int]] = {name: {} for name in PARTS}

    def take(self, columns: Columns) -> None:
        """Add a chunk of a table's columns, as they were read."""
        amount = np.maximum(columns["amount"], 0)
        is_small = bool(len(amount)) and amount.max() < EXACT_BELOW
        weight = amount.astype(np.float64) if is_small else None
        for name, column in PARTS.items():
            sums, texts = self._sums[name], columns[column]
            parts = _slowly(texts, amount) if weight is None else _exactly(texts, weight)
            for text, part in parts:
                sums[text] = sums.get(text, 0) + part

    def sums(self, name: str) -> dict[str, int]:
        """Minor units by the texts of a field of PARTS, in order; of no line, nothing."""
        return {text: part for text, part in sorted(self._sums[name].items()) if part}

    def require(self, declared: Mapping[str, Mapping[str, int] | None], file: str) -> None:
        """Raise InputRefused where the table is not what its dossier declares. declared: by the
        fields of PARTS; None where it says nothing of one."""
        for name, said in declared.items():
            found = self.sums(name)
            if said is None or {text: part for text, part in said.items() if part} == found:
                continue
            text = min(t for t in {*said, *found} if said.get(t) != found.get(t))
            raise InputRefused(
                "CONTROL_PARTS",
                f"the amounts of {PARTS[name]} {text[:64]!r} add up to {found.get(text, 0)}, the"
                f" dossier declares {said.get(text, 0)}",
                file=file,
                column="amount",
                remedy="send the table that the dossier was made for",
            )


def _exactly(texts: Texts, weight: NDArray[np.float64]) -> list[tuple[str, int]]:
    """Sums of a chunk by its texts, '' where there is none. weight: amounts, none of them large."""
    names = [*texts.values.to_pylist(), ""]
    assert texts.index is not None, "a code is read as a dictionary"
    last = len(names) - 1
    at = np.where(texts.index < 0, last, texts.index) if texts.null_rows().any() else texts.index
    sums = np.bincount(at, weights=weight, minlength=len(names))
    return [(name or "", int(part)) for name, part in zip(names, sums.tolist(), strict=True)]


def _slowly(texts: Texts, amount: NDArray[np.int64]) -> list[tuple[str, int]]:
    """The same, for amounts that no line may have, as whole numbers of Python."""
    found: dict[str, int] = {}
    for text, part in zip(texts.rows().to_pylist(), amount.tolist(), strict=True):
        found[text or ""] = found.get(text or "", 0) + part
    return list(found.items())
