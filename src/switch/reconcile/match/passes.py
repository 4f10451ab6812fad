"""The passes over what is not plain, and the judgement of what they brought together.

IN: two sides in order. OUT: mates, groups and verdicts. Codes are integers that are equal where two
texts are; -1 is no text. Records in groups of one against one are decided together, others group by
group: they are few.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from switch.native.match import subset_sums
from switch.reconcile.match.records import ByDay
from switch.reconcile.match.rules import Pass, Rules, Verdict

if TYPE_CHECKING:
    from switch.reconcile.match.certify import Side

PAID, REFUSED, RETURNED = range(3)
"""Meaning of the status of a record for the money; a record without one says that it was paid."""
Index = NDArray[np.int64]
_REFERENCES = "transfer_id", "end_to_end_id"


def run(left: Side, right: Side, rules: Rules) -> None:
    """All passes in the order of the rules."""
    for number, one in enumerate(rules.passes):
        if one.by == "transfer_id":
            _by_transfer_id(left, right, number, rules)
        elif one.by in ("end_to_end_id", "account"):
            pair_codes, bounded = _between(left, right, one.by), one.by == "account"
            with _copies_aside(left, right, pair_codes, number):
                _nearest(left, right, pair_codes, one, number, bounded=bounded)
        elif one.by == "subset":
            _by_subsets(left, right, one, number)
        else:
            _by_groups(left, right, one, number)


def codes(left: Side, right: Side, name: str) -> tuple[Index, Index]:
    """Codes of a text column over both sides; -1 where null."""
    if name not in left.codes:
        both = pa.concat_arrays([left.column(name), right.column(name)]).dictionary_encode()
        code = np.asarray(both.indices.fill_null(-1)).astype(np.int64)
        left.codes[name] = code[: len(left)], code[len(left) :]
    return left.codes[name]


def _between(left: Side, right: Side, name: str) -> tuple[Index, Index]:
    """Codes of a text column, of participants apart: what one says is no answer to what was sent to
    another. Where a record under a text names no participant, all under it are of one. -1 where the
    text is null."""
    texts, who = codes(left, right, name), codes(left, right, "participant")
    if len(np.unique(np.concatenate(who))) < 2:
        return texts
    key = f"{name} of a participant"
    if key not in left.codes:
        # One place more: code -1, no text, is the last.
        silent = np.zeros(max(int(code.max(initial=-1)) for code in texts) + 2, bool)
        for text, participant in zip(texts, who, strict=True):
            silent[text[participant < 0]] = True
        apart = [np.where(silent[text], 0, code) for text, code in zip(texts, who, strict=True)]
        joint = _joint(*texts, *apart)
        _, code = np.unique(np.concatenate(joint), return_inverse=True)
        code[np.concatenate(texts) < 0] = -1
        left.codes[key] = code[: len(left)], code[len(left) :]
    return left.codes[key]


def _pair(left: Side, right: Side, i: Index, j: Index, number: int) -> None:
    left.mate[i], right.mate[j] = j, i
    left.decided[i] = right.decided[j] = number


# --- by transfer id ------------------------------------------------------------------------------


def _by_transfer_id(left: Side, right: Side, number: int, rules: Rules) -> None:
    """Equal ids. Where an id stands several times on a side, the copies that agree in all come
    first, then those that sum to the one of the other side, then copies in order; a copy too many
    is a duplicate, or contradicts the one that is paired."""
    of_left, of_right = _between(left, right, "transfer_id")
    if len(left) and len(right):
        accounts, amounts = codes(left, right, "account"), _amounts(left, right)
        said = [(side.money == REFUSED).astype(np.int64) for side in (left, right)]
        for more in ([amounts, said, accounts], [amounts, said], []):
            if not more:
                _shared_ids(left, right, of_left, of_right, number, rules)
            i, j = left.open(), right.open()
            i, j = i[of_left[i] >= 0], j[of_right[j] >= 0]
            a, b = of_left[i], of_right[j]
            for here, there in more:
                a, b = _joint(a, b, here[i], there[j])
            at, to = _in_order(a, b)
            _pair(left, right, i[at], j[to], number)
    for side, code in ((left, of_left), (right, of_right)):
        _surplus(side, code, number)


def _shared_ids(
    left: Side, right: Side, of_left: Index, of_right: Index, number: int, rules: Rules
) -> None:
    """Several records under the id of one of the other side, to the same sum: a split."""
    # One place more: code -1, no id, is the last, and stays empty.
    size = int(max(of_left.max(initial=-1), of_right.max(initial=-1))) + 2
    counts, sums, taken = [], [], np.zeros(size, bool)
    for side, code in ((left, of_left), (right, of_right)):
        at = side.open()
        at = at[code[at] >= 0]
        counts.append(np.bincount(code[at], minlength=size))
        total = np.zeros(size, np.int64)
        np.add.at(total, code[at], side.amount[at])
        sums.append(total)
        taken[code[(code >= 0) & (side.mate >= 0)]] = True
    most = np.maximum(*counts)
    # 64 amounts below 2**56 are summed without a doubt.
    one_sided = (np.minimum(*counts) == 1) & (most > 1) & (most <= 64)
    split = one_sided & ~taken & (np.abs(sums[0] - sums[1]) <= rules.amount)
    i, j = np.flatnonzero(split[of_left]), np.flatnonzero(split[of_right])
    for group in _cut(i, j, of_left, of_right):
        _bind(left, right, group.left, group.right, number)


def _amounts(left: Side, right: Side) -> tuple[Index, Index]:
    """Codes of the amounts."""
    _, code = np.unique(np.concatenate([left.amount, right.amount]), return_inverse=True)
    return code[: len(left)], code[len(left) :]


def _joint(a: Index, b: Index, here: Index, there: Index) -> tuple[Index, Index]:
    """Codes of two columns together: a with here on the left, b with there on the right."""
    first, second = np.concatenate([a, b]) + 1, np.concatenate([here, there]) + 1
    span = int(second.max(initial=0)) + 1
    if int(first.max(initial=0)) >= 2**62 // span:
        # Codes of at most as many values as there are records: the product fits again.
        _, first = np.unique(first, return_inverse=True)
    code = first * span + second
    return code[: len(a)], code[len(a) :]


def _in_order(a: Index, b: Index) -> tuple[Index, Index]:
    """Positions in a and b of the k-th record of each code on either side, for all k."""
    keys = _joint(a, b, _ordinal(a), _ordinal(b))
    _, at, to = np.intersect1d(*keys, assume_unique=True, return_indices=True)
    return at, to


def _ordinal(code: Index) -> Index:
    """Number of equal codes that stand before each."""
    order = np.argsort(code, kind="stable")
    ordered = code[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(code) else order
    runs = np.diff(np.r_[starts, len(code)])
    out = np.empty(len(code), np.int64)
    out[order] = np.arange(len(code)) - np.repeat(starts, runs)
    return out


def _surplus(side: Side, code: Index, number: int) -> None:
    """Copies of an id beside the one that is paired, or where none is, beside the first."""
    left_over = np.flatnonzero((code >= 0) & (side.mate < 0) & (side.group < 0))
    if not len(left_over):
        return
    paired = np.flatnonzero((code >= 0) & (side.mate >= 0))
    lead = np.full(int(code.max()) + 1, -1, np.int64)
    lead[code[left_over[::-1]]] = left_over[::-1]
    lead[code[paired[::-1]]] = paired[::-1]
    kin = lead[code[left_over]]
    again = kin != left_over
    extra, kin = left_over[again], kin[again]
    contradicts = (side.money[extra] == REFUSED) != (side.money[kin] == REFUSED)
    side.verdict[extra] = np.where(contradicts, Verdict.STATUS, Verdict.DUPLICATE)
    side.decided[extra], side.kin[extra] = number, kin


# --- one to one ----------------------------------------------------------------------------------


@contextmanager
def _copies_aside(
    left: Side, right: Side, pair_codes: tuple[Index, Index], number: int
) -> Iterator[None]:
    """Open records that equal a lower one in all but their own id, and are more than the other side
    has for them, stand aside during a pass: a statement that was sent again with new ids takes no
    good row its counterpart. Afterwards they are duplicates of it, or end as it did."""
    a, b = _joint(*pair_codes, *_amounts(left, right))
    accounts = codes(left, right, "account")
    if all((code >= 0).any() for code in accounts):
        a, b = _joint(a, b, *accounts)
    a[pair_codes[0] < 0] = b[pair_codes[1] < 0] = -1
    aside = [(left, *_copies(left, a, right, b)), (right, *_copies(right, b, left, a))]
    for side, copies, _ in aside:
        side.verdict[copies] = Verdict.DUPLICATE
    yield
    for side, copies, lead in aside:
        paired = side.mate[lead] >= 0
        side.verdict[copies[~paired]] = side.verdict[lead[~paired]]
        side.decided[copies] = np.where(paired, number, side.decided[lead])
        side.kin[copies[paired]] = lead[paired]


def _copies(side: Side, code: Index, other: Side, theirs: Index) -> tuple[Index, Index]:
    """(open records that stand aside, the lowest one that each equals). Two may well
    be two payments where they refer to nothing, nor does what they are held against."""
    i, j = side.open(), other.open()
    told, asked = (
        np.asarray(pc.or_(*(s.column(name).is_valid() for name in _REFERENCES)))
        for s in (side, other)
    )
    i = i[told[i] | np.isin(code[i], theirs[j[asked[j]]])]
    wanted, wants = np.unique(theirs[j][theirs[j] >= 0], return_counts=True)
    i = i[(code[i] >= 0) & np.isin(code[i], wanted)]
    _, which, many = np.unique(code[i], return_inverse=True, return_counts=True)
    i = i[many[which] > 1]
    rest = side.table.drop(["record_id"]).take(pa.array(i))
    alike = np.zeros(len(i), np.int64)
    for name in rest.column_names:
        column = np.asarray(rest[name].combine_chunks().dictionary_encode().indices.fill_null(-1))
        alike, _ = _joint(alike, alike[:0], column.astype(np.int64), alike[:0])
    _, first, which = np.unique(alike, return_index=True, return_inverse=True)
    due = wants[np.searchsorted(wanted, code[i])]
    extra = _ordinal(alike) >= due
    return i[extra], i[first[which[extra]]]


class _Group(NamedTuple):
    left: Index
    right: Index


def _groups(left: Side, right: Side, a: Index, b: Index) -> Iterator[_Group]:
    """Open records by code, where a code has open records on both sides, in order of the lowest
    left record; indices rise within."""
    i, j = left.open(), right.open()
    i, j = i[a[i] >= 0], j[b[j] >= 0]
    i, j = i[np.isin(a[i], b[j])], j[np.isin(b[j], a[i])]
    yield from _cut(i, j, a, b)


def _cut(i: Index, j: Index, a: Index, b: Index) -> Iterator[_Group]:
    """Indices i and j group by group; their codes, a and b of all records, are the same set."""
    i, j = i[np.argsort(a[i], kind="stable")], j[np.argsort(b[j], kind="stable")]
    cuts = np.flatnonzero(np.diff(a[i])) + 1, np.flatnonzero(np.diff(b[j])) + 1
    if len(i):
        for here, there in zip(np.split(i, cuts[0]), np.split(j, cuts[1]), strict=True):
            yield _Group(here, there)


def _nearest(
    left: Side, right: Side, pair_codes: tuple[Index, Index], one: Pass, number: int, *,
    bounded: bool,
) -> None:  # fmt: skip
    """One to one among equal codes; bounded: within the pass's amount and days."""
    a, b = pair_codes
    if bounded and one.amount == 0:
        # Only equal amounts can meet, so that groups of a busy account stay small.
        without = a < 0, b < 0
        a, b = _joint(a, b, *_amounts(left, right))
        a[without[0]] = b[without[1]] = -1
    i, j = left.open(), right.open()
    i, j = i[a[i] >= 0], j[b[j] >= 0]
    _, at, many_left = np.unique(a[i], return_index=True, return_counts=True)
    _, to, many_right = np.unique(b[j], return_index=True, return_counts=True)
    sole_left, sole_right = i[at[many_left == 1]], j[to[many_right == 1]]
    _, at, to = np.intersect1d(a[sole_left], b[sole_right], assume_unique=True, return_indices=True)
    here, there = sole_left[at], sole_right[to]
    if bounded:
        near = (np.abs(left.amount[here] - right.amount[there]) <= one.amount) & (
            np.abs(left.day[here] - right.day[there]) <= one.days
        )
        here, there = here[near], there[near]
    _pair(left, right, here, there, number)
    if bounded and one.amount == 0 and one.ties == "ambiguous":
        _all_alike(left, right, a, b, one, number)
    for group in _groups(left, right, a, b):
        if len(group.left) * len(group.right) > 1:
            _nearest_in(left, right, group, one, number, bounded=bounded)


