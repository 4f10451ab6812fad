"""What was declared by wider rules goes on; what is new is held to those of now."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from scene import command, line, make_home, participant, payment_table, person, tree_digest
from scene import write_table as write

import switch
from switch.clearing import intake
from switch.clearing.intake import Declared
from switch.errors import InputRefused
from switch.files import given
from switch.registry import directory
from switch.schema import PARTICIPANT_KINDS

WIDER = [{"source": "So LDTBXH"}, {"source": "Sở"}, {"value_date": "0999-11-25"}]
"""Declared before a source was named as a batch is, and a day was of 1900 to 2999."""


def home_of_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> tuple[Path, Path]:
    home = make_home(tmp_path / "home", [person(1), person(2)])
    table = write(payment_table([line(1)]), tmp_path / "B.parquet", **changes)
    with monkeypatch.context() as before, switch.open(home) as engine:
        before.setattr(Declared, "require_new", lambda *_: None)
        engine.run(table, at="2026-11-25")
    return home, table


@pytest.mark.parametrize("changes", WIDER[:2], ids=str)
def test_declared__by_wider_rules_is_answered_again_and_replayed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    home, table = home_of_before(tmp_path, monkeypatch, changes)
    assert command("verify", home).code == 0
    with switch.open(home) as engine:
        assert engine.run(table).replayed
    assert command("replay", home, "B", table).code == 0
    assert command("status", home, "--batch", f"{changes['source']}:B").code in (0, 2)


@pytest.mark.parametrize("changes", WIDER, ids=str)
def test_declared__by_wider_rules_is_refused_of_what_is_new(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    home = make_home(tmp_path / "home", [person(1)])
    before = tree_digest(home)
    table = write(payment_table([line(1)]), tmp_path / "B.parquet", **changes)
    with switch.open(home) as engine, pytest.raises(InputRefused) as refused:
        engine.run(table)
    found = refused.value
    assert (found.rule, found.column) in (
        ("NAME_UNSAFE", "source"),
        ("DATE_INVALID", "value_date"),
    )
    assert found.file == str(tmp_path / "B.dossier.json")
    given = {"source": "VSS", "value_date": "2026-11-25", **changes}
    with switch.open(home) as engine, pytest.raises(InputRefused) as refused:
        engine.run(payment_table([line(1)]), batch_id="B", count=1, sum=1, **given)
    assert refused.value.file == "payment table"
    assert tree_digest(home) == before


@pytest.mark.parametrize("source", ["", "x" * 65, "a\nb"])
def test_declared__by_no_rule_is_refused_always(source: str) -> None:
    with pytest.raises(InputRefused, match="NAME_UNSAFE"):
        Declared(source, "B", dt.date(2026, 11, 25), 1, 1).check("x")


class Counted(str):
    """A name that counts how often it is compared."""

    compared = 0
    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        Counted.compared += 1
        return str.__eq__(self, str(other))

    def __hash__(self) -> int:
        return str.__hash__(self)


def test_dossier__of_many_fields_costs_as_many_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each name is looked for once, not held against all before it."""
    many = 5000
    fields = [(Counted(f"f{number}"), 0) for number in range(many)]

    def loads(_: bytes, object_pairs_hook: Any, **__: Any) -> Any:
        return object_pairs_hook(fields)

    monkeypatch.setattr(given.json, "loads", loads)
    Counted.compared = 0
    intake._require_single(b"", tmp_path)
    assert Counted.compared < 2 * many
    fields.append((Counted("f7"), 0))
    with pytest.raises(InputRefused, match="stands twice"):
        intake._require_single(b"", tmp_path)


# --- kinds of participants ------------------------------------------------------------------------


def rows_with(kind: str) -> pa.Table:
    return pa.Table.from_pylist([participant("KBNN", "treasury"), participant("970436", kind)])


DEBTORS = pa.table({"debtor_account": ["1"], "debtor_agent": ["KBNN"]})


@pytest.mark.parametrize("kind", ["tresury", "banc", "Treasury", "bank "])
def test_kind__that_is_none_is_refused_by_its_row(kind: str) -> None:
    with pytest.raises(InputRefused) as refused:
        directory.read_directory(rows_with(kind), DEBTORS)
    found = refused.value
    assert (found.rule, found.row, found.column) == ("DIRECTORY_INVALID", 2, "kind")
    assert all(known in found.remedy for known in PARTICIPANT_KINDS)


@pytest.mark.parametrize("kind", ["", *PARTICIPANT_KINDS])
def test_kind__that_is_known_is_taken(kind: str) -> None:
    assert directory.read_directory(rows_with(kind), DEBTORS).participants[0].kind == kind


def test_kind__of_a_home_of_before_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the home's until the participants are given anew; other tables change without it."""
    with monkeypatch.context() as before:
        before.setattr(directory, "PARTICIPANT_KINDS", (*PARTICIPANT_KINDS, "banc"))
        switch.init(tmp_path / "h", participants=rows_with("banc"), debtors=DEBTORS).close()
    with switch.open(tmp_path / "h") as engine:
        engine.change_directory(debtors=DEBTORS.append_column("budget", pa.array([5])))
        assert engine.directory.debtors[0].budget == 5
        engine.change_directory(programmes=pa.table({"benefit": ["PENS"]}))
        assert [p.benefit for p in engine.directory.programmes] == ["PENS"]
        assert engine.directory.participants[0].kind == "banc"
        with pytest.raises(InputRefused, match="banc"):
            engine.change_directory(participants=rows_with("banc"))
        engine.change_directory(participants=rows_with("bank"))
    assert command("verify", tmp_path / "h").code == 0
