"""Hostile values at every door: each command ends with a code of the contract, and says why."""

from __future__ import annotations

import base64
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as encryption
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scene import (
    DEBTORS,
    PARTICIPANTS,
    command,
    line,
    pay,
    payment_table,
    person_id,
    tree_digest,
    write_dossier,
    write_table,
)

import switch
from switch.engine import Engine
from switch.errors import InputRefused, UsageError
from switch.schema import MONEY_BOUND
from switch.settlement.standing import keep_balances

TEXTS = (
    *("", ".", "..", "/", "-", "--", ":", "a:b", "B:", ":1", "B:1", "B:0", "B:-1", "B:1.5"),
    *(f"B:{'9' * 5000}", "B:99999999999", f"B:{2**64}", "B:\u0661", "B:\u00b2"),
    *("9999-12-31T23:59:59+00:00", "0001-01-01", "0001-01-01T00:00:00+14:00", "2026-13-01"),
    *("2999-12-31T23:59:59-12:00", "1900-01-01", "2026-11-25T08:00:00.123456789", "now"),
    *("\udcff", "a\udc80b", "\x1b[2J", "a\nb", "\u202e", "\u3164", "\ufeff", "é" * 300),
    *("x" * 5000, "../../x", "~", "%s", "{0}", "' OR 1=1", "9" * 5000, "-1", str(2**63), "1e9"),
    *("20261125-1", "99991231-1", "20261125-0", f"20261125-{'9' * 5000}", "001000000001"),
)
CODES = range(7)


def calls_with(value: str, home: Path, table: Path) -> Iterator[tuple[object, ...]]:
    """Every option and argument of every command with a value."""
    yield "run", home, value
    yield "run", value, table
    yield "rehearse", home, value
    yield "rehearse", home, table, "--at", value
    yield "run", home, table, "--at", value, "--out", home / "out"
    yield "run", home, table, "--threads", value
    yield "status", home, "--batch", value
    yield "status", home, "--line", value
    yield "status", home, "--person", value
    yield "report", home, "--batch", value
    yield "exchange", home, "--batch", value
    yield "exchange", home, "--seed", value
    yield "settle", home, "--cycle", value
    yield "settle", home, "--at", value
    yield "settle", home, "--cycle", value, "--abort", value
    yield "reconcile", home, value
    yield "reconcile", home, "--at", value
    yield "reconcile", home, "--rules", value
    yield "reconcile", home, "--kind", value
    yield "dispose", home, value, "--reissue", "--yes"
    yield "dispose", home, value, "--write-back", "--yes", "--at", value
    yield "close", home, "--at", value
    yield "replay", home, value, table
    yield "replay", home, "B", value
    yield "replay", home, "B", table, "--register", value
    yield "register", home, "--population", value
    yield "register", home, "--paid", value, "--at", value
    yield "directory", home, "--participants", value
    yield "directory", home, "--balances", value
    yield "directory", home, "--config", value
    yield "verify", value
    yield "verify", home, "--checkpoint", value, "--public-key", value
    yield "scrub", home, "--copy", value
    yield "init", value, "--participants", value, "--debtors", value
    yield "init", home / "new", "--participants", value, "--debtors", value, "--key", value
    yield "generate", value, "--people", value, "--lines", value, "--seed", value
    yield (value,)


