"""What `run` promises: true answers, in one form for every input, whatever threads and chunks."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from home_reads import answer_files, catalog, clearing_rows, line_states
from scene import (
    BANK,
    BANK_ACCOUNT,
    FORMATS,
    SMALL_BANK,
    TREASURY,
    WALLET,
    account,
    accounts_table,
    answers,
    command,
    line,
    make_home,
    pay,
    payment_table,
    person,
    reasons,
    run,
    tree_digest,
    write_table,
)

import switch
from switch.errors import UsageError
from switch.files.segment import read_segment
from switch.reason import PASSED_OVER
from switch.sim.world.generate import Generated

# --- truth ----------------------------------------------------------------------------------------


def test_run__answers_are_the_generators_truth(payday: switch.Batch, nation: Generated) -> None:
    truth = pq.read_table(nation.truth)
    assert answers(payday) == list(
        zip(truth["status"].to_pylist(), truth["reason"].to_pylist(), strict=True)
    )
    assert payday.status["line_no"].to_pylist() == truth["line_no"].to_pylist()


@pytest.mark.parametrize("form", FORMATS)
def test_run__every_file_format_gives_the_same_bytes(
    form: str, home: Path, nation: Generated, payday: switch.Batch, tmp_path: Path
) -> None:
    table = write_table(
        pq.read_table(nation.payday), tmp_path / "table", form, batch_id="PAYDAY-2026-11"
    )
    with switch.open(home) as engine:
        assert answer_files(engine.run(table)) == answer_files(payday)


LIBRARIES: dict[str, Callable[[pa.Table], Any]] = {
    "pyarrow": lambda table: table,
    "pyarrow-chunks": lambda table: pa.Table.from_batches(table.to_batches(max_chunksize=700)),
    "pyarrow-sliced": lambda table: pa.concat_tables([table.slice(2990), table]).slice(10),
    "pyarrow-stream": lambda table: table.to_reader(max_chunksize=1234),
    "polars": lambda table: polars.from_arrow(table),
    "duckdb": lambda table: duckdb.from_arrow(table),
    "pandas": lambda table: table.to_pandas(types_mapper=_pandas_type),
}


def _pandas_type(kind: pa.DataType) -> Any:
    """pandas keeps integers with nulls, and text, as Arrow types; dictionaries as categories."""
    import pandas as pd

    return None if pa.types.is_dictionary(kind) else pd.ArrowDtype(kind)


@pytest.mark.parametrize("library", LIBRARIES)
def test_run__every_table_library_gives_the_same_bytes(
    library: str, home: Path, nation: Generated, payday: switch.Batch
) -> None:
    table = pq.read_table(nation.payday)
    with switch.open(home) as engine:
        batch = engine.run(
            LIBRARIES[library](table),
            source="VSS",
            batch_id="PAYDAY-2026-11",
            value_date="2026-11-25",
            count=nation.declared_count,
            sum=nation.declared_sum,
        )
    assert answer_files(batch) == answer_files(payday)


@pytest.mark.parametrize("kind", [pa.int64(), pa.uint64(), pa.large_string(), pa.string_view()])
def test_run__ids_of_every_type_give_the_same_bytes(
    kind: pa.DataType, home: Path, nation: Generated, payday: switch.Batch
) -> None:
    table = pq.read_table(nation.payday)
    ids = table["person_id"]
    if not pa.types.is_integer(kind):
        ids = pa.chunked_array([[f"{i.as_py():012d}" for i in ids]])
    table = table.set_column(1, "person_id", ids.cast(kind))
    assert answer_files(pay(home, table, "PAYDAY-2026-11")) == answer_files(payday)


def test_run__amounts_may_be_decimals_without_a_fraction(village: Path) -> None:
    table = payment_table([line(1), line(2)])
    decimals = table["amount"].cast(pa.decimal128(20, 0))
    table = table.set_column(5, "amount", decimals)
    batch = pay(village, table, sum=2_000_003)
    assert reasons(batch) == [None, None]
    assert batch.summary["cleared"] == {"count": 2, "sum": 2_000_003}


@pytest.mark.parametrize("periods", [["2026-11"] * 2, ["202611"] * 2])
def test_run__periods_may_be_text(village: Path, periods: list[str]) -> None:
    table = payment_table([line(1), line(2)]).set_column(4, "period", pa.array(periods))
    pay(village, table)
    assert reasons(pay(village, [line(1), line(3)], "C")) == ["AM05", None]


# --- tables out -----------------------------------------------------------------------------------


def schema_of(path: Path) -> dict[str, str]:
    return {field.name: str(field.type) for field in pq.read_schema(path)}


def test_run__status_columns_are_those_of_the_contract(payday: switch.Batch) -> None:
    assert schema_of(payday.folder / "status.parquet") == {
        "line_no": "uint32",
        "status": "string",
        "reason": "string",
        "reason_detail": "string",
        "transfer_id": "string",
        "participant": "string",
        "cycle": "string",
    }
    for row in payday.status.to_pylist():
        settled = row["status"] == "ACSC"
        assert (row["reason"] is None) == settled
        said = row["reason_detail"] or ""
        assert said.startswith(PASSED_OVER) if settled and said else bool(said) != settled
        assert (row["transfer_id"] is not None) == (row["cycle"] is not None) == settled
        assert not settled or (row["participant"] and len(row["transfer_id"]) <= 35)


def test_run__transfer_ids_are_unique(payday: switch.Batch) -> None:
    ids = payday.status["transfer_id"].drop_null()
    assert len(ids.unique()) == len(ids) == payday.summary["cleared"]["count"]


def test_run__clearing_columns_are_those_of_the_contract(payday: switch.Batch) -> None:
    for path in (payday.folder / "clearing").iterdir():
        assert schema_of(path) == {
            "transfer_id": "string",
            "end_to_end_id": "string",
            "creditor_account": "string",
            "creditor_name": "string",
            "amount": "int64",
            "purpose": "string",
            "period": "int32",
            "debtor_account": "string",
        }


def test_run__position_columns_are_those_of_the_contract(payday: switch.Batch) -> None:
    assert schema_of(payday.folder / "positions.parquet") == {
        "participant": "string",
        "settled_by": "string",
        "credit_count": "int64",
        "credit_sum": "int64",
        "debit_count": "int64",
        "debit_sum": "int64",
        "net": "int64",
    }


def test_run__clearing_files_hold_the_accepted_lines_in_table_order(
    payday: switch.Batch, nation: Generated
) -> None:
    lines = pq.read_table(nation.payday).to_pylist()
    expected: dict[str, list[tuple[Any, ...]]] = {}
    for sent, answer in zip(lines, payday.status.to_pylist(), strict=True):
        if answer["status"] == "ACSC":
            row = (answer["transfer_id"], sent["amount"], sent["person_name"], sent["period"])
            expected.setdefault(answer["participant"], []).append((*row, sent["debtor_account"]))
    columns = ("transfer_id", "amount", "creditor_name", "period", "debtor_account")
    found = {
        receiver: [tuple(row[name] for name in columns) for row in rows]
        for receiver, rows in clearing_rows(payday).items()
    }
    assert found == expected


def test_run__clearing_file_carries_account_purpose_and_end_to_end_id(village: Path) -> None:
    given = {"creditor_agent": SMALL_BANK, "creditor_account": "AB.12-u"}
    batch = pay(village, [line(1, end_to_end_id="E-1"), line(2, benefit="SASS"), line(3, **given)])
    rows = clearing_rows(batch)
    columns = ("creditor_account", "end_to_end_id", "purpose")
    assert [tuple(row[c] for c in columns) for row in rows[BANK]] == [
        ("1000000001", "E-1", "PENS"),
        ("1000000002", None, "SSBE"),
    ]
    assert [tuple(row[c] for c in columns) for row in rows[SMALL_BANK]] == [
        ("AB.12-u", None, "PENS")
    ]


def test_run__on_us_lines_are_sent_but_stand_in_no_position(village: Path) -> None:
    batch = pay(village, [line(1, debtor_account=BANK_ACCOUNT, amount=70), line(2, amount=30)])
    assert [row["amount"] for row in clearing_rows(batch)[BANK]] == [70, 30]
    positions = {row["participant"]: row for row in batch.positions.to_pylist()}
    assert positions[BANK]["credit_sum"] == positions[BANK]["net"] == 30
    assert positions[TREASURY]["debit_sum"] == 30


def test_run__only_on_us_lines_leave_an_empty_cycle(village: Path) -> None:
    batch = pay(village, [line(1, debtor_account=BANK_ACCOUNT)])
    assert batch.positions.num_rows == 0
    assert schema_of(batch.folder / "positions.parquet")["net"] == "int64"
    assert switch.verify(village)


def test_run__nothing_accepted_is_answered_too(village: Path) -> None:
    batch = pay(village, [line(1, benefit="NOPE"), line(2, amount=0)])
    assert answers(batch) == [("RJCT", "FF07"), ("RJCT", "AM12")]
    assert clearing_rows(batch) == {}
    assert switch.verify(village)


def test_run__positions_are_the_sums_of_the_lines_and_sum_to_zero(
    payday: switch.Batch, nation: Generated
) -> None:
    agent_of = {row["debtor_account"]: row["debtor_agent"] for row in csv_rows(nation.debtors)}
    expected: dict[str, list[int]] = {}
    lines = pq.read_table(nation.payday).to_pylist()
    for sent, answer in zip(lines, payday.status.to_pylist(), strict=True):
        pays, gets = agent_of.get(sent["debtor_account"]), answer["participant"]
        if answer["status"] != "ACSC" or pays == gets:
            continue
        for code, at in ((gets, 0), (pays, 2)):
            sums = expected.setdefault(code, [0, 0, 0, 0])
            sums[at] += 1
            sums[at + 1] += sent["amount"]
    rows = payday.positions.to_pylist()
    columns = ("credit_count", "credit_sum", "debit_count", "debit_sum")
    assert {row["participant"]: [row[c] for c in columns] for row in rows} == expected
    assert all(row["net"] == row["credit_sum"] - row["debit_sum"] for row in rows)
    assert sum(row["net"] for row in rows) == 0


def csv_rows(path: Path) -> list[dict[str, str]]:
    import csv

    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_run__settlement_request_is_the_net_of_every_settlement_participant(
    payday: switch.Batch,
) -> None:
    request = json.loads((payday.folder / "settlement.json").read_text())
    nets: dict[str, int] = {}
    for row in payday.positions.to_pylist():
        nets[row["settled_by"]] = nets.get(row["settled_by"], 0) + row["net"]
    sign = {"credit": 1, "debit": -1}
    found = {r["participant"]: sign[r["side"]] * int(r["amount"]) for r in request["participants"]}
    assert found == {code: net for code, net in nets.items() if net}
    assert sum(found.values()) == 0
    assert int(request["sum"]) == sum(net for net in found.values() if net > 0)
    assert request["cycle"] == payday.cycle


def test_run__wallet_is_settled_by_its_bank(tmp_path: Path) -> None:
    home = make_home(tmp_path / "h", [person(1)], [account(1, participant=WALLET)])
    batch = pay(home, [line(1, amount=50)])
    request = json.loads((batch.folder / "settlement.json").read_text())
    assert {(r["participant"], r["side"], r["amount"]) for r in request["participants"]} == {
        (BANK, "credit", "50"),
        (TREASURY, "debit", "50"),
    }
    (row,) = [r for r in batch.positions.to_pylist() if r["participant"] == WALLET]
    assert (row["settled_by"], row["net"]) == (BANK, 50)


def test_run__out_holds_copies_of_the_committed_files(
    paid_home: Path, payday: switch.Batch
) -> None:
    stored, out = tree_digest(payday.folder), tree_digest(paid_home / "out")
    expected = {f"PAYDAY-2026-11/{name}" for name in stored if name.startswith("clearing/")}
    expected |= {"PAYDAY-2026-11/status.parquet"}
    expected |= {f"cycles/{payday.cycle}/{n}" for n in ("positions.parquet", "settlement.json")}
    assert set(out) == expected
    assert set(out.values()) <= set(stored.values())


# --- no result depends on threads or chunks -------------------------------------------------------


@pytest.fixture(scope="module")
def two_paydays(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[..., dict[str, str]]:
    """Runs two tables that share people, with a register that grows between them, and tells the
    digests of all that they left. The tables are long enough for the threads to share chunks."""
    folder = tmp_path_factory.mktemp("crowd")
    made = switch.generate(folder / "nation", 9000, 20_000, 3)
    table = pq.read_table(made.payday)
    second = pa.concat_tables([table.slice(15_000), table.slice(0, 6_000)])
    numbers = pa.array(range(1, len(second) + 1), pa.uint32())
    second = second.set_column(0, "line_no", numbers)
    held = table.filter(pa.array([False, True] * 10_000))["person_id"].unique().to_pylist()
    appear = [
        account(0, person_id=f"{number:012d}", participant="970436", account=f"X{number}")
        for number in [number for number in held if number < 10**12][:3000]
    ]

    def carry_out(threads: int, chunk_rows: int) -> dict[str, str]:
        home = folder / f"home-{threads}-{chunk_rows}"
        with switch.init(
            home, participants=made.participants, debtors=made.debtors, key=b"0123456789abcdef"
        ) as engine:
            engine.register(
                population=made.population, accounts=made.accounts, paid_history=made.paid
            )
            how = {"threads": threads, "chunk_rows": chunk_rows}
            first = engine.run(made.payday, **how)
            assert first.summary["held"]["count"] > 10
            engine.register(accounts=accounts_table(appear))
            later = run(engine, second, "SECOND", **how)
            assert later.summary["represented"]["cleared"]["count"] > 3
        digests = tree_digest(home / "batches") | tree_digest(home / "out")
        shutil.rmtree(home)
        return digests

    return carry_out


def test_run__threads_and_chunks_change_no_byte(two_paydays: Callable[..., Any]) -> None:
    expected = two_paydays(1, 1 << 17)
    for threads, chunk_rows in ((2, 1 << 17), (3, 65_536), (3, 9_000), (2, 1000), (1, 1_000_000)):
        assert two_paydays(threads, chunk_rows) == expected, (threads, chunk_rows)


@pytest.mark.parametrize(("threads", "chunk_rows"), [(1, 7), (2, 7), (3, 64)])
def test_run__tiny_chunks_change_no_byte(
    threads: int, chunk_rows: int, home: Path, nation: Generated, payday: switch.Batch
) -> None:
    with switch.open(home) as engine:
        batch = engine.run(nation.payday, threads=threads, chunk_rows=chunk_rows)
    assert tree_digest(batch.folder) == tree_digest(payday.folder)


def test_run__chunks_of_one_row_change_no_byte(village: Path, tmp_path: Path) -> None:
    lines = [line(n % 9 + 1, benefit="PENS" if n % 2 else "SASS") for n in range(40)]
    other = shutil.copytree(village, tmp_path / "other")
    whole, single = pay(village, lines), pay(other, lines, chunk_rows=1, threads=3)
    assert tree_digest(whole.folder) == tree_digest(single.folder)


@pytest.mark.parametrize("chunk_rows", [1, 1000])
def test_run__sum_that_leaves_64_bits_only_on_the_way_is_fine(
    village: Path, chunk_rows: int
) -> None:
    amounts = [2**63 - 1, 2**63 - 1, -(2**63 - 1), -(2**63 - 1), 5]
    batch = pay(village, [line(1, amount=a) for a in amounts], chunk_rows=chunk_rows)
    assert reasons(batch) == ["AM13", "AM13", "AM12", "AM12", None]
    assert switch.verify(village)


# --- line numbers, tables, columns ----------------------------------------------------------------


def test_run__line_numbers_may_come_in_any_order(village: Path) -> None:
    lines = [line(1, line_no=3), line(2, line_no=1), line(1, line_no=2)]
    for chunk_rows, batch_id in ((1, "A"), (1000, "A")):
        batch = pay(village, lines, batch_id, chunk_rows=chunk_rows)
        assert batch.status["line_no"].to_pylist() == [3, 1, 2], "rows stay in table order"
        assert reasons(batch) == [None, None, "AM05"]
    assert line_states(village, "A", 2) == [("RJCT", "AM05")]
    assert switch.verify(village)


def test_run__first_refusal_stops_and_earlier_tables_stay(village: Path, tmp_path: Path) -> None:
    good = write_table(payment_table([line(1)]), tmp_path / "1", batch_id="G1")
    bad = write_table(payment_table([line(2)]), tmp_path / "2", batch_id="BAD", sum="1")
    late = write_table(payment_table([line(3)]), tmp_path / "3", batch_id="G3")
    said = command("--json", "run", village, good, bad, late)
    assert said.code == 3
    assert said.document["error"]["rule"] == "CONTROL_SUM"
    assert catalog(village, "SELECT batch_id FROM batches") == [("G1",)]
    assert switch.verify(village)


def test_run__several_tables_run_in_order(village: Path, tmp_path: Path) -> None:
    first = write_table(payment_table([line(1), line(2)]), tmp_path / "1", batch_id="G1")
    second = write_table(payment_table([line(2), line(3)]), tmp_path / "2", batch_id="G2")
    said = command("--json", "run", village, first, second)
    assert said.code == 0
    cleared = [batch["cleared"]["count"] for batch in said.document["batches"]]
    assert cleared == [2, 1]


def test_run__unknown_columns_are_named_and_ignored(village: Path, tmp_path: Path) -> None:
    table = payment_table([line(1)]).append_column("remark", pa.array(["x"]))
    path = write_table(table, tmp_path / "t")
    before = tree_digest(village)
    said = command("run", "--json", "--strict-columns", village, path)
    assert (said.code, said.document["error"]["rule"]) == (3, "HEADER_MISMATCH")
    assert said.document["error"]["column"] == "remark"
    assert tree_digest(village) == before
    said = command("run", "--json", village, path)
    assert said.code == 0
    assert "remark" in said.err


# --- Arrow files out ---


def test_run__arrow_form_says_the_same_as_parquet(
    nation: Generated, nation_home: Path, tmp_path: Path
) -> None:
    answers_by_form = {}
    for form in ("parquet", "arrow"):
        home = tmp_path / form
        shutil.copytree(nation_home, home)
        with switch.open(home) as engine:
            batch = engine.run(nation.payday, form=form)
            sent = {
                path.stem: read_segment(path).to_pylist()
                for path in (batch.folder / "clearing").iterdir()
            }
            answers_by_form[form] = (batch.status.to_pylist(), sent)
            assert {p.suffix for p in (home / "out" / batch.batch_id).rglob("*.*")} == {f".{form}"}
        assert switch.verify(home)
        assert line_states(home, batch.batch_id, 1)
    assert answers_by_form["arrow"] == answers_by_form["parquet"]


def test_run__unknown_form_is_a_usage_error(nation: Generated, home: Path) -> None:
    with switch.open(home) as engine, pytest.raises(UsageError, match="form"):
        engine.run(nation.payday, form="xml")
