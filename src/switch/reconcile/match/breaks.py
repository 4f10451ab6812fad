"""Breaks: what did not fit, one row each, and how breaks open, change and close from day to day.

The severity of each class of break stands in data/reconciliation.toml. A break has a key that
lasts: the set, the side and the record that it is about. `fold` compares what was open with what is
found now and says what happened; nothing else opens or closes a break. Events carry the row before
and after, so that they can be appended for ever and taken back.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from switch.files.file_schemas import BREAK, EVENT
from switch.files.parquet_reader import in_one
from switch.reconcile.match.certify import Comparison, Side
from switch.reconcile.match.records import DAY_US
from switch.reconcile.match.rules import SEVERITIES, Rules, Verdict

LINES = "lines"
TOTALS = "totals"
RECALLS = "recalls"


def breaks_of(name: str, found: Comparison) -> pa.Table:
    """The breaks of one set: one for a pair or group, one for each record that stands alone."""
    parts = [
        _rows(found, found.left, found.right, LINES, name, _subjects(found.left, found.right)),
        _rows(found, found.right, found.left, name, name, _alone(found.right)),
    ]
    return pa.concat_tables(parts)


def first_keys_of(name: str, found: Comparison) -> pa.Array:
    """The keys of version 1 of the same breaks, in the same order."""
    parts = [
        _first_keys(found.left, _subjects(found.left, found.right), LINES, name),
        _first_keys(found.right, _alone(found.right), name, name),
    ]
    return pa.concat_arrays(parts)


def first_keys_of_drifts(found: pa.Table) -> pa.Array:
    """The same of totals that differ."""
    return pc.binary_join_element_wise(TOTALS, found["participant"], "/").combine_chunks()


def with_kept_keys(open_breaks: pa.Table, found: pa.Table, first_keys: pa.Array) -> pa.Table:
    """Breaks that are found, in order of key: those of them that are open under a key of version 1
    keep it. first_keys: of each. Several may have the same: then the one that is most like the
    open break keeps it, of equal ones that with the lowest key."""
    old = {row["key"]: row for row in open_breaks.to_pylist() if is_first(row["key"])}
    keys = found["key"].to_pylist()
    best: dict[str, tuple[int, str, int]] = {}
    names = pa.array(list(old), pa.string())
    for i in np.flatnonzero(np.asarray(pc.is_in(first_keys, names))).tolist():
        row, name = found.slice(i, 1).to_pylist()[0], first_keys[i].as_py()
        apart = sum(row[column] != old[name][column] for column in _LIKE)
        best[name] = min(best.get(name, (len(_LIKE) + 1, "", i)), (apart, row["key"], i))
    for name, (_, _, i) in best.items():
        keys[i] = name
    return found.set_column(0, BREAK.field(0), pa.array(keys, pa.string())).sort_by("key")


def is_first(key: str) -> bool:
    """A key is of version 1."""
    return not key.startswith(f"{KEY_VERSION}/")


_LIKE = tuple(name for name in BREAK.names if name not in ("key", "age", "severity"))
"""Columns by which an open break is known again."""


def _alone(side: Side) -> NDArray[np.int64]:
    broken = side.verdict >= Verdict.MISSING
    return np.flatnonzero(broken & (side.mate < 0) & (side.group < 0))


def _subjects(left: Side, right: Side) -> NDArray[np.int64]:
    """Left records that a break is about: broken ones, but of a group the first only."""
    broken = left.verdict >= Verdict.MISSING
    return np.flatnonzero(broken & ((left.group < 0) | (left.group == np.arange(len(left)))))


def _rows(
    found: Comparison, side: Side, other: Side, side_name: str, name: str, at: NDArray[np.int64]
) -> pa.Table:
    rules = found.rules
    pick = pa.array(at)
    table = side.table.select(["transfer_id", "record_id", "participant", "account"]).take(pick)
    verdict, amount = side.verdict[at], side.amount[at]
    mate = side.mate[at]
    answered = np.where(mate >= 0, other.amount[mate] if len(other) else 0, 0)
    whole = amount.copy()
    names = pc.coalesce(other.column("record_id"), other.column("transfer_id"))
    counterpart = names.take(pa.array(np.maximum(mate, 0), mask=mate < 0))
    grouped = side.group[at] >= 0
    if grouped.any():
        numbers = side.group[at[grouped]]
        whole[grouped], answered[grouped] = _sums(side, numbers), _sums(other, numbers)
        counterpart = pc.replace_with_mask(
            counterpart, pa.array(grouped), _members(other, names, numbers)
        )
    answers = (mate >= 0) | (side.group[at] >= 0)
    differs = np.isin(verdict, (Verdict.AMOUNT, Verdict.FEE)) & answers
    value = np.where(differs, np.abs(whole - answered), np.abs(whole))
    missing = pa.array(~answers)
    amounts = [
        pa.array(whole),
        pc.if_else(missing, pa.scalar(None, pa.int64()), pa.array(answered)),
    ]
    if side_name != LINES:
        amounts.reverse()
    passes = pa.array([*(one.name for one in rules.passes), "deadline"], pa.string())
    return _table(
        {
            "key": _keys(side, at, "l" if side is found.left else "r", name),
            "set": pa.repeat(name, len(at)),
            "side": pa.repeat(side_name, len(at)),
            **{column: table[column].combine_chunks() for column in table.column_names},
            "counterpart": counterpart,
            "expected": amounts[0],
            "found": amounts[1],
            "rule": passes.take(pa.array(side.decided[at] % len(passes))),
        },
        verdict,
        value,
        side.day[at],
        rules,
        found.as_of,
    )


def _sums(side: Side, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Dong of the groups of these numbers."""
    total = np.zeros(int(max(side.group.max(), numbers.max())) + 1, np.int64)
    members = np.flatnonzero(side.group >= 0)
    np.add.at(total, side.group[members], side.amount[members])
    return total[numbers]


