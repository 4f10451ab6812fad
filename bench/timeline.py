"""One citizen's timeline over many batches, and what the index by person costs the runs.

    python -m bench.timeline [--batches 10] [--lines 1000000] [--asked 200] [--repeat 9]

A nation of as many people as a batch has lines is paid once a month; `lines` is the number of all
batches together. The first run is made again and again from the same home, with the index and
without it, in turn: what counts is the CPU time of each pair, and of the pairs the median of their
ratios. Then people are asked for, at three lengths of the history: CPU milliseconds a question.
Nothing was answered by receivers: what they say is judged anew for every question (docs/limits.md).
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import switch
from switch.clearing import batch_writer
from switch.engine import Engine
from switch.files import row_index

SEED = 13
FIRST_MONTH = datetime.date(2022, 1, 25)


class NoIndex:
    """An index that is not written: what a run costs without one."""

    def __init__(self, path: Path) -> None:
        path.touch()

    def add(self, rows: object) -> None:
        """Take nothing in."""

    add_moved = add

    def close(self) -> tuple[str, int]:
        """The digest of an empty file."""
        return hashlib.sha256().hexdigest(), 0

    def abandon(self) -> None:
        """Do nothing."""


class Pair(NamedTuple):
    """CPU seconds of one run with the index and of the same without it."""

    with_index: float
    without: float


class Asked(NamedTuple):
    """Questions at one length of the history."""

    batches: int
    lines: int
    """Lines of the whole history."""
    mine: float
    """Lines of a person, on average."""
    ms: float
    """CPU milliseconds a question, the median."""


def months(first: datetime.date, count: int) -> Iterator[datetime.date]:
    """The same day of months in a row."""
    for number in range(first.month - 1, first.month - 1 + count):
        yield first.replace(year=first.year + number // 12, month=number % 12 + 1)


def made(work: Path, lines: int) -> tuple[Path, pa.Table, list[str]]:
    """A home without a batch, a payday of so many lines, and the ids of the people of both."""
    nation = switch.generate(work / "nation", lines, lines, SEED)
    home = work / "home"
    with switch.init(home, participants=nation.participants, debtors=nation.debtors) as engine:
        engine.register(population=nation.population, accounts=nation.accounts)
    payday = pq.read_table(nation.payday)
    people = pq.read_table(nation.population, columns=["person_id"])
    known = [np.asarray(table["person_id"].cast(pa.int64())) for table in (payday, people)]
    return home, payday, [f"{one:012d}" for one in np.intersect1d(*known).tolist()]


def table_of(payday: pa.Table, day: datetime.date) -> pa.Table:
    """The same lines for the month of a day."""
    period = pa.array(np.full(len(payday), day.year * 100 + day.month, np.int32))
    at = payday.schema.get_field_index("period")
    return payday.set_column(at, "period", period)


def paid(engine: Engine, payday: pa.Table, day: datetime.date) -> float:
    """CPU seconds of a run from memory, on one thread."""
    table = table_of(payday, day)
    sum_ = int(np.asarray(table["amount"].cast(pa.int64())).sum())
    engine.open_register()
    said = {"source": "VSS", "batch_id": f"{day:%Y-%m}", "value_date": day}
    began = time.process_time()
    engine.run(table, count=len(table), sum=sum_, threads=1, **said)
    return time.process_time() - began


def history(home: Path, payday: pa.Table, batches: int) -> Iterator[int]:
    """Run a batch a month; how many there are after each."""
    for number, day in enumerate(months(FIRST_MONTH, batches), start=1):
        with switch.open(home) as engine:
            paid(engine, payday, day)
        yield number


def pairs(home: Path, payday: pa.Table, count: int) -> Iterator[Pair]:
    """Run the first batch again and again, on copies of a home without one: with the index and
    without it, each first in turn."""
    aside = home.with_name("aside")
    for number in range(count):
        seconds: dict[bool, float] = {}
        for without in (number % 2 == 0, number % 2 != 0):
            shutil.copytree(home, aside, copy_function=_linked)
            index = NoIndex if without else row_index.RowIndex
            with mock.patch.object(batch_writer, "RowIndex", index), switch.open(aside) as engine:
                seconds[without] = paid(engine, payday, FIRST_MONTH)
            shutil.rmtree(aside)
        yield Pair(seconds[False], seconds[True])


def _linked(source: str, target: str) -> None:
    """A link to what is never written again, a copy of all else."""
    is_kept = {"batches", "registers"} & set(Path(source).parts)
    (os.link if is_kept else shutil.copy2)(source, target)


def asked(home: Path, ids: list[str]) -> tuple[Asked, str]:
    """Questions about people, each alone. Returns a digest of all answers, too."""
    digest = hashlib.sha256()
    spent, mine = [], 0
    with switch.open(home, mode="r") as engine:
        rows = engine.home.catalog.batches()
        for one in ids:
            began = time.process_time()
            told = engine.person(one)
            spent.append(time.process_time() - began)
            mine += len(told["lines"])
            digest.update(msgspec.json.encode(told["lines"]))
    lines = sum(row.lines for row in rows)
    return Asked(len(rows), lines, mine / len(ids), 1e3 * statistics.median(spent)), (
        digest.hexdigest()
    )


def measured(work: Path, batches: int, lines: int, people: int, repeat: int) -> Iterator[str]:
    """Lines of the report, as they are known."""
    home, payday, ids = made(work, lines // batches)
    chosen = np.random.default_rng(SEED).choice(ids, min(people, len(ids)), replace=False).tolist()
    # The first pair pays for pages that nobody has touched yet.
    both = list(pairs(home, payday, 1 + repeat))[1:]
    cost = statistics.median(pair.with_index / pair.without for pair in both)
    each = statistics.median(pair.with_index for pair in both)
    yield (
        f"a run of {len(payday):,} lines: {1e9 * each / len(payday):.0f} ns of CPU a line;"
        f" the index {cost - 1:+.1%} of it"
    )
    steps = {max(batches // 9, 1), max(batches // 3, 1), batches}
    for done in history(home, payday, batches):
        if done in steps:
            found, digest = asked(home, chosen)
            yield (
                f"{found.batches:4} batches, {found.lines:11,} lines: {found.ms:8.2f} ms a person"
                f" of {found.mine:.1f} lines, digest {digest[:16]}"
            )
    size = sum(path.stat().st_size for path in home.rglob(row_index.NAME))
    yield f"index: {size / lines:.2f} bytes a line"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batches", type=int, default=10)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--asked", type=int, default=200)
    parser.add_argument("--repeat", type=int, default=9)
    parser.add_argument("--work", type=Path, help="default: the folder of temporary files")
    options = parser.parse_args()
    said = options.batches, options.lines, options.asked, options.repeat
    with tempfile.TemporaryDirectory(prefix="switch-timeline-", dir=options.work) as name:
        for text in measured(Path(name), *said):
            print(text, flush=True)


if __name__ == "__main__":
    main()
