"""Rehearsal: tomorrow's tables through the very same code, and nothing of it happens.

The home is copied (files that never change as links), the tables run on the copy, its cycles are
settled, and the copy is thrown away; the home itself is only read. What is told of it: answers by
table, the liquidity that each settlement participant needs in each cycle, what would wait for
cover, and how much money, given to whom, would let all of it go.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Unpack

import msgspec
import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from switch.arguments import checked
from switch.engine import Engine
from switch.errors import CopyFailed, EnvironmentFailed, InputRefused
from switch.files.disk import environment, require_outside
from switch.files.segment import Groups, read_table, segment_at
from switch.files.tables import TableLike
from switch.home.batch import Batch
from switch.home.catalog import PENDING
from switch.home.history import queue_of
from switch.home.store import KINDS, Home
from switch.reason import Reason
from switch.registry.directory import Directory
from switch.results import (
    CurvePoint,
    CycleAnswer,
    HowRehearsed,
    Injection,
    Rehearsal,
    RehearsedCycle,
    RehearsedTable,
    WaitingTotal,
)
from switch.schema import PAYMENT
from switch.settlement.accounts import held
from switch.settlement.standing import Standing


class Payment(NamedTuple):
    """A line that waits for cover."""

    agent: str
    """Debtor agent: its lines go in their order, by class."""
    payer: str
    payee: str
    """Participants whose settlement accounts pay and receive."""
    priority: int
    amount: int


@checked
def rehearse(
    home: str | Path,
    tables: Sequence[TableLike],
    *,
    clearing_limit: int | None = None,
    **how: Unpack[HowRehearsed],
) -> Rehearsal:
    """Run tables (paths with their dossiers) on a copy of a home. Returns what would happen: money
    as integers of minor units; `seconds` are this machine's, all else follows from the input.

    A table that would be refused is told so, and the next one is rehearsed all the same.
    home: its folder. clearing_limit: that of these runs, where it is not the home's. at, threads,
    strict_columns, leap, correct: as of `Engine.run`. out: where the answers are copied to that
    runs would give, of what has not happened: in no home.
    """
    if how.get("out") is not None:
        require_outside(Path(str(how["out"])))
    with _copy_of(Path(home)) as path, Engine(path) as engine:
        standing = Standing(engine.home, engine.directory)
        limits = _limits(standing)
        if clearing_limit is not None:
            engine.settings = msgspec.structs.replace(
                engine.settings, clearing_limit=clearing_limit
            )
        shown: list[RehearsedTable] = []
        curve: list[CurvePoint] = []
        last: Batch | None = None
        for table in tables:
            began = time.monotonic()
            try:
                batch = engine.run(table, **how)
            except InputRefused as error:
                shown.append({"table": _name(table), "error": error.told()})
                continue
            shown.append(_shown(table, batch, time.monotonic() - began))
            if not batch.replayed:
                last, there = batch, standing.nets_of(batch.cycle)
                if there and all(point["cycle"] != batch.cycle for point in curve):
                    curve.append({"batch_id": "", "cycle": batch.cycle, "nets": there})
                curve.append(
                    {"batch_id": batch.batch_id, "cycle": batch.cycle, "nets": _nets(batch)}
                )
        waiting = _waiting(engine.home, engine.directory)
        room = _room_after(last)
        pending = engine.home.catalog.cycles(*PENDING)
        settled = engine.settle() if pending else []
        given = injection(waiting, room)
        cycles = _cycles(curve, {answer["cycle"]: answer for answer in settled}, limits)
        for row in cycles[-1]["participants"] if cycles else ():
            row["lacks"] = given["given"].get(row["participant"], 0)
        return {
            "tables": shown,
            "cycles": cycles,
            "waiting": _summed(waiting),
            "injection": given,
            "curve": curve,
            "names": {p.participant: p.short_name for p in engine.directory.participants},
            "seconds": sum(table.get("seconds", 0) for table in shown),
        }


@contextlib.contextmanager
def _copy_of(home: Path) -> Iterator[Path]:
    """A copy to write to, beside the temporary files of the machine. Raises EnvironmentFailed where
    there is no room for it, or for what is run on it."""
    with tempfile.TemporaryDirectory(prefix="switch-rehearsal-") as folder:
        copy = Path(folder) / "home"
        with Home(home, writing=False) as opened:
            opened.of_last_commit(lambda: _copy(opened, copy))
        try:
            yield copy
        except CopyFailed as error:
            raise EnvironmentFailed(f"{error.cause}. {_ONLY_REHEARSED}") from error


def _copy(home: Home, copy: Path) -> None:
    """All that the last commit of a home names, in a folder that is made for it."""
    shutil.rmtree(copy, ignore_errors=True)
    current = {f"{seq:06d}" for seq in home.catalog.register_chain()}
    folders = [
        home.path / kind / name
        for kind in KINDS
        for name in home.catalog.folders(kind)
        if kind != "registers" or name in current
    ]
    kept = [path for folder in folders for path in (folder, *folder.rglob("*"))]
    try:
        for kind in KINDS:
            (copy / kind).mkdir(parents=True)
        home.write_heads(copy)
        for source in kept:
            _put(source, copy / source.relative_to(home.path))
    except OSError as error:
        needed = sum(path.stat().st_size for path in kept if path.is_file())
        failed = environment(error, copy.parent, needed)
        raise EnvironmentFailed(f"{failed}. {_ONLY_REHEARSED}") from error


_ONLY_REHEARSED = (
    "This was a rehearsal: nothing of it has happened. It works in the folder that TMPDIR names, "
    "and needs least room on the disk of the home"
)


def _put(source: Path, target: Path) -> None:
    """A folder, which comes before what is in it, or a file. A committed file is never written
    again, so that a link is as good as a copy, where one disk has both."""
    if source.is_dir():
        target.mkdir()
        return
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _name(table: TableLike) -> str:
    return str(table) if isinstance(table, str | Path) else PAYMENT.name


def _limits(standing: Standing) -> dict[str, tuple[int | None, int | None]]:
    """(net debit cap, money on an account that binds) of each settlement participant."""
    return {
        p.participant: (
            p.net_debit_cap,
            held(standing.balances, p.participant) if p.participant in standing.bound else None,
        )
        for p in standing.directory.participants
        if p.settled_by == p.participant
    }


def _shown(table: TableLike, batch: Batch, seconds: float) -> RehearsedTable:
    summary = batch.summary
    return {
        "table": _name(table),
        "batch_id": batch.batch_id,
        "cycle": batch.cycle,
        "replayed": batch.replayed,
        "warnings": list(batch.warnings),
        "received": summary["received"],
        "cleared": summary["cleared"],
        "held": summary["held"],
        "refused": summary["refused"],
        "reasons": summary["reasons"],
        "represented": summary["represented"],
        "seconds": round(seconds, 3),
    }


def _nets(batch: Batch) -> dict[str, int]:
    nets: dict[str, int] = {}
    for row in batch.positions.to_pylist():
        nets[row["settled_by"]] = nets.get(row["settled_by"], 0) + row["net"]
    return nets


def _cycles(
    curve: list[CurvePoint],
    settled: dict[str, CycleAnswer],
    limits: dict[str, tuple[int | None, int | None]],
) -> list[RehearsedCycle]:
    """Net position of each settlement participant by cycle, and the most that it needs on the
    way."""
    found: dict[str, dict[str, list[int]]] = {}
    for point in curve:
        cycle = found.setdefault(point["cycle"], {})
        for code, net in point["nets"].items():
            run = cycle.setdefault(code, [])
            run.append((run[-1] if run else 0) + net)
    return [
        {
            "cycle": name,
            "state": settled[name]["state"] if name in settled else "SETTLED",
            "short": settled[name]["short"] if name in settled else {},
            "participants": [
                {
                    "participant": code,
                    "net": run[-1],
                    "needs": max(0, -min(run)),
                    "cap": limits[code][0],
                    "holds": limits[code][1],
                    "lacks": 0,
                }
                for code, run in sorted(cycle.items())
            ],
        }
        for name, cycle in found.items()
    ]


def _room_after(last: Batch | None) -> dict[str, int]:
    """Room that is left when the last table is through; who has no limit is not named."""
    if last is None:
        return {}
    manifest = msgspec.json.decode((last.folder / "manifest.json").read_bytes())
    nets = _nets(last)
    return {code: room + nets.get(code, 0) for code, room in manifest.get("rooms", {}).items()}


def _waiting(home: Home, directory: Directory) -> list[Payment]:
    """Lines that wait for cover when all is through, oldest first."""
    queue = queue_of(home)
    if queue is None:
        return []
    rows = read_table(home.path / queue[0], columns=["batch", "line_no"])
    settled_by = {p.participant: p.settled_by for p in directory.participants}
    priority = {p.benefit: p.priority for p in directory.programmes}
    found = []
    for batch in pc.unique(rows["batch"]).to_pylist():
        numbers = rows.filter(pc.equal(rows["batch"], batch))["line_no"]
        for row in _answers(home.folder("batches", batch), np.asarray(numbers)):
            agent, payee = row["debtor_agent"], row["participant"]
            if agent in settled_by and payee in settled_by:
                found.append(
                    Payment(
                        agent,
                        settled_by[agent],
                        settled_by[payee],
                        priority.get(row["benefit"], 0),
                        row["amount"],
                    )
                )
    return found


def _answers(folder: Path, numbers: NDArray[np.uint32]) -> Iterator[dict[str, Any]]:
    """Lines of a batch, among these numbers, that were held for want of cover, or cleared: a
    cleared line that waits now was taken out of its cycle by a recast."""
    status, lines = Groups(segment_at(folder, "status")), Groups(folder / "lines.parquet")
    for group in range(len(lines)):
        inner = lines.read(group, ["amount", "benefit", "debtor_agent", "reason_number"])
        answer = status.read(group, ["line_no", "participant"])
        wanted = np.isin(np.asarray(inner["reason_number"]), (Reason.COVER_MISSING, Reason.NONE))
        wanted &= np.isin(np.asarray(answer["line_no"]), numbers)
        at = np.flatnonzero(wanted)
        for one, other in zip(inner.take(at).to_pylist(), answer.take(at).to_pylist(), strict=True):
            yield one | other


def _summed(waiting: list[Payment]) -> WaitingTotal:
    payers: dict[str, list[int]] = {}
    for payment in waiting:
        mine = payers.setdefault(payment.payer, [0, 0])
        mine[0] += 1
        mine[1] += payment.amount
    return {
        "count": len(waiting),
        "sum": sum(payment.amount for payment in waiting),
        "payers": [
            {"participant": code, "count": count, "sum": sum_}
            for code, (count, sum_) in sorted(payers.items())
        ],
    }


def injection(waiting: list[Payment], room: dict[str, int]) -> Injection:
    """Money (or raised caps) by settlement participant with which everything that waits goes, line
    by line and each agent's in its order; and the least that any such money comes to.

    Whoever pays more than it has and receives lacks the difference: that much is needed in any
    case, and is enough where lines settle at once. Beyond it comes what it takes to begin: as long
    as all heads are stuck, the one that lacks least is helped, the first of several.
    """
    need = {code: -left for code, left in room.items()}
    for payment in waiting:
        for code, change in ((payment.payer, payment.amount), (payment.payee, -payment.amount)):
            if code in need:
                need[code] += change
    given = {code: lack for code, lack in need.items() if lack > 0}
    at_least = sum(given.values())
    left = {code: sum_ + given.get(code, 0) for code, sum_ in room.items()}
    queues: dict[str, list[Payment]] = {}
    for payment in waiting:
        queues.setdefault(payment.agent, []).append(payment)
    stacks = {
        agent: sorted(queue, key=lambda payment: payment.priority)[::-1]
        for agent, queue in sorted(queues.items())
    }
    while any(stacks.values()):
        heads = {agent: stack[-1] for agent, stack in stacks.items() if stack}
        lacks = {
            agent: max(0, head.amount - left.get(head.payer, head.amount))
            for agent, head in heads.items()
            if head.payer != head.payee
        }
        agent = min(heads, key=lambda agent: lacks.get(agent, 0))
        head, lack = stacks[agent].pop(), lacks.get(agent, 0)
        if lack:
            given[head.payer] = given.get(head.payer, 0) + lack
            left[head.payer] += lack
        if head.payer != head.payee:
            for code, change in ((head.payer, -head.amount), (head.payee, head.amount)):
                if code in left:
                    left[code] += change
    return {"given": dict(sorted(given.items())), "sum": sum(given.values()), "at_least": at_least}
