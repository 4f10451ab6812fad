"""Columns: what a value of each kind is read from, and what is refused.

Text becomes numbers only where every character says so; the first value that cannot be read as its
kind is reported by its row.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from switch.native import csv_text
from switch.schema import (
    DAY_FIRST,
    DAY_LAST,
    JUDGED_BY_LINE,
    MONEY_BOUND,
    NO_CODE,
    YEAR_MAX,
    YEAR_MIN,
    bytes_max,
    is_in_years,
    month_of,
    period_of,
)

S = TypeVar("S", bound=np.generic)

NO_ID = np.uint64(2**64 - 1)
"""Stands in place of a text that is no id."""
ID_LIMIT = np.uint64(10**12)
"""Ids have 12 digits."""
NOBODY = np.uint64(2**64 - 2)
"""Stands where a column that may be empty names nobody."""
PERIOD_MIN, PERIOD_MAX = YEAR_MIN * 100 + 1, YEAR_MAX * 100 + 12
_MONTH_OF = np.full(PERIOD_MAX - PERIOD_MIN + 1, NO_CODE, np.uint16)
for _month in range((YEAR_MAX - YEAR_MIN + 1) * 12):
    _MONTH_OF[period_of(_month) - PERIOD_MIN] = _month


@dataclass(slots=True)
class Texts:
    """A text column: values, and where it came as a dictionary the index of each row's value.

    values: pa.StringArray (int32 offsets). index: int32[rows], -1 for null, or None where values
    stand row by row (nulls as the array says).
    """

    values: pa.StringArray
    index: NDArray[np.int32] | None

    def buffers(self) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
        """(offsets int32, data uint8) of values, as the kernels take them."""
        return text_buffers(self.values)

    def rows(self) -> pa.StringArray:
        """The column as a plain pa.StringArray, row by row."""
        if self.index is None:
            return self.values
        mask = self.index < 0
        return self.values.take(pa.array(np.where(mask, 0, self.index), mask=mask))

    def take(self, chosen: NDArray[np.integer]) -> Texts:
        """The chosen rows (int indices), in that order."""
        if self.index is None:
            return Texts(self.values.take(pa.array(chosen)), None)
        return Texts(self.values, self.index[chosen])

    def null_rows(self) -> NDArray[np.bool_]:
        """bool[n]"""
        if self.index is not None:
            return self.index < 0
        return ~valid_rows(self.values)


Columns = dict[str, Any]
"""Columns of one chunk by name: numpy arrays for LINE_NO (uint32), ID (uint64, 2**64-1 where the
text is no id), AMOUNT (int64), PERIOD (uint16 months since 1900-01), DATE (int32 days), PRIORITY
(uint8), INSTANT (int64 microseconds since 1970, UTC); `Texts` for CODE and
TEXT. A nullable column that the file lacks is absent."""


class Opened(NamedTuple):
    """A file that is open: its Arrow schema, its record batches, rows that it declares or None."""

    schema: pa.Schema
    batches: Callable[[], Iterator[pa.RecordBatch]]
    rows: int | None


def looked_up(values: NDArray[S], index: NDArray[np.int32]) -> NDArray[S]:
    """values[index], several times as quickly; index: int32 in -1 (the last value) .. n - 1, which
    whoever made it has seen to."""
    return values.take(index, mode="wrap")


def valid_rows(array: pa.Array) -> NDArray[np.bool_]:
    """bool[n]: rows of an Arrow array that are not null."""
    if not array.null_count:
        return np.ones(len(array), bool)
    if array.buffers()[0] is None:
        return np.zeros(len(array), bool)
    bits, end = np.frombuffer(array.buffers()[0], np.uint8), array.offset + len(array)
    return np.unpackbits(bits, count=end, bitorder="little")[array.offset :].view(bool)


def text_buffers(array: pa.StringArray) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """(offsets int32[n + 1], data uint8) of a pa.StringArray; offsets are absolute in data."""
    _, offsets, data = array.buffers()
    if offsets is None or len(array) == 0:
        return np.zeros(1, np.int32), np.empty(0, np.uint8)
    start = array.offset
    return (
        np.frombuffer(offsets, np.int32, start + len(array) + 1)[start:],
        np.frombuffer(data, np.uint8) if data is not None else np.empty(0, np.uint8),
    )


class BadValue(Exception):
    """A value that cannot be read as its type: row is 0-based in the chunk."""

    def __init__(self, rule: str, row: int, what: str, remedy: str) -> None:
        self.rule, self.row, self.what, self.remedy = rule, row, what, remedy


def shown(name: str) -> str:
    """A column's name for a message, where it looks like one: a table without a header has
    somebody's full name, id or account there."""
    return name if re.fullmatch(r"[A-Za-z][A-Za-z_]{0,39}", name) else "(not a usual name)"


