"""A payday's way back: clearing files, simulated receivers, and breaks that equal their truth.

    python -m bench.reconcile.payday DIR --lines 10000000

Generates clearing files, lets the receivers of `switch.sim` answer, reconciles from files to
breaks, and requires that the breaks are what truth.parquet says, line for line. Prints lines/s,
and by how much memory grew.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from switch.clearing.clearing_files import STYLES
from switch.files.file_schemas import CLEARING
from switch.files.segment import Segment
from switch.sim.receivers.behaviour import Fate, payday
from switch.sim.receivers.exchange import exchange

from .job import Job, peer_of
from .switch_peer import VALUE_DATE

RECEIVERS = {
    **{f"{970400 + i}": "bank" for i in range(40)},
    **{f"{971000 + i}": "wallet" for i in range(4)},
    **{f"{972000 + i}": "mobile_money" for i in range(2)},
}
GROUP_ROWS = 1 << 16
ENDS = {
    Fate.SILENT: ("MISSING", None),
    Fate.LATE: ("TIMING", "TIMING"),
    Fate.AMOUNT: ("AMOUNT", "AMOUNT"),
    Fate.REFUSED_LATE: ("STATUS", "STATUS"),
    Fate.TWICE: (None, "DUPLICATE"),
    Fate.STRAY: (None, "MISSING"),
}
"""How the line ends, and the confirmation, by fate; the other fates are no breaks."""


def generate(folder: Path, lines: int, seed: int) -> None:
    """Clearing files of as many lines, in the form in which `run` writes them, and what the
    receivers answer."""
    clearing = folder / "clearing"
    clearing.mkdir(parents=True)
    codes = sorted(RECEIVERS)
    rng = np.random.default_rng(seed)
    receiver = rng.integers(0, len(codes), lines, dtype=np.uint8)
    for index, code in enumerate(codes):
        number = np.flatnonzero(receiver == index) + 1
        file = Segment(clearing / f"{code}.parquet", CLEARING, STYLES, group_rows=GROUP_ROWS)
        for start in range(0, len(number), GROUP_ROWS):
            file.append(_group(number[start : start + GROUP_ROWS], rng))
        file.close()
    done = exchange(clearing, folder / "out", RECEIVERS, payday(RECEIVERS), seed, VALUE_DATE)
    (folder / "exchanged.json").write_text(json.dumps(done._asdict()), "utf-8")


def _group(number: Any, rng: Any) -> dict[str, Any]:
    rows = len(number)
    digits = pc.utf8_lpad(pa.array(number).cast(pa.string()), 10, "0")
    accounts = pa.array(10**11 + number).cast(pa.string())
    columns = [
        pc.binary_join_element_wise("20261125-000001", digits, "-"),
        pa.nulls(rows, pa.string()),
        accounts,
        pa.repeat("NGUYEN THI AN", rows),
        pa.array(rng.integers(1, 50, rows) * 100_000),
        pa.repeat("PENS", rows).dictionary_encode(),
        pa.repeat(pa.scalar(202611, pa.int32()), rows),
        pa.repeat("3713", rows).dictionary_encode(),
    ]
    return dict(zip(CLEARING.names, columns, strict=True))


def require_truth(folder: Path) -> dict[str, int]:
    """Reconcile, and compare every break with what the receivers did. Breaks by class."""
    answer = peer_of("switch", Job(folder), 1).solve()
    truth = pq.read_table(folder / "out" / "truth.parquet")
    fates = truth["fate"].cast(pa.string()).to_pylist()
    ids = truth["transfer_id"].to_pylist()
    for side, place in (("lines", 0), ("answers", 1)):
        wanted = sorted(
            (transfer, ends[place])
            for transfer, fate in zip(ids, fates, strict=True)
            if (ends := ENDS.get(Fate[fate])) and ends[place]
        )
        mine = answer.filter(pc.equal(answer["side"], side))
        found = sorted(
            zip(mine["transfer_id"].to_pylist(), mine["verdict"].to_pylist(), strict=True)
        )
        assert found == wanted, f"breaks of {side} are not the injected faults"
    counted = answer.group_by("verdict").aggregate([([], "count_all")])
    names, counts = counted["verdict"].to_pylist(), counted["count_all"].to_pylist()
    return dict(zip(names, counts, strict=True))


def main() -> None:
    from bench.compare.worker import memory, reset_peak

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    begun = time.perf_counter()
    if not (args.folder / "exchanged.json").exists():
        generate(args.folder, args.lines, args.seed)
        print(f"generated and answered in {time.perf_counter() - begun:.1f} s")
    reset_peak()
    base = memory()["rss"]
    wall, cpu = time.perf_counter(), time.process_time()
    peer_of("switch", Job(args.folder), args.threads).solve()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    lines = Job(args.folder).records()
    grown = memory()["peak"] - base
    print(f"{lines:,} lines in {wall:.2f} s ({lines / wall / 1e6:.2f} M/s), CPU {cpu:.2f} s")
    print(f"memory grew by {grown / 2**20:.0f} MiB, {grown / lines:.0f} bytes a line")
    print(f"breaks equal the truth: {require_truth(args.folder)}")


if __name__ == "__main__":
    main()