class _Runs:
    """Open records of one side by code: index sorted by code, where each code starts, and the
    codes themselves."""

    def __init__(self, side: Side, code: Index) -> None:
        at = side.open()
        at = at[code[at] >= 0]
        self.side, self.at = side, at[np.argsort(code[at], kind="stable")]
        self.codes, self.starts, self.counts = np.unique(
            code[self.at], return_index=True, return_counts=True
        )

    def of(self, codes: Index) -> _Runs:
        """The same for some of the codes alone."""
        chosen = np.isin(self.codes, codes)
        self.at = self.at[np.repeat(chosen, self.counts)]
        self.codes, self.counts = self.codes[chosen], self.counts[chosen]
        self.starts = np.cumsum(self.counts) - self.counts
        return self

    def days(self) -> tuple[Index, Index]:
        """(first, last) day of each code."""
        day = self.side.day[self.at]
        return np.minimum.reduceat(day, self.starts), np.maximum.reduceat(day, self.starts)


def _common(left: Side, right: Side, a: Index, b: Index) -> tuple[_Runs, _Runs]:
    """Open records of codes that have some on either side."""
    runs = _Runs(left, a), _Runs(right, b)
    both = np.intersect1d(runs[0].codes, runs[1].codes, assume_unique=True)
    return runs[0].of(both), runs[1].of(both)


