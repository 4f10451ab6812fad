"""What `run` promises: true answers, in one form for every input, paid once and never lost."""

from __future__ import annotations

import datetime as dt
import fcntl
import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scene import (
    BANK,
    BANK_ACCOUNT,
    CLOSED_BANK,
    FORMATS,
    NAME,
    ORPHAN,
    PARTICIPANTS,
    SMALL_BANK,
    SMALL_LIMIT,
    TREASURY,
    VALUE_DATE,
    WALLET,
    account,
    accounts_table,
    answers,
    change_catalog,
    command,
    entitlement,
    line,
    make_home,
    paid_table,
    participant,
    pay,
    payment_table,
    people_table,
    person,
    person_id,
    process,
    reasons,
    run,
    tree_digest,
    write_table,
)

import switch
from switch.engine import Settings
from switch.errors import HomeLocked, InputRefused, UsageError, VerificationFailed
from switch.files.segment import read_segment
from switch.sim.world.generate import Generated

APRIL, MARCH = dt.date(2026, 4, 25), dt.date(2026, 3, 25)
DAY = dt.timedelta(days=1)


def answer_files(batch: switch.Batch) -> dict[str, str]:
    """Digests of everything that a batch answers. The manifest is not of it: it names the table's
    digest, which differs by format."""
    return {
        name: digest
        for name, digest in tree_digest(batch.folder).items()
        if name != "manifest.json"
    }


def catalog(home: Path, query: str) -> list[tuple[Any, ...]]:
    db = sqlite3.connect(home / "catalog.sqlite")
    try:
        return list(db.execute(query))
    finally:
        db.close()


def clearing_rows(batch: switch.Batch) -> dict[str, list[dict[str, Any]]]:
    return {
        path.stem: pq.read_table(path).to_pylist()
        for path in sorted((batch.folder / "clearing").iterdir())
    }


def line_states(home: Path, batch_id: str, number: int) -> list[tuple[str, str | None]]:
    said = command("--json", "status", home, "--line", f"{batch_id}:{number}")
    assert said.code == 0, said.err
    return [(state["status"], state["reason"]) for state in said.document["states"]]


# --- truth ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def paid_home(
    nation: Generated, nation_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The nation's home after its payday. Not to be changed."""
    home = shutil.copytree(nation_home, tmp_path_factory.mktemp("paid") / "home")
    with switch.open(home) as engine:
        engine.run(nation.payday)
    return home


@pytest.fixture
def payday(paid_home: Path) -> switch.Batch:
    """The nation's payday as it was answered."""
    folder = paid_home / "batches" / "000001"
    (text,) = catalog(paid_home, "SELECT summary, cycle FROM batches")
    return switch.Batch(
        1, "VSS", "PAYDAY-2026-11", text[1], False, msgspec.json.decode(text[0]), folder
    )


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
        assert (row["reason"] is None) == (row["reason_detail"] is None) == settled
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


# --- the same again -------------------------------------------------------------------------------


def test_run__same_table_again_pays_nothing(paid_home: Path, nation: Generated) -> None:
    before = tree_digest(paid_home)
    balances = catalog(paid_home, "SELECT * FROM balances")
    with switch.open(paid_home) as engine:
        again = engine.run(nation.payday)
    assert again.replayed
    assert catalog(paid_home, "SELECT * FROM balances") == balances
    assert tree_digest(paid_home) == before


def test_run__same_table_again_writes_the_answer_again(
    home: Path, nation: Generated, tmp_path: Path
) -> None:
    with switch.open(home) as engine:
        engine.run(nation.payday, out=tmp_path / "a")
        engine.run(nation.payday, out=tmp_path / "b")
    assert tree_digest(tmp_path / "a") == tree_digest(tmp_path / "b")
    assert not (home / "out").exists()


def test_run__same_table_in_memory_again_answers_the_same(village: Path) -> None:
    lines = [line(1), line(2), line(1)]
    first = pay(village, lines)
    table = payment_table(lines)
    coded = table.set_column(3, "benefit", table["benefit"].dictionary_encode())
    again = pay(village, coded, chunk_rows=1)
    assert again.replayed
    assert answers(again) == answers(first)
    assert again.summary | {"replayed": False} == first.summary


@pytest.mark.parametrize("column", ["amount", "person_name", "end_to_end_id"])
def test_run__same_id_with_other_content_is_refused(village: Path, column: str) -> None:
    pay(village, [line(1), line(2)])
    before = tree_digest(village)
    other = {"amount": 7, "person_name": "Trần B", "end_to_end_id": "E"}[column]
    with pytest.raises(InputRefused) as refusal:
        pay(village, [line(1), line(2, **{column: other})])
    assert refusal.value.rule == "REFERENCE_REUSED"
    assert tree_digest(village) == before


def test_run__same_id_with_other_file_exits_3(village: Path, tmp_path: Path) -> None:
    assert (
        command(
            "run", "--quiet", village, write_table(payment_table([line(1)]), tmp_path / "a")
        ).code
        == 0
    )
    before = tree_digest(village)
    said = command("--json", "run", village, write_table(payment_table([line(2)]), tmp_path / "b"))
    assert said.code == 3
    assert said.document["error"]["rule"] == "REFERENCE_REUSED"
    assert tree_digest(village) == before