def first_line(error: Exception) -> str:
    """An Arrow message without the data that it may quote."""
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    return text.split(":")[0][:80]


def validate(array: pa.Array, full: bool = True) -> None:
    try:
        array.validate(full=full)
    except pa.ArrowException as error:
        what = f"the column's data is damaged ({first_line(error)}, in this row or after it)"
        remedy = "ask for the file again; text must be UTF-8 and offsets in order"
        raise BadValue("ARROW_INVALID", 0, what, remedy) from None


def require_short(array: pa.Array, column: str, spare: int = 0) -> None:
    """Refuse a text beyond what its column takes. A dictionary is judged as it is, not row by row;
    what else is no array of texts passes. spare: bytes that all of them may take together, in
    columns that judge them one by one."""
    words = array.dictionary if pa.types.is_dictionary(array.type) else array
    most = bytes_max(column)
    if not is_text_type(words.type):
        return
    lengths = _lengths(words)
    if not (lengths > most).any():
        return
    validate(words)  # Offsets that are damaged tell of no length.
    if words is not array:
        require_bounds(array)
        index = np.asarray(pc.fill_null(array.indices.cast(pa.int32()), -1))
        lengths = looked_up(np.append(lengths, 0), index)
    beyond = lengths > most
    if int(lengths[beyond].sum()) <= (spare if column in JUDGED_BY_LINE else 0):
        return
    what = f"the text takes more than {most} bytes"
    remedy = "shorten it, or ask whoever made the file what it is"
    raise BadValue("FIELD_TOO_LONG", int(np.argmax(beyond)), what, remedy)


def is_long_worded(array: pa.Array, column: str) -> bool:
    """True where a dictionary holds a text beyond what its column takes, used or not."""
    if not pa.types.is_dictionary(array.type) or not is_text_type(array.type.value_type):
        return False
    return bool((_lengths(array.dictionary) > bytes_max(column)).any())


def _lengths(words: pa.Array) -> NDArray[np.int64]:
    """int64[n] of bytes of each text, 0 for null."""
    validate(words, full=False)
    if not len(words):
        return np.zeros(0, np.int64)
    rows = slice(words.offset, words.offset + len(words))
    content = words.buffers()[1]
    if pa.types.is_string_view(words.type):
        lengths = np.frombuffer(content, np.int32).reshape(-1, 4)[rows, 0].astype(np.int64)
    else:
        width = np.int64 if pa.types.is_large_string(words.type) else np.int32
        offsets = np.frombuffer(content, width, rows.stop + 1)[rows.start :]
        lengths = np.diff(offsets).astype(np.int64)
    return np.where(valid_rows(words), lengths, 0) if words.null_count else lengths


def is_text_type(kind: pa.DataType) -> bool:
    """True where an Arrow type is text, in any layout."""
    kinds = pa.types
    return bool(kinds.is_string(kind) or kinds.is_large_string(kind) or kinds.is_string_view(kind))


def is_whole_type(kind: pa.DataType) -> bool:
    """True where an Arrow type holds whole numbers: integers, and decimals without places."""
    return bool(pa.types.is_integer(kind) or (pa.types.is_decimal(kind) and kind.scale == 0))


def as_string(array: pa.Array) -> pa.StringArray:
    """A text array of any layout as pa.StringArray with int32 offsets."""
    if not pa.types.is_string(array.type):
        try:
            array = array.cast(pa.string())
        except pa.ArrowInvalid:
            raise BadValue(
                "FIELD_TOO_LONG", 0, "a chunk of text exceeds 2 GiB", "shorten the values"
            ) from None
    return array


def require_bounds(array: pa.DictionaryArray) -> None:
    """Refuse a dictionary array that has indices beyond its dictionary."""
    bounds = pc.min_max(array.indices)
    if len(array.indices) > array.indices.null_count and (
        bounds["min"].as_py() < 0 or bounds["max"].as_py() >= len(array.dictionary)
    ):
        raise BadValue(
            "ARROW_INVALID", 0, "a dictionary index is out of range", "ask for the file again"
        )


def plain(array: pa.DictionaryArray) -> pa.Array:
    """A dictionary array row by row, so that nulls among its values show."""
    require_bounds(array)
    values = array.dictionary
    # Arrow can take rows of a dictionary of views in no version; of plain texts in all.
    return (as_string(values) if is_text_type(values.type) else values).take(array.indices)