def _members(side: Side, names: pa.Array, numbers: NDArray[np.int64]) -> pa.Array:
    """The names of the records of each group, in one text."""
    members = np.flatnonzero(side.group >= 0)
    members = members[np.argsort(side.group[members], kind="stable")]
    held, starts = np.unique(side.group[members], return_index=True)
    offsets = pa.array(np.append(starts, len(members)).astype(np.int32))
    lists = pa.ListArray.from_arrays(offsets, pc.fill_null(names.take(pa.array(members)), "?"))
    return pc.binary_join(lists, " ").take(pa.array(np.searchsorted(held, numbers)))


def _keys(side: Side, at: NDArray[np.int64], which: str, name: str) -> pa.Array:
    """Key of each break: set, side and ids; of one without an id, of a repetition, and of one that
    shares its ids with a lower break, all columns. No two records have one key: a part is the
    length of its text, a colon and the text, a null has no length."""
    return _chosen(side, at, [KEY_VERSION, _part(name), which], _parts)


def _chosen(
    side: Side, at: NDArray[np.int64], head: list[str], parts: Callable[[pa.Array], pa.Array]
) -> pa.Array:
    some = side.table.select(_IDENTITY).take(pa.array(at)).combine_chunks()
    ids = _joined([pa.repeat("/".join(head), len(at)), *map(parts, some.columns)])
    code = np.asarray(ids.dictionary_encode().indices)
    lowest = np.zeros(len(at), bool)
    lowest[np.unique(code, return_index=True)[1]] = True
    named = [some[c].is_valid() for c in ("transfer_id", "record_id")]
    short = lowest & (side.kin[at] < 0) & np.asarray(pc.or_(*named))
    rest = [c for c in side.table.column_names if c not in _IDENTITY]
    where = pa.array(~short)
    others = side.table.select(rest).take(pa.array(at[~short]))
    whole = _joined([ids.filter(where), *map(parts, others.columns)])
    return pc.replace_with_mask(ids, where, whole)


def _joined(texts: list[pa.Array]) -> pa.Array:
    """Texts of columns, side by side."""
    whole = pa.chunked_array(pc.binary_join_element_wise(*texts, "/"))
    return whole.combine_chunks()


def _parts(column: pa.Array) -> pa.Array:
    """The part of a key that each value of a column is."""
    text = column.cast(pa.string())
    length = pc.utf8_length(text).cast(pa.string())
    return pc.fill_null(pc.binary_join_element_wise(length, text, ":"), _NULL)


def _part(text: str) -> str:
    return f"{len(text)}:{text}"


_NULL = "-"
KEY_VERSION = "2"
"""Beginning of keys. Those of version 1 begin with the name of their set."""


