"""Copies for others in HOME/out: answers of batches, cycles and days; each file lands whole."""

from __future__ import annotations

from collections import deque
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from switch.files import segment
from switch.files.disk import copy_into, landing
from switch.files.file_schemas import positions_table
from switch.files.segment import json_of, write_table
from switch.files.threads import in_order
from switch.home.batch import Batch
from switch.home.history import PAYMENTS, RECALL, REFUND, expiries, fee_folders, folders, recasts
from switch.home.store import Home
from switch.home.times import latest
from switch.results import CycleFile


def not_exported(home: Home, out: Path) -> list[CycleFile]:
    """Answers of cycles that ended whose copy is not there, or older: a crash came between. The
    last that ended are among them in any case, for a power cut may have cut their copies short."""
    ended = [cycle for cycle in home.catalog.cycles() if cycle.answer]
    last = latest(cycle.at for cycle in ended)
    found = []
    for cycle in sorted(ended, key=lambda cycle: cycle.closes):
        answer = msgspec.json.decode(cycle.answer)
        copy = out / "cycles" / cycle.cycle / "answer.json"
        if cycle.at == last or not copy.exists() or copy.read_bytes() != json_of(answer):
            found.append(answer)
    return found


def export_cycle(home: Home, answer: CycleFile, out: Path) -> None:
    """Positions, request and answer of a cycle in out/cycles/<cycle>; each file lands whole."""
    cycle = answer["cycle"]
    folder = f"cycles/{cycle}"
    for recast in recasts(home):
        if recast.cycle == cycle:
            for path in sorted((home.path / recast.folder / "recall").iterdir()):
                with landing(out, f"{folder}/recall/{path.name}") as file:
                    copy_into(file, home.proven(path))
    kept = home.catalog.cycle(cycle)
    assert kept is not None
    _export_request(home, cycle, msgspec.json.decode(kept.request), out)
    with landing(out, f"{folder}/answer.json") as file:
        file.write(json_of(answer))


def _export_request(home: Home, cycle: str, request: Any, out: Path) -> None:
    """Positions of a cycle as they are, and what the State Bank is asked for in it."""
    with landing(out, f"cycles/{cycle}/positions.parquet") as file:
        write_table(file, positions_table([row[1:] for row in home.catalog.positions(cycle)]))
    with landing(out, f"cycles/{cycle}/settlement.json") as file:
        file.write(json_of(request))


def export_batch(home: Home, batch: Batch, out: Path, threads: int = 1) -> Path:
    """Copy a batch's answer to out/<batch_id> and out/cycles/<cycle>; each file lands whole.
    threads: how many files are copied at a time."""
    name = Path(home.catalog.out_name(batch.batch_id, batch.seq))
    copies = {
        path.relative_to(batch.folder): name / path.relative_to(batch.folder)
        for path in [
            segment.segment_at(batch.folder, "status"),
            *sorted((batch.folder / "clearing").iterdir()),
        ]
    }
    if (batch.folder / "settlement.json").exists():
        for cycle_file in ("positions.parquet", "settlement.json"):
            copies[Path(cycle_file)] = Path("cycles", batch.cycle, cycle_file)
    sent = {Path(n) for n in home.digests(batch.folder) if n.startswith("clearing/")}
    for source in sorted(copies.keys() | sent) if batch.replayed else ():
        home.proven(batch.folder / source)

    def copy(source: Path, target: Path) -> None:
        with landing(out, target) as file:
            copy_into(file, batch.folder / source)

    deque(in_order((partial(copy, *names) for names in copies.items()), threads), maxlen=0)
    return out / name


def export_requests(home: Home, out: Path) -> None:
    """Copies of what the State Bank is asked for anew by answers, where no settlement has
    written others since."""
    asked = {cycle.cycle: cycle.request for cycle in home.catalog.cycles("CLOSED")}
    for folder in folders(home):
        requests = {
            cycle: msgspec.json.decode(asked[cycle])
            for cycle in folder.detail.requests
            if cycle in asked
        }
        if folder.detail.request:
            requests[folder.detail.cycle] = folder.detail.request
        for cycle, request in requests.items():
            _export_request(home, cycle, request, out)


def export_recalls(home: Home, out: Path) -> None:
    """The lists of receivers of all recalls that are not there, in out/recalls/NNNNNN; those of
    the last one in any case, for a power cut may have cut them short."""
    recalls = [folder for folder in folders(home) if folder.kind == RECALL]
    for folder in recalls:
        for path in sorted((home.path / folder.name / "recall").iterdir()):
            name = f"recalls/{folder.number:06d}/{path.name}"
            if folder is recalls[-1] or not (out / name).exists():
                with landing(out, name) as file:
                    copy_into(file, home.proven(path))


def export_expired(home: Home, out: Path) -> None:
    """The lists of lines that expired which are not there, in out/expired/NNNNNN.parquet; the last
    one in any case, for a power cut may have cut it short."""
    done = expiries(home)
    for one in done:
        if one is done[-1] or not (out / f"{one.folder}.parquet").exists():
            with landing(out, f"{one.folder}.parquet") as file:
                copy_into(file, home.proven(home.path / one.folder / "lines.parquet"))


def export_fees(home: Home, out: Path) -> None:
    """Answers to files of payments of fees that are not there, in out/fees/NNNNNN.parquet, and what
    the State Bank is asked for by those that settled at once; the last ones in any case, for a
    power cut may have cut them short."""
    done = [folder for folder in fee_folders(home) if folder.kind in (PAYMENTS, REFUND)]
    for one in done:
        name = f"{one.name}.parquet"
        if one is not done[-1] and (out / name).exists():
            continue
        if one.kind == PAYMENTS:
            with landing(out, name) as file:
                copy_into(file, home.proven(home.path / one.name / "payments.parquet"))
        if "request" in one.detail:
            _export_request(home, one.detail["cycle"], one.detail["request"], out)


def export_day(home: Home, out: Path) -> None:
    """The statements of the day that was closed last, and its answer, in out/days/DATE."""
    last = folders(home)[-1]
    answer = {"number": last.number, **last.signed()}
    day = f"days/{answer['as_of']}"
    for path in sorted((home.path / last.name / "statements").iterdir()):
        with landing(out, f"{day}/statements/{path.name}") as file:
            copy_into(file, home.proven(path))
    with landing(out, f"{day}/day.json") as file:
        file.write(json_of(answer))