def read_texts(array: pa.Array, encode: bool, check: bool) -> Texts:
    """Text as is, or with encode as dictionary. check: validate UTF-8 and bounds in full."""
    if pa.types.is_integer(array.type):
        return Texts(array.cast(pa.string()), None)
    if not pa.types.is_dictionary(array.type):
        array = as_string(array)
        if check:
            validate(array)
        if not encode:
            return Texts(array, None)
        array = array.dictionary_encode()
    else:
        if pa.types.is_dictionary(array.type.value_type):
            raise BadValue("TYPE", 0, "a dictionary of dictionaries", "write plain text")
        require_bounds(array)
        if check:
            validate(array.dictionary)
    values = as_string(array.dictionary)
    indices = array.indices
    if values.null_count:
        nulls = np.asarray(values.is_null())
        index = np.asarray(pc.fill_null(indices.cast(pa.int32()), -1))
        index = np.where((index >= 0) & looked_up(nulls, index), np.int32(-1), index)
        values = pc.fill_null(values, "")
    else:
        if indices.null_count:
            indices = pc.fill_null(indices.cast(pa.int32()), -1)
        elif indices.type != pa.int32():
            indices = indices.cast(pa.int32())
        index = np.asarray(indices)
    return Texts(values, index)


def read_ids(array: pa.Array, from_text: bool) -> NDArray[np.uint64]:
    if pa.types.is_dictionary(array.type):
        array = plain(array)
    if pa.types.is_decimal(array.type):
        low, rest = _decimal_words(array)
        return np.where((rest == 0).all(axis=1), low.view(np.uint64), NO_ID)
    if not pa.types.is_integer(array.type):
        array = as_string(array)
        validate(array)
        ids = np.empty(len(array), np.uint64)
        odd = csv_text.parse_ids(*text_buffers(array), ids)
        if from_text and odd >= 0:
            remedy = "write ids as text with their leading zeros"
            raise BadValue("ID_LENGTH", odd, "the id is not 12 characters long", remedy)
        return ids
    values = np.asarray(array)
    # Negative numbers wrap to more than 12 digits: malformed ids, a reason code of their line.
    return values.astype(np.uint64)


def read_named(array: pa.Array, from_text: bool) -> NDArray[np.uint64]:
    """Ids of which some are absent: NOBODY there, and NO_ID for every other text that is none."""

    def read(given: pa.Array) -> NDArray[np.int64]:
        ids = read_ids(given, from_text)
        return np.where(ids < ID_LIMIT, ids, NO_ID).view(np.int64)

    if pa.types.is_dictionary(array.type):
        array = plain(array)
    return read_given(array, read, int(NOBODY) - 2**64).view(np.uint64)


