"""Templates: what is filled in by them is read, and they say what the contract does."""

from __future__ import annotations

import csv
import datetime as dt
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from documents import ROOT
from scene import command

import switch
from switch.errors import InputRefused, UsageError
from switch.files.tables import open_table
from switch.registry.templates import KINDS, WORDS, table_of
from switch.schema import Kind

CONTRACT = ("contract", "fees")
"""Pages that say which columns tables have."""
VALUES: dict[Kind, Any] = {
    Kind.LINE_NO: 1,
    Kind.ID: "001150000017",
    Kind.AMOUNT: 5,
    Kind.PERIOD: 202611,
    Kind.DATE: dt.date(2026, 11, 25),
    Kind.PRIORITY: 1,
    Kind.CODE: "A",
    Kind.TEXT: "B",
    Kind.INSTANT: dt.datetime(2026, 11, 25, tzinfo=dt.UTC),
}
TEXTS = {Kind.PERIOD: "2026-11", Kind.INSTANT: "2026-11-25T00:00:00Z"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ending", ["csv", "parquet", "arrow"])
def test_template__filled_in_is_read(kind: str, ending: str, tmp_path: Path) -> None:
    path = switch.write_template(kind, tmp_path / f"empty.{ending}")
    columns = table_of(kind).columns
    if ending == "csv":
        with path.open(encoding="utf-8-sig", newline="") as file:
            (head,) = csv.reader(file)
        assert head == [column.name for column in columns]
        with path.open("a", encoding="utf-8", newline="") as file:
            csv.writer(file).writerow([TEXTS.get(c.kind, VALUES[c.kind]) for c in columns])
    else:
        empty = pa.ipc.open_file(str(path)).read_all() if ending == "arrow" else pq.read_table(path)
        assert (len(empty), empty.schema) == (0, switch.table_template(kind).schema)
        row = {column.name: VALUES[column.kind] for column in columns}
        pq.write_table(pa.Table.from_pylist([row], empty.schema), path)
    reader = open_table(path, KINDS[kind], strict_columns=True)
    (chunk,) = reader.chunks()
    assert set(chunk) == {column.name for column in columns}


@pytest.mark.parametrize("kind", KINDS)
def test_template__empty_is_refused_as_a_table_without_rows(kind: str, tmp_path: Path) -> None:
    path = switch.write_template(kind, tmp_path / "empty.parquet")
    with pytest.raises(InputRefused) as refused:
        list(open_table(path, KINDS[kind]).chunks())
    assert refused.value.rule == "NO_LINES"


@pytest.mark.parametrize("kind", KINDS)
def test_schema__library_and_command_say_the_same(kind: str, tmp_path: Path) -> None:
    document = command("schema", kind, "--json").document
    assert document["json_schema"] == switch.json_schema(kind)
    assert document["arrow"] == switch.table_template(kind).schema.to_string()
    assert command("schema", kind, "--form", "arrow").out.strip() == document["arrow"]
    shown = json.loads(command("schema", kind, "--form", "json-schema").out)
    assert shown == document["json_schema"]
    text = command("schema", kind).out
    items: Any = document["json_schema"]["items"]
    for column in document["columns"]:
        assert column["column"] in text
        assert (column["column"] in items["required"]) != column["optional"]
        types = items["properties"][column["column"]]["type"]
        assert ("null" in types) == column["optional"]
    file = tmp_path / "t.csv"
    assert command("schema", kind, "--out", file).code == 0
    other = switch.write_template(kind, tmp_path / "u.csv")
    assert file.read_bytes() == other.read_bytes()
    assert command("schema", kind, "--out", file).code == 2


def test_schema__names_every_column_of_the_contract() -> None:
    contract = "".join((ROOT / f"docs/{name}.md").read_text("utf-8") for name in CONTRACT)
    for kind in KINDS:
        for column in table_of(kind).columns:
            assert column.name in contract, (kind, column.name)
    for words in WORDS.values():
        for word in filter(None, words):
            assert word in contract


def test_schema__of_no_kind_lists_them_and_of_a_wrong_one_is_usage(tmp_path: Path) -> None:
    assert set(command("schema", "--json").document["kinds"]) == set(KINDS)
    assert command("schema").code == 0
    assert command("schema", "colours").code == 2
    assert command("schema", "--form", "arrow").code == 2
    assert command("schema", "payment", "--out", tmp_path / "t.xlsx").code == 2
    with pytest.raises(UsageError):
        switch.json_schema("colours")
