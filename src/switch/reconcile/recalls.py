"""Recalls: lines that were sent are asked back (the meaning of camt.056).

A line whose cycle has not settled leaves it as a refused one does: its position and its reserve are
reversed, and its entitlement is free. Of one that has settled its receiver is asked, and the recall
stands open until the money comes back. Each commit is a folder of HOME/answers, with a list for
each receiver.
"""

from __future__ import annotations

import csv
import functools
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from switch.arguments import require_said
from switch.errors import UsageError
from switch.files.file_schemas import ASKED, TAKEN, WENT_BACK
from switch.files.segment import write_table
from switch.home import days
from switch.home.batch import batch_row
from switch.home.credits import as_told
from switch.home.days import SaidTime, correction, leaps
from switch.home.history import RECALL, Answers, Folder, bytes_again, lines_of
from switch.home.store import ANSWERS, ROOM_SPARE, Home
from switch.home.times import micros_of
from switch.reconcile import asked, take_in
from switch.reconcile.asked import RETURN, STOP
from switch.reconcile.line_states import Verdicts
from switch.reconcile.sent_lines import SentLines, together
from switch.reconcile.take_in import Before
from switch.registry.directory import Directory
from switch.registry.settings import Settings
from switch.results import LineName, Recalled, Total
from switch.settlement import postings as books
from switch.settlement.postings import Posting
from switch.settlement.standing import keep_balances, keep_postings

Line = tuple[int, int]
"""Number of the batch, and of the line in it."""


class Said(NamedTuple):
    """All that is said of a recall: its ISO code, who recalls, and why. days: of cash lines that
    are beyond their deadline, else 0."""

    reason: str
    by: str
    why: str
    days: int = 0


@functools.cache
def reasons() -> dict[str, str]:
    """ISO 20022 external cancellation reason codes that a recall may have, with their meanings."""
    text = resources.files("switch").joinpath("data/reason_codes.csv").read_text("utf-8")
    rows = csv.DictReader(text.splitlines())
    return {row["code"]: row["meaning"] for row in rows if row["in_cancel_set"] == "1"}


def recall(
    home: Home,
    directory: Directory,
    settings: Settings,
    lines: Sequence[tuple[str, int]],
    words: Said,
    when: SaidTime,
    what_is: Callable[[Home, int, int], str],
) -> Recalled:
    """Recall lines (`Engine.recall`), all of them or none. what_is: says in words what a line is.
    Returns the answer; the stored one where just these lines were recalled in the same words."""
    _require_words(words)
    chosen = sorted({(batch_row(home, name).seq, line_no) for name, line_no in lines})
    if not chosen:
        raise UsageError("name the lines that are to be recalled")
    before = take_in.prepare(
        home, directory, settings, at=when.at or None, far=when.leap, why=when.why
    )
    recalled = asked.standing(home, before.known)
    if stored := _stored(before, recalled, chosen, words):
        return _answer(home, stored, recalled)
    far = days.unusual(before.times, when.at)
    stopped, asks = _sorted(before, chosen, recalled, words, what_is)
    folder = _commit(before, stopped, asks, words)
    answer = _answer(home, folder, asked.standing(home, [folder]))
    return {**answer, "warnings": far} if far else answer


def _require_words(words: Said) -> None:
    if words.reason not in reasons():
        known = ", ".join(sorted(reasons()))
        raise UsageError(f"reason {words.reason!r} is no code of a recall; there are {known}")
    require_said("recalled", words.by, words.why)


def _stored(before: Before, recalled: pa.Table, chosen: list[Line], words: Said) -> Folder | None:
    """The commit by which just these lines were recalled in these words, so that what was broken
    off may be given again."""
    for folder in before.known:
        detail = folder.detail
        said = Said(detail.reason, detail.by, detail.words, detail.days)
        mine = recalled.filter(pc.equal(recalled["number"], folder.number))
        if folder.kind == RECALL and said == words and sorted(lines_of(mine)) == chosen:
            return folder
    return None


def _sorted(
    before: Before,
    chosen: list[Line],
    recalled: pa.Table,
    words: Said,
    what_is: Callable[[Home, int, int], str],
) -> tuple[pa.Table, pa.Table]:
    """(lines that leave their cycle, a table of TAKEN; lines that receivers are asked for, of
    WENT_BACK). Raises UsageError for one that can be neither."""
    home, seqs = before.home, {seq for seq, _ in chosen}
    for seq, line_no in chosen:
        if not 1 <= line_no <= home.catalog.batch(seq).lines:
            what_is(home, seq, line_no)  # Raises, for there is no such line.
    lines = SentLines(home, together(home, seqs))
    said, booked = take_in.taken_in(home, before.known, lines)
    said.close()
    verdicts = Verdicts(said, booked, before.rules, before.as_of)
    places = lines.at(*(pa.array(part) for part in zip(*chosen, strict=True)))
    gone = ~lines.sent() | verdicts.refused | verdicts.returned
    again = set(lines_of(recalled))
    for line, place in zip(chosen, places.tolist(), strict=True):
        if line in again or gone[place]:
            name = home.catalog.batch(line[0]).batch_id
            why = "it was recalled before" if line in again else what_is(home, *line)
            raise UsageError(f"line {line[1]} of batch {name} cannot be recalled: {why}")
    _require_whole(lines, places, chosen)
    settled = lines.settled()
    stops = lines.lines(places[~settled[places]])
    rows = len(stops)
    more = {
        "record_id": pa.nulls(rows, pa.string()),
        "reason": pa.array([words.reason] * rows, pa.string()),
        "booked_at": pa.array(np.full(rows, micros_of(before.at), np.int64)),
    }
    for name, column in more.items():
        stops = stops.append_column(name, column)
    return stops.cast(TAKEN), lines.lines(places[settled[places]]).cast(WENT_BACK)