def _first_keys(side: Side, at: NDArray[np.int64], side_name: str, name: str) -> pa.Array:
    """Keys of version 1: with neither lengths nor nulls, so that two breaks may have the same."""
    return _chosen(side, at, [name, side_name], _first_parts)


def _first_parts(column: pa.Array) -> pa.Array:
    return pc.fill_null(column.cast(pa.string()), "")


_IDENTITY = ("transfer_id", "record_id", "end_to_end_id")


def _table(
    columns: dict[str, pa.Array],
    verdict: NDArray[np.uint8],
    value: NDArray[np.int64],
    day: NDArray[np.int64],
    rules: Rules,
    as_of: int,
) -> pa.Table:
    """Rows of BREAK. Age, severity, owner and action are as the rules have them: the severity of
    the class (`Rules.treatment`), raised by value and by age (`Rules.severity`)."""
    age = np.maximum(as_of - day, 0)
    firsts = rules.ageing.buckets
    labels = [
        f"{a}+" if i + 1 == len(firsts) else str(a) if firsts[i + 1] == a + 1
        else f"{a}-{firsts[i + 1] - 1}"
        for i, a in enumerate(firsts)
    ]  # fmt: skip
    bucket = np.searchsorted(np.array(firsts), age, side="right") - 1
    treated = [rules.treated(v) for v in Verdict]
    base = np.array([SEVERITIES.index(t.severity) if t else 0 for t in treated])
    raised = (value >= rules.severity.value).astype(np.int64) + (age >= rules.severity.days)
    severity = np.minimum(base[verdict] + raised, len(SEVERITIES) - 1)

    def words(values: list[str], index: NDArray[np.integer]) -> pa.Array:
        return pa.array(values, pa.string()).take(pa.array(index))

    whole = {
        **columns,
        "class": words([v.name for v in Verdict], verdict),
        "value": pa.array(value),
        "day": pa.array(day.astype(np.int32)).cast(pa.date32()),
        "age": words(labels, bucket),
        "severity": words(list(SEVERITIES), severity),
        "owner": words([t.owner if t else "" for t in treated], verdict),
        "action": words([t.action if t else "" for t in treated], verdict),
    }
    return pa.table([whole[f.name] for f in BREAK], schema=BREAK)


def drifts(
    expected: dict[str, int],
    declared: dict[str, int],
    broken: set[str],
    rules: Rules,
    as_of: int,
    *,
    always: bool = False,
) -> pa.Table:
    """TOTAL_DRIFT by scope: totals that differ though no item of the scope is broken. A scope that
    only one of the sides knows counts as zero on the other. always: equal ones differ, too."""
    scopes = [
        s for s in sorted(expected.keys() | declared.keys())
        if s not in broken and (always or expected.get(s, 0) != declared.get(s, 0))
    ]  # fmt: skip
    ours = np.array([expected.get(s, 0) for s in scopes], np.int64)
    theirs = np.array([declared.get(s, 0) for s in scopes], np.int64)
    count = len(scopes)
    names = pa.array(scopes, pa.string())
    nothing = pa.nulls(count, pa.string())
    return _table(
        {
            "key": pa.array([f"{KEY_VERSION}/{TOTALS}/{_part(s)}" for s in scopes], pa.string()),
            "set": pa.repeat(TOTALS, count),
            "side": pa.repeat(TOTALS, count),
            "transfer_id": nothing,
            "record_id": nothing,
            "participant": names,
            "account": nothing,
            "counterpart": nothing,
            "expected": pa.array(ours),
            "found": pa.array(theirs),
            "rule": pa.repeat(TOTALS, count),
        },
        np.full(count, Verdict.TOTAL_DRIFT, np.uint8),
        np.abs(ours - theirs),
        np.full(count, as_of, np.int64),
        rules,
        as_of,
    )


