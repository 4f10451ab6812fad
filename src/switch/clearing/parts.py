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
from switch.native import parts

PARTS = {"programmes": "benefit", "debtors": "debtor_account"}
"""Fields of a dossier, and the column by which each divides the sum."""


class Parts:
    """The sums of a table's lines above zero, chunk by chunk: the most that it pays. Amounts are
    minor units."""

    def __init__(self) -> None:
        self._sums: dict[str, dict[str, int]] = {name: {} for name in PARTS}

    def take(self, columns: Columns) -> None:
        """Add a chunk of a table's columns, as they were read."""
        for name, found in zip(PARTS, _sums(columns), strict=True):
            sums = self._sums[name]
            for text, part in found:
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


def _sums(columns: Columns) -> list[list[tuple[str, int]]]:
    """Sums of a chunk by the texts of each of PARTS, '' where there is none."""
    amount = np.ascontiguousarray(columns["amount"])
    texts: list[Texts] = [columns[column] for column in PARTS.values()]
    names = [[*column.values.to_pylist(), ""] for column in texts]
    lanes = [np.zeros((parts.LANES, len(each)), np.int64) for each in names]
    codes = [column.index for column in texts if column.index is not None]
    assert len(codes) == len(texts), "a code is read as a dictionary"
    if not parts.add(amount, codes[0], codes[1], lanes[0], lanes[1]):
        return [_slowly(column, amount) for column in texts]
    return [
        [(name or "", sum(lane)) for name, lane in zip(each, sums.T.tolist(), strict=True)]
        for each, sums in zip(names, lanes, strict=True)
    ]


def _slowly(texts: Texts, amount: NDArray[np.int64]) -> list[tuple[str, int]]:
    """The same, for amounts that no line may have, as whole numbers of Python."""
    found: dict[str, int] = {}
    for text, part in zip(texts.rows().to_pylist(), amount.tolist(), strict=True):
        found[text or ""] = found.get(text or "", 0) + max(part, 0)
    return list(found.items())
