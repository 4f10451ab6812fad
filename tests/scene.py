"""Small invented scenes for the tests: a directory, a few people, tables in any format.

People are numbered: person 7 has the id 001000000007 and the account ...7. Every builder takes the
changes to its usual row as keywords, so that a test shows only what it is about.
"""

from __future__ import annotations

import contextlib
import csv
import datetime as dt
import hashlib
import io
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import pyarrow as pa
import pyarrow.parquet as pq
from answer_forms import form_said

import switch
from switch.cli import main
from switch.engine import Engine
from switch.home.batch import Batch
from switch.home.catalog import Catalog
from switch.home.checkpoint import write_checkpoint
from switch.home.store import Home
from switch.sim.lives.tables import ACCOUNTS, PAID, PEOPLE, payment

VALUE_DATE = dt.date(2026, 11, 25)
NAME = "Nguyễn Văn An"
BANK, SMALL_BANK, CLOSED_BANK, WALLET, ORPHAN = "970001", "970002", "970003", "971001", "971003"
TREASURY = "KBNN"
TREASURY_ACCOUNT, BANK_ACCOUNT = "371301000001", "952701000001"
SMALL_LIMIT = 10_000_000
FORMATS = ("parquet", "arrow", "stream", "csv")

Row = dict[str, Any]


def participant(code: str, kind: str = "bank", **changes: Any) -> Row:
    return {
        "participant": code,
        "short_name": f"B{code}",
        "name": f"Bank {code}",
        "bic": "",
        "kind": kind,
        "settled_by": "",
        "net_debit_cap": None,
        "amount_max": None,
        "status": "active",
    } | changes


PARTICIPANTS = (
    participant(TREASURY, "treasury"),
    participant(BANK),
    participant(SMALL_BANK, amount_max=SMALL_LIMIT),
    participant(CLOSED_BANK, status="suspended"),
    participant(WALLET, "wallet", settled_by=BANK),
    participant(ORPHAN, "wallet", settled_by=CLOSED_BANK),
)
"""The treasury, three banks of which one has a limit and one is suspended, and two wallets, one of
which is settled by the suspended bank."""

DEBTORS = (
    {"debtor_account": TREASURY_ACCOUNT, "debtor_agent": TREASURY, "programme": "", "budget": None},
    {"debtor_account": BANK_ACCOUNT, "debtor_agent": BANK, "programme": "", "budget": None},
)


def person_id(number: int) -> str:
    return f"001{number:09d}"


def person(number: int, **changes: Any) -> Row:
    return {
        "person_id": person_id(number),
        "name": NAME,
        "birth_date": dt.date(1950, 1, 1),
        "status": "alive",
        "status_since": None,
    } | changes


def account(number: int, **changes: Any) -> Row:
    return {
        "person_id": person_id(number),
        "participant": BANK,
        "account": f"1000{number:06d}",
        "kind": "bank",
        "priority": 1,
        "valid_from": None,
        "valid_to": None,
    } | changes


def entitlement(number: int, **changes: Any) -> Row:
    return {"person_id": person_id(number), "benefit": "PENS", "period": 202611} | changes


def line(number: int, **changes: Any) -> Row:
    """A line that clears for person `number`; its line number is its place in the table."""
    return {
        "person_id": person_id(number),
        "person_name": NAME,
        "benefit": "PENS",
        "period": 202611,
        "amount": 1_000_000 + number,
        "debtor_account": TREASURY_ACCOUNT,
        "creditor_agent": None,
        "creditor_account": None,
        "commune": None,
        "end_to_end_id": None,
    } | changes


def people_table(rows: Iterable[Row]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=PEOPLE)


def accounts_table(rows: Iterable[Row]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=ACCOUNTS)


def paid_table(rows: Iterable[Row]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=PAID)


def payment_table(rows: Iterable[Row]) -> pa.Table:
    numbered = [{"line_no": n} | row for n, row in enumerate(rows, start=1)]
    return payment(numbered)


def make_home(
    path: Path,
    people: Iterable[Row] = (),
    accounts: Iterable[Row] = (),
    paid: Iterable[Row] = (),
    participants: Iterable[Row] = PARTICIPANTS,
    **options: Any,
) -> Path:
    """A home with these registers; `options` as those of switch.init."""
    people, accounts, paid = list(people), list(accounts), list(paid)
    with switch.init(
        path,
        participants=pa.Table.from_pylist(list(participants)),
        debtors=pa.Table.from_pylist(list(DEBTORS)),
        key=b"0123456789abcdef",
        **options,
    ) as engine:
        engine.register(
            population=people_table(people) if people else None,
            accounts=accounts_table(accounts) if accounts else None,
            paid_history=paid_table(paid) if paid else None,
        )
    return path


