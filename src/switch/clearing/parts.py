"""Parts of a table's sum: by programme and by debtor account, as its dossier may declare them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from switch.errors import InputRefused
from switch.files.columns import Columns, Texts

PARTS = {"programmes": "benefit", "debtors": "debtor_account"}
"""Fields of a dossier, and the column by which each divides the sum."""
_LOW_BITS = 20
_LOW = (1 << _LOW_BITS) - 1
"""The low half of an amount: both halves of a chunk's amounts add up exactly as doubles, since no
amount passes 2**40 and no chunk has more than 2**20 lines."""


class Parts:
    """The sum of a table in its parts, chunk by chunk. Amounts are minor units."""

    def __init__(self) -> None:
        self._sums: dict[str, dict[str, int]] = {name: {} for name in PARTS}

    def take(self, columns: Columns) -> None:
        """Add a chunk of a table's columns, as they were read."""
        amount = np.ascontiguousarray(columns["amount"])
        for name, column in PARTS.items():
            sums = self._sums[name]
            for text, part in _by_text(columns[column], amount):
                sums[text] = sums.get(text, 0) + part

    def sums(self, name: str) -> dict[str, int]:
        """Minor units by the texts of a field of PARTS, in order; of no line, nothing."""
        return dict(sorted(self._sums[name].items()))

    def require(self, declared: Mapping[str, Mapping[str, int] | None], file: str) -> None:
        """Raise InputRefused where the table is not what its dossier declares. declared: by the
        fields of PARTS; None where it says nothing of one."""
        for name, said in declared.items():
            found = self.sums(name)
            if said is None or dict(said) == found:
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


def _by_text(texts: Texts, amount: NDArray[np.int64]) -> list[tuple[str, int]]:
    """Sums of the amounts of a chunk by its texts; '' where there is none."""
    index = texts.index
    assert index is not None, "a code is read as a dictionary"
    values = texts.values.to_pylist()
    at = np.where(index < 0, len(values), index)
    size = len(values) + 1
    if len(amount) and not (amount.min() >= 0 and amount.max() < 1 << 40):
        return _slowly([*values, ""], at, amount)
    count = np.bincount(at, minlength=size)
    low = np.bincount(at, weights=amount & _LOW, minlength=size)
    high = np.bincount(at, weights=amount >> _LOW_BITS, minlength=size)
    return [
        (text or "", (int(high[i]) << _LOW_BITS) + int(low[i]))
        for i, text in enumerate([*values, ""])
        if count[i]
    ]


def _slowly(
    texts: list[str | None], at: NDArray[np.int64], amount: NDArray[np.int64]
) -> list[tuple[str, int]]:
    """The same, for amounts that no line may have, as whole numbers of Python."""
    found: dict[str, int] = {}
    for i, part in zip(at.tolist(), amount.tolist(), strict=True):
        found[texts[i] or ""] = found.get(texts[i] or "", 0) + part
    return list(found.items())