def _all_alike(left: Side, right: Side, a: Index, b: Index, one: Pass, number: int) -> None:
    """Several records that fit each other equally well, decided at once: all are ambiguous."""
    here, there = _common(left, right, a, b)
    if not len(here.codes):
        return
    (first, last), (begin, end) = here.days(), there.days()
    alike = (first == last) & (begin == end) & (np.abs(first - begin) <= one.days)
    alike &= here.counts + there.counts > 2
    i, j = (runs.at[np.repeat(alike, runs.counts)] for runs in (here, there))
    _ambiguous(left, right, i, j, number)


def _whole_sums(left: Side, right: Side, a: Index, b: Index, one: Pass, number: int) -> None:
    """One against all others of its account, where amounts are positive and must sum exactly: no
    other subset can, so that nothing needs to be searched."""
    here, there = _common(left, right, a, b)
    if not len(here.codes):
        return
    (first, last), (begin, end) = here.days(), there.days()
    most = np.maximum(here.counts, there.counts)
    whole = (np.minimum(here.counts, there.counts) == 1) & (most >= max(one.size_min, 2))
    whole &= most <= min(one.size, one.items)
    whole &= np.maximum(last, end) - np.minimum(first, begin) <= one.days
    for runs in (here, there):
        whole &= np.minimum.reduceat(runs.side.amount[runs.at], runs.starts) > 0
    # 64 amounts below 2**56 at most are summed where it counts; elsewhere a sum may wrap.
    sums = [np.add.reduceat(runs.side.amount[runs.at], runs.starts) for runs in (here, there)]
    whole &= sums[0] == sums[1]
    i, j = (runs.at[np.repeat(whole, runs.counts)] for runs in (here, there))
    leader = here.at[here.starts]
    for side, at, runs in ((left, i, here), (right, j, there)):
        side.group[at] = np.repeat(leader[whole], runs.counts[whole])
        side.decided[at], side.verdict[at] = number, Verdict.SPLIT


