"""Cycle: how a cycle of the calendar is closed and comes to its end.

A cycle settles, or is aborted, in one transaction of the catalog: all of it, or nothing. Everything
here is tens of rows.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

import msgspec
import pyarrow as pa

from switch.arguments import WHY_MAX
from switch.errors import UsageError
from switch.home import days
from switch.home.catalog import PENDING
from switch.home.changes import Change, CloseCycle, EndCycle, SetBatches, SetPaid, SetRequest
from switch.home.history import ABORTED, bytes_again, recasts
from switch.home.rows import CycleRow
from switch.home.store import RECASTS, ROOM_SPARE, Home
from switch.home.times import is_past
from switch.registry.directory import Directory
from switch.registry.settings import RECAST, Settings
from switch.results import CycleAnswer, CycleFile
from switch.schema import CURRENCY
from switch.settlement import accounts, fee_book, postings, recast, reversal
from switch.settlement.accounts import owner_of
from switch.settlement.calendar import Calendar, Slot
from switch.settlement.liquidity.loss import share_loss
from switch.settlement.postings import Posting
from switch.settlement.standing import (
    Standing,
    keep_balances,
    keep_positions,
    keep_postings,
    nets_without,
)

"""Characters of the reason for which a cycle is aborted."""


class When(NamedTuple):
    """A time that is recorded, and why where it lies before others."""

    at: str
    why: str | None = None


def slots_of(home: Home) -> tuple[set[str], list[Slot]]:
    """(names of the calendar's cycles that take nothing more, all that were opened)."""
    rows = home.catalog.cycles()
    closed = {row.cycle for row in rows if row.state != "OPEN"}
    return closed, [Slot(row.cycle, row.closes) for row in rows]


def slot_for(home: Home, settings: Settings, at: str, value_date: datetime.date) -> Slot | None:
    """The cycle of the calendar that takes what comes at a time; None without a calendar."""
    if settings.cutoffs is msgspec.UNSET:
        return None
    return Calendar(settings).slot_of(at, value_date, *slots_of(home))


def require_calendar(home: Home, settings: Settings, named: list[CycleRow] | None) -> None:
    """There are cycles to be settled, now or since a calendar that the home had before: those come
    to their end as well. named: rows of the one that is asked for, if one is."""
    there = home.catalog.cycles() if named is None else named
    if settings.cutoffs is msgspec.UNSET and not there:
        raise UsageError(
            f"{home.path} has no calendar: every batch settles at once; give cut-offs"
            " with `switch directory --config`"
        )


def close(home: Home, directory: Directory, cycle: str, closes: str, when: When) -> CycleFile:
    """Let a cycle take no more lines. Returns its answer as it stands: none yet, or the stored one.

    closes: the cut-off, kept where no batch has opened the cycle.
    """
    row = home.catalog.cycle(cycle)
    if row is not None and row.answer:
        answer: CycleFile = msgspec.json.decode(row.answer)
        return answer
    if row is None or row.state == "OPEN":
        request = request_of(home, directory, cycle, Standing(home, directory).nets_of(cycle))
        text = msgspec.json.encode(request, order="sorted").decode()
        home.commit(
            at=when.at,
            kind="cycle",
            detail={
                "cycle": cycle,
                "state": "CLOSED",
                "closes": closes,
                "request": request,
                **days.corrected(days.times(home), *when, closes),
            },
            changes=[CloseCycle(cycle, closes, when.at, text)],
        )
    return _answer(directory, cycle, "CLOSED", when.at, {})


def request_of(
    home: Home, directory: Directory, cycle: str, nets: dict[str, int]
) -> dict[str, object]:
    """settlement.json of a cycle. It is kept as it was asked: who stands in it may leave later."""
    day = f"{cycle[:4]}-{cycle[4:6]}-{cycle[6:8]}"
    named = [batch.batch_id for batch in home.catalog.batches(cycle=cycle)]
    return postings.request(directory, cycle, day, nets, batches=named)


def settle(
    home: Home, directory: Directory, settings: Settings, cycle: str, when: When
) -> CycleFile:
    """Settle a cycle that is closed. Returns the answer; its state is SETTLED, or CLOSED where
    funds are missing and the rule has no other way: then it is tried again, or aborted."""
    standing = Standing(home, directory)
    nets = standing.nets_of(cycle)
    assert sum(nets.values()) == 0, "positions do not sum to zero"
    short = standing.short(cycle, nets)
    if short and settings.insufficient_funds == RECAST and not home.catalog.is_answered(cycle):
        return _settle_without(standing, cycle, nets, short, when)
    paid, parts = dict(nets), {}
    if short and settings.insufficient_funds == "share":
        parts = _loss_shares(home, cycle, short)
    if parts:
        for code, missing in short.items():
            paid[code] += missing
        for code, part in parts.items():
            paid[code] -= part
    lacking = standing.short(cycle, paid)
    state, moved = ("CLOSED", {}) if lacking else ("SETTLED", paid)
    answer = _answer(directory, cycle, state, when.at, moved) | {
        "rule": "" if not short else "share" if parts else "wait",
        "short": _texts(lacking or short),
        "shares": _texts(parts),
        "turned_payer": [code for code in parts if nets[code] >= 0 > paid[code]],
    }
    if not lacking:
        _commit(Ending(standing, cycle, paid, answer, when))
    return answer


def _answer(
    directory: Directory, cycle: str, state: str, at: str, moved: dict[str, int]
) -> CycleFile:
    """answer.json: what the settlement bank says of a cycle. moved: nets that were settled."""
    return {
        "cycle": cycle,
        "state": state,
        "at": at,
        "currency": CURRENCY,
        "participants": postings.sides(directory, moved),
        "rule": "",
        "short": {},
        "shares": {},
        "turned_payer": [],
    }


def told(answer: CycleFile) -> CycleAnswer:
    """The answer of a cycle as callers get it: what a home keeps as text is a number."""
    kept: dict[str, Any] = {**answer}
    for name in ("short", "shares", "vanished"):
        if name in kept:
            kept[name] = {code: int(sum_) for code, sum_ in kept[name].items()}
    kept["participants"] = [
        {**side, "amount": int(side["amount"])} for side in kept["participants"]
    ]
    if "recalled" in kept:
        lists = kept["recalled"].items()
        kept["recalled"] = {code: {**told, "sum": int(told["sum"])} for code, told in lists}
    if "fees" in kept:
        kept["fees"] = {**kept["fees"], "sum": int(kept["fees"]["sum"])}
    return cast(CycleAnswer, kept)


def _texts(sums: dict[str, int]) -> dict[str, str]:
    return {code: str(sum_) for code, sum_ in sums.items()}


def _loss_shares(home: Home, cycle: str, short: dict[str, int]) -> dict[str, int]:
    """Shares of what defaulters lack, borne by those whom they had to pay in the cycle, by how much
    that was. Empty where they had to pay one another alone."""
    found: dict[str, int] = {}
    owed = recast.owed_between(home, cycle)
    for defaulter, missing in short.items():
        own = accounts.position(defaulter)
        weights = {owner_of(credit): sum_ for (debit, credit), sum_ in owed.items() if debit == own}
        weights = {code: weight for code, weight in weights.items() if code not in short}
        if not weights:
            return {}
        for code, part in share_loss(missing, weights).items():
            found[code] = found.get(code, 0) + part
    return dict(sorted(found.items()))


def _settle_without(
    standing: Standing, cycle: str, nets: dict[str, int], short: dict[str, int], when: When
) -> CycleFile:
    """Settle a cycle without the payments of those who are short: their lines go back to wait, all
    in the one commit by which the others settle. Returns the answer."""
    home, directory = standing.home, standing.directory
    unwound = recast.unwind_cycle(
        home, cycle, nets, short, lambda after: standing.short(cycle, after)
    )
    went, held = recast.lines_of(home, directory, cycle, unwound.defaulters)
    fees = _fees_of(home, directory, cycle, unwound.defaulters)
    answer = _answer(directory, cycle, "SETTLED", when.at, unwound.nets) | {
        "rule": RECAST,
        "short": _texts(unwound.defaulters),
        "turned_payer": unwound.turned,
        "vanished": _texts(unwound.vanished),
        "recalled": reversal.recalled(went),
    }
    _tell_fees(answer, fees)
    _send_back(Ending(standing, cycle, unwound.nets, answer, when), went, held, fees)
    return answer


def _fees_of(
    home: Home, directory: Directory, cycle: str, defaulters: dict[str, int] | None
) -> pa.Table:
    """Payments of fees that leave a cycle, as lines do."""
    settled_by = {p.participant: p.settled_by for p in directory.participants}
    return fee_book.leaving(home, settled_by, cycle, defaulters)


def _tell_fees(answer: CycleFile, fees: pa.Table) -> None:
    if len(fees):
        answer["fees"] = {"count": len(fees), "sum": str(sum(fees["amount"].to_pylist()))}


def require_abortable(home: Home, cycle: str, why: str) -> None:
    """There is a reason, and nothing but cleared lines stands in the cycle, if it has not ended."""
    row = home.catalog.cycle(cycle)
    if row is not None and row.state in PENDING and home.catalog.is_answered(cycle):
        raise UsageError(f"cycle {cycle} has refusals or returns: it can settle alone")
    if not why.strip() or len(why) > WHY_MAX or not why.isprintable():
        raise UsageError(f"a cycle is aborted for a reason of 1 to {WHY_MAX} printable characters")


def abort(home: Home, directory: Directory, cycle: str, why: str, when: When) -> CycleFile:
    """Give up the settlement of a cycle that is closed: everything that was posted for it is taken
    back, and all its lines go back to wait, in one commit. Returns the answer."""
    standing = Standing(home, directory)
    nets = dict.fromkeys(standing.nets_of(cycle), 0)
    went, held = recast.lines_of(home, directory, cycle, None)
    fees = _fees_of(home, directory, cycle, None)
    recalled = reversal.recalled(went)
    answer = _answer(directory, cycle, ABORTED, when.at, {})
    answer |= {"rule": "abort", "why": why, "recalled": recalled}
    _tell_fees(answer, fees)
    ending = Ending(standing, cycle, nets, answer, when)
    if len(went) or len(fees):
        _send_back(ending, went, held, fees)
    else:
        _commit(ending)
    return answer


@dataclass(frozen=True)
class Ending:
    """The end of a cycle, as it is committed. nets: what is settled, by settlement participant."""

    standing: Standing
    cycle: str
    nets: dict[str, int]
    answer: CycleFile
    when: When


def _send_back(ending: Ending, went: pa.Table, held: pa.Table, fees: pa.Table) -> None:
    """One commit by which lines (went, held: as `recast.lines_of` gives them) and payments of fees
    go back to wait, and what is left of the cycle is settled. Fees alone need no folder: they
    follow from what ended the cycle."""
    standing, cycle = ending.standing, ending.cycle
    home, directory = standing.home, standing.directory
    gone = [part for rows in (went, fees) for part in reversal.positions_gone(directory, rows)]
    assert nets_without(standing, cycle, gone) == ending.nets, "lines and positions differ"
    request = request_of(home, directory, cycle, ending.nets)
    text = msgspec.json.encode(request, order="sorted").decode()
    taken_back = [*reversal.reversals(directory, went), *fee_book.taken_back(directory, fees)]
    changes: list[Change] = [*keep_positions(cycle, gone), SetRequest(text, cycle)]
    if not len(went):
        _commit(ending, taken_back, changes, request=request)
        return
    number, after = len(recasts(home)) + 1, home.catalog.next_batch() - 1
    home.require_room(2 * (went.nbytes + held.nbytes + bytes_again(home)) + ROOM_SPARE)
    with home.draft(RECASTS) as draft:
        names = recast.write(home, draft, went, held)
        folder = home.folder(RECASTS, number)
        path = f"{RECASTS}/{folder.name}"
        changes += (SetPaid("cleared", *key, f"{path}/{name}") for key, name in names.items())
        _commit(ending, taken_back, changes, draft, folder, after=after, request=request)


def _commit(
    ending: Ending,
    reversals: Sequence[Posting] = (),
    changes: Sequence[Change] = (),
    draft: Path | None = None,
    folder: Path | None = None,
    **detail: object,
) -> None:
    """One transaction, by which a cycle comes to its end. Where lines go back to wait: postings
    that take them out, its draft and the folder that it becomes, and what else the catalog and the
    audit record say."""
    standing, cycle, at = ending.standing, ending.cycle, ending.when.at
    home, nets, answer = standing.home, ending.nets, ending.answer
    assert sum(nets.values()) == 0, "what is settled does not sum to zero"
    reserves = standing.reserves.get(cycle, [])
    settling = postings.settling_postings(standing.directory, cycle, nets, reserves)
    moved = [*reversals, *settling]
    after = postings.apply(standing.balances, moved)
    postings.require_settled(after, cycle)
    text = msgspec.json.encode(answer, order="sorted").decode()
    kept = home.catalog.cycle(cycle)
    assert kept is not None
    of_batches = "HELD" if answer["state"] == ABORTED else "SETTLED"
    home.commit(
        at=at,
        kind="settlement",
        detail={
            "cycle": cycle,
            "answer": answer,
            "postings": moved,
            **days.word(days.times(home), at, kept.closes, ending.when.why),
            **detail,
        },
        changes=[
            EndCycle(answer["state"], at, text, cycle),
            SetBatches(of_batches, cycle),
            *keep_postings(0, cycle, moved),
            *keep_balances(after),
            *changes,
        ],
        draft=draft,
        folder=folder,
    )


def cycle_rows(home: Home, cycle: str | None, at: str | None) -> list[CycleRow]:
    """Cycles that are not settled, oldest first: those past their cut-off; or the one of a name,
    whatever its state."""
    if cycle is not None:
        return [row for row in home.catalog.cycles() if row.cycle == cycle]
    due = sorted(home.catalog.cycles(*PENDING), key=lambda row: row.closes)
    return [row for row in due if at is None or is_past(row.closes, at)]
