"""Answer columns: what a batch answers for each line, as columns of its files.

Columns IN: reason, row, participant and what the lines carried. OUT: status.parquet (the
contract's), lines.parquet (what `verify` recomputes from), represented.parquet (held lines that
moved), held.parquet (lines that wait on).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from switch.files.columns import Texts
from switch.files.file_schemas import HELD_SCHEMA
from switch.files.segment import coded, text_array, validity
from switch.reason import (
    CLEARED,
    OF_ACCOUNTS,
    REASONS_COUNT,
    RULE_SET,
    RULE_SET_BEFORE,
    RULES,
    SENTENCES_BEFORE,
    Reason,
    sentence_of,
    status_of,
    with_replaced,
)
from switch.registry.directory import Directory
from switch.registry.versions import Masks, mask_text
from switch.results import LineTotals, ReceiverTotal, Total
from switch.schema import HOUSEHOLD, MONTHS, NO_CODE, period_of

_STATUS_NAMES = sorted({status_of(number) for number in range(REASONS_COUNT)})
_STATUSES = pa.array(_STATUS_NAMES)
_STATUSES_OPEN = pa.array([CLEARED if n == status_of(Reason.NONE) else n for n in _STATUS_NAMES])
"""The same where the cycle has not settled."""
_STATUS_OF = np.array([_STATUS_NAMES.index(status_of(n)) for n in range(REASONS_COUNT)], np.int32)
_SET = (
    Reason.COVER_MISSING,
    Reason.ACCOUNT_SHARED,
    Reason.IDENTITY_PENDING,
    Reason.ACCOUNT_OVER_MONTH,
)
"""Reasons that need a limit, a setting or a register with people who are late: dictionaries of a
home without them end before."""
_CODE_NAMES = sorted({rule.code for reason, rule in RULES.items() if reason not in _SET})
_SENTENCES = ["", *(RULES[Reason(n)].sentence for n in range(1, REASONS_COUNT))]


class Known(NamedTuple):
    """Facts of lines that their reasons do not tell, by row of a chunk."""

    masks: Any
    """Initials of the names as the table has them, of names that differ."""
    excluded_by: dict[int, str]
    """Benefits paid in place of lines."""
    passed: dict[int, str]
    """Words about lines if they clear, and about those whose person's accounts were passed over."""
    replaced: Any
    """Rows of lines for ids of before."""


class Columns:
    """Builds the columns of answers for one batch."""

    def __init__(
        self,
        directory: Directory,
        cycle: str,
        masks: Masks | None,
        waits: Collection[Reason] = (),
        is_open: bool = False,
        rule_set: str = RULE_SET,
    ) -> None:
        """waits: those of _SET for which lines may wait. is_open: the cycle does not settle with
        this batch. rule_set: of RULE_SETS, what judges the lines."""
        self._statuses = _STATUSES_OPEN if is_open else _STATUSES
        names = _CODE_NAMES + [RULES[reason].code for reason in _SET if reason in waits]
        self._codes = pa.array(names)
        places = {code: place for place, code in enumerate(names)}
        self._code_of = np.array(
            [0, *(places.get(RULES[Reason(n)].code, 0) for n in range(1, REASONS_COUNT))], np.int32
        )
        participants = [p.participant for p in directory.participants]
        self._cycle = pa.array([cycle])
        self._participants = pa.array(participants, pa.string())
        self._benefits = pa.array([p.benefit for p in directory.programmes], pa.string())
        self._agents = np.array(
            [*(participants.index(d.debtor_agent) for d in directory.debtors), NO_CODE], np.uint16
        )
        self._masks = masks
        self._sentences = list(_SENTENCES)
        if rule_set == RULE_SET_BEFORE:
            for number, sentence in SENTENCES_BEFORE.items():
                self._sentences[number] = sentence
        self.dictionaries = {
            "status": self._statuses,
            "reason": self._codes,
            "participant": self._participants,
            "cycle": self._cycle,
            "benefit": self._benefits,
            "debtor_agent": self._participants,
        }
        """Dictionaries of coded columns, by name."""

    def status(
        self,
        line_no: Any,
        reason: Any,
        participant: Any,
        transfer: Any,
        row: Any,
        known: Known,
    ) -> dict[str, Any]:
        """Columns of STATUS. transfer: (offsets, data) of texts, empty where a line has none."""
        alive = reason == 0
        cleared, refused = validity(~alive), validity(alive)
        return {
            "line_no": pa.array(line_no),
            "status": coded(self._statuses, _STATUS_OF.take(reason)),
            "reason": coded(self._codes, self._code_of.take(reason), refused),
            "reason_detail": self._details(reason, row, known),
            "transfer_id": text_array(transfer[0], transfer[1], cleared),
            "participant": _codes(self._participants, participant),
            "cycle": coded(self._cycle, np.zeros(len(reason), np.int32), cleared),
        }

    def _details(self, reason: Any, row: Any, known: Known) -> Any:
        masks, excluded_by, passed, replaced = known
        details, which = self._sentences, reason.astype(np.int32)
        silent = reason == Reason.NONE
        differs = np.flatnonzero(reason == Reason.NAME_DIFFERS)
        if len(differs) and self._masks is not None:
            registered = self._masks.of_rows(row[differs])
            which[differs] = np.arange(len(differs)) + len(details)
            details = details + [
                f"{_SENTENCES[Reason.NAME_DIFFERS]}: table {mask_text(int(masks[given]))}, "
                f"register {mask_text(int(one))}"
                for given, one in zip(differs, registered, strict=True)
            ]
        if excluded_by:
            which[list(excluded_by)] = np.arange(len(excluded_by)) + len(details)
            details = details + [sentence_of(Reason.EXCLUDED, by) for by in excluded_by.values()]
        went = [place for place in passed if reason[place] in OF_ACCOUNTS]
        if went:
            each = dict.fromkeys(passed.values())
            number = {words: len(details) + n for n, words in enumerate(each)}
            which[went] = [number[passed[place]] for place in went]
            silent[went] = False
            details = [*details, *number]
        if len(replaced):
            said = np.where(silent[replaced], 0, which[replaced])
            numbers, place = np.unique(said, return_inverse=True)
            which[replaced] = place + len(details)
            silent[replaced] = False
            details = [*details, *(with_replaced(details[n]) for n in numbers)]
        return pa.array(details).take(pa.array(which, mask=silent))

    def lines(
        self, row: Any, amount: Any, benefit: Any, month: Any, debtor: Any, reason: Any
    ) -> dict[str, Any]:
        """Columns of LINES."""
        agent = self._agents.take(debtor, mode="clip")
        return {
            "row": pa.array(row),
            "amount": pa.array(amount),
            "benefit": _codes(self._benefits, benefit),
            "period": pa.array(periods(month)),
            "debtor_agent": _codes(self._participants, agent),
            "reason_number": pa.array(reason),
        }