def _nearest_in(
    left: Side, right: Side, group: _Group, one: Pass, number: int, *, bounded: bool
) -> None:
    if len(group.left) * len(group.right) > one.work:
        _ambiguous(left, right, group.left, group.right, number)
        return
    away = np.abs(left.amount[group.left][:, None] - right.amount[group.right])
    apart = np.abs(left.day[group.left][:, None] - right.day[group.right])
    other = np.zeros(away.shape, bool)
    if bounded:
        fits = (away <= one.amount) & (apart <= one.days)
    else:
        # Many records may share an id: then the account, or at least the amount, has to agree.
        a, b = (
            [side.table["account"][i].as_py() for i in at.tolist()]
            for side, at in ((left, group.left), (right, group.right))
        )
        other = np.array([[None not in (x, y) and x != y for y in b] for x in a])
        fits = ~other | (away == 0)
    edges = [
        ((bool(other[i, j]), int(away[i, j]), int(apart[i, j])), int(i), int(j))
        for i, j in np.argwhere(fits)
    ]
    # Equal distances: the pair with the lowest record, of whichever side, comes first.
    edges.sort(key=lambda e: (e[0], min(e[1:]), max(e[1:]), e[1]))
    while edges:
        if one.ties == "lowest":
            chosen = edges[:1]
        else:
            best_left, best_right = _sole_best(edges, 1), _sole_best(edges, 2)
            chosen = [e for e in edges if best_left.get(e[1]) == e and best_right.get(e[2]) == e]
        if not chosen:
            some = group.left[sorted({e[1] for e in edges})]
            _ambiguous(left, right, some, group.right[sorted({e[2] for e in edges})], number)
            return
        done_left, done_right = {e[1] for e in chosen}, {e[2] for e in chosen}
        i, j = group.left[[e[1] for e in chosen]], group.right[[e[2] for e in chosen]]
        _pair(left, right, i, j, number)
        edges = [e for e in edges if e[1] not in done_left and e[2] not in done_right]


