"""What durability costs: the share of syncs, renames and the catalog's transaction in a whole run.

    python -m bench.durability [--lines 1000000] [--work FOLDER]

One table of Parquet against as many people, from file to files, twice; the second run is told (the
first pays for pages that nobody has touched yet). What encodes and hashes files is not durability
and is not counted; the time in SQLite is that of the whole transaction, from BEGIN to its end, that
of files until the last of those synced side by side is done, that of hints what it took, beside
other work, to tell the disk that it may begin.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import switch
from switch.files import segment
from switch.home import commit
from switch.home.catalog import Catalog

SEED = 7


@contextlib.contextmanager
def timed(spent: dict[str, float], name: str) -> Iterator[None]:
    began = time.perf_counter()
    try:
        yield
    finally:
        spent[name] += time.perf_counter() - began


@contextlib.contextmanager
def watched(spent: dict[str, float]) -> Iterator[None]:
    """Time in the calls that make a commit durable, by kind; those inside SQLite are SQLite's."""

    def watch(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            with timed(spent, name):
                return real(*args)

        return call

    real_transaction = Catalog.transaction

    @contextlib.contextmanager
    def transaction(catalog: Catalog) -> Iterator[None]:
        # The sync of HOME's entries is inside: it is counted here alone.
        with (
            mock.patch.object(segment, "sync_folder", folder),
            timed(spent, "SQLite"),
            real_transaction(catalog),
        ):
            yield

    folder = segment.sync_folder
    # Files of a batch are synced side by side: what counts is how long the run waits for all.
    with (
        mock.patch.object(commit, "sync_files", watch("files", commit.sync_files)),
        mock.patch.object(commit, "write_checkpoint", watch("checkpoint", commit.write_checkpoint)),
        mock.patch.object(segment, "_begin_writing", watch("hints", segment._begin_writing)),
        mock.patch.object(segment, "sync_folder", watch("folders", folder)),
        mock.patch.object(Path, "rename", watch("renames", Path.rename)),
        mock.patch.object(Catalog, "transaction", transaction),
    ):
        yield


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--work", type=Path, help="default: the folder of temporary files")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="switch-durability-", dir=options.work) as name:
        work = Path(name)
        made = switch.generate(work / "nation", options.lines, options.lines, SEED)
        with switch.init(
            work / "made", participants=made.participants, debtors=made.debtors
        ) as engine:
            engine.register(
                population=made.population, accounts=made.accounts, paid_history=made.paid
            )
        for again in (False, True):
            shutil.rmtree(work / "home", ignore_errors=True)
            shutil.copytree(work / "made", work / "home")
            spent: dict[str, float] = defaultdict(float)
            with switch.open(work / "home") as engine, watched(spent):
                began = time.perf_counter()
                batch = engine.run(made.payday)
                whole = time.perf_counter() - began
            if again:
                durable = sum(spent.values())
                print(f"{options.lines:,} lines from file to files: {whole:.2f} s")
                for kind, seconds in sorted(spent.items()):
                    print(f"  {kind:10} {1000 * seconds:8.1f} ms {100 * seconds / whole:6.2f} %")
                print(f"  durable    {1000 * durable:8.1f} ms {100 * durable / whole:6.2f} %")
                print(f"  digest     {batch.content_digest}")


if __name__ == "__main__":
    main()
