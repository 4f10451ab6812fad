"""The program of tests/whole/test_everywhere.py: two paydays of a small nation, as digests.

    python program.py NATION WORK THREADS CHUNK_ROWS...     prints {chunk_rows: digests} as JSON

NATION holds the files of `switch generate`, and `late.parquet` and `second.parquet` beside them.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import switch


def bytes_of(folder: Path) -> str:
    """One digest over names and bytes of all files below a folder."""
    whole = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        whole.update(path.relative_to(folder).as_posix().encode() + b"\0")
        whole.update(hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()


def rows_of(path: Path) -> list[Any]:
    """All rows of all tables of a batch: what is said, however it is encoded."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    tables = [(file, pq.read_table(file)) for file in path.rglob("*.parquet")]
    tables += [(file, pa.ipc.open_file(file).read_all()) for file in path.rglob("*.arrow")]
    return sorted(
        [file.relative_to(path).as_posix(), repr(table.to_pylist())] for file, table in tables
    )


def rows_of_table(engine: Any, name: str) -> list[Any]:
    return engine.home.catalog._db.execute(f"SELECT * FROM {name}").fetchall()


def two_paydays(nation: Path, home: Path, threads: int, chunk_rows: int) -> dict[str, str]:
    how: dict[str, Any] = {"threads": threads, "chunk_rows": chunk_rows}
    with switch.init(
        home,
        participants=nation / "participants.csv",
        debtors=nation / "debtors.csv",
        key=b"0123456789abcdef",
    ) as engine:
        engine.register(
            population=nation / "population.parquet",
            accounts=nation / "accounts.parquet",
            paid_history=nation / "paid.parquet",
        )
        batches = [engine.run(nation / "payday.parquet", **how)]
        engine.register(accounts=nation / "late.parquet")
        batches.append(engine.run(nation / "second.parquet", form="arrow", **how))
        tables = ("audit", "files", "positions", "postings", "balances", "paid")
        catalog = [rows_of_table(engine, name) for name in tables]
    assert all(batch.summary["cleared"]["count"] for batch in batches)
    assert batches[1].summary["represented"]["cleared"]["count"]
    switch.verify(home)
    logical = [rows_of(batch.folder) for batch in batches]
    return {
        "logical": hashlib.sha256(repr(logical).encode()).hexdigest(),
        "catalog": hashlib.sha256(repr(catalog).encode()).hexdigest(),
        "batches": bytes_of(home / "batches"),
        "out": bytes_of(home / "out"),
    }


def main() -> None:
    nation, work, threads = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    found = {}
    for chunk_rows in map(int, sys.argv[4:]):
        home = work / "home"
        found[chunk_rows] = two_paydays(nation, home, threads, chunk_rows)
        shutil.rmtree(home)
    print(json.dumps({"python": sys.version, "year": time.localtime().tm_year, "found": found}))


if __name__ == "__main__":
    main()