def _sole_best(edges: list[Any], end: int) -> dict[int, Any]:
    """The nearest edge of every record, where no other is as near. edges: nearest first."""
    best: dict[int, Any] = {}
    tied: set[int] = set()
    for edge in edges:
        held = best.setdefault(edge[end], edge)
        if held is not edge and held[0] == edge[0]:
            tied.add(edge[end])
    return {record: edge for record, edge in best.items() if record not in tied}


def _ambiguous(left: Side, right: Side, i: Index, j: Index, number: int) -> None:
    for side, at in ((left, i), (right, j)):
        side.verdict[at] = Verdict.AMBIGUOUS
        side.decided[at] = number


# --- sums ----------------------------------------------------------------------------------------


class _Sum(NamedTuple):
    """Records of either side that sum to the same."""

    left: tuple[int, ...]
    right: tuple[int, ...]


def _by_subsets(left: Side, right: Side, one: Pass, number: int) -> None:
    """One to many and many to one of an account, both at once. Under ties "ambiguous" a sum counts
    where it is the only one for its records; else the smallest and lowest come first."""
    a, b = _between(left, right, "account")
    if one.amount == 0:
        _whole_sums(left, right, a, b, one, number)
    for group in _groups(left, right, a, b):
        if len(group.left) + len(group.right) < 1 + one.size_min:
            continue
        sums: set[_Sum] = set()
        doubtful: set[_Sum] = set()
        for side, other, here, there in (
            (left, right, group.left, group.right),
            (right, left, group.right, group.left),
        ):
            by_day, days = ByDay(there, other.day[there]), side.day[here]
            many = by_day.count(days, one.days)
            for at in np.flatnonzero((many >= one.size_min) & (many <= one.items)).tolist():
                single, near = int(here[at]), by_day.near(int(days[at]), one.days)
                found, sole = _subsets(other, near, int(side.amount[single]), one)
                turned = [_Sum((single,), m) if side is left else _Sum(m, (single,)) for m in found]
                sums.update(turned[:1] if one.ties == "lowest" else turned)
                doubtful.update(() if sole else turned)
        _take_sums(left, right, sums, doubtful, one, number)


def _subsets(
    side: Side, among: Index, target: int, one: Pass
) -> tuple[list[tuple[int, ...]], bool]:
    """(the lowest subsets of among that sum to target, two at most; whether there is one only)."""
    if not one.size_min <= len(among) <= one.items:
        return [], False
    found = np.empty(2, np.uint64)
    count, complete = subset_sums(
        np.ascontiguousarray(side.amount[among]), target, one.amount, one.size_min, one.size,
        one.work, found,
    )  # fmt: skip
    members = [
        tuple(int(among[k]) for k in range(len(among)) if bits >> k & 1)
        for bits in found[:count].tolist()
    ]
    return members, count == 1 and complete


def _take_sums(
    left: Side, right: Side, sums: set[_Sum], doubtful: set[_Sum], one: Pass, number: int
) -> None:
    def rank(s: _Sum) -> Any:
        ends = sorted((s.left, s.right))
        return len(s.left) + len(s.right), ends

    taken_left: set[int] = set()
    taken_right: set[int] = set()
    used = Counter([(0, i) for s in sums for i in s.left] + [(1, j) for s in sums for j in s.right])
    for found in sorted(sums, key=rank):
        i, j = np.array(found.left), np.array(found.right)
        crossed = taken_left.intersection(found.left) or taken_right.intersection(found.right)
        if one.ties == "lowest":
            if not crossed:
                _bind(left, right, i, j, number)
                taken_left.update(found.left)
                taken_right.update(found.right)
        elif found in doubtful or any(
            used[key] > 1 for key in [(0, m) for m in found.left] + [(1, m) for m in found.right]
        ):
            _ambiguous(left, right, i, j, number)
        else:
            _bind(left, right, i, j, number)