def _require_whole(lines: SentLines, places: NDArray[np.int64], chosen: list[Line]) -> None:
    """A credit is recalled whole: its receiver knows no part of it. Raises UsageError."""
    if lines.follows is None:
        return
    missing = np.isin(lines.follows, lines.lead(places)) & lines.sent()
    missing[places] = False
    if missing.any():
        place = int(np.argmax(missing))
        seq = int(lines.batch()[place])
        number = place - int(lines.at(pa.array([seq]), pa.array([1]))[0]) + 1
        name = lines.home.catalog.batch(seq).batch_id
        mine = lines.lead(places) == lines.follows[place]
        named = chosen[int(np.argmax(mine))][1]
        raise UsageError(
            f"line {named} of batch {name} was sent in one credit with line {number}: recall all"
            " lines of it"
        )


def _commit(before: Before, stopped: pa.Table, asks: pa.Table, words: Said) -> Folder:
    """One commit of a recall. Returns its folder."""
    home = before.home
    done, changes, told = take_in.money(
        before, {"refused": stopped, "returned": TAKEN.empty_table()}
    )
    postings: dict[str, list[Posting]] = {}
    for moved in done:
        postings.setdefault(moved.cycle, []).extend(moved.postings)
    after = books.apply(before.standing.balances, [p for part in postings.values() for p in part])
    for cycle, part in postings.items():
        books.require_settled(after, cycle)
        changes += keep_postings(0, cycle, part)
    batches = sorted({*stopped["batch"].to_pylist(), *asks["batch"].to_pylist()})
    detail = Answers(
        **told,
        leap=leaps(before.times, before.at),
        correct=correction(before.times, before.at, before.why),
        after=home.catalog.next_batch() - 1,
        batches=batches,
        named=batches,
        postings=postings,
        reason=words.reason,
        by=words.by,
        words=words.why,
        days=words.days,
        judgement=take_in.JUDGEMENT if words.days else 1,
        count=len(stopped) + len(asks),
        sum=str(sum(stopped["amount"].to_pylist()) + sum(asks["amount"].to_pylist())),
    )
    home.require_room(bytes_again(home) + 4 * (stopped.nbytes + asks.nbytes) + ROOM_SPARE)
    with home.draft(ANSWERS) as draft:
        folder = home.folder(ANSWERS, before.number)
        for name, table in (("refused", stopped), ("recalled", asks)):
            if len(table):
                write_table(draft / f"{name}.parquet", table)
        _write_lists(home, draft, stopped, asks, words)
        changes += [*take_in.freed(before, draft, folder, stopped), *keep_balances(after)]
        home.commit(
            at=before.at, kind=RECALL, detail=detail, changes=changes, draft=draft, folder=folder
        )
    return Folder(before.number, RECALL, before.at, detail)


def _write_lists(home: Home, draft: Path, stopped: pa.Table, asks: pa.Table, words: Said) -> None:
    """The list of each receiver, oldest line first; a row a credit."""
    parts = []
    for action, lines in ((STOP, stopped), (RETURN, asks)):
        table = as_told(home, lines)
        some = table.select(["batch", "line_no", "participant", "transfer_id", "amount"])
        for name, word in (("reason", words.reason), ("action", action)):
            some = some.append_column(name, pa.array([word] * len(table), pa.string()))
        parts.append(some)
    whole = pa.concat_tables(parts).sort_by([("batch", "ascending"), ("line_no", "ascending")])
    (draft / "recall").mkdir(mode=0o700)
    for code in pc.unique(whole["participant"]).to_pylist():
        mine = whole.filter(pc.equal(whole["participant"], code)).select(ASKED.names)
        write_table(draft / "recall" / f"{code}.parquet", mine.cast(ASKED))


def _answer(home: Home, folder: Folder, recalled: pa.Table) -> Recalled:
    """The answer of a recall. recalled: a table of STANDING that has its lines."""
    mine = recalled.filter(pc.equal(recalled["number"], folder.number))
    mine = mine.sort_by([("batch", "ascending"), ("line_no", "ascending")])
    names: list[LineName] = [
        {"batch_id": home.catalog.batch(seq).batch_id, "line_no": line_no}
        for seq, line_no in lines_of(mine)
    ]
    return {
        "number": folder.number,
        "at": folder.at,
        "reason": folder.detail.reason,
        "by": folder.detail.by,
        "why": folder.detail.words,
        "stopped": _total(mine.filter(pc.equal(mine["action"], STOP))),
        "asked": _total(mine.filter(pc.equal(mine["action"], RETURN))),
        "lines": names,
        "receivers": {
            code: _total(mine.filter(pc.equal(mine["participant"], code)))
            for code in sorted(pc.unique(mine["participant"]).to_pylist())
        },
    }


def _total(lines: pa.Table) -> Total:
    return {"count": len(lines), "sum": sum(lines["amount"].to_pylist())}
