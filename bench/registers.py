"""What a change of the register costs: as a delta, and written whole.

    python -m bench.registers [--people 2000000] [--changes 100000] [--work FOLDER]

One invented register, one process. Half of the changes are corrections of people and of their
accounts, a quarter deaths, a quarter births with an account. CPU seconds are those of this process
and of the children that read files for it; there are none here, for tables come from memory. Bytes
are those of the version's files. Each way is given the same change: as a delta, and whole, as every
change was written before there were deltas.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import numpy as np
import pyarrow as pa

import switch
from switch.engine import Engine
from switch.registry import delta
from switch.registry.load_registers import current

BLOCK = 1 << 20
"""People of a record batch."""
FIRST = 1_000_000_000
"""Number of the first person; that of the next is STEP further on."""
STEP = 37
FAMILY, GIVEN = ("Nguyễn", "Trần", "Lê", "Phạm", "Hoàng"), ("An", "Bình", "Chi", "Dũng", "Hoa")
NAMES = [f"{family} Văn {given}" for family in FAMILY for given in GIVEN]
CODES = [f"97{number:04d}" for number in range(1, 41)]
OPENINGS = 5


def codes(index: np.ndarray, values: list[str]) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(index, pa.int32()), pa.array(values))


def people(numbers: np.ndarray, *, salt: int = 0, dead: bool = False) -> pa.RecordBatch:
    """Rows of a population register. salt: another one gives other names."""
    life = numbers % 50 == 0 if not dead else np.ones(len(numbers), bool)
    days = pa.array(np.where(life, 20_000 + numbers % 400, 0), pa.int32(), mask=~life)
    return pa.record_batch(
        {
            "person_id": pa.array(FIRST + numbers * STEP, pa.uint64()),
            "name": codes((numbers + salt) % len(NAMES), NAMES),
            "birth_date": pa.array(np.full(len(numbers), -5_000, np.int32)).cast(pa.date32()),
            "status": codes(life.astype(np.int32), ["alive", "deceased"]),
            "status_since": days.cast(pa.date32()),
        }
    )


def accounts(numbers: np.ndarray, *, salt: int = 0) -> pa.RecordBatch:
    """Rows of an account register: one in ten stands with letters, one in five ends on a day."""
    texts = pa.array(np.char.mod("%d", 10_000_000 + numbers * 7 + salt))
    letters = pa.array(np.char.mod("VN-%d", numbers + salt))
    ends = numbers % 5 == 0
    return pa.record_batch(
        {
            "person_id": pa.array(FIRST + numbers * STEP, pa.uint64()),
            "participant": codes(numbers % len(CODES), CODES),
            "account": pa.compute.if_else(pa.array(numbers % 10 == 0), letters, texts),
            "kind": codes(np.zeros(len(numbers), np.int32), ["bank"]),
            "priority": pa.array(np.ones(len(numbers), np.uint8)),
            "valid_to": pa.array(np.full(len(numbers), 22_000, np.int32), mask=~ends).cast(
                pa.date32()
            ),
        }
    )


def stream(make: Callable[[np.ndarray], pa.RecordBatch], count: int) -> pa.RecordBatchReader:
    def batches() -> Iterator[pa.RecordBatch]:
        for start in range(0, count, BLOCK):
            yield make(np.arange(start, min(start + BLOCK, count), dtype=np.int64))

    return pa.RecordBatchReader.from_batches(make(np.arange(1)).schema, batches())


def changed(count: int, changes: int, salt: int) -> dict[str, pa.Table]:
    """A change of so many people of a register of count: corrections, deaths and births."""
    chosen = np.random.default_rng(salt).permutation(count)[: 3 * changes // 4]
    corrected, died = chosen[: changes // 2], chosen[changes // 2 :]
    born = count * salt + np.arange(changes - len(chosen))
    living = [people(part, salt=salt) for part in (corrected, born)]
    return {
        "population": pa.Table.from_batches([*living, people(died, dead=True)]),
        "accounts": pa.Table.from_batches(
            [accounts(part, salt=salt) for part in (corrected, born)]
        ),
    }


class Measured:
    """CPU and wall seconds of what was done."""

    def __init__(self, do: Callable[[], object]) -> None:
        began, cpu = time.perf_counter(), _cpu()
        do()
        self.cpu, self.wall = _cpu() - cpu, time.perf_counter() - began


def _cpu() -> float:
    told = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in told)


def opened(engine: Engine) -> float:
    """CPU seconds of opening the current register, the least of several."""
    return min(Measured(lambda: current(engine.home)).cpu for _ in range(OPENINGS))


def version_bytes(engine: Engine) -> int:
    folder = engine.home.folder("registers", engine.home.catalog.register_seq())
    return sum(path.stat().st_size for path in folder.iterdir())


def rows(home: Path, count: int, changes: int) -> Iterator[tuple[str, str, str, str]]:
    """What is measured, in order: name, CPU seconds, wall seconds, MB."""
    participants = pa.table(
        {"participant": CODES, "name": CODES, "kind": ["bank"] * len(CODES),
         "status": ["active"] * len(CODES)}
    )  # fmt: skip
    debtors = pa.table({"debtor_account": ["1"], "debtor_agent": CODES[:1]})
    with switch.init(home, participants=participants, debtors=debtors) as engine:

        def told(name: str, measured: Measured) -> tuple[str, str, str, str]:
            size = version_bytes(engine) / 1e6
            return name, f"{measured.cpu:.2f}", f"{measured.wall:.2f}", f"{size:,.1f}"

        first = {"population": stream(people, count), "accounts": stream(accounts, count)}
        yield told("all people, from tables", Measured(lambda: engine.register(**first)))
        whole = opened(engine)
        for number in (1, 2):
            change = changed(count, changes, number)
            made = Measured(lambda change=change: engine.register(**change))
            yield told(f"delta {number}", made)
            yield (
                f"opening with {number}, and without",
                f"{opened(engine):.2f}, {whole:.2f}",
                "",
                "",
            )
        yield told("compact", Measured(engine.compact))
        yield "opening without again", f"{opened(engine):.2f}", "", ""
        with mock.patch.object(delta, "CHANGES_SHARE", 1 << 62):
            change = changed(count, changes, 3)
            yield told("the same change, whole", Measured(lambda: engine.register(**change)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--people", type=int, default=2_000_000)
    parser.add_argument("--changes", type=int, default=100_000)
    parser.add_argument("--work", type=Path, default=None)
    given = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="registers-", dir=given.work))
    try:
        print(f"{given.people:,} people, {given.changes:,} changes\n")
        print("| | CPU s | s | MB |\n|---|---:|---:|---:|")
        for row in rows(work / "home", given.people, given.changes):
            print(f"| {' | '.join(row)} |", flush=True)
    finally:
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