def test_run__same_id_of_another_source_is_another_batch(village: Path, tmp_path: Path) -> None:
    pay(village, [line(1)], out=tmp_path / "out")
    other = pay(village, [line(2)], source="MOLISA", out=tmp_path / "out")
    assert not other.replayed
    assert reasons(other) == [None]
    statuses = sorted(tmp_path.glob("out/*/status.parquet"))
    assert len(statuses) == 2
    for source in ("VSS", "MOLISA"):
        said = command("--json", "status", village, "--batch", f"{source}:B")
        assert said.code == 0, said.err
        assert said.document["source"] == source
        assert command("--json", "status", village, "--line", f"{source}:B:1").code == 0
    assert command("status", village, "--batch", "B").code == 2


def test_run__answers_of_two_batches_never_share_a_folder(village: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    pay(village, [line(1)], "A", out=out)
    pay(village, [line(2)], "A", source="MOLISA", out=out)
    pay(village, [line(3), line(4)], "A.000002", out=out)
    rows = sorted(pq.read_metadata(path).num_rows for path in out.glob("*/status.parquet"))
    assert rows == [1, 1, 2]


def test_run__same_bytes_under_another_id_pay_nothing_twice(
    home: Path, nation: Generated, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.parquet"
    shutil.copyfile(nation.payday, copy)
    dossier = json.loads(nation.dossier.read_text()) | {"batch_id": "AGAIN"}
    (tmp_path / "copy.dossier.json").write_text(json.dumps(dossier))
    with switch.open(home) as engine:
        first, second = engine.run(nation.payday), engine.run(copy)
    assert second.summary["cleared"]["count"] == 0
    for before, after in zip(answers(first), answers(second), strict=True):
        assert after == (("RJCT", "AM05") if before[0] == "ACSC" else before)


def test_run__another_table_is_refused_exactly_what_was_cleared_before(village: Path) -> None:
    pay(village, [line(1), line(2), line(3, benefit="NOPE")])
    lines = [line(2, amount=5), line(3), line(1, period=202612), line(1, benefit="SASS"), line(1)]
    assert reasons(pay(village, lines, "C")) == ["AM05", None, None, None, "AM05"]


def test_run__of_equal_lines_the_first_clears(village: Path) -> None:
    given = {"creditor_agent": SMALL_BANK, "creditor_account": "1"}
    lines = [line(1, amount=0), line(1), line(1), line(1, **given), line(2)]
    assert reasons(pay(village, lines)) == ["AM12", None, "AM05", "AM05", None]


def test_run__paid_history_is_not_paid_again(tmp_path: Path) -> None:
    history = [entitlement(1), entitlement(2, period=202610), entitlement(3, benefit="SASS")]
    home = make_home(
        tmp_path / "h", map(person, range(1, 4)), map(account, range(1, 4)), paid=history
    )
    assert reasons(pay(home, [line(1), line(2), line(3)])) == ["AM05", None, None]


# --- held lines -----------------------------------------------------------------------------------


def test_run__held_line_clears_when_an_account_appears(tmp_path: Path) -> None:
    home = make_home(tmp_path / "h", [person(1), person(2)], [account(2)])
    first = pay(home, [line(1)], "A")
    assert answers(first) == [("PDNG", "AC03")]
    stored = tree_digest(first.folder)
    with switch.open(home) as engine:
        engine.register(accounts=accounts_table([account(1)]))
        second = run(engine, [line(2)], "B")
    assert [row["creditor_account"] for row in clearing_rows(second)[BANK]] == [
        "1000000001",
        "1000000002",
    ]
    assert second.summary["represented"]["cleared"] == {"count": 1, "sum": 1_000_001}
    assert second.summary["cleared"]["count"] == 1
    assert tree_digest(first.folder) == stored, "an old answer never changes"
    assert line_states(home, "A", 1) == [("PDNG", "AC03"), ("ACSC", None)]
    assert switch.verify(home)


def test_run__held_line_clears_when_its_participant_is_active_again(tmp_path: Path) -> None:
    home = make_home(
        tmp_path / "h", [person(1), person(2)], [account(1, participant=CLOSED_BANK), account(2)]
    )
    given = {"creditor_agent": CLOSED_BANK, "creditor_account": "0099"}
    assert reasons(pay(home, [line(1), line(2, **given)], "A")) == ["AB08", "AB08"]
    assert reasons(pay(home, [line(2, benefit="SASS")], "B")) == [None]
    assert line_states(home, "A", 1) == [("PDNG", "AB08")]
    active = [row | {"status": "active"} for row in PARTICIPANTS]
    with switch.open(home) as engine:
        engine.change_directory(participants=pa.Table.from_pylist(active))
        batch = run(engine, [line(2, benefit="MERT")], "C")
    assert [row["creditor_account"] for row in clearing_rows(batch)[CLOSED_BANK]] == [
        "1000000001",
        "0099",
    ]
    assert line_states(home, "A", 2) == [("PDNG", "AB08"), ("ACSC", None)]
    assert switch.verify(home)


def test_run__held_lines_are_tried_oldest_first_before_the_tables_own(tmp_path: Path) -> None:
    home = make_home(tmp_path / "h", [person(1), person(2)], [account(2)])
    pay(home, [line(1, amount=11), line(1, amount=12)], "A")
    pay(home, [line(1, amount=13)], "B")
    with switch.open(home) as engine:
        engine.register(accounts=accounts_table([account(1)]))
        batch = run(engine, [line(1, amount=14), line(2)], "C")
    assert reasons(batch) == ["AM05", None]
    assert [row["amount"] for row in clearing_rows(batch)[BANK]] == [11, 1_000_002]
    assert line_states(home, "A", 1) == [("PDNG", "AC03"), ("ACSC", None)]
    assert line_states(home, "A", 2) == [("PDNG", "AC03"), ("RJCT", "AM05")]
    assert line_states(home, "B", 1) == [("PDNG", "AC03"), ("RJCT", "AM05")]
    assert switch.verify(home)


def test_run__held_line_consumes_no_entitlement(tmp_path: Path) -> None:
    home = make_home(tmp_path / "h", [person(1)], [])
    given = {"creditor_agent": BANK, "creditor_account": "55"}
    assert answers(pay(home, [line(1), line(1, **given)], "A")) == [
        ("PDNG", "AC03"),
        ("ACSC", None),
    ]
    batch = pay(home, [line(1, benefit="SASS", **given)], "B")
    assert batch.summary["represented"]["refused"]["count"] == 0, "still no account: it waits on"
    with switch.open(home) as engine:
        engine.register(accounts=accounts_table([account(1)]))
        run(engine, [line(1, benefit="MERT")], "C")
    assert line_states(home, "A", 1) == [("PDNG", "AC03"), ("RJCT", "AM05")]
    assert switch.verify(home)


def test_run__held_line_is_judged_by_the_new_runs_value_date(tmp_path: Path) -> None:
    people = [person(1, status="deceased", status_since=APRIL), person(2)]
    home = make_home(tmp_path / "h", people, [account(2)])
    assert reasons(pay(home, [line(1)], "A", value_date=MARCH)) == ["AC03"]
    pay(home, [line(2)], "B", value_date=APRIL)
    assert line_states(home, "A", 1) == [("PDNG", "AC03"), ("RJCT", "MD07")]
    assert switch.verify(home)


def test_run__refused_table_leaves_held_lines_waiting(tmp_path: Path) -> None:
    home = make_home(tmp_path / "h", [person(1), person(2)], [account(2)])
    pay(home, [line(1)], "A")
    with switch.open(home) as engine:
        engine.register(accounts=accounts_table([account(1)]))
    before = tree_digest(home)
    with pytest.raises(InputRefused, match="CONTROL_SUM"):
        pay(home, [line(2)], "B", sum=1)
    assert tree_digest(home) == before
    assert line_states(home, "A", 1) == [("PDNG", "AC03")]


def test_run__replay_does_not_try_held_lines(tmp_path: Path) -> None:
    home = make_home(tmp_path / "h", [person(1)], [])
    pay(home, [line(1)], "A")
    with switch.open(home) as engine:
        engine.register(accounts=accounts_table([account(1)]))
        assert run(engine, [line(1)], "A").replayed
    assert line_states(home, "A", 1) == [("PDNG", "AC03")]


def test_run__held_lines_survive_many_runs_and_registers(tmp_path: Path) -> None:
    home = make_home(tmp_path / "h", [person(1), person(2)], [account(2)])
    pay(home, [line(1), line(1, benefit="SASS")], "A")
    for month in range(1, 6):
        pay(home, [line(2, period=202600 + month)], f"M{month}")
        with switch.open(home) as engine:
            engine.register(population=people_table([person(100 + month)]))
    with switch.open(home) as engine:
        engine.register(accounts=accounts_table([account(1)]))
        batch = run(engine, [line(2, period=202612)], "Z")
    assert batch.summary["represented"]["cleared"]["count"] == 2
    assert not (batch.folder / "held.parquet").exists()
    assert line_states(home, "A", 2) == [("PDNG", "AC03"), ("ACSC", None)]
    assert switch.verify(home)


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


# --- registers ------------------------------------------------------------------------------------

BEFORE, ON, AFTER = VALUE_DATE - DAY, VALUE_DATE, VALUE_DATE + DAY
A, B, C = ({"account": name} for name in ("111", "222", "333"))
ACCOUNT_CASES: dict[str, tuple[list[dict[str, Any]], str | None]] = {
    "none": ([], None),
    "ends_on_the_value_date": ([A | {"valid_to": ON}], "111"),
    "ended_the_day_before": ([A | {"valid_to": BEFORE}], None),
    "begins_on_the_value_date": ([A | {"valid_from": ON}], "111"),
    "begins_the_day_after": ([A | {"valid_from": AFTER}], None),
    "begins_before_1970": ([A | {"valid_from": dt.date(1965, 1, 1)}], "111"),
    "begins_after_2150": ([A | {"valid_from": dt.date(2150, 1, 1)}, B | {"priority": 2}], "222"),
    "ended_before_1970": ([A | {"valid_to": dt.date(1965, 1, 1)}], None),
    "lower_priority_number": ([A | {"priority": 2}, B], "222"),
    "next_priority_when_the_first_ended": ([A | {"valid_to": BEFORE}, B | {"priority": 9}], "222"),
    "next_priority_when_the_first_begins": (
        [A | {"valid_from": AFTER}, B | {"priority": 9}],
        "222",
    ),
    "earlier_start_of_equal_priority": (
        [A | {"valid_from": ON}, B | {"valid_from": BEFORE}],
        "222",
    ),
    "no_start_is_the_earliest": ([A | {"valid_from": dt.date(1900, 1, 1)}, B], "222"),
    "smaller_participant": ([A | {"participant": SMALL_BANK}, B | {"participant": BANK}], "222"),
    "smaller_account_as_text": ([A | {"account": "9"}, B | {"account": "10"}], "10"),
    "prefix_comes_first": ([A | {"account": "1234"}, B | {"account": "123"}], "123"),
    "third_of_three": (
        [A | {"valid_to": BEFORE}, B | {"valid_from": AFTER}, C | {"priority": 3}],
        "333",
    ),
    "leading_zeros_stay": ([A | {"account": "0001"}], "0001"),
    "letters_and_signs": ([A | {"account": "VN-00.ab/+"}], "VN-00.ab/+"),
    "34_characters": ([A | {"account": "x" * 34}], "x" * 34),
    "18_digits": ([A | {"account": "123456789012345678"}], "123456789012345678"),
}


@pytest.mark.parametrize("case", ACCOUNT_CASES)
def test_run__account_that_counts_on_the_value_date(case: str, tmp_path: Path) -> None:
    accounts, expected = ACCOUNT_CASES[case]
    home = make_home(
        tmp_path / "h", [person(1), person(2)], [account(1, **a) for a in accounts] + [account(2)]
    )
    batch = pay(home, [line(1)])
    if expected is None:
        assert answers(batch) == [("PDNG", "AC03")]
    else:
        ((row,),) = clearing_rows(batch).values()
        assert row["creditor_account"] == expected


def test_run__order_of_register_rows_does_not_matter(tmp_path: Path) -> None:
    accounts = [account(1, priority=p, account=str(p * 7 % 10)) for p in range(1, 9)]
    for name, rows in (("a", accounts), ("b", accounts[::-1])):
        batch = pay(make_home(tmp_path / name, [person(1)], rows), [line(1)])
        ((row,),) = clearing_rows(batch).values()
        assert row["creditor_account"] == "7"


def test_run__account_of_the_table_wins(village: Path) -> None:
    given = {"creditor_agent": SMALL_BANK, "creditor_account": "007"}
    batch = pay(village, [line(1, **given), line(2)])
    assert [r["creditor_account"] for r in clearing_rows(batch)[SMALL_BANK]] == ["007"]
    assert batch.status["participant"].to_pylist() == [SMALL_BANK, BANK]


def test_run__account_of_the_table_needs_none_in_the_register(tmp_path: Path) -> None:
    home = make_home(tmp_path / "h", [person(1)], [])
    given = {"creditor_agent": BANK, "creditor_account": "007"}
    assert reasons(pay(home, [line(1, **given)])) == [None]


RECEIVER_CASES = {
    "CNOR": (line(1, creditor_agent="999999", creditor_account="1"), "RJCT"),
    "AB08": (line(1, creditor_agent=CLOSED_BANK, creditor_account="1"), "PDNG"),
    "AM02": (
        line(1, creditor_agent=SMALL_BANK, creditor_account="1", amount=SMALL_LIMIT + 1),
        "RJCT",
    ),
}


@pytest.mark.parametrize("reason", RECEIVER_CASES)
def test_run__receiver_of_the_table_is_judged_as_one_of_the_register(
    reason: str, village: Path
) -> None:
    sent, status = RECEIVER_CASES[reason]
    assert answers(pay(village, [sent])) == [(status, reason)]


def test_run__own_participant_counts_not_the_one_that_settles(village: Path) -> None:
    given = {"creditor_agent": ORPHAN, "creditor_account": "1"}
    assert reasons(pay(village, [line(1, **given)])) == [None]


def test_run__amount_at_the_limits_is_fine(village: Path) -> None:
    given = {"creditor_agent": SMALL_BANK, "creditor_account": "1"}
    lines = [line(1, amount=500_000_000), line(2, amount=500_000_001)]
    lines += [line(3, amount=SMALL_LIMIT, **given), line(4, amount=SMALL_LIMIT + 1, **given)]
    # An account that the table names is looked at the long way.
    named = {"creditor_agent": BANK, "creditor_account": "1"}
    lines += [line(5, amount=500_000_000, **named), line(6, amount=500_000_001, **named)]
    assert reasons(pay(village, lines)) == [None, "AM13", None, "AM02", None, "AM13"]


def test_run__deceased_in_april_is_alive_in_march(tmp_path: Path) -> None:
    people = [
        person(1, status="deceased", status_since=APRIL),
        person(2, status="deceased", status_since=APRIL + DAY),
        person(3, status="deceased"),
        person(4, status="missing", status_since=APRIL),
        person(5, status="revoked", status_since=APRIL),
        person(6, status="alive", status_since=APRIL),
    ]
    home = make_home(tmp_path / "h", people, map(account, range(1, 7)))
    march = [line(n, period=202603) for n in range(1, 7)]
    april = [line(n, period=202604) for n in range(1, 7)]
    assert reasons(pay(home, march, "M", value_date=MARCH)) == [None, None, "MD07"] + [None] * 3
    assert reasons(pay(home, april, "A", value_date=APRIL)) == [
        "MD07", None, "MD07", "RR04", "RR04", None,
    ]  # fmt: skip


def test_register__upsert_replaces_by_key_and_keeps_the_rest(village: Path) -> None:
    with switch.open(village) as engine:
        engine.register(
            population=people_table([person(1, name="Lê Thị Bé"), person(10)]),
            accounts=accounts_table([account(2, priority=5), account(2, account="77", priority=4)]),
        )
        batch = run(engine, [line(1), line(2), line(3), line(10)])
    assert reasons(batch) == ["BE01", None, None, "AC03"]
    assert [r["creditor_account"] for r in clearing_rows(batch)[BANK]] == ["77", "1000000003"]


def test_register__person_may_come_back_to_life(tmp_path: Path) -> None:
    home = make_home(
        tmp_path / "h", [person(1, status="deceased", status_since=APRIL)], [account(1)]
    )
    assert reasons(pay(home, [line(1)], "A")) == ["MD07"]
    with switch.open(home) as engine:
        engine.register(population=people_table([person(1)]))
        assert reasons(run(engine, [line(1)], "B")) == [None]
        engine.register(population=people_table([person(1, status="revoked")]))
        assert reasons(run(engine, [line(1, period=202612)], "C")) == ["RR04"]


def test_register__replace_swaps_the_whole_of_what_is_given(village: Path) -> None:
    with switch.open(village) as engine:
        engine.register(population=people_table([person(2), person(3)]), replace=True)
        assert reasons(run(engine, [line(1), line(2)], "A")) == ["BE06", None]
        engine.register(accounts=accounts_table([account(2)]), replace=True)
        assert reasons(run(engine, [line(2, period=202601), line(3)], "B")) == [None, "AC03"]


def test_register__replaced_history_is_not_paid_before_any_more(tmp_path: Path) -> None:
    people = list(range(1, 5))
    home = make_home(
        tmp_path / "h",
        map(person, people),
        map(account, people),
        paid=[entitlement(1), entitlement(2)],
    )
    assert reasons(pay(home, [line(3), line(2)], "A")) == [None, "AM05"]
    with switch.open(home) as engine:
        engine.register(paid_history=paid_table([entitlement(4)]), replace=True)
    assert switch.verify(home)
    lines = [line(n) for n in people]
    assert reasons(pay(home, lines, "B")) == [None, None, "AM05", "AM05"]
    assert switch.verify(home)


def test_register__history_grows_by_upsert(village: Path) -> None:
    with switch.open(village) as engine:
        engine.register(paid_history=paid_table([entitlement(1)]))
        engine.register(paid_history=paid_table([entitlement(2), entitlement(77)]))
        assert reasons(run(engine, [line(1), line(2), line(3)])) == ["AM05", "AM05", None]
    assert switch.verify(village)


def test_register__paid_bits_stay_true_while_the_register_grows(village: Path) -> None:
    pay(village, [line(n) for n in range(1, 6)], "A")
    with switch.open(village) as engine:
        more = range(1000, 0, -1)
        engine.register(
            population=people_table(map(person, more)), accounts=accounts_table(map(account, more))
        )
        batch = run(engine, [line(n) for n in range(1, 900)], "B")
    assert reasons(batch) == ["AM05"] * 5 + [None] * 894
    assert switch.verify(village)


def test_register__refused_file_changes_nothing(village: Path) -> None:
    before = tree_digest(village)
    with switch.open(village) as engine, pytest.raises(InputRefused):
        engine.register(
            population=people_table([person(10)]), accounts=accounts_table([account(1, kind="?")])
        )
    assert tree_digest(village) == before
    assert reasons(pay(village, [line(10)])) == ["BE06"]


def test_register__refused_file_leaves_the_open_engine_as_it_was(village: Path) -> None:
    with switch.open(village) as engine:
        with pytest.raises(InputRefused):
            engine.register(
                population=people_table([person(1, name="Other"), person(2, status="?")])
            )
        assert reasons(run(engine, [line(1)])) == [None]


def test_run__without_a_register_is_refused(tmp_path: Path) -> None:
    directory = {
        "participants": pa.Table.from_pylist(list(PARTICIPANTS)),
        "debtors": pa.table({"debtor_account": ["1"], "debtor_agent": [BANK]}),
    }
    with switch.init(tmp_path / "h", **directory) as engine, pytest.raises(UsageError):
        run(engine, [line(1)])


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


# --- guards ---------------------------------------------------------------------------------------


def guarded(path: Path, balance: int) -> Path:
    balances = pa.table({"participant": [TREASURY], "balance": [balance]})
    return make_home(path, map(person, (1, 2)), map(account, (1, 2)), balances=balances)


def test_run__a_line_without_funds_of_a_guarded_account_waits(tmp_path: Path) -> None:
    home = guarded(tmp_path / "h", 99)
    table = write_table(payment_table([line(1, amount=100)]), tmp_path / "t")
    said = command("--json", "run", home, table, "--fail-on-refused")
    assert said.code == 1
    assert said.document["batches"][0]["reasons"][0]["reason"] == "AM23"
    assert ("S.TREASURY[KBNN]", 99) in catalog(home, "SELECT * FROM balances")


def test_run__guarded_account_pays_to_its_last_dong_and_no_further(tmp_path: Path) -> None:
    home = guarded(tmp_path / "h", 100)
    assert reasons(pay(home, [line(1, amount=100)], "A")) == [None]
    assert ("S.TREASURY[KBNN]", 0) in catalog(home, "SELECT * FROM balances")
    assert reasons(pay(home, [line(2, amount=1)], "B")) == ["AM23"]
    assert switch.verify(home)


def test_run__unguarded_accounts_may_go_below_zero(tmp_path: Path) -> None:
    home = guarded(tmp_path / "h", 0)
    given = {"creditor_agent": SMALL_BANK, "creditor_account": "1"}
    pay(home, [line(1, debtor_account=BANK_ACCOUNT, amount=100, **given)])
    assert ("S.BANK[970001]", -100) in catalog(home, "SELECT * FROM balances")
    assert switch.verify(home)


def test_run__a_line_above_the_net_debit_cap_waits(tmp_path: Path) -> None:
    capped = [
        r | ({"net_debit_cap": 100} if r["participant"] == TREASURY else {}) for r in PARTICIPANTS
    ]
    home = make_home(tmp_path / "h", map(person, (1, 2)), map(account, (1, 2)), participants=capped)
    assert answers(pay(home, [line(1, amount=101)], "A")) == [("PDNG", "AM23")]
    assert reasons(
        pay(home, [line(2, amount=100, creditor_agent=SMALL_BANK, creditor_account="1")], "B")
    ) == ["AM23"]
    assert switch.verify(home)


@pytest.mark.parametrize("at", ["before", "after"])
def test_run__clearing_limit_comes_from_the_configuration(
    at: str, village: Path, tmp_path: Path
) -> None:
    config = tmp_path / "switch.toml"
    config.write_text("clearing_limit = 50\n")
    table = write_table(payment_table([line(1, amount=50), line(2, amount=51)]), tmp_path / "t")
    options = ["--config", config]
    said = (
        command(*options, "--json", "run", village, table)
        if at == "before"
        else command("run", village, table, "--json", *options)
    )
    assert said.code == 0
    assert [r["reason"] for r in said.document["batches"][0]["reasons"]] == ["AM13"]


def test_run__clearing_limit_of_the_home_holds(tmp_path: Path) -> None:
    home = make_home(tmp_path / "h", [person(1)], [account(1)], settings=Settings(clearing_limit=5))
    assert reasons(pay(home, [line(1, amount=6), line(1, amount=5)])) == ["AM13", None]


# --- commands -------------------------------------------------------------------------------------


def test_command__fail_on_refused_exits_1(village: Path, tmp_path: Path) -> None:
    fine = write_table(payment_table([line(1)]), tmp_path / "f", batch_id="F")
    poor = write_table(payment_table([line(2), line(2)]), tmp_path / "p", batch_id="P")
    assert command("--quiet", "run", village, fine, "--fail-on-refused").code == 0
    assert command("--quiet", "run", village, poor).code == 0
    assert command("--quiet", "run", village, poor, "--fail-on-refused").code == 1


def test_command__json_is_one_document_wherever_the_option_stands(
    village: Path, tmp_path: Path
) -> None:
    table = write_table(payment_table([line(1)]), tmp_path / "t")
    before = command("--json", "run", village, table)
    after = command("run", village, table, "--json")
    assert before.document["batches"][0]["cleared"]["count"] == 1
    assert after.document["batches"][0] == before.document["batches"][0] | {"replayed": True}
    for answer in (("status", village), ("verify", village), ("directory", village)):
        assert command(*answer, "--json").document
    assert command("--quiet", "status", village) == (0, "", "")


def test_command__works_as_a_process_from_anywhere(village: Path, tmp_path: Path) -> None:
    write_table(payment_table([line(1), line(1)]), tmp_path / "table.parquet")
    said = process("--json", "run", "village", "table.parquet", "--fail-on-refused", cwd=tmp_path)
    assert said.code == 1, said.err
    assert said.document["batches"][0]["refused"]["count"] == 1
    assert (village / "out" / "B" / "status.parquet").is_file()
    said = process("--json", "verify", village)
    assert said.code == 0
    assert all(check["holds"] for check in said.document["checks"])


def test_command__refusal_names_file_row_column_and_remedy(village: Path, tmp_path: Path) -> None:
    table = write_table(payment_table([line(1), line(2, period=202613)]), tmp_path / "t")
    said = command("--json", "run", village, table)
    assert said.code == 3
    error = said.document["error"]
    assert (error["rule"], error["file"], error["row"], error["column"]) == (
        "PERIOD_INVALID",
        str(table),
        2,
        "period",
    )
    assert error["remedy"]


USAGE = {
    "no home": ("status", "nowhere"),
    "no command": ("pay",),
    "no table": ("run", "village"),
    "bad time": ("run", "village", "table", "--at", "yesterday"),
    "bad threads": ("run", "village", "table", "--threads", "0"),
    "two questions": ("status", "village", "--batch", "B", "--line", "B:1"),
    "bad line": ("status", "village", "--line", "B"),
    "unknown batch": ("status", "village", "--batch", "B"),
    "bad person": ("status", "village", "--person", "12"),
    "no configuration": ("run", "village", "table", "--config", "nowhere"),
    "home exists": ("init", "village", "--participants", "p.csv", "--debtors", "d.csv"),
}


@pytest.mark.parametrize("case", USAGE)
def test_command__wrong_call_exits_2(
    case: str, village: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_table(payment_table([line(1)]), tmp_path / "table")
    (tmp_path / "p.csv").write_text("participant,status\n970001,active\n")
    (tmp_path / "d.csv").write_text("debtor_account,debtor_agent\n1,970001\n")
    before = tree_digest(village)
    said = command(*USAGE[case])
    assert said.code == 2
    assert said.out == ""
    assert tree_digest(village) == before


def test_command__at_is_recorded_and_changes_no_other_answer(village: Path, tmp_path: Path) -> None:
    table = write_table(payment_table([line(1)]), tmp_path / "t")
    other = shutil.copytree(village, tmp_path / "other")
    assert command("--quiet", "run", village, table).code == 0
    assert command("--quiet", "run", other, table, "--at", "2026-11-30T08:00:00").code == 0
    assert catalog(village, "SELECT at FROM batches") == [("2026-11-25",)]
    assert catalog(other, "SELECT at FROM batches") == [("2026-11-30T08:00:00",)]
    assert tree_digest(village / "out") == tree_digest(other / "out")


def test_command__status_of_a_person_shows_all_lines_and_no_id(village: Path) -> None:
    pay(village, [line(1), line(2), line(1)], "A")
    pay(village, [line(1, period=202612)], "B")
    said = command("--json", "status", village, "--person", person_id(1))
    assert [(e["batch_id"], e["line_no"], e["period"]) for e in said.document["lines"]] == [
        ("A", 1, "2026-11"),
        ("A", 3, "2026-11"),
        ("B", 1, "2026-12"),
    ]
    assert person_id(1) not in said.out
    assert NAME not in said.out


def test_command__changed_directory_is_audited_and_counts(village: Path, tmp_path: Path) -> None:
    rows = [r for r in PARTICIPANTS if r["participant"] != WALLET] + [participant("970009")]
    path = tmp_path / "participants.csv"
    path.write_text(
        ",".join(rows[0])
        + "\n"
        + "".join(",".join("" if v is None else str(v) for v in r.values()) + "\n" for r in rows)
    )
    assert command("--quiet", "directory", village, "--participants", path).code == 0
    given = [line(1, creditor_agent=code, creditor_account="1") for code in (WALLET, "970009")]
    assert reasons(pay(village, given)) == ["CNOR", None]
    assert ("directory",) in catalog(village, "SELECT kind FROM audit")
    assert switch.verify(village)


@pytest.mark.parametrize("kind", [fcntl.LOCK_EX, fcntl.LOCK_SH])
def test_command__locked_home_exits_4(kind: int, village: Path, tmp_path: Path) -> None:
    table = write_table(payment_table([line(1)]), tmp_path / "t")
    before = tree_digest(village)
    with (village / "lock").open("a") as lock:
        fcntl.flock(lock, kind)
        assert command("run", village, table).code == 4
        assert process("--json", "run", village, table).document["error"]["exit_code"] == 4
        reading = 4 if kind == fcntl.LOCK_EX else 0
        assert command("--quiet", "status", village).code == reading
        with pytest.raises(HomeLocked):
            switch.open(village)
    assert tree_digest(village) == before
    assert command("--quiet", "run", village, table).code == 0


# --- verify ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rich_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with every kind of file: two batches, held lines, history, long accounts."""
    ends = {"valid_to": dt.date(2030, 1, 1)}
    home = make_home(
        tmp_path_factory.mktemp("rich") / "home",
        [*map(person, range(1, 9)), person(9, status="deceased", status_since=APRIL)],
        [account(1), account(2, account="IBAN-2"), account(3, **ends)],
        paid=[entitlement(8)],
    )
    lines = [line(1), line(2), line(3), line(4), line(5), line(9), line(1, person_name="X Y")]
    with switch.open(home) as engine:
        run(engine, [*lines, line(1, benefit="SASS", debtor_account=BANK_ACCOUNT)], "A")
        engine.register(accounts=accounts_table([account(4)]))
        run(engine, [line(1, period=202612), line(3)], "B")
    assert switch.verify(home)
    return home


RICH_FILES = (
    "batches/000001/status.parquet",
    "batches/000001/lines.parquet",
    "batches/000001/held.parquet",
    "batches/000001/positions.parquet",
    "batches/000001/settlement.json",
    "batches/000001/manifest.json",
    f"batches/000001/clearing/{BANK}.parquet",
    "batches/000001/paid-0000.bits",
    "batches/000002/represented.parquet",
    "batches/000002/held.parquet",
    "registers/000002/people.slots",
    "registers/000002/since.bin",
    "registers/000002/accounts.bin",
    "registers/000002/lists.bin",
    "registers/000002/heap.bin",
    "registers/000002/masks.bin",
    "registers/000002/register.json",
    "registers/000002/paid-0000.bits",
)


def test_verify__every_kind_of_file_is_named_here(rich_home: Path) -> None:
    """A new kind of file has to be added to RICH_FILES."""

    def kinds(names: Any) -> set[str]:
        return {Path(name).name for name in names if not name.startswith(("out/", "quarantine/"))}

    beside = {"catalog.sqlite", "catalog.sqlite-journal", "checkpoint", "key"}
    others = {"paid-0001.bits", "paid-0002.bits"}
    assert kinds(tree_digest(rich_home)) - beside - others == kinds(RICH_FILES)


@pytest.mark.parametrize("name", RICH_FILES)
def test_verify__one_changed_byte_is_found(name: str, rich_home: Path, tmp_path: Path) -> None:
    home = shutil.copytree(rich_home, tmp_path / "home")
    content = bytearray((home / name).read_bytes())
    for at in {0, 5, len(content) // 3, len(content) // 2, len(content) - 1} & set(
        range(len(content))
    ):
        changed = content.copy()
        changed[at] ^= 0x40
        (home / name).write_bytes(changed)
        with pytest.raises(VerificationFailed) as failure:
            switch.verify(home)
        assert failure.value.exit_code == 5


@pytest.mark.parametrize("name", RICH_FILES)
def test_verify__a_lost_file_is_found(name: str, rich_home: Path, tmp_path: Path) -> None:
    home = shutil.copytree(rich_home, tmp_path / "home")
    (home / name).unlink()
    with pytest.raises(VerificationFailed):
        switch.verify(home)


def test_verify__a_strange_file_is_found(rich_home: Path, tmp_path: Path) -> None:
    home = shutil.copytree(rich_home, tmp_path / "home")
    (home / "batches" / "000001" / "clearing" / "970002.parquet").write_bytes(b"PAR1")
    with pytest.raises(VerificationFailed, match="not in the catalog"):
        switch.verify(home)


CATALOG_CHANGES = {
    "balance": "UPDATE balances SET balance = balance + 1 WHERE account LIKE 'S.BANK%'",
    "balance_gone": "DELETE FROM balances WHERE account LIKE 'S.BANK%'",
    "position": "UPDATE positions SET credit_sum = credit_sum + 1",
    "position_net": "UPDATE positions SET net = net + 1",
    "position_gone": "DELETE FROM positions WHERE participant = 'KBNN'",
    "posting": "UPDATE postings SET amount = amount + 1 WHERE seq = 1",
    "posting_gone": "DELETE FROM postings WHERE seq = 2",
    "audit_detail": "UPDATE audit SET detail = replace(detail, 'VSS', 'VSX') WHERE kind = 'batch'",
    "audit_time": "UPDATE audit SET at = '2020-01-01' WHERE kind = 'batch'",
    "audit_gone": "DELETE FROM audit WHERE seq = 2",
    "audit_last_gone": "DELETE FROM audit WHERE seq = (SELECT max(seq) FROM audit)",
    "file_digest": "UPDATE files SET sha256 = 'x' WHERE path LIKE '%status.parquet'",
    "file_gone": "DELETE FROM files WHERE path LIKE '%status.parquet'",
    "batch_digest": "UPDATE batches SET digest = 'sha256:0'",
    "batch_id": "UPDATE batches SET batch_id = 'OTHER' WHERE seq = 1",
    "batch_source": "UPDATE batches SET source = 'OTHER' WHERE seq = 1",
    "batch_summary": "UPDATE batches SET summary = replace(summary, '\"count\":8', '\"count\":7')",
    "batch_gone": "DELETE FROM batches WHERE seq = 2",
    "paid_gone": "DELETE FROM paid WHERE origin = 'cleared'",
    "paid_history_gone": "DELETE FROM paid WHERE origin = 'history'",
    "paid_elsewhere": "UPDATE paid SET period = period + 1000 WHERE origin = 'cleared'",
    "opening": "UPDATE meta SET value = '{\"S.BANK[970001]\":5}' WHERE name = 'opening'",
    "settings": "UPDATE meta SET value = '{\"clearing_limit\":7}' WHERE name = 'settings'",
    "directory": "UPDATE meta SET value = replace(value, 'suspended', 'active') "
    "WHERE name = 'directory'",
}


@pytest.mark.parametrize("case", CATALOG_CHANGES)
def test_verify__changed_catalog_is_found(case: str, rich_home: Path, tmp_path: Path) -> None:
    home = shutil.copytree(rich_home, tmp_path / "home")
    change_catalog(home, CATALOG_CHANGES[case])
    with pytest.raises(VerificationFailed):
        switch.verify(home)


def test_verify__a_damaged_catalog_is_no_crash(rich_home: Path, tmp_path: Path) -> None:
    home = shutil.copytree(rich_home, tmp_path / "home")
    content = (home / "catalog.sqlite").read_bytes()
    for start in range(0, len(content), len(content) // 12):
        changed = bytearray(content)
        changed[start : start + 600] = b"\xa5" * len(changed[start : start + 600])
        (home / "catalog.sqlite").write_bytes(changed)
        assert command("verify", home).code in (0, 2, 5, 6), "free pages hold nothing; no crash"


def test_verify__command_exits_5(rich_home: Path, tmp_path: Path) -> None:
    home = shutil.copytree(rich_home, tmp_path / "home")
    change_catalog(home, CATALOG_CHANGES["balance"])
    said = command("--json", "verify", home)
    assert said.code == 5
    assert "I8" in said.document["error"]["what"]


def test_verify__changes_nothing(rich_home: Path) -> None:
    before = tree_digest(rich_home)
    switch.verify(rich_home)
    assert tree_digest(rich_home) == before


def test_verify__fresh_home_holds(tmp_path: Path) -> None:
    assert switch.verify(make_home(tmp_path / "h"))


# --- after a crash --------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", ["batches/000001", "registers/000002"])
def test_open__leftovers_of_a_crash_go_to_quarantine(
    folder: str, village: Path, tmp_path: Path
) -> None:
    """A crash leaves drafts, and at most one folder that was renamed."""
    clean = shutil.copytree(village, tmp_path / "clean")
    draft = village / "batches" / ".draft-99"
    draft.mkdir()
    (draft / "status.parquet").write_bytes(b"half")
    shutil.copytree(draft, village / folder)
    shutil.copytree(draft, village / "registers" / ".draft-98")
    table = write_table(payment_table([line(1), line(2)]), tmp_path / "t")
    said = command("--json", "run", village, table)
    assert said.code == 0, said.err
    assert said.err.count("quarantine") == 3
    assert len(list((village / "quarantine").iterdir())) == 3
    assert command("--quiet", "run", clean, table).code == 0
    for name in ("batches", "registers", "out"):
        assert tree_digest(village / name) == tree_digest(clean / name)
    assert switch.verify(village)


def test_open__leftovers_are_no_answer(village: Path) -> None:
    """A whole batch folder that no commit names was never paid."""
    twin = shutil.copytree(village, village.with_name("twin"))
    pay(twin, [line(1)])
    shutil.copytree(twin / "batches" / "000001", village / "batches" / "000001")
    assert not pay(village, [line(1), line(2)], "OTHER").replayed
    assert reasons(pay(village, [line(3)], "B")) == [None]
    assert switch.verify(village)


def test_open__lost_batch_folder_stops(rich_home: Path, tmp_path: Path) -> None:
    home = shutil.copytree(rich_home, tmp_path / "home")
    shutil.rmtree(home / "batches" / "000001")
    with pytest.raises(VerificationFailed):
        switch.open(home)


def test_run__failing_disk_leaves_the_home_as_it_was(
    village: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from switch.files import segment

    before = tree_digest(village)

    def fail(path: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(segment, "sync_file", fail)
        with pytest.raises(switch.EnvironmentFailed, match="full"):
            pay(village, [line(1)])
    assert tree_digest(village) == before
    assert reasons(pay(village, [line(1)])) == [None]


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


# --- the pace of the machine ---


def test_bench__gives_a_pace_and_a_digest_that_does_not_change() -> None:
    figures = [
        json.loads(command("bench", "--lines", "500", "--repeat", "1", "--json").out)
        for _ in range(2)
    ]
    assert all(f["core"]["lines_per_second"] > 0 for f in figures)
    for name in ("core", "files_to_files"):
        assert figures[0][name]["digest"] == figures[1][name]["digest"]
