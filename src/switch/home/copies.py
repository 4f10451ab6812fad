"""Copies for others in HOME/out: answers of batches, cycles and days; each file lands whole."""

from __future__ import annotations

from collections import deque
from functools import partial
from pathlib import Path

import msgspec

from switch.files import segment
from switch.files.disk import copy_into, landing
from switch.files.layout import positions_table
from switch.files.segment import json_of, write_table
from switch.files.threads import in_order
from switch.home.batch import Batch
from switch.home.history import folders, recasts
from switch.home.store import Home
from switch.home.times import latest
from switch.results import CycleAnswer, DaySigned


def not_exported(home: Home, out: Path) -> list[CycleAnswer]:
    """Answers of cycles that ended whose copy is not there, or older: a crash came between. The
    last that ended are among them in any case, for a power cut may have cut their copies short."""
    rows = home.rows("SELECT * FROM cycles WHERE answer != '' ORDER BY closes")
    last = latest(row["at"] for row in rows)
    found = []
    for row in rows:
        answer = msgspec.json.decode(row["answer"])
        copy = out / "cycles" / row["cycle"] / "answer.json"
        if row["at"] == last or not copy.exists() or copy.read_bytes() != json_of(answer):
            found.append(answer)
    return found


def export_cycle(home: Home, answer: CycleAnswer, out: Path) -> None:
    """Positions, request and answer of a cycle in out/cycles/<cycle>; each file lands whole."""
    cycle = answer["cycle"]
    folder = f"cycles/{cycle}"
    rows = home.rows("SELECT * FROM positions WHERE cycle = ? ORDER BY participant", cycle)
    (kept,) = home.rows("SELECT request FROM cycles WHERE cycle = ?", cycle)
    for recast in recasts(home):
        if recast.cycle == cycle:
            for path in sorted((home.path / recast.folder / "recall").iterdir()):
                with landing(out, f"{folder}/recall/{path.name}") as file:
                    copy_into(file, home.proven(path))
    with landing(out, f"{folder}/positions.parquet") as file:
        write_table(file, positions_table([tuple(row)[1:] for row in rows]))
    documents = {"settlement": msgspec.json.decode(kept["request"]), "answer": answer}
    for name, content in documents.items():
        with landing(out, f"{folder}/{name}.json") as file:
            file.write(json_of(content))


def export_batch(home: Home, batch: Batch, out: Path, threads: int = 1) -> Path:
    """Copy a batch's answer to out/<batch_id> and out/cycles/<cycle>; each file lands whole.
    threads: how many files are copied at a time."""
    name = Path(home.out_name(batch.batch_id, batch.seq))
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
    asked = "SELECT request FROM cycles WHERE cycle = ? AND state = 'CLOSED'"
    for folder in folders(home):
        requests = {
            cycle: msgspec.json.decode(home.rows(asked, cycle)[0]["request"])
            for cycle in folder.detail.get("requests", {})
            if home.rows(asked, cycle)
        }
        if "request" in folder.detail:
            requests[folder.detail["cycle"]] = folder.detail["request"]
        for cycle, request in requests.items():
            query = "SELECT * FROM positions WHERE cycle = ? ORDER BY participant"
            rows = [tuple(row)[1:] for row in home.rows(query, cycle)]
            with landing(out, f"cycles/{cycle}/positions.parquet") as file:
                write_table(file, positions_table(rows))
            with landing(out, f"cycles/{cycle}/settlement.json") as file:
                file.write(json_of(request))


def export_day(home: Home, answer: DaySigned, out: Path) -> None:
    """The statements of the day that was closed last, and its answer, in out/days/DATE."""
    day = f"days/{answer['as_of']}"
    signed = home.path / folders(home)[-1].name / "statements"
    for path in sorted(signed.iterdir()):
        with landing(out, f"{day}/statements/{path.name}") as file:
            copy_into(file, home.proven(path))
    with landing(out, f"{day}/day.json") as file:
        file.write(json_of(answer))