def _decimal_words(array: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(low int64[n], rest int64[n, words]) of a decimal column without nulls, as it stands in
    memory: two's complement, lowest word first. Arrow's own casts refuse some that are in bounds.
    """
    if not len(array):
        return np.empty(0, np.int64), np.empty((0, 1), np.int64)
    width, rows = array.type.byte_width, slice(array.offset, array.offset + len(array))
    content = array.buffers()[1]
    if width <= 8:
        low = np.frombuffer(content, f"<i{width}")[rows].astype(np.int64)
        return low, (low >> 63)[:, None]
    words = np.frombuffer(content, "<i8").reshape(-1, width // 8)[rows]
    return np.ascontiguousarray(words[:, 0]), words[:, 1:]


def _in_64_bits(array: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """(values int64, bool: those that do not fit) of a column of whole numbers without nulls."""
    if pa.types.is_decimal(array.type):
        low, rest = _decimal_words(array)
        return low, (rest != (low >> 63)[:, None]).any(axis=1)
    values = np.asarray(array)
    if values.dtype != np.uint64:
        return values.astype(np.int64, copy=False), np.zeros(len(values), bool)
    return values.view(np.int64), values >> np.uint64(63) != 0


class Words(NamedTuple):
    """Words of refusals of a number: the rules that it breaks where it is missing, of another form
    or too large, and sentences for people."""

    missing: str
    form: str
    range: str
    noun: str
    remedy: str

    def fault(self, rule: str, row: int, what: str) -> BadValue:
        return BadValue(rule, row, f"the {self.noun} {what}", self.remedy)


_MONEY = Words(
    "AMOUNT_MISSING",
    "AMOUNT_FORMAT",
    "AMOUNT_RANGE",
    "amount",
    "write whole dong without marks, signs, blanks or decimals",
)


def read_amounts(array: pa.Array, words: Words = _MONEY) -> NDArray[np.int64]:
    """int64 of whole numbers, or of their texts in plain digits."""
    if pa.types.is_string(array.type):
        amounts = np.empty(len(array), np.int64)
        row, fault = csv_text.parse_amounts(*text_buffers(array), amounts)
        if row >= 0:
            rule, what = {
                csv_text.Fault.MISSING: (words.missing, "is empty"),
                csv_text.Fault.RANGE: (words.range, "does not fit 64 bits"),
            }.get(fault, (words.form, "is not a whole number in plain digits that fits 64 bits"))
            raise words.fault(rule, row, what)
        return amounts
    values, beyond = _in_64_bits(array)
    if beyond.any():
        raise words.fault(words.range, int(np.argmax(beyond)), "does not fit 64 bits")
    return values


def read_given(
    array: pa.Array, read: Callable[[pa.Array], NDArray[np.int64]], absent: int
) -> NDArray[np.int64]:
    """int64 as read makes them of the values that are given, absent for the others."""
    given = valid_rows(array)
    out = np.full(len(array), absent, np.int64)
    try:
        out[given] = read(array.drop_null())
    except BadValue as bad:
        bad.row = int(np.flatnonzero(given)[bad.row])
        raise
    return out


def read_limits(array: pa.Array) -> NDArray[np.int64]:
    """Amounts of which some are absent: 2**63-1, no limit."""
    return read_given(array, _read_bounded, 2**63 - 1)


def _read_bounded(array: pa.Array) -> NDArray[np.int64]:
    """Caps, budgets and balances, between which sums have room: below 2**56 either way."""
    amounts = read_amounts(array)
    beyond = (amounts <= -MONEY_BOUND) | (amounts >= MONEY_BOUND)
    if beyond.any():
        what = f"the amount is not below {MONEY_BOUND} dong"
        remedy = "correct the amount; a limit that is left empty is none"
        raise BadValue("AMOUNT_RANGE", int(np.argmax(beyond)), what, remedy)
    return amounts


def read_integers(array: pa.Array, low: int, high: int, what: str) -> NDArray[np.int64]:
    """int64 of low to high."""
    remedy = "write a whole number in plain digits, such as 1"
    words = Words("NUMBER_MISSING", "NUMBER_FORMAT", "RANGE", what, remedy)

    def outside(row: int) -> BadValue:
        where = f"the {what} is not between {low} and {high}"
        return BadValue("RANGE", row, where, f"correct the {what}")

    try:
        values = read_amounts(array, words)
    except BadValue as bad:
        raise outside(bad.row) if bad.rule == words.range else bad from None
    beyond = (values < low) | (values > high)
    if beyond.any():
        raise outside(int(np.argmax(beyond)))
    return values


def read_priorities(array: pa.Array) -> NDArray[np.int64]:
    return read_integers(array, 0, 255, "priority")


def read_months(array: pa.Array) -> NDArray[np.uint16]:
    bad = BadValue("PERIOD_INVALID", 0, "the period is no month", "write it as yyyymm or yyyy-mm")
    if pa.types.is_integer(array.type):
        periods = np.asarray(array.cast(pa.int64(), safe=False))
        found = _MONTH_OF.take(periods - PERIOD_MIN, mode="clip")
        outside = (periods < PERIOD_MIN) | (periods > PERIOD_MAX) | (found == NO_CODE)
        if outside.any():
            bad.row = int(np.argmax(outside))
            raise bad
        return found
    texts = read_texts(array, True, check=True)
    assert texts.index is not None
    values = texts.values.to_pylist()
    month_by_value = np.array([_month_of_text(value) for value in values] or [-1], np.int64)
    months = looked_up(month_by_value, texts.index)
    if (months < 0).any():
        bad.row = int(np.argmax(months < 0))
        raise bad
    return months.astype(np.uint16)


def _month_of_text(text: str) -> int:
    digits = text.replace("-", "", 1) if len(text) == 7 and text[4] == "-" else text
    if len(digits) != 6 or not (digits.isascii() and digits.isdigit()):
        return -1
    month = month_of(int(digits))
    return -1 if month is None else month


def read_days(array: pa.Array, null: int) -> NDArray[np.int32]:
    """Days since 1970, of 1900 to 2999; null where there is none."""
    if pa.types.is_dictionary(array.type) or pa.types.is_string(array.type):
        texts = read_texts(array, True, check=True)
        assert texts.index is not None
        judged = [_day_of_text(value) for value in texts.values.to_pylist()]
        faults = np.array([*(fault for _, fault in judged), 0])
        found = looked_up(faults, texts.index)
        if found.any():
            row = int(np.argmax(found > 0))
            raise BadValue(*_DAY_FAULTS[int(found[row])].at(row))
        return looked_up(np.array([*(day for day, _ in judged), null], np.int32), texts.index)
    given = valid_rows(array)
    if pa.types.is_date32(array.type):
        days = np.asarray(pc.fill_null(array.cast(pa.int32()), 0))
    else:
        unit = "ms" if pa.types.is_date64(array.type) else array.type.unit
        values = np.asarray(pc.fill_null(array.cast(pa.int64()), 0))
        days, rest = np.divmod(values, _DAY_UNITS[unit])
        if rest.any():
            row = int(np.argmax(rest != 0))
            raise BadValue("TYPE", row, "the date has a time of day", "write dates as date32")
    outside = (days < DAY_FIRST) | (days > DAY_LAST)
    if outside.any():
        raise BadValue(*_DAY_FAULTS[_INVALID].at(int(np.argmax(outside))))
    return np.where(given, days, null).astype(np.int32, copy=False)


def read_instants(array: pa.Array) -> NDArray[np.int64]:
    """A time without a zone is Vietnam's. In text the zone may stand behind it."""
    if not pa.types.is_timestamp(array.type):
        array = as_string(array)
        zoned = pc.match_substring_regex(array, r"(Z|[+-]\d\d(:?\d\d)?)$")
        # A bare date ends like a zone.
        zoned = pc.and_(zoned, pc.greater(pc.utf8_length(array), 10))
        array = pc.if_else(zoned, array, pc.binary_join_element_wise(array, "+07:00", ""))
    is_local = pa.types.is_timestamp(array.type) and array.type.tz is None
    try:
        values = np.asarray(array.cast(_INSTANT).cast(pa.int64()))
    except pa.ArrowInvalid:
        values = np.array([_instant_of(value) for value in array])
    values = values - LOCAL_US if is_local else values
    outside = (values < _INSTANT_MIN) | (values > _INSTANT_MAX)
    if outside.any():
        what = "the time cannot be read, or is finer than a microsecond, or not of 1900 to 2999"
        remedy = "write it as timestamp[us, UTC], in text as 2026-11-25T08:30:00Z"
        raise BadValue("TIME_INVALID", int(np.argmax(outside)), what, remedy)
    return values


_INSTANT = pa.timestamp("us", "UTC")
LOCAL_US = 7 * 3_600_000_000
"""Microseconds by which the clocks of Vietnam are before UTC, the whole year."""
_INSTANT_MIN, _INSTANT_MAX = (
    int(np.datetime64(f"{year}-01-01", "us").astype(np.int64)) for year in (YEAR_MIN, YEAR_MAX + 1)
)


def _instant_of(value: pa.Scalar) -> int:
    """One value of a chunk in which one cannot be read; beyond all bounds where it is this one."""
    try:
        return int(value.cast(_INSTANT).cast(pa.int64()).as_py())
    except pa.ArrowInvalid:
        return _INSTANT_MIN - 1


class _Fault(NamedTuple):
    """A rule, and what its refusal says."""

    rule: str
    what: str
    remedy: str

    def at(self, row: int) -> tuple[str, int, str, str]:
        return self.rule, row, self.what, self.remedy


_MISSING, _FORMAT, _INVALID = 1, 2, 3
_DAY_FAULTS = {
    _MISSING: _Fault("DATE_MISSING", "the date is empty", "fill it in, as yyyy-mm-dd"),
    _FORMAT: _Fault("DATE_FORMAT", "the date is not written as yyyy-mm-dd", "write 2026-11-25"),
    _INVALID: _Fault(
        "DATE_INVALID",
        f"the date does not exist, or is not of {YEAR_MIN} to {YEAR_MAX}",
        "correct the date; leave a column that may be empty without one",
    ),
}
_DAY_UNITS = {"s": 86_400, "ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400_000_000_000}
_DAY_FORM = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")
_EPOCH = datetime.date(1970, 1, 1)


def day_of_text(text: str) -> datetime.date | None:
    """The date of a text that is exactly yyyy-mm-dd, of any year; None where it is none."""
    try:
        return datetime.date.fromisoformat(text) if _DAY_FORM.fullmatch(text) else None
    except ValueError:
        return None


def _day_of_text(text: str) -> tuple[int, int]:
    """(day since 1970, number of a fault in _DAY_FAULTS or 0)."""
    day = day_of_text(text)
    if day is not None and is_in_years(day):
        return (day - _EPOCH).days, 0
    if not text:
        return 0, _MISSING
    return 0, _INVALID if _DAY_FORM.fullmatch(text) else _FORMAT