def _bind(left: Side, right: Side, i: Index, j: Index, number: int) -> None:
    """Records that belong together as a group, numbered by the lowest left record."""
    for side, at in ((left, i), (right, j)):
        side.group[at] = int(i.min())
        side.decided[at] = number
        side.verdict[at] = Verdict.SPLIT


def _by_groups(left: Side, right: Side, one: Pass, number: int) -> None:
    """Many to many: what stands within the pass's days of the anchor, by account. A day is looked
    at once, and again only where something near it was decided since."""
    a, b = _between(left, right, "account")
    for group in _groups(left, right, a, b):
        anchors, anchored = (group.left, left) if one.anchor == "left" else (group.right, right)
        both = (left, group.left), (right, group.right)
        sides = [(side, ByDay(at, side.day[at])) for side, at in both]
        done: set[int] = set()
        for anchor in anchors.tolist():
            day = int(anchored.day[anchor])
            if anchored.verdict[anchor] or day in done:
                continue
            done.add(day)
            near = [(side, by_day.near(day, one.days)) for side, by_day in sides]
            i, j = (at[side.verdict[at] == 0] for side, at in near)
            if not (len(i) and len(j)):
                continue
            sums = sum(left.amount[i].tolist()), sum(right.amount[j].tolist())
            decide = _bind
            if one.subset_on != "none":
                turned = one.subset_on == "right"
                side, among, target = (right, j, sums[0]) if turned else (left, i, sums[1])
                found, sole = _subsets(side, among, target, one)
                if not found:
                    continue
                if sole or one.ties == "lowest":
                    i, j = (i, np.array(found[0])) if turned else (np.array(found[0]), j)
                else:
                    decide = _ambiguous
            elif abs(sums[0] - sums[1]) > one.amount:
                continue
            decide(left, right, i, j, number)
            done.difference_update(range(day - 2 * one.days, day + 2 * one.days + 1))


# --- judgement -----------------------------------------------------------------------------------


def judge(left: Side, right: Side, rules: Rules, as_of: int, *, required: bool) -> None:
    """A verdict for every record that has none. Of several that would fit a pair, the first of
    currency, status, amount (or fee), reference, timing is given."""
    i = np.flatnonzero(left.mate >= 0)
    j = left.mate[i]
    away = np.abs(left.amount[i] - right.amount[j])
    apart = right.day[j] - left.day[i]
    verdict = np.full(len(i), Verdict.MATCHED, np.uint8)
    verdict[(np.abs(apart) > rules.days) & (left.money[i] == right.money[j])] = Verdict.TIMING
    for name in ("transfer_id", "account"):
        a, b = codes(left, right, name)
        verdict[(a[i] >= 0) & (b[j] >= 0) & (a[i] != b[j])] = Verdict.REFERENCE
    wrong = away > rules.amount
    verdict[wrong] = Verdict.AMOUNT
    verdict[wrong & np.isin(away, rules.fees)] = Verdict.FEE
    refused = left.money[i] == REFUSED, right.money[j] == REFUSED
    late = np.abs(apart) > rules.refusal_days
    verdict[(refused[0] != refused[1]) & late] = Verdict.STATUS
    a, b = _currencies(left, right)
    verdict[a[i] != b[j]] = Verdict.CURRENCY
    left.verdict[i] = right.verdict[j] = verdict
    for side in (left, right):
        alone = np.flatnonzero(side.verdict == 0)
        verdict = np.full(len(alone), Verdict.MISSING, np.uint8)
        verdict[side.money[alone] == RETURNED] = Verdict.RETURN_UNMATCHED
        unreferenced = np.asarray(side.table["transfer_id"].is_null())[alone]
        verdict[unreferenced & np.isin(np.abs(side.amount[alone]), rules.fees)] = Verdict.FEE
        verdict[as_of - side.day[alone] <= rules.deadline_days] = Verdict.PENDING
        if side is left and not required:
            verdict[:] = Verdict.NONE
        side.verdict[alone] = verdict


def _currencies(left: Side, right: Side) -> tuple[Index, Index]:
    both = pa.concat_arrays([left.column("currency"), right.column("currency")]).fill_null("VND")
    code = np.asarray(both.dictionary_encode().indices)
    return code[: len(left)], code[len(left) :]