def of_recalls(overdue: pa.Table, strays: pa.Table, rules: Rules, as_of: int) -> pa.Table:
    """RECALL_OVERDUE of lines (RECORD; at: the day of the recall), and RECALL_UNMATCHED of answers
    to no recall (RECORD)."""
    whole = pa.concat_tables([overdue, strays]).combine_chunks()
    mine, count = len(overdue), len(whole)
    late = np.arange(count) < mine
    head = f"{KEY_VERSION}/{_part(RECALLS)}"
    lines = _joined([pa.repeat(f"{head}/l", mine), _parts(overdue["transfer_id"].combine_chunks())])
    answers = [pa.repeat(f"{head}/r", count - mine)]
    answers += [_parts(strays[name].combine_chunks()) for name in strays.column_names]
    amount = np.asarray(whole["amount"])
    nothing = pa.nulls(count, pa.string())
    columns = {
        "key": pa.concat_arrays([lines, _joined(answers)]),
        "set": pa.repeat(RECALLS, count),
        "side": pc.if_else(pa.array(late), LINES, RECALLS),
        "transfer_id": whole["transfer_id"],
        "record_id": nothing,
        "participant": whole["participant"],
        "account": nothing,
        "counterpart": nothing,
        "expected": pa.array(amount, mask=~late),
        "found": pa.nulls(count, pa.int64()),
        "rule": pc.if_else(pa.array(late), "deadline", RECALLS),
    }
    verdict = np.where(late, Verdict.RECALL_OVERDUE, Verdict.RECALL_UNMATCHED).astype(np.uint8)
    day = np.asarray(whole["at"]) // DAY_US
    return _table(columns, verdict, np.abs(amount), day, rules, as_of).sort_by("key")


# --- from day to day -----------------------------------------------------------------------------


def fold(open_breaks: pa.Table, found: pa.Table, as_of: datetime.date) -> pa.Table:
    """Events that lead from the open breaks to those found now, in order of key.

    Both are tables of BREAK with distinct keys. A break whose record has its counterpart by now is
    not found any more, and so it closes by itself.
    """
    tables = [open_breaks, found]
    rows = pa.concat_tables([table.select(BREAK.names) for table in tables]).combine_chunks()
    sides = [table["key"].combine_chunks() for table in tables]
    assert all(len(side.unique()) == len(side) for side in sides), "keys are not distinct"
    keys = in_one(rows["key"]).unique()
    keys = keys.take(pc.sort_indices(keys))
    at = [np.asarray(pc.index_in(keys, side).fill_null(-1)).astype(np.int64) for side in sides]
    opened, closed = (place < 0 for place in at)
    at[1] += len(open_breaks)
    # Where one of the two is absent, the other one stands in its place, under the mask.
    old, new = np.where(opened, at[1], at[0]), np.where(closed, at[0], at[1])
    differs = opened | closed
    for column in rows.columns:
        code = np.asarray(in_one(column).dictionary_encode().indices.fill_null(-1))
        differs |= code[old] != code[new]
    some = np.flatnonzero(differs)
    words = pa.array(["changed", "opened", "closed"])
    columns = [
        words.take(pa.array(opened[some] + 2 * closed[some])),
        keys.take(pa.array(some)),
        pa.repeat(pa.scalar(as_of, pa.date32()), len(some)),
        _structs(rows.take(pa.array(old[some])), opened[some]),
        _structs(rows.take(pa.array(new[some])), closed[some]),
    ]
    return pa.table(columns, schema=EVENT)


def _structs(table: pa.Table, absent: NDArray[np.bool_]) -> pa.StructArray:
    """Rows of BREAK as one column, null where they are absent."""
    arrays = [in_one(column) for column in table.columns]
    return pa.StructArray.from_arrays(arrays, fields=list(BREAK), mask=pa.array(absent))


def apply(open_breaks: pa.Table, events: pa.Table) -> pa.Table:
    """The open breaks after events, in order of key. Raises AssertionError where an event does not
    fit: its before is not what is open."""
    rows = {row["key"]: row for row in open_breaks.to_pylist()}
    for event in events.to_pylist():
        assert rows.get(event["key"]) == event["before"], f"{event['key']} is not as it was"
        if event["after"] is None:
            del rows[event["key"]]
        else:
            rows[event["key"]] = event["after"]
    return pa.Table.from_pylist([rows[key] for key in sorted(rows)], schema=BREAK)


def undo(events: pa.Table) -> pa.Table:
    """Events that take these back, in reverse order: to be appended, never to be erased."""
    turned = {"opened": "closed", "closed": "opened", "changed": "changed"}
    rows = [
        {**row, "event": turned[row["event"]], "before": row["after"], "after": row["before"]}
        for row in reversed(events.to_pylist())
    ]
    return pa.Table.from_pylist(rows, schema=EVENT)
