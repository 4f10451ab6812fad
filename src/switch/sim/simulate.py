"""Simulate: many lives, each from one seed, the engine beside the auditor.

`python -m switch.sim.simulate --seeds 1:200`. Each seed is lived twice, the second time with other
chunk sizes, and both times must come to the same digest. A difference prints the seed, the
operation, what was expected and what was got, and writes the life to a file; such a seed becomes a
case of tests/whole/test_simulation.py.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import hashlib
import multiprocessing
import random
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from switch.sim.lives.difference import Difference
from switch.sim.lives.life import Life
from switch.sim.lives.lockstep import Lockstep
from switch.sim.lives.operations import Nation, Operation

SEEDS = "1:200"
VERIFY_EVERY = 16
SECOND_CHUNK_ROWS = 5
TRACEBACK_CALLS = 6
ROOM = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""Folder in which lives are lived: what is written need not survive, so memory will do."""
ALIKE = 12
"""Two failures are taken for the same one when they begin with the same characters."""


class Script(NamedTuple):
    """A life as it was drawn. The last `repairs` operations are the end, when all faults stop."""

    nation: Nation
    operations: tuple[Operation, ...]
    repairs: int


class Failure(NamedTuple):
    """A life that went other than it must."""

    seed: int
    number: int
    operation: Operation | None
    text: str

    def __str__(self) -> str:
        what = type(self.operation).__name__ if self.operation else "the end"
        return f"seed {self.seed}, operation {self.number}, {what}: {self.text}"


class Lived(NamedTuple):
    """A life that went as it must."""

    digest: str
    words: tuple[str, ...]


def script_of(seed: int) -> Script:
    """The life of a seed."""
    life = Life(random.Random(seed))
    operations = list(life.script())
    repair = list(life.repair())
    return Script(life.nation, (*operations, *repair), len(repair))


def live(script: Script, seed: int, *, again: bool = False) -> Lived | Failure:
    """Live a life once. again: the second time, with other chunk sizes and without `verify`."""
    words: list[str] = []
    number, operation = 0, None
    digest = hashlib.sha256()
    with tempfile.TemporaryDirectory(prefix="switch-life-", dir=ROOM) as folder:
        try:
            chunk_rows = SECOND_CHUNK_ROWS if again else None
            with contextlib.closing(
                Lockstep(Path(folder), script.nation, chunk_rows=chunk_rows)
            ) as home:
                for number, operation in enumerate(script.operations, start=1):
                    words.append(home.step(operation))
                    digest.update(f"{home.link} {words[-1]}\n".encode())
                    if number % VERIFY_EVERY == 0 and not again:
                        home.verify()
                operation = None
                home.require_all_terminal()
                if not again:
                    home.verify()
        except Difference as difference:
            return Failure(seed, number, operation, str(difference))
        except Exception:
            return Failure(seed, number, operation, _last_lines(traceback.format_exc()))
    return Lived(digest.hexdigest(), tuple(words))


def _last_lines(text: str) -> str:
    """The end of a traceback: the error first, then where."""
    lines = text.strip().splitlines()
    return "\n".join([lines[-1], *lines[-2 * TRACEBACK_CALLS - 1 : -1]])


def live_twice(seed: int) -> Lived | Failure:
    """Live the life of a seed twice; both must come to the same."""
    script = script_of(seed)
    first = live(script, seed)
    if isinstance(first, Failure):
        return first
    second = live(script, seed, again=True)
    if isinstance(second, Failure) or first.digest == second.digest:
        return second if isinstance(second, Failure) else first
    for number, (a, b) in enumerate(zip(first.words, second.words, strict=True), start=1):
        if a != b:
            return Failure(seed, number, script.operations[number - 1], f"once {a}\nand once {b}")
    return Failure(seed, 0, None, "the words are equal, the audit chains differ")


def shrink(seed: int) -> tuple[Script, Failure] | None:
    """The life of a seed that fails, without the operations it fails without as well."""
    script = script_of(seed)
    failure = live(script, seed)
    if not isinstance(failure, Failure):
        return None
    script = script._replace(operations=script.operations[: failure.number])
    size = len(script.operations)
    while size:
        at = len(script.operations) - size
        while at >= 0:
            rest = script.operations[:at] + script.operations[at + size :]
            less = script._replace(operations=rest)
            found = live(less, seed)
            if isinstance(found, Failure) and found.text[:ALIKE] == failure.text[:ALIKE]:
                script, failure = less, found
            at -= size
        size //= 2
    return script, failure


def write_case(seed: int, failure: Failure, folder: Path) -> Path:
    """The life of a seed up to where it failed, for people to read."""
    path = folder / f"simulation-{seed}.txt"
    script = script_of(seed)
    lines = [str(failure), "", f"nation: {script.nation._replace(programmes=())}"]
    for number, operation in enumerate(script.operations[: failure.number or None], start=1):
        lines.append(f"{number}: {operation}")
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def _alone() -> None:
    """Tables this small are read faster without Arrow's threads."""
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)


def run_seeds(seeds: Sequence[int], processes: int) -> Iterator[Lived | Failure]:
    """Every seed lived twice, in order of seeds."""
    if processes == 1:
        _alone()
        yield from map(live_twice, seeds)
        return
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(
        processes, mp_context=context, initializer=_alone
    ) as pool:
        yield from pool.map(live_twice, seeds, chunksize=4)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m switch.sim.simulate", description=__doc__)
    parser.add_argument("--seeds", default=SEEDS, help="FIRST:LAST, both lived; or one seed")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--cases", type=Path, default=Path(), help="where failures are written")
    parser.add_argument("--shrink", action="store_true", help="show the shortest life that fails")
    options = parser.parse_args(arguments)
    first, _, last = options.seeds.partition(":")
    seeds = range(int(first), int(last or first) + 1)
    digest = hashlib.sha256()
    failures = operations = 0
    for seed, result in zip(seeds, run_seeds(seeds, options.processes), strict=True):
        if isinstance(result, Failure):
            failures += 1
            print(f"{result}\nwritten to {write_case(seed, result, options.cases)}", flush=True)
            if options.shrink and (least := shrink(seed)):
                print(f"least: {least[1]}", *least[0].operations, sep="\n  ", flush=True)
            continue
        operations += len(result.words)
        digest.update(result.digest.encode())
        if (seed - seeds[0] + 1) % 100 == 0:
            print(f"{seed - seeds[0] + 1} seeds, {failures} differences", flush=True)
    print(
        f"{len(seeds)} seeds, {operations} operations, {failures} differences, digest "
        f"{digest.hexdigest()[:16]}"
    )
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
