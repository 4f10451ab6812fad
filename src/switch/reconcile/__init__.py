"""Reconcile: what came back is held against what was sent, and the day is ended.

For a home, `take_in` takes answers in, `day_end` ends a day, `dispositions` says what becomes of
money that is back. For any two sets of records, here are pure functions: `reconcile` gives every
record a verdict, and a row to every break; `fold` turns the breaks of two days into events;
`explain` says which rule decided. Severity, owner and action of a class of breaks stand in
data/reconciliation.toml (`match.rules.Treatment`); docs/reconciliation.md has classes and passes in
words.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from switch.errors import InputRefused, counted
from switch.files.file_schemas import BREAK, RECORD
from switch.reconcile.match.breaks import (
    apply,
    breaks_of,
    drifts,
    first_keys_of,
    first_keys_of_drifts,
    fold,
    is_first,
    undo,
    with_kept_keys,
)
from switch.reconcile.match.certify import SECRET, Comparison, ExpectedLines, Side
from switch.reconcile.match.passes import REFUSED
from switch.reconcile.match.records import (
    Records,
    clearing_lines,
    confirmations,
    records,
    requests,
    returns,
    statement,
)
from switch.reconcile.match.rules import CLASSES, Rules, Verdict, default_rules, read_rules

__all__ = [
    "BREAK",
    "CLASSES",
    "RECORD",
    "Comparison",
    "Outcome",
    "Records",
    "Rules",
    "Verdict",
    "apply",
    "clearing_lines",
    "confirmations",
    "default_rules",
    "explain",
    "fold",
    "read_rules",
    "reconcile",
    "records",
    "requests",
    "returns",
    "statement",
    "undo",
]

CONFIRMATIONS, RETURNS = "confirmations", "returns"
ROWS_FREE, ROWS_TIMES_LINES = 100_000, 4
"""Rows of all files that are held against lines: some, and so many for each line, as in a home."""


@dataclass(frozen=True)
class Outcome:
    """Verdicts on every record. verdict u8: that of each line, over all sets."""

    verdict: NDArray[np.uint8]
    sets: Mapping[str, Comparison]
    breaks: pa.Table
    """A table of BREAK, in order of key"""
    nbytes: int
    """Memory of the native table of lines"""
    drifts: pa.Table
    """Those of the breaks that are about totals."""

    def kept(self, open_breaks: pa.Table) -> pa.Table:
        """The breaks to fold with open ones that were found by an earlier version: whatever is
        open under a key of version 1 is found under it again."""
        return kept([self], open_breaks)

    def counts(self) -> dict[str, dict[str, int]]:
        """Records by verdict: of the lines, then of each set."""
        sides = {"lines": self.verdict, **{n: c.right_verdict for n, c in self.sets.items()}}
        return {
            name: {Verdict(v).name: int(n) for v, n in enumerate(np.bincount(verdicts)) if n}
            for name, verdicts in sides.items()
        }


def reconcile(
    lines: Records,
    sets: Mapping[str, Records],
    as_of: datetime.date,
    *,
    rules: Rules | None = None,
    totals: Mapping[str, int] | None = None,
    secret: int = SECRET,
    threads: int = 1,
) -> Outcome:
    """Hold lines against every set.

    sets: by name. "returns" need not answer a line and explain one that nobody confirmed; any other
    set ("confirmations", a statement that names transfers) has to have every line. totals: what was
    declared, dong by participant, to compare with the sums of the lines. as_of: the day on which
    deadlines and ages are looked at. threads: how many read; the outcome does not depend on it.
    Raises InputRefused for an amount beyond 2^56, and for files of more rows than lines leave room
    for.
    """
    _require_few(sets, len(lines))
    rules = rules or default_rules()
    today = (as_of - datetime.date(1970, 1, 1)).days
    expected = ExpectedLines(lines, rules, secret, threads)
    found = {
        name: expected.against(these, today, required=name != RETURNS)
        for name, these in sets.items()
    }
    extra = BREAK.empty_table()
    if CONFIRMATIONS in found and RETURNS in found:
        _weigh_returns(found[CONFIRMATIONS], found[RETURNS])
    verdict = np.full(len(lines), Verdict.NONE, np.uint8)
    for comparison in found.values():
        np.maximum(verdict, comparison.left_verdict, out=verdict)
    breaks = [breaks_of(name, comparison) for name, comparison in found.items()]
    if totals is not None:
        named = [pc.unique(part["participant"]).to_pylist() for part in breaks]
        broken = {name for names in named for name in names if name is not None}
        extra = drifts(_sums(lines, threads), dict(totals), broken, rules, today)
    table = pa.concat_tables([*breaks, extra]).combine_chunks()
    return Outcome(verdict, found, table.sort_by("key"), expected.nbytes, extra)


def kept(outcomes: Iterable[Outcome], open_breaks: pa.Table) -> pa.Table:
    """The breaks of several outcomes, in order of key, as `Outcome.kept` gives those of one."""
    if not any(map(is_first, open_breaks["key"].to_pylist())):
        return pa.concat_tables([one.breaks for one in outcomes]).combine_chunks().sort_by("key")
    parts, firsts = [BREAK.empty_table()], [pa.array([], pa.string())]
    for one in outcomes:
        for name, comparison in one.sets.items():
            parts.append(breaks_of(name, comparison))
            firsts.append(first_keys_of(name, comparison))
        parts.append(one.drifts)
        firsts.append(first_keys_of_drifts(one.drifts))
    found = pa.concat_tables(parts).combine_chunks()
    return with_kept_keys(open_breaks, found, pa.concat_arrays(firsts))


def _require_few(sets: Mapping[str, Records], lines: int) -> None:
    most = ROWS_FREE + ROWS_TIMES_LINES * lines
    if sum(these.in_files for these in sets.values()) > most:
        raise InputRefused(
            "ROW_LIMIT",
            f"the files of {', '.join(sets)} have more than the {most:,} rows that the lines leave"
            " room for",
            remedy="hold them against all lines that were sent, or in several parts",
        )


def _sums(lines: Records, threads: int) -> dict[str, int]:
    """Dong of the lines by participant."""
    sums: dict[str, int] = {}
    for table in lines.chunks(("participant", "amount"), pa.table, threads):
        grouped = table.group_by("participant").aggregate([("amount", "sum")])
        for name, amount in zip(
            grouped["participant"].to_pylist(), grouped["amount_sum"].to_pylist(), strict=True
        ):
            sums[name or ""] = sums.get(name or "", 0) + amount
    return sums


def _weigh_returns(answers: Comparison, back: Comparison) -> None:
    """A line that came back: it needs no confirmation any more, a late refusal has its money, but
    one that was credited, however late it was booked, or refused in time, contradicts its
    return."""
    paired = np.flatnonzero((back.left.mate >= 0) & (back.left.verdict == Verdict.MATCHED))
    rows = back.left.rows[paired]
    said = answers.left_verdict[rows]
    _set(back, paired[(said == Verdict.MATCHED) | (said == Verdict.TIMING)], Verdict.STATUS)
    # Any other verdict stands in what was looked at one by one.
    order = np.argsort(answers.left.rows)
    open_rows = rows[said != Verdict.MATCHED]
    at = order[np.searchsorted(answers.left.rows, open_rows, sorter=order)]
    verdict, mate = answers.left.verdict[at], answers.left.mate[at]
    _set(answers, at[(verdict == Verdict.MISSING) | (verdict == Verdict.PENDING)], Verdict.MATCHED)
    late = at[(verdict == Verdict.STATUS) & (mate >= 0)]
    _set(answers, late[answers.right.money[answers.left.mate[late]] == REFUSED], Verdict.MATCHED)


def _set(found: Comparison, left: NDArray[np.int64], verdict: Verdict) -> None:
    """Another verdict for left records and their mates."""
    right = found.left.mate[left]
    right = right[right >= 0]
    found.left.verdict[left] = found.left_verdict[found.left.rows[left]] = verdict
    found.right.verdict[right] = found.right_verdict[found.right.rows[right]] = verdict


NOUNS = {
    "lines": "line",
    "confirmations": "confirmation",
    "returns": "return",
    "statement": "entry of a statement",
}
"""Records of a set in words; another set is called as its caller calls it."""


def explain(outcome: Outcome, reference: str) -> list[str]:
    """Sentences on every record with this transfer id or record id: its verdict, and which rule
    decided. Empty where no set has it among what was looked at one by one: then it was plain."""
    said = []
    for name, found in outcome.sets.items():
        for side_name, side, other in (
            ("lines", found.left, found.right),
            (name, found.right, found.left),
        ):
            named = [pc.equal(side.column(c), reference) for c in ("transfer_id", "record_id")]
            hits = pc.or_(*(pc.fill_null(hit, False) for hit in named))
            for i in np.flatnonzero(np.asarray(hits)).tolist():
                said.append(_sentence(found, side, other, side_name, i))
    return said


def _sentence(found: Comparison, side: Side, other: Side, side_name: str, i: int) -> str:
    verdict = Verdict(int(side.verdict[i])).name
    rules = found.rules
    rule = rules.passes[side.decided[i]].name if side.decided[i] >= 0 else ""
    head = f"{NOUNS.get(side_name, side_name)} of {int(side.amount[i]):,} dong, {verdict}"
    if side.kin[i] >= 0:
        return f"{head}: its id was there before (rule {rule!r})"
    if side.mate[i] >= 0:
        j = int(side.mate[i])
        away = int(other.amount[j] - side.amount[i])
        apart = int(other.day[j] - side.day[i])
        money = f"{abs(away):,} dong {'more' if away > 0 else 'less'}" if away else "as much"
        days = f"{counted(abs(apart), 'day')} {'later' if apart > 0 else 'earlier'}"
        may = f"{rules.amount:,} dong and {counted(rules.days, 'day')}"
        return (
            f"{head}: it goes with {_name(other, j)} (rule {rule!r}), which is {money},"
            f" {days if apart else 'of the same day'}; the rules allow {may}"
        )
    if side.group[i] >= 0:
        theirs = np.flatnonzero(other.group == side.group[i]).tolist()
        names = ", ".join(_name(other, j) for j in theirs)
        return f"{head}: it adds up with {names} (rule {rule!r})"
    if verdict == Verdict.AMBIGUOUS.name:
        return f"{head}: several counterparts fit equally well (rule {rule!r})"
    if verdict == Verdict.MATCHED.name:
        return f"{head}: its money came back, so that nothing else has to answer it"
    due = counted(rules.deadline_days, "day")
    return f"{head}: nothing fits it, for which the rules allow {due}"


def _name(side: Side, i: int) -> str:
    for column in ("record_id", "transfer_id", "end_to_end_id"):
        value = side.table[column][i].as_py()
        if value is not None:
            return str(value)
    return f"an entry of {int(side.amount[i]):,} dong"