@pytest.fixture
def corner(village: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A home that paid something, its table, and an empty folder to stand in."""
    table = write_table(payment_table([line(1)]), tmp_path / "t.parquet", batch_id="B")
    with Engine(village) as engine:
        engine.run(table)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"x\n")))
    return village, table


def require_answered(calls: Iterator[tuple[object, ...]]) -> int:
    asked = 0
    for call in calls:
        said = command(*call)
        assert said.code in CODES, (call, said.err)
        assert "Traceback" not in said.err, (call, said.err)
        assert "\x1b" not in said.err, call
        asked += 1
    return asked


@pytest.mark.parametrize("value", TEXTS, ids=range(len(TEXTS)))
def test_commands__answer_hostile_values_by_the_contract(
    value: str, corner: tuple[Path, Path]
) -> None:
    assert require_answered(calls_with(value, *corner)) > 30
    assert len(switch.verify(corner[0])) > 10


@given(st.text(st.characters(exclude_characters="\0"), max_size=20))
@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_commands__answer_any_text_by_the_contract(corner: tuple[Path, Path], value: str) -> None:
    home, table = corner
    require_answered(call for call in calls_with(value, home, table) if call[0] != "generate")


@pytest.mark.parametrize("name", ["", ".", "/", "./", "//"])
def test_run__of_what_has_no_name_says_that_it_is_no_file(name: str, village: Path) -> None:
    for verb in ("run", "rehearse"):
        said = command("--json", verb, village, name)
        told = said.document
        error = told["error"] if verb == "run" else told["tables"][0]["error"]
        assert (said.code, error["rule"]) == (3, "NOT_REGULAR")


@pytest.mark.parametrize("number", ["9" * 5000, str(2**64), "99999999999", "\u0661", ""])
def test_lines__have_numbers_of_at_most_ten_digits(number: str, corner: tuple[Path, Path]) -> None:
    home, _ = corner
    for call in (("status", home, "--line", f"B:{number}"), ("dispose", home, f"B:{number}")):
        said = command(*call, *(["--reissue", "--yes"] if call[0] == "dispose" else []))
        assert (said.code, len(said.err) < 600) == (2, True)


def test_options__that_are_not_utf8_are_named(village: Path) -> None:
    for option in ("--batch", "--line", "--person"):
        said = command("status", village, option, "0\udcff")
        assert (said.code, said.err) == (2, f"error: {option} is not UTF-8\n")
    with Engine(village) as engine, pytest.raises(UsageError, match="not UTF-8"):
        engine.line("\udcff", 1)


def test_status__reads_the_person_from_stdin(
    corner: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    home, _ = corner
    asked = command("--json", "status", home, "--person", person_id(1))
    for text in (person_id(1), f"{person_id(1)}\n", f" {person_id(1)}\r\n\n"):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
        said = command("--json", "status", home, "--person", "-")
        assert (said.code, said.out) == (0, asked.out)
    for many in (f"{person_id(1)}\n{person_id(2)}\n", f"{person_id(1)}\n\n{person_id(1)}"):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(many.encode())))
        said = command("status", home, "--person", "-")
        assert (said.code, person_id(2) in said.err) == (2, False), "the second is not dropped"
        assert "one id" in said.err
    for nothing in (io.TextIOWrapper(io.BytesIO(b"\xff" * 9999)), None):
        monkeypatch.setattr(sys, "stdin", nothing)
        assert command("status", home, "--person", "-").code == 2


AMOUNTS = (MONEY_BOUND, 2**62, 2**63 - 2, 2**63 - 1)


@pytest.mark.parametrize("form", ["csv", "parquet"])
@pytest.mark.parametrize("amount", AMOUNTS)
@pytest.mark.parametrize("column", ["net_debit_cap", "amount_max", "budget", "balance"])
def test_directory__limits_leave_room_for_sums(
    column: str, amount: int, form: str, village: Path, tmp_path: Path
) -> None:
    """2^63-1 meant no limit, and one less stopped the day."""
    tables: dict[str, list[dict[str, Any]]] = {
        "participants": [dict(row) for row in PARTICIPANTS],
        "debtors": [dict(row) for row in DEBTORS],
        "balances": [{"participant": PARTICIPANTS[1]["participant"], "balance": 5}],
    }
    kind = {"budget": "debtors", "balance": "balances"}.get(column, "participants")
    for value, wanted in ((amount, 3), (MONEY_BOUND - 1, 0)):
        tables[kind][-1][column] = value
        if column == "budget":
            tables[kind][-1]["programme"] = "P"
        rows = pa.Table.from_pylist(tables[kind])
        path = tmp_path / f"{value}.{form}"
        if form == "csv":
            from pyarrow import csv

            csv.write_csv(rows, path)
        else:
            pq.write_table(rows, path)
        before = tree_digest(village)
        said = command("--json", "directory", village, f"--{kind}", path)
        assert said.code == wanted, said.out
        if wanted:
            error = said.document["error"]
            assert (error["rule"], error["column"]) == ("AMOUNT_RANGE", column)
            assert tree_digest(village) == before
    assert [a for _, a in zip(range(1), [pay(village, [line(1)])], strict=True)]
    assert len(switch.verify(village)) > 10


@pytest.mark.parametrize("balance", [2**63, -(2**63), 2**70])
def test_books__never_leave_64_bits(balance: int) -> None:
    with pytest.raises(InputRefused, match=r"T\.PAYABLE holds would leave"):
        keep_balances({"T.PAYABLE": balance})
    assert keep_balances({"T.PAYABLE": 2**63 - 1})


@pytest.mark.parametrize(
    "source", ["", " ", "A B", " A", "../../x", ".A", "\u3164", "Cục", "a" * 65, "A\x1b", "A/B"]
)
def test_source__is_named_as_batches_are(source: str, village: Path, tmp_path: Path) -> None:
    table = write_table(payment_table([line(1)]), tmp_path / "t.parquet", source=source)
    said = command("--json", "run", village, table)
    error = said.document["error"]
    assert (said.code, error["rule"], error["column"]) == (3, "NAME_UNSAFE", "source")


@pytest.mark.parametrize(
    "twice",
    [
        '"sum": "1", "sum": "2"',
        '"note": {"a": 1, "a": 2}',
        '"note": 1, "note": 1',
        '"notes": [{"a": 1, "a": 1}]',
    ],
)
def test_dossier__names_each_field_once(twice: str, village: Path, tmp_path: Path) -> None:
    table = write_table(payment_table([line(1)]), tmp_path / "t.parquet")
    path = tmp_path / "t.dossier.json"
    path.write_text(path.read_text().rstrip().removesuffix("}") + f", {twice}}}")
    said = command("--json", "run", village, table)
    error = said.document["error"]
    assert (said.code, error["rule"], error["what"]) == (
        3,
        "DOSSIER_INVALID",
        "a field stands twice",
    )


def test_dossier__long_numbers_and_deep_values_are_no_fault(village: Path, tmp_path: Path) -> None:
    table = write_table(payment_table([line(1)]), tmp_path / "t.parquet")
    path = tmp_path / "t.dossier.json"
    whole = path.read_text().rstrip().removesuffix("}")
    for more in ("9" * 5000, "[" * 900 + "]" * 900, "[" * 100_000, "1e999", "-0"):
        path.write_text(f'{whole}, "note": {more}}}')
        said = command("rehearse", village, table)
        assert said.code == (3 if len(more) > 90_000 else 0), said.err


class _Keys(encryption.KmsClient):
    def __init__(self, _: Any) -> None:
        super().__init__()

    def wrap_key(self, key: bytes, _: str) -> bytes:
        return base64.b64encode(key)


@pytest.mark.parametrize("column", ["amount", "person_id", "line_no"])
@pytest.mark.parametrize("plain_footer", [True, False])
def test_run__an_encrypted_file_says_so(
    column: str, plain_footer: bool, village: Path, tmp_path: Path
) -> None:
    """With a footer in plain text the process that reads it died of it."""
    table = payment_table([line(1), line(2)])
    properties = encryption.CryptoFactory(lambda _: _Keys(_)).file_encryption_properties(
        encryption.KmsConnectionConfig(),
        encryption.EncryptionConfiguration(
            footer_key="f", column_keys={"c": [column]}, plaintext_footer=plain_footer
        ),
    )
    path = tmp_path / "t.parquet"
    with pq.ParquetWriter(path, table.schema, encryption_properties=properties) as writer:
        writer.write_table(table)
    write_dossier(path, 2, 2)
    said = command("--json", "run", village, path)
    error = said.document["error"]
    assert (said.code, error["rule"], error["what"]) == (
        3,
        "PARQUET_UNSUPPORTED",
        "the file is encrypted",
    )
