"""Close: a table that is through is netted, posted and committed, all of it or nothing.

Everything here works on sums; the lines are in their files already.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from switch.clearing.answer_columns import outcome, receivers
from switch.clearing.batch_writer import Digests
from switch.clearing.exclusive import Key
from switch.clearing.held import Tally
from switch.clearing.job import Job, Totals
from switch.files import segment
from switch.files.file_schemas import positions_table
from switch.files.segment import write_table
from switch.home import days, paid_bits
from switch.home.changes import AddBatch, Change, OpenCycle, SetPaid
from switch.home.store import FORMAT_CREDITS, FORMAT_HOUSEHOLDS, Home, raised
from switch.registry.directory import Directory
from switch.results import CreditTotal, PositionRow, StoredSummary
from switch.schema import period_of
from switch.settlement import budgets
from switch.settlement import postings as books
from switch.settlement.netting import Position, gross_of, positions, settlement_nets
from switch.settlement.postings import Posting
from switch.settlement.standing import Standing, keep_balances, keep_positions, keep_postings

ENGINE = "switch 0.1"


@dataclass(frozen=True)
class Through:
    """A table whose lines are all answered.

    core: sums by pair and programme. cleared: paid bits by (benefit, month). rooms: how much more
    settlement participants could be debited when the run began. use: what the lines took of
    budgets. digest: of the table. own, carried: tallies of its lines, and of lines that had waited.
    digests: of the files written so far. rule_set: the oldest by which its lines are answered so.
    credits: of two lines or more, that were sent for households. keeps_households: lines are kept
    with theirs. has_replaced: some line was for an id of before.
    """

    core: Totals
    cleared: dict[Key, NDArray[np.uint64]]
    standing: Standing
    rooms: dict[str, int]
    use: budgets.Use
    digest: str
    own: Tally
    carried: Tally
    digests: Digests
    rule_set: str
    credits: CreditTotal
    keeps_households: bool
    has_replaced: bool


def settle(job: Job, through: Through, draft: Path) -> None:
    """Net and post a table, prove that nothing is lost, and commit all of it."""
    core, directory = through.core, job.directory
    if job.settings.enforce_budgets is True:
        limits = budgets.budgets(directory)
        budgets.require_within(job.home, limits, through.use, job.reader.name)
    cycle = positions(directory, core.pair_sum, core.pair_count)
    nets = settlement_nets(cycle)
    books.require_room(nets, through.rooms)
    postings = _postings(job, through, nets)
    after = books.apply(through.standing.balances, postings)
    books.require_settled(after, job.cycle)
    summary = _summary(job, through, cycle, nets)
    _require_nothing_lost(job, through, summary)
    write_table(draft / "positions.parquet", positions_table(cycle))
    if job.slot is None:
        day, batch = str(job.declared.value_date), job.declared.batch_id
        request = books.request(directory, job.cycle, day, nets, batch=batch)
        segment.write_json(draft / "settlement.json", request)
    paid = _write_paid_bits(job, through.cleared, draft)
    digests = dict(through.digests)
    for path in sorted(p for p in draft.rglob("*") if p.is_file()):
        name = path.relative_to(draft).as_posix()
        if name not in digests:
            digests[name] = (segment.digest_of(path), path.stat().st_size)
    manifest = _manifest(job, through, summary, digests)
    # The file has the postings too; the catalog keeps them as rows.
    whole = {**manifest, "postings": [list(posting) for posting in postings]}
    segment.write_json(draft / "manifest.json", whole)
    text = msgspec.json.encode(summary).decode()
    job.home.commit(
        at=job.at,
        kind="batch",
        detail={
            "seq": job.seq,
            "batch_id": job.declared.batch_id,
            "source": job.declared.source,
            "digest": through.digest,
            "cycle": job.cycle,
            "nets": nets,
            "summary": hashlib.sha256(text.encode()).hexdigest(),
            **days.word(days.times(job.home), job.at, job.declared.value_date.isoformat(), job.why),
        },
        changes=[
            *_batch_row(job, through.digest, manifest, text),
            *keep_positions(job.cycle, cycle),
            *keep_postings(job.seq, job.cycle, postings),
            *keep_balances(after),
            *paid,
            *_format(job.home, through),
        ],
        draft=draft,
        folder=job.home.folder("batches", job.seq),
        digests=digests,
    )


def _format(home: Home, through: Through) -> list[Change]:
    """An engine that knows no credits, or none of lines that had waited, leaves a home with some
    alone."""
    least = FORMAT_CREDITS if through.credits["count"] else 0
    if through.keeps_households:
        least = FORMAT_HOUSEHOLDS
    return raised(home, least)


def _postings(job: Job, through: Through, nets: dict[str, int]) -> list[Posting]:
    """All postings of the batch; those of its cycle's settlement too where it settles now."""
    core, directory, standing = through.core, job.directory, through.standing
    settling: list[Posting] = []
    if job.slot is None:
        reserves = books.gross_reserves(directory, job.seq, core.pair_sum)
        settling = books.settling_postings(directory, job.cycle, nets, reserves)
    else:
        whole = standing.nets_of(job.cycle)
        for code, net in nets.items():
            whole[code] = whole.get(code, 0) + net
        reserves = books.net_reserves(directory, job.seq, whole, standing.reserved(job.cycle))
    clearing = books.clearing_postings(
        directory, job.seq, core.benefit_sum, core.pair_sum, reserves
    )
    return [*clearing, *settling]