def _codes(values: Any, index: Any) -> Any:
    """A dictionary array by uint16 codes; NO_CODE is null."""
    unknown = index == NO_CODE
    valid = validity(unknown)
    known = index.astype(np.int32)
    if valid[1]:
        known[unknown] = 0
    return coded(values, known, valid)


_PERIODS = np.array([period_of(month) for month in range(MONTHS)], np.int32)


def periods(month: Any) -> Any:
    """int32 yyyymm of months since 1900-01."""
    return _PERIODS.take(month)


def held_rows(batch: Any, raw: dict[str, Any], chosen: Any) -> dict[str, Any]:
    """Columns of HELD_SCHEMA for the chosen rows (int indices) of a chunk as it was read, and that
    of households where it was there."""

    def text(name: str) -> Any:
        values: Texts | None = raw.get(name)
        if values is None:
            return pa.nulls(len(chosen), pa.string())
        return values.take(chosen).rows()

    return {
        "batch": pa.array(np.broadcast_to(batch, len(raw["line_no"]))[chosen], pa.int64()),
        "line_no": pa.array(raw["line_no"][chosen]),
        "person_id": pa.array(raw["person_id"][chosen]),
        "period": pa.array(periods(raw["period"][chosen])),
        "amount": pa.array(raw["amount"][chosen]),
        **{field.name: text(field.name) for field in HELD_SCHEMA if field.type == pa.string()},
        **({HOUSEHOLD: text(HOUSEHOLD)} if raw.get(HOUSEHOLD) is not None else {}),
    }


def outcome(tally: list[tuple[int, int]]) -> LineTotals:
    """Counts and sums by state and by reason, from a tally by reason number."""

    def add(numbers: list[int]) -> Total:
        return {
            "count": sum(tally[n][0] for n in numbers),
            "sum": sum(tally[n][1] for n in numbers),
        }

    by_status = {
        name: [n for n in range(REASONS_COUNT) if status_of(n) == name] for name in _STATUS_NAMES
    }
    return {
        "received": add(list(range(REASONS_COUNT))),
        "cleared": add(by_status["ACSC"]),
        "held": add(by_status["PDNG"]),
        "refused": add(by_status["RJCT"]),
        "reasons": [
            {
                "reason": RULES[Reason(n)].code,
                "status": status_of(n),
                "sentence": _SENTENCES[n],
                "count": tally[n][0],
                "sum": tally[n][1],
            }
            for n in range(1, REASONS_COUNT)
            if tally[n][0]
        ],
    }


def receivers(directory: Directory, pair_sum: Any, pair_count: Any) -> list[ReceiverTotal]:
    """Cleared lines and money by receiver, largest first; on-us lines too."""
    rows: list[ReceiverTotal] = [
        {
            "participant": p.participant,
            "short_name": p.short_name,
            "kind": p.kind,
            "count": int(pair_count[:, i].sum()),
            "sum": sum(map(int, pair_sum[:, i])),
        }
        for i, p in enumerate(directory.participants)
    ]
    return sorted(
        (row for row in rows if row["count"]), key=lambda row: (-row["sum"], row["participant"])
    )
