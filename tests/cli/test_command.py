"""What operators meet at the command line: exit codes, and refusals that name the file."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from scene import command, line, pay, payment_table, write_table

import switch
from switch import status
from switch.engine import Engine
from switch.home.batch import Batch
from switch.sim.world.generate import Generated


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (("status",), 0),
        (("status", "--json"), 0),
        (("status", "--quiet"), 0),
        (("directory",), 0),
        (("status", "--batch", "NONE", "--json"), 2),
    ],
)
@pytest.mark.parametrize("buffered", ["", "1"])
def test_command__whose_reader_goes_away_has_the_exit_code_of_what_was_done(
    args: tuple[str, ...], code: int, buffered: str, village: Path
) -> None:
    """Nobody who stops reading changes what was done."""
    name, *options = args
    out, into = os.pipe()
    os.close(out)
    done = subprocess.run(
        [sys.executable, "-m", "switch", name, str(village), *options],
        stdout=into,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ
        | {"PYTHONPATH": str(Path(switch.__file__).parents[1]), "PYTHONUNBUFFERED": buffered},
    )
    os.close(into)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr


def test_command__a_fault_of_ours_is_one_document_too(
    village: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: object) -> None:
        raise RuntimeError("".join(["001000", "000001"]))

    monkeypatch.setattr(status, "batches", fails)
    said = command("--json", "status", village)
    assert (said.code, said.document["error"]["rule"]) == (70, "FAULT")
    assert "001000000001" not in said.out + said.err


@pytest.mark.parametrize(
    ("row", "column", "said"),
    [("NOBODY,5", "participant", "has no settlement account"), ("970436,-5", "balance", "below")],
)
def test_init__names_the_file_of_balances(
    row: str, column: str, said: str, nation: Generated, tmp_path: Path
) -> None:
    path = tmp_path / "balances.csv"
    path.write_text(f"participant,balance\n{row}\n")
    files = ("--participants", nation.participants, "--debtors", nation.debtors)
    answer = command("--json", "init", tmp_path / "h", *files, "--balances", path)
    error = answer.document["error"]
    assert (answer.code, error["rule"], error["row"]) == (3, "DIRECTORY_INVALID", 1)
    assert (error["file"], error["column"]) == (str(path), column)
    assert said in error["what"]


def test_reconcile__without_records_says_so(village: Path) -> None:
    pay(village, [line(1)])
    assert "nothing new" in command("reconcile", village).out
    aged = command("reconcile", village, "--at", "2027-01-05").out
    assert "answers 1 at 2027-01-05: no records are new" in aged
    assert "open breaks: 1 MISSING" in aged


def test_run__says_what_was_done_before_a_refusal(village: Path, tmp_path: Path) -> None:
    tables = [
        write_table(payment_table([line(n)]), tmp_path / f"{name}.parquet", batch_id=name)
        for n, name in enumerate(("A", "B"), start=1)
    ]
    said = command("--json", "run", village, *tables, tmp_path / "missing.parquet")
    assert (said.code, [b["batch_id"] for b in said.document["batches"]]) == (3, ["A", "B"])
    assert said.document["error"]["file"] == str(tmp_path / "missing.parquet")
    said = command("--json", "run", village, tmp_path / "missing.parquet")
    assert (said.code, list(said.document)) == (3, ["error"])


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MemoryError(), 6),
        (OSError(5, "I/O error"), 6),
        (RuntimeError("can't start new thread"), 6),
        (RuntimeError("another"), 70),
        (AssertionError(), 70),
    ],
)
def test_run__says_what_was_done_before_any_end(
    error: Exception, code: int, village: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = [
        write_table(payment_table([line(n)]), tmp_path / f"{name}.parquet", batch_id=name)
        for n, name in enumerate(("A", "B"), start=1)
    ]
    runs = Engine.run

    def fails_at_second(engine: Engine, table: Path, **rest: Any) -> Batch:
        if table == tables[1]:
            raise error
        return runs(engine, table, **rest)

    monkeypatch.setattr(Engine, "run", fails_at_second)
    said = command("--json", "run", village, *tables)
    assert (said.code, [b["batch_id"] for b in said.document["batches"]]) == (code, ["A"])
    said = command("run", village, *tables)
    assert (said.code, "1 of 2 tables are done" in said.err) == (code, True)


@pytest.mark.parametrize("blocked", ["B", "B/status.parquet"])
def test_run__whose_copies_fail_says_that_it_is_committed(
    blocked: str, village: Path, tmp_path: Path
) -> None:
    out, table = tmp_path / "copies", tmp_path / "t.parquet"
    write_table(payment_table([line(1)]), table, batch_id="B")
    if blocked == "B":
        out.mkdir()
        (out / blocked).write_text("no folder")
    else:
        (out / blocked).mkdir(parents=True)
    said = command("--json", "run", village, table, "--out", out)
    assert said.code == 6
    assert (
        "is committed: the same command writes its copies again" in said.document["error"]["what"]
    )
    assert [b["batch_id"] for b in said.document["batches"]] == ["B"]
    assert not list(out.rglob("*.part"))
    shutil.rmtree(out)
    said = command("--json", "run", village, table, "--out", out)
    assert (said.code, said.document["batches"][0]["replayed"]) == (0, True)
    assert (out / "B" / "status.parquet").is_file()