def _write_paid_bits(
    job: Job, cleared: dict[Key, NDArray[np.uint64]], draft: Path
) -> list[SetPaid]:
    """Write who was cleared, now or in earlier batches, for each programme and period that the
    table touched."""
    home, found, name = job.home, [], f"{job.seq:06d}"
    earlier = home.paid_files("cleared")
    for number, ((benefit, month), words) in enumerate(cleared.items()):
        key = (job.directory.programmes[benefit].benefit, period_of(month))
        if key in earlier:
            before = paid_bits.read(*earlier[key])
            words[: len(before)] |= before
        file = f"paid-{number:04d}.bits"
        paid_bits.write(draft / file, words)
        found.append(SetPaid("cleared", *key, f"batches/{name}/{file}"))
    return found


def _names(directory: Directory) -> dict[str, str]:
    """Short names of participants, by code."""
    return {
        p.participant: p.name.partition(" (")[0]
        if p.short_name in ("", p.participant)
        else p.short_name
        for p in directory.participants
    }


def _summary(
    job: Job, through: Through, cycle: list[Position], nets: dict[str, int]
) -> StoredSummary:
    core, declared, names = through.core, job.declared, _names(job.directory)
    is_carried = "represented.parquet" in through.digests
    told: dict[str, object] = {
        "source": declared.source,
        "batch_id": declared.batch_id,
        "seq": job.seq,
        "cycle": job.cycle,
        "value_date": declared.value_date.isoformat(),
        "at": job.at,
        "currency": declared.currency,
        "digest": through.digest,
        **outcome(through.own),
        "represented": outcome(through.carried) if is_carried else None,
        "receivers": receivers(job.directory, core.pair_sum, core.pair_count),
        "positions": [cast(PositionRow, position._asdict()) for position in cycle],
        "names": {p.participant: names[p.participant] for p in cycle},
        "settlement": {
            "gross": gross_of(core.pair_sum),
            "settled": sum(net for net in nets.values() if net > 0),
            "payers": sum(net < 0 for net in nets.values()),
            "receivers": sum(net > 0 for net in nets.values()),
            "nets": nets,
        },
    }
    if through.credits["count"]:
        told["credits"] = through.credits
    return cast(StoredSummary, told)


def _require_nothing_lost(job: Job, through: Through, summary: StoredSummary) -> None:
    """I4: lines by state add up to the declared count and sum, and cleared money by receiver
    to cleared money by line."""
    states = [summary["cleared"], summary["held"], summary["refused"]]
    assert sum(s["count"] for s in states) == job.declared.count, "lines are missing"
    assert sum(s["sum"] for s in states) == job.declared.sum, "money is missing"
    cleared = summary["cleared"]["sum"] + through.carried[0][1]
    assert sum(r["sum"] for r in summary["receivers"]) == cleared, "receivers do not add up"
    assert sum(map(int, through.core.benefit_sum)) == cleared, "programmes do not add up"


def _manifest(
    job: Job, through: Through, summary: StoredSummary, digests: Digests
) -> dict[str, object]:
    declared = job.declared
    return {
        "engine": ENGINE,
        "rule_set": through.rule_set,
        **({"replaced_ids": True} if through.has_replaced else {}),
        "settings": msgspec.to_builtins(job.settings),
        **({"rooms": through.rooms} if through.rooms else {}),
        "funding": _funding(job, through.use),
        **({"closes": job.slot.closes} if job.slot else {}),
        "declared": {
            "source": declared.source,
            "batch_id": declared.batch_id,
            "count": declared.count,
            "sum": str(declared.sum),
            "value_date": declared.value_date.isoformat(),
            "sha256": declared.sha256,
        },
        "digest": through.digest,
        "seq": job.seq,
        "cycle": job.cycle,
        "at": job.at,
        "register": job.home.catalog.register_seq(),
        "previous": job.home.catalog.heads().link,
        "outcome": {
            "received": summary["received"],
            "cleared": summary["cleared"],
            "held": summary["held"],
            "refused": summary["refused"],
        },
        "files": {name: digest for name, (digest, _) in sorted(digests.items())},
    }


def _funding(job: Job, use: budgets.Use) -> dict[str, object]:
    """Money that the run reserved, cleared and released, and the budgets that it was held to."""
    told = use.to_dict()
    if job.settings.enforce_budgets is True:
        limits = budgets.budgets(job.directory)
        told["budgets"] = {
            name: limits[name] for name, sum_ in use.reserved.items() if sum_ and name in limits
        }
    return told


def _batch_row(
    job: Job, digest: str, manifest: dict[str, object], summary: str
) -> Iterator[Change]:
    """Changes that note the batch, and open its cycle where nobody has."""
    declared = job.declared
    yield AddBatch(
        job.seq,
        declared.source,
        declared.batch_id,
        digest,
        declared.value_date.isoformat(),
        job.at,
        job.cycle,
        declared.count,
        str(declared.sum),
        "CLEARING" if job.slot else "SETTLED",
        msgspec.json.encode(manifest, order="sorted").decode(),
        summary,
    )
    if job.slot is not None:
        yield OpenCycle(*job.slot)
