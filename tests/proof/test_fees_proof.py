"""Verify proves what became of fees: histories in which the engine went wrong are named, and so are
flipped bits of what was committed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from cycles import CYCLE, RECAST, WHY, lines, table_of
from paying import (
    AGENCIES,
    AT,
    NO_CALENDAR,
    agencies_table,
    bills_table,
    home_with_bills,
    payments_table,
)
from scene import asked, new_checkpoint, run

import switch
from switch.errors import VerificationFailed
from switch.home.store import Home
from switch.settlement import cycle, fee_bills, fee_book, fees
from switch.settlement.accounts import POSITION
from switch.settlement.fee_rules import FeeReason

Patch = pytest.MonkeyPatch


def fault_of(home: Path) -> str:
    with pytest.raises(VerificationFailed) as failure:
        switch.verify(home)
    return str(failure.value)


def changed(patch: Patch, kind: str, change: Callable[[Any], None]) -> None:
    """Records of a kind say something else than was done."""
    commit = Home.commit

    def said(self: Home, *, detail: Any, **rest: Any) -> None:
        if rest["kind"] == kind:
            change(detail)
        commit(self, detail=detail, **rest)

    patch.setattr(Home, "commit", said)


def rows_as(patch: Patch, name: str, change: Callable[[pa.Table], pa.Table]) -> None:
    """A file of a commit has other rows than it should."""
    for module in (fees, fee_bills):
        write = module.write_table

        def written(path: Any, table: pa.Table, write: Any = write) -> None:
            write(path, change(table) if Path(path).name == f"{name}.parquet" else table)

        patch.setattr(module, "write_table", written)


def column(table: pa.Table, name: str, value: Any) -> pa.Table:
    at = table.schema.get_field_index(name)
    kind = table.schema.field(at).type
    return table.set_column(at, name, pa.array([value] * len(table), kind))


def all_pass(patch: Patch, *reasons: FeeReason) -> None:
    """The engine does not know some of its rules."""
    judged = fees._judged

    def lax(desk: Any, rows: Any) -> Any:
        known = dict.fromkeys(reasons, FeeReason.NONE)
        patch.setattr(fees, "FeeReason", _Without(known))
        return judged(desk, rows)

    patch.setattr(fees, "_judged", lax)


class _Without:
    """Numbers of reasons, some of which are nothing."""

    def __init__(self, known: dict[FeeReason, FeeReason]) -> None:
        self._known = known

    def __getattr__(self, name: str) -> FeeReason:
        return self._known.get(FeeReason[name], FeeReason[name])

    def __call__(self, number: int) -> FeeReason:
        return FeeReason(number)


WRONG_ROWS: dict[str, tuple[str, Callable[[pa.Table], pa.Table], str]] = {
    "receipt": ("payments", lambda t: column(t, "receipt", "0" * 16), "not answered as the rules"),
    "reason": ("payments", lambda t: column(t, "reason_number", 9), "for another reason"),
    "status": ("payments", lambda t: column(t, "status", "ACSC"), "not answered as the rules"),
    "amount": ("payments", lambda t: column(t, "amount", 99), "not answered as the rules"),
    "dropped": ("moved", lambda t: t.slice(1), "not what was taken"),
    "sum": ("moved", lambda t: column(t, "amount", 99), "not what was taken"),
    "payer": ("moved", lambda t: column(t, "debtor_agent", "B"), "not what was taken"),
    "agency": ("moved", lambda t: column(t, "agency", "POLICE"), "not what was taken"),
    "number": ("moved", lambda t: column(t, "taken_in", 7), "not what was taken"),
}


@pytest.mark.parametrize("what", WRONG_ROWS)
def test_verify__finds_rows_that_are_not_those_of_the_payments(
    what: str, tmp_path: Path, monkeypatch: Patch
) -> None:
    name, change, said = WRONG_ROWS[what]
    with home_with_bills(tmp_path / "h") as engine:
        rows_as(monkeypatch, name, change)
        engine.fees.take(payments_table("A > TAX/1 100\nA > TAX/2 200"), at=AT)
    assert said in fault_of(tmp_path / "h")


LAX: dict[FeeReason, str] = {
    FeeReason.AMOUNT_NOT_POSITIVE: "A > TAX/1 0",
    FeeReason.AMOUNT_OVER_LIMIT: "A > TAX/BIG 500000001",
    FeeReason.DAY_AHEAD: "A > TAX/1 100",
    FeeReason.ID_KNOWN: "A > TAX/2 200 P0",
    FeeReason.BILL_PAID: "A > TAX/3 40",
    FeeReason.AMOUNT_DIFFERS: "A > TAX/1 99",
    FeeReason.PAST_DUE: "A > POLICE/1 50",
    FeeReason.BILL_TWICE: "A > TAX/1 100\nB > TAX/1 100",
}


@pytest.mark.parametrize("reason", LAX, ids=lambda reason: reason.name)
def test_verify__finds_a_payment_that_should_have_been_refused(
    reason: FeeReason, tmp_path: Path, monkeypatch: Patch
) -> None:
    with home_with_bills(tmp_path / "h") as engine:
        engine.fees.load_bills(bills_table("TAX/BIG 500000001"))
        engine.fees.take(payments_table("A > TAX/3 40", 0), at=AT)
        all_pass(monkeypatch, reason)
        if reason is FeeReason.AMOUNT_NOT_POSITIVE:
            all_pass(monkeypatch, reason, FeeReason.AMOUNT_DIFFERS)
            monkeypatch.setattr(fee_book, "postings", lambda *_: [])
        day = "2026-11-24" if reason is FeeReason.DAY_AHEAD else AT
        engine.fees.take(payments_table(LAX[reason]), at=day)
    monkeypatch.undo()
    assert "not answered as the rules say" in fault_of(tmp_path / "h")


def test_verify__finds_a_payment_beyond_the_room_of_its_bank(
    tmp_path: Path, monkeypatch: Patch
) -> None:
    with home_with_bills(tmp_path / "h", balances={"A": 120}) as engine:
        monkeypatch.setattr(fees, "covered", lambda _, rows: np.ones(len(rows), bool))
        engine.fees.take(payments_table("A > TAX/1 100\nA > TAX/3 40"), at=AT)
    assert "row 2 is not answered as the rules say" in fault_of(tmp_path / "h")


def _twist(detail: dict[str, Any]) -> None:
    [name] = detail["postings"]
    step, debit, credit, amount = detail["postings"][name][-1]
    detail["postings"][name][-1] = step, credit, debit, amount


RECORDS: dict[str, tuple[str, Callable[[dict[str, Any]], None], str]] = {
    "postings": ("fees", _twist, "I1 postings"),
    "cycle": ("fees", lambda d: d.update(cycle="20261126-1"), "the cycle took nothing more"),
    "again": ("fees", lambda d: d["again"].update(count=1), "others waited"),
    "no cycle": ("fees", lambda d: d.pop("cycle"), "exactly where payments enter one"),
    "rooms": ("fees", lambda d: d.update(rooms={"A": 5}), "not answered as the rules say"),
    "bills": ("bills", lambda d: d.update(sum="1"), "not as many as it says"),
    "agencies": ("agencies", lambda d: d["agencies"].reverse(), "out of order"),
    "bank": ("agencies", lambda d: d["agencies"][0].__setitem__(2, "X"), "not in the directory"),
    "fewer": ("agencies", lambda d: d["agencies"].pop(), "an agency that has bills is gone"),
    "left": ("settlement", lambda d: d["answer"].pop("fees"), "cycle 20261125-1, left"),
}


@pytest.mark.parametrize("what", RECORDS)
def test_verify__finds_records_that_say_something_else(
    what: str, tmp_path: Path, monkeypatch: Patch
) -> None:
    kind, change, said = RECORDS[what]
    land = {"agency": "ZOO", "name": "Zoo", "participant": "B"}
    with home_with_bills(tmp_path / "h") as engine:
        changed(monkeypatch, kind, change)
        if kind == "agencies":
            more = AGENCIES if what == "fewer" else (*AGENCIES, land)
            if what == "fewer":
                more = tuple({**row, "name": "another"} for row in AGENCIES)
            engine.fees.load_agencies(agencies_table(more))
        engine.fees.load_bills(bills_table("POLICE/8 10"))
        engine.fees.take(payments_table("A > TAX/1 100"), at=AT)
        engine.settle(CYCLE, abort=WHY)
    assert said in fault_of(tmp_path / "h")


def test_verify__finds_a_bill_that_was_loaded_twice(tmp_path: Path, monkeypatch: Patch) -> None:
    with home_with_bills(tmp_path / "h") as engine:
        monkeypatch.setattr(fee_book, "bills", lambda _: fee_book.BILL.empty_table())
        engine.fees.load_bills(bills_table("TAX/1 100"))
    assert "a bill was loaded twice" in fault_of(tmp_path / "h")


def test_verify__finds_a_file_that_was_taken_twice(tmp_path: Path, monkeypatch: Patch) -> None:
    table = payments_table("A > TAX/9 100")
    with home_with_bills(tmp_path / "h") as engine:
        engine.fees.take(table, at=AT)
        folders = fees.fee_folders
        monkeypatch.setattr(
            fees,
            "fee_folders",
            lambda home: [f._replace(detail=f.detail | {"content": ""}) for f in folders(home)],
        )
        engine.fees.take(table, at=AT)
    assert "it was taken before" in fault_of(tmp_path / "h")


def _half(patch: Patch) -> None:
    """Half of what should leave a cycle stays."""
    leaving = fee_book.leaving

    def some(*args: Any) -> pa.Table:
        return leaving(*args).slice(1)

    patch.setattr(cycle.fee_book, "leaving", some)


def _not_taken_back(patch: Patch) -> None:
    """What agencies had by payments that leave stays with them."""
    taken_back = fee_book.taken_back

    def positions(*args: Any) -> Any:
        return [one for one in taken_back(*args) if one.debit.startswith(POSITION)]

    patch.setattr(cycle.fee_book, "taken_back", positions)


@pytest.mark.parametrize("mistake", [_half, _not_taken_back])
@pytest.mark.parametrize("with_lines", [False, True])
def test_verify__finds_an_abort_that_leaves_something(
    mistake: Callable[[Patch], None], with_lines: bool, tmp_path: Path, monkeypatch: Patch
) -> None:
    with home_with_bills(tmp_path / "h") as engine:
        if with_lines:
            run(engine, lines("KBNN > A 600"), "X")
        engine.fees.take(payments_table("A > TAX/1 100\nC > POLICE/2 70"), at=AT)
        mistake(monkeypatch)
        if mistake is _half:
            monkeypatch.setattr(cycle, "nets_without", lambda *_: {"A": 0, "KBNN": 0, "C": 0})
        try:
            engine.settle(CYCLE, abort=WHY)
        except AssertionError:
            return  # The engine's own assertion saw it.
    monkeypatch.undo()
    assert fault_of(tmp_path / "h")


def test_verify__finds_a_recast_that_takes_out_the_wrong_payments(
    tmp_path: Path, monkeypatch: Patch
) -> None:
    with home_with_bills(tmp_path / "h", RECAST, {"A": 150}) as engine:
        engine.fees.take(payments_table("A > TAX/1 100\nB > TAX/2 200"), at=AT)
        engine.change_directory(balances=table_of({"A": 50}))
        changed(monkeypatch, "settlement", lambda d: d["answer"].update(vanished={"KBNN": "1"}))
        engine.settle()
    assert "recast answer" in fault_of(tmp_path / "h")


def test_verify__finds_payments_that_wait_for_ever(tmp_path: Path, monkeypatch: Patch) -> None:
    with home_with_bills(tmp_path / "h") as engine:
        engine.fees.take(payments_table("A > TAX/1 100"), at=AT)
        engine.settle(CYCLE, abort=WHY)
        waiting = fee_book.waiting
        monkeypatch.setattr(fee_book, "waiting", lambda home: waiting(home).slice(0, 0))
        engine.fees.take(payments_table("A > TAX/2 200", 9))
    assert "others waited than entered the cycle again" in fault_of(tmp_path / "h")


def test_verify__finds_what_enters_a_cycle_that_is_over(tmp_path: Path, monkeypatch: Patch) -> None:
    with home_with_bills(tmp_path / "h") as engine:
        engine.fees.take(payments_table("A > TAX/1 100"), at=AT)
        slot = fees.slot_for(engine.home, engine.settings, AT, fees.day_of(AT))
        engine.settle(CYCLE, close_only=True)
        monkeypatch.setattr(fees, "slot_for", lambda *_: slot)
        engine.fees.take(payments_table("A > TAX/2 200", 9))
    assert "the cycle took nothing more" in fault_of(tmp_path / "h")


def test_verify__finds_money_that_settled_otherwise(tmp_path: Path, monkeypatch: Patch) -> None:
    with home_with_bills(tmp_path / "h", NO_CALENDAR) as engine:
        changed(monkeypatch, "fees", lambda d: d["request"]["participants"].pop())
        engine.fees.take(payments_table("A > TAX/1 100"), at=AT)
    assert "settled, cycle 20261125-F000002" in fault_of(tmp_path / "h")


def test_verify__finds_a_copy_that_is_none(tmp_path: Path) -> None:
    with home_with_bills(tmp_path / "h") as engine:
        engine.fees.take(payments_table("A > TAX/1 100"), at=AT)
    copy = tmp_path / "h" / "out" / "fees" / "000002.parquet"
    copy.write_bytes(copy.read_bytes()[:-1])
    assert "out/fees/000002.parquet is no copy" in fault_of(tmp_path / "h")


def test_verify__finds_flipped_bits_of_fees(tmp_path: Path) -> None:
    """Of every file by its digest; of the records by that of the catalog, and by the chain where
    somebody wrote that anew."""
    home = tmp_path / "h"
    with home_with_bills(home) as engine:
        engine.fees.take(payments_table("A > TAX/1 100\nA > TAX/9 5"), at=AT)
        rows = asked(
            engine.home, "SELECT detail FROM audit WHERE kind IN ('agencies','bills','fees')"
        )
    files = sorted((home / "fees").rglob("*.parquet"))
    assert [path.name for path in files] == ["bills.parquet", "moved.parquet", "payments.parquet"]
    points = [(path, bit) for path in files for bit in range(0, 8 * path.stat().st_size, 503)]
    content = (home / "catalog.sqlite").read_bytes()
    for row in rows:
        start = content.index(row["detail"].encode())
        bits = range(8 * start, 8 * (start + len(row["detail"])), 97)
        points += [(home / "catalog.sqlite", bit) for bit in bits if bit % 8 != 7]
    checkpoint = (home / "checkpoint").read_bytes()
    for path, bit in points:
        content = path.read_bytes()
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        assert path.name in fault_of(home), (path, bit)
        if path.name == "catalog.sqlite":
            new_checkpoint(home)
            assert "does not follow from the one before" in fault_of(home), bit
            (home / "checkpoint").write_bytes(checkpoint)
        path.write_bytes(content)
    assert switch.verify(home)
