"""Tables in memory, as people have them: queries, data sets, columns, frames; or the call that
makes one of what is none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from answering import LATER, back, home_of, said, write
from scene import line, make_home, pay, payment_table, person, run, write_table

import switch
from switch.errors import InputRefused
from switch.files import exports
from switch.files.tables import open_table
from switch.home.history import folders
from switch.schema import PAYMENT

ROWS = [line(n) for n in (1, 2, 3)]
TABLE = payment_table(ROWS)


def nullable() -> pd.DataFrame:
    """A frame of pandas whose whole numbers are of its nullable type."""
    frame = TABLE.to_pandas()
    return frame.astype({"line_no": "Int64", "amount": "Int64", "period": "Int64"})


def plain() -> pd.DataFrame:
    """A frame of pandas that was chosen from another one: its index has numbers of other rows."""
    frame = TABLE.to_pandas()
    return pd.concat([frame, frame]).iloc[[3, 4, 5]].set_index(pd.Index([7, 9, 2]))


MAKES: dict[str, Callable[[], Any]] = {
    "LazyFrame": lambda: pl.DataFrame(TABLE).lazy(),
    "query of a LazyFrame": lambda: pl.LazyFrame(TABLE.to_pydict()).filter(pl.col("line_no") > 0),
    "Dataset": lambda: ds.dataset(TABLE),
    "Scanner": lambda: ds.dataset(TABLE).scanner(),
    "dict of lists": TABLE.to_pydict,
    "dict of arrays": lambda: {name: TABLE[name] for name in TABLE.schema.names},
    "dict of numpy": lambda: {
        name: values.to_numpy(zero_copy_only=False) if name == "amount" else values.to_pylist()
        for name, values in zip(TABLE.schema.names, TABLE.columns, strict=True)
    },
    "nullable integers": nullable,
    "chosen rows": plain,
    "integers as objects": lambda: TABLE.to_pandas().astype({"amount": object}),
    "DuckDB": lambda: duckdb.from_arrow(TABLE),
    "batches": lambda: TABLE.to_reader(),
    "one batch": lambda: TABLE.to_batches()[0],
    "array of rows": lambda: TABLE.to_struct_array().chunk(0),
}


UNTYPED = ("query of a LazyFrame", "dict of lists", "dict of numpy")
"""Makes in which a column without any value has no type, and is not there."""


@pytest.mark.parametrize("make", MAKES)
def test_frames__of_every_make_are_run(make: str, village: Path) -> None:
    table = MAKES[make]()
    with switch.open(village) as engine:
        batch = engine.run(
            table, source="VSS", batch_id="B", value_date="2026-11-25", count=3, sum=3_000_006
        )
    assert batch.summary["cleared"] == {"count": 3, "sum": 3_000_006}
    assert batch.warnings == ()
    if make not in UNTYPED:
        again = pay(village, TABLE)
        assert again.replayed, "the same rows are the same table, whoever made it"


def test_frames__of_files_that_are_one_table(village: Path, tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    folder.mkdir()
    for number in range(3):
        pq.write_table(TABLE.slice(number, 1), folder / f"{number}.parquet")
    with switch.open(village) as engine:
        batch = engine.run(
            ds.dataset(folder),
            source="VSS", batch_id="B", value_date="2026-11-25", count=3, sum=3_000_006,
        )  # fmt: skip
    assert batch.summary["cleared"]["count"] == 3


FLOATS = {
    "pandas": (lambda: TABLE.to_pandas().astype({"amount": float}), '.astype("Int64")'),
    "polars": (lambda: pl.DataFrame(TABLE).cast({"amount": pl.Float64}), ".cast(pl.Int64)"),
    "duckdb": (
        lambda: duckdb.from_arrow(TABLE).project("* REPLACE (amount::DOUBLE AS amount)"),
        "CAST(amount AS BIGINT)",
    ),
    "pyarrow": (lambda: pa.table(TABLE.to_pydict() | {"amount": [1.0, 2.0, 3.0]}), "cast('int64')"),
    "dict": (lambda: TABLE.to_pydict() | {"amount": np.ones(3)}, "cast('int64')"),
}


@pytest.mark.parametrize("maker", FLOATS)
def test_frames__of_floats_are_refused_with_the_call_that_converts(maker: str) -> None:
    make, call = FLOATS[maker]
    with pytest.raises(InputRefused) as caught:
        open_table(make(), PAYMENT)
    assert (caught.value.rule, caught.value.column) == ("TYPE", "amount")
    assert call in caught.value.remedy


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (5, "a int is no table"),
        (TABLE.to_pylist(), r"pyarrow.Table.from_pylist\(rows\)"),
        (pl.Series("amount", [1]), "a frame of all columns"),
        (pd.Series([1]), "a frame of all columns"),
        ({"line_no": [1, 2], "amount": [1]}, "the columns differ in length"),
        ({"line_no": [1, "x"]}, "column line_no"),
        ({5: [1]}, "values of several types"),
        (pl.LazyFrame({"a": [1]}).select("b"), "cannot be handed over"),
        (np.zeros(3), "a ndarray is no table"),
        (None, "a NoneType is no table"),
    ],
)
def test_frames__that_are_none_are_told_what_makes_one(source: Any, said: str) -> None:
    with pytest.raises(InputRefused, match=said) as caught:
        open_table(source, PAYMENT)
    assert caught.value.rule == "TYPE"


# --- answers in memory ----------------------------------------------------------------------------


def test_reconcile__takes_tables_as_well_as_paths(tmp_path: Path) -> None:
    credited, returned = [said(n) for n in (2, 3, 4)], [back(1)]
    files = write(tmp_path / "a", credited), write(tmp_path / "b", returned)
    answers = []
    for name, given in (
        ("files", files),
        ("tables", [pq.read_table(path) for path in files]),
        ("frames", [pl.read_parquet(files[0]).lazy(), pq.read_table(files[1]).to_reader()]),
    ):
        with switch.open(home_of(tmp_path / name)) as engine:
            answers.append(engine.reconcile(*given, at=LATER))
            again = engine.reconcile(*files, at=LATER)
            assert again["number"] == 0, "the same records, whatever they came in"
            (folder,) = folders(engine.home)
            assert folder.detail.sources is not None
            assert {len(str(source["sha256"])) for source in folder.detail.sources} == {64}
        assert switch.verify(tmp_path / name)
    assert answers[0] == answers[1] == answers[2]
    assert answers[0]["moved"]["returned"] == {"count": 1, "sum": 1_000_001}


def test_reconcile__of_a_table_that_is_of_no_kind(tmp_path: Path) -> None:
    with switch.open(home_of(tmp_path / "h")) as engine:
        with pytest.raises(
            InputRefused, match="neither confirmations, returns, a statement nor resolutions"
        ):
            engine.reconcile(TABLE, at=LATER)
        told = engine.reconcile(
            pq.read_table(write(tmp_path / "a", [said(2)])).append_column("x", pa.array([1])),
            at=LATER,
        )
    assert told["warnings"] == ["confirmations: unknown column x is ignored"] or told["warnings"]


# --- the same again -------------------------------------------------------------------------------


def test_run__the_same_content_under_another_source_is_told(tmp_path: Path) -> None:
    home = make_home(tmp_path / "h", [person(1), person(2), person(3)])
    first = pay(home, TABLE)
    assert first.warnings == ()
    for source, batch_id in (("MOLISA", "B"), ("VSS", "C")):
        with switch.open(home) as engine:
            again = run(engine, TABLE, batch_id, source=source)
        assert "the same content was run before as VSS:B" in again.warnings[0]
    assert pay(home, TABLE).warnings == (), "the stored answer is no new batch"


@pytest.mark.parametrize("form", ["parquet", "csv", "arrow"])
def test_run__a_file_of_rows_that_came_from_memory_is_known_again(
    village: Path, tmp_path: Path, form: str
) -> None:
    """The file moves no money and gets the stored answer; one with other rows is refused."""
    path = tmp_path / f"m.{form}"
    exports.export(TABLE, path)
    said = {"source": "VSS", "batch_id": "M", "value_date": "2026-11-25"}
    switch.write_dossier(path, **said)
    with switch.open(village) as engine:
        first = run(engine, TABLE, "M")
        link = engine.home.catalog.heads().link
        again = engine.run(path)
        assert again.replayed
        assert again.summary | {"replayed": False} == first.summary
        assert engine.home.catalog.heads().link == link
        other = TABLE.set_column(
            TABLE.column_names.index("person_name"), "person_name",
            pa.array([*TABLE["person_name"].to_pylist()[:-1], "Trần Văn Khác"]),
        )  # fmt: skip
        path.unlink()
        exports.export(other, path)
        switch.write_dossier(path, **said, force=True)
        with pytest.raises(InputRefused, match="was run with other content"):
            engine.run(path)


def test_run__another_form_of_a_table_is_named(village: Path, tmp_path: Path) -> None:
    path = write_table(TABLE, tmp_path / "t.parquet", batch_id="F")
    with switch.open(village) as engine:
        engine.run(path)
        run(engine, TABLE, "M")
        with pytest.raises(InputRefused, match="was run as a file, and a table in memory"):
            run(engine, TABLE, "F")
        for changed in ({"value_date": "2026-11-26"}, {"count": 2}, {"sum": 5}):
            with pytest.raises(InputRefused, match="REFERENCE_REUSED"):
                run(engine, TABLE, "M", **changed)