def run(
    engine: Engine, lines: Iterable[Row] | pa.Table, batch_id: str = "B", **options: Any
) -> Batch:
    """Run lines (or a table) from memory, with true control totals."""
    table = lines if isinstance(lines, pa.Table) else payment_table(lines)
    declared = {
        "source": "VSS",
        "batch_id": batch_id,
        "value_date": VALUE_DATE,
        "count": table.num_rows,
        "sum": sum(table["amount"].to_pylist()),
    }
    return engine.run(table, **(declared | options))


def pay(home: Path, lines: Iterable[Row] | pa.Table, batch_id: str = "B", **options: Any) -> Batch:
    """The same as `run`, for a home that is not open."""
    with switch.open(home) as engine:
        return run(engine, lines, batch_id, **options)


def answers(batch: Batch) -> list[tuple[str, str | None]]:
    """(status, reason) of every line."""
    status = batch.status
    return list(zip(status["status"].to_pylist(), status["reason"].to_pylist(), strict=True))


def reasons(batch: Batch) -> list[str | None]:
    """Reason of every line; None where it cleared."""
    return batch.status["reason"].to_pylist()


# --- files ----------------------------------------------------------------------------------------


def write_file(table: pa.Table, path: Path, form: str) -> Path:
    """A table in one of FORMATS, ids as they stand in it. The suffix says nothing on purpose."""
    if form == "parquet":
        pq.write_table(table, path)
    elif form == "csv":
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
            writer.writerow(table.schema.names)
            for row in table.to_pylist():
                row["person_id"] = _twelve(row["person_id"])
                writer.writerow(["" if value is None else value for value in row.values()])
    else:
        make = pa.ipc.new_file if form == "arrow" else pa.ipc.new_stream
        with make(str(path), table.schema) as writer:
            writer.write_table(table)
    return path


def _twelve(value: int | str) -> str:
    """An id as CSV has it; a number of more than 12 digits as a text that is no id either."""
    if isinstance(value, int):
        return f"{value:012d}" if value < 10**12 else "?" * 12
    return value


def write_dossier(path: Path, rows: int, total: int, **changes: Any) -> Path:
    """The dossier of a written table; `changes` replace entries, None leaves one out."""
    content = {
        "source": "VSS",
        "batch_id": "B",
        "currency": "VND",
        "count": rows,
        "sum": str(total),
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "0" * 64,
        "value_date": VALUE_DATE.isoformat(),
    } | changes
    dossier = path.with_name(f"{path.stem}.dossier.json")
    dossier.write_text(json.dumps({k: v for k, v in content.items() if v is not None}), "utf-8")
    return dossier


def write_table(table: pa.Table, path: Path, form: str = "parquet", **changes: Any) -> Path:
    """A payment table with its dossier beside it."""
    write_file(table, path, form)
    write_dossier(path, table.num_rows, sum(table["amount"].to_pylist()), **changes)
    return path


def tree_digest(path: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder but the lock: two equal ones are one content."""
    return {
        file.relative_to(path).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(path.rglob("*"))
        if file.is_file() and file.name != "lock"
    }


def change_catalog(home: Path, statement: str, *values: Any) -> None:
    """One statement that changes a row of a home's catalog behind the engine's back."""
    db = sqlite3.connect(home / "catalog.sqlite")
    with db:
        assert db.execute(statement, values).rowcount != 0
    db.close()


# --- commands -------------------------------------------------------------------------------------


class Said(NamedTuple):
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.out)


def command(*args: object) -> Said:
    """`switch ARGS` in this process; every document that it prints is held to its JSON Schema."""
    out, err = io.StringIO(), io.StringIO()
    code: Any = 0
    with (
        mock.patch.object(sys, "argv", ["switch", *map(str, args)]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main.main()
        except SystemExit as stop:
            code = stop.code or 0
    form_said(args, out.getvalue())
    return Said(code, out.getvalue(), err.getvalue())


def process(*args: object, cwd: Path | None = None) -> Said:
    """`python -m switch ARGS` as a process of its own."""
    source = str(Path(switch.__file__).resolve().parents[1])
    done = subprocess.run(
        [sys.executable, "-m", "switch", *map(str, args)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=cwd,
        check=False,
        env=os.environ | {"PYTHONPATH": source},
        timeout=120,
    )
    return Said(done.returncode, done.stdout, done.stderr)


def asked(home: Home, query: str, *values: Any) -> list[sqlite3.Row]:
    """Rows of the catalog of an open home."""
    with contextlib.closing(sqlite3.connect(home.path / "catalog.sqlite")) as db:
        db.row_factory = sqlite3.Row
        return db.execute(query, values).fetchall()


def new_checkpoint(home: Path) -> None:
    """A checkpoint that names the catalog as it is, by whoever changed it."""
    with contextlib.closing(Catalog(home / "catalog.sqlite")) as catalog:
        write_checkpoint(home, catalog)
