"""Dossiers that are made: they declare what `run` reads, and nothing that `run` would refuse."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from scene import FORMATS, command, line, payment_table, write_file

import switch
from switch.clearing.intake import dossier_path, read_dossier
from switch.errors import InputRefused, UsageError
from switch.schema import AMOUNT_MAX

NAMED = {"source": "VSS", "batch_id": "MADE", "value_date": "2026-11-25"}
WORDS = ("--source", "VSS", "--batch-id", "MADE", "--value-date", "2026-11-25")


@pytest.mark.parametrize("form", FORMATS)
def test_dossier__made_is_the_one_that_run_reads(village: Path, tmp_path: Path, form: str) -> None:
    table = write_file(payment_table([line(1), line(2)]), tmp_path / f"table.{form}", form)
    made = switch.write_dossier(table, **NAMED)
    stored = json.loads(Path(made["file"]).read_text())
    assert Path(made["file"]) == dossier_path(table)
    assert (made["count"], made["sum"]) == (2, 2_000_003)
    assert stored == {name: made[name] for name in stored}  # type: ignore[literal-required]
    with switch.open(village) as engine:
        batch = engine.run(table)
    assert batch.summary["cleared"] == {"count": 2, "sum": 2_000_003}
    assert (batch.source, batch.batch_id) == ("VSS", "MADE")


def test_dossier__library_and_command_say_the_same(tmp_path: Path) -> None:
    table = write_file(payment_table([line(1), line(2)]), tmp_path / "table.parquet", "parquet")
    made = switch.write_dossier(table, **NAMED)
    content = dossier_path(table).read_bytes()
    dossier_path(table).unlink()
    said = command("dossier", table, *WORDS, "--json")
    assert (said.code, said.document) == (0, made)
    assert dossier_path(table).read_bytes() == content
    assert "2 lines, 2,000,003 dong" in command("dossier", table, *WORDS, "--force").out


def test_dossier__that_is_there_is_replaced_by_force_alone(tmp_path: Path) -> None:
    table = write_file(payment_table([line(1)]), tmp_path / "table.parquet", "parquet")
    switch.write_dossier(table, **NAMED)
    before = dossier_path(table).read_bytes()
    with pytest.raises(UsageError, match="--force"):
        switch.write_dossier(table, **NAMED | {"batch_id": "OTHER"})
    assert command("dossier", table, *WORDS).code == 2
    assert dossier_path(table).read_bytes() == before
    switch.write_dossier(table, force=True, **NAMED | {"batch_id": "OTHER"})
    assert read_dossier(table).batch_id == "OTHER"


WRONG: dict[str, tuple[dict[str, Any], type[Exception]]] = {
    "batch id": ({"batch_id": "a/b"}, InputRefused),
    "source": ({"source": ".VSS"}, InputRefused),
    "no text": ({"source": 5}, UsageError),
    "date": ({"value_date": "25/11/2026"}, UsageError),
    "year": ({"value_date": "1899-12-31"}, InputRefused),
}


@pytest.mark.parametrize("name", WRONG)
def test_dossier__run_would_refuse_is_not_made(tmp_path: Path, name: str) -> None:
    table = write_file(payment_table([line(1)]), tmp_path / "table.parquet", "parquet")
    changes, error = WRONG[name]
    with pytest.raises(error):
        switch.write_dossier(table, **NAMED | changes)
    assert not dossier_path(table).exists()


def test_dossier__of_a_bad_table_is_refused_with_its_row(tmp_path: Path, village: Path) -> None:
    table = tmp_path / "table.csv"
    write_file(payment_table([line(1), line(2)]), table, "csv")
    rows = list(csv.reader(table.open(encoding="utf-8")))
    rows[2][rows[0].index("amount")] = "1.5"
    with table.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    said = command("dossier", table, *WORDS, "--json")
    assert said.code == 3
    assert (said.document["error"]["row"], said.document["error"]["column"]) == (2, "amount")
    assert command("dossier", tmp_path / "none.parquet", *WORDS).code == 3
    assert command("dossier", village / "catalog.sqlite", *WORDS).code == 2
    assert not dossier_path(table).exists()


def test_dossier__sum_is_exact_and_unknown_columns_are_told(tmp_path: Path) -> None:
    many = [line(n, amount=AMOUNT_MAX * 1000 + n) for n in range(1, 5001)]
    many.append(line(1, amount=-7))
    table = payment_table(many)
    table = table.append_column("colour", table["commune"])
    path = write_file(table, tmp_path / "table.parquet", "parquet")
    made = switch.write_dossier(path, **NAMED)
    assert made["sum"] == sum(row["amount"] for row in many) > 2**62 // 2
    assert made["warnings"] == ["unknown column colour is ignored"]
    said = command("dossier", path, *WORDS, "--force")
    assert "colour" in said.err
    assert command("dossier", path, *WORDS, "--force", "--strict-columns").code == 3


@pytest.mark.parametrize(
    ("numbers", "rule"), [([2], "LINE_NO_RANGE"), ([1, 1], "LINE_NO_DUPLICATE"), ([2, 1], None)]
)
def test_dossier__judges_line_numbers_as_a_run_does(
    numbers: list[int], rule: str | None, tmp_path: Path
) -> None:
    rows = [line(at, line_no=number) for at, number in enumerate(numbers, start=1)]
    path = write_file(payment_table(rows), tmp_path / "t.parquet", "parquet")
    said = command(
        *("--json", "dossier", path, "--source", "VSS", "--batch-id", "T"),
        *("--value-date", "2026-11-25"),
    )
    if rule is None:
        assert said.code == 0
    else:
        assert (said.code, said.document["error"]["rule"]) == (3, rule)
