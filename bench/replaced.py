"""What pairs of ids cost: in an opening of the register, and in a run.

    python -m bench.replaced [--people 2000000] [--pairs 1000000] [--lines 1000000] [--rounds 5]

Two homes with the same invented register, one of which has pairs beside: ids of before that stand
in no register, each with that of a person. The same table runs in both, and in the home with pairs
also one in which every other line names an id of before. They take turns; every figure is the
median of CPU seconds (those of `bench.registers`), that of the ratio of each turn's own two.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

import switch
from switch.engine import Engine
from switch.registry.load_registers import current

from .registers import CODES, FIRST, NAMES, STEP, Measured, accounts, codes, people, stream

OLD, OLD_STEP = 1_000_000, 97
"""The first id of before, of 9 digits, and how far the next one is."""


def payments(count: int, every: int) -> pa.Table:
    """Lines for the first people who live. every: each such line names the id of before; 0: none
    does."""
    numbers = np.flatnonzero(np.arange(2 * count + 50) % 50)[:count]
    ids = FIRST + numbers * STEP
    if every:
        ids[::every] = OLD + numbers[::every] * OLD_STEP
    return pa.table(
        {
            "line_no": pa.array(np.arange(1, count + 1)),
            "person_id": pa.array(ids, pa.uint64()),
            "person_name": codes(numbers % len(NAMES), NAMES),
            "benefit": codes(np.zeros(count, np.int32), ["PENS"]),
            "period": pa.array(np.full(count, 202611, np.int32)),
            "amount": pa.array(np.full(count, 1_000_000, np.int64)),
            "debtor_account": codes(np.zeros(count, np.int32), ["1"]),
        }
    )


def pay(engine: Engine, table: pa.Table, turn: int) -> float:
    """CPU seconds of a run in which every line is of a month that nobody was paid for."""
    period = 202600 + turn if turn <= 12 else 202700 + turn - 12
    place = table.schema.get_field_index("period")
    table = table.set_column(place, "period", pa.array(np.full(len(table), period, np.int32)))
    said = {
        "source": "VSS",
        "batch_id": f"T{turn}",
        "value_date": "2026-11-25",
        "count": len(table),
    }
    said["sum"] = 1_000_000 * len(table)
    ran = []
    measured = Measured(lambda: ran.append(engine.run(table, **said, threads=1)))
    assert ran[0].summary["cleared"]["count"] == len(table), ran[0].summary["reasons"]
    return measured.cpu


def rows(work: Path, count: int, pairs: int, lines: int, rounds: int) -> Iterator[tuple[str, str]]:
    """What is measured, in order: name, and median of CPU seconds or of a ratio."""
    participants = pa.table(
        {"participant": CODES, "name": CODES, "kind": ["bank"] * len(CODES),
         "status": ["active"] * len(CODES)}
    )  # fmt: skip
    debtors = pa.table({"debtor_account": ["1"], "debtor_agent": CODES[:1]})
    with switch.init(work / "without", participants=participants, debtors=debtors) as engine:
        engine.register(population=stream(people, count), accounts=stream(accounts, count))
    shutil.copytree(work / "without", work / "with")
    numbers = np.arange(pairs)
    table = {"person_id": OLD + numbers * OLD_STEP, "replaced_by": FIRST + numbers * STEP}
    plain, mixed = payments(lines, 0), payments(lines, 2)
    with switch.open(work / "without") as without, switch.open(work / "with") as beside:
        loaded = Measured(lambda: beside.register(replaced=pa.table(table)))
        yield "pairs are loaded", f"{loaded.cpu:.2f}"
        opened: list[tuple[float, ...]] = []
        ran: list[tuple[float, ...]] = []
        for turn in range(1, rounds + 1):
            opened.append(
                tuple(Measured(lambda e=e: current(e.home)).cpu for e in (without, beside))
            )
            ran.append((pay(without, plain, turn), pay(beside, plain, turn)))
            ran[-1] += (pay(beside, mixed, turn + rounds),)
    names = ("without pairs", "with them", "with them, every other line by an id of before")
    for what, found in (("opening", opened), ("run", ran)):
        for place in range(len(found[0])):
            ratio = statistics.median(turn[place] / turn[0] for turn in found)
            seconds = statistics.median(turn[place] for turn in found)
            yield f"{what} {names[place]}", f"{seconds:.3f}, {ratio:.3f} times that without"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--people", type=int, default=2_000_000)
    parser.add_argument("--pairs", type=int, default=1_000_000)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--work", type=Path, default=None)
    given = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="replaced-", dir=given.work))
    try:
        print(f"{given.people:,} people, {given.pairs:,} pairs, {given.lines:,} lines\n")
        for name, told in rows(work, given.people, given.pairs, given.lines, given.rounds):
            print(f"{name}: {told}", flush=True)
    finally:
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
