"""Verify proves what became of fees: histories in which the engine went wrong are named, and so are
flipped bits of what was committed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from cycles import CYCLE, PARTICIPANTS, RECAST, WHY, lines, table_of
from paying import (
    AGENCIES,
    AT,
    NO_CALENDAR,
    agencies_table,
    answers_of,
    bills_table,
    home_with_bills,
    payments_table,
    state_of,
)
from scene import asked, new_checkpoint, run

import switch
from switch.errors import VerificationFailed
from switch.home.store import Home
from switch.registry.settings import Settings
from switch.settlement import cycle, fee_bills, fee_book, fees
from switch.settlement.accounts import POSITION
from switch.settlement.calendar import Calendar
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


def test_verify__finds_a_file_that_was_recorded_twice(tmp_path: Path, monkeypatch: Patch) -> None:
    table = payments_table("A > TAX/9 100")
    with home_with_bills(tmp_path / "h") as engine:
        engine.fees.take(table, at=AT)
        monkeypatch.setattr(fees, "_answered_before", lambda *_: None)
        engine.fees.take(table, at=AT)
    assert "it was taken before" in fault_of(tmp_path / "h")


def test_verify__finds_a_payment_that_was_paid_twice(tmp_path: Path, monkeypatch: Patch) -> None:
    """It was known, and was taken all the same."""
    with home_with_bills(tmp_path / "h") as engine:
        engine.fees.take(payments_table("A > TAX/1 100"), at=AT)
        all_pass(monkeypatch, *(FeeReason[n] for n in ("KNOWN", "ID_KNOWN", "BILL_PAID")))
        monkeypatch.setattr(fees, "_answered_before", lambda *_: None)
        engine.fees.take(payments_table("A > TAX/1 100"), at=AT)
    monkeypatch.undo()
    assert "row 1 is answered for another reason" in fault_of(tmp_path / "h")


def test_verify__judges_records_of_before_by_their_rules(
    tmp_path: Path, monkeypatch: Patch
) -> None:
    """Then a known payment was refused by its id, whatever its bank, and records had no rules."""
    changed(monkeypatch, "fees", lambda d: d.pop("rules"))
    monkeypatch.setattr(fees, "raised", lambda *_: [])
    monkeypatch.setattr(fees, "_ids_of", lambda paid: paid["payment_id"])
    monkeypatch.setattr(fees, "_is_same", lambda rows, *_: np.zeros(len(rows), bool))
    keys_of = fees.keys_of

    def of_id(*parts: Any) -> Any:
        is_id = len(parts[-1]) and parts[-1][0].as_py().startswith("P")
        return keys_of(parts[-1]) if is_id else keys_of(*parts)

    monkeypatch.setattr(fees, "keys_of", of_id)
    with home_with_bills(tmp_path / "h") as engine:
        engine.fees.take(payments_table("A > TAX/1 100"), at=AT)
        engine.fees.take(payments_table("A > TAX/1 100\nC > TAX/2 200 P1\nC > TAX/3 40 P7"), at=AT)
        assert [code for _, code in answers_of(engine, 3)] == ["DU03", "DU03", None]
        engine.settle()
        engine.fees.refund("P7", by="an officer", why="in error")
        assert engine.home.catalog.meta("format") == "6"
    assert switch.verify(tmp_path / "h")
    monkeypatch.undo()
    with switch.open(tmp_path / "h") as engine:
        taken = engine.fees.take(payments_table("A > TAX/1 100\nC > TAX/2 200 P1"), at=AT)
        assert (taken["known"]["count"], taken["taken"]["count"]) == (1, 1)
        assert engine.home.catalog.meta("format") == "9"
        with pytest.raises(switch.UsageError, match="refunded before"):
            engine.fees.refund("P7", by="an officer", why="another")
    assert switch.verify(tmp_path / "h")


def test_verify__finds_payments_that_were_judged_by_rules_of_before(
    tmp_path: Path, monkeypatch: Patch
) -> None:
    with home_with_bills(tmp_path / "h") as engine:
        engine.fees.take(payments_table("A > TAX/1 100"), at=AT)
        changed(monkeypatch, "fees", lambda d: d.pop("rules"))
        engine.fees.take(payments_table("A > TAX/2 200", 9), at=AT)
    assert "it was judged by rules of before" in fault_of(tmp_path / "h")


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


def test_verify__finds_a_record_that_tells_no_rooms(tmp_path: Path, monkeypatch: Patch) -> None:
    """A has a cap, B a bound account: without their rooms any payment would seem to be covered."""
    capped = [
        {**row, "net_debit_cap": 150 if row["participant"] == "A" else None} for row in PARTICIPANTS
    ]
    with home_with_bills(tmp_path / "h", balances={"B": 500}) as engine:
        engine.change_directory(participants=pa.Table.from_pylist(capped))
        engine.fees.take(payments_table("A > TAX/1 100\nB > TAX/3 40"), at=AT)
    assert switch.verify(tmp_path / "h")
    changes: dict[str, Callable[[dict[str, Any]], Any]] = {
        "cap": lambda d: d["rooms"].pop("A"),
        "bound": lambda d: d["rooms"].pop("B"),
        "none": lambda d: d.pop("rooms"),
        "more": lambda d: d["rooms"].update(C=1000),
    }
    for word, change in changes.items():
        home = tmp_path / word
        shutil.copytree(tmp_path / "h", home)
        with switch.open(home) as engine, monkeypatch.context() as patched:
            changed(patched, "fees", change)
            engine.fees.take(payments_table("C > TAX/2 200", 9), at=AT)
        assert "rooms are missing, or too many" in fault_of(home), word


LATER: dict[str, tuple[str, str]] = {
    "the next cut-off": ("20261125-2", "an earlier cycle took what came"),
    "the next day": ("20261126-1", "an earlier cycle took what came"),
    "far ahead": ("20270125-1", "it lies too far ahead"),
    "over": ("20261123-2", "its cut-off had passed"),
}


@pytest.mark.parametrize("what", LATER)
def test_verify__finds_payments_in_a_cycle_that_is_not_theirs(
    what: str, tmp_path: Path, monkeypatch: Patch
) -> None:
    named, words = LATER[what]
    with home_with_bills(tmp_path / "h") as engine:
        if what != "far ahead":
            engine.fees.take(payments_table("B > TAX/3 40", 9), at=AT)
        other = Calendar(engine.settings).slot_named(named)
        monkeypatch.setattr(fees, "slot_for", lambda *_: other)
        engine.fees.take(payments_table("A > TAX/1 100"), at=AT)
    monkeypatch.undo()
    assert words in fault_of(tmp_path / "h")


def test_verify__knows_cut_offs_that_came_and_days_off(tmp_path: Path) -> None:
    """Cycles that opened before the settings had others stay as they are; a day off has none."""
    home = tmp_path / "h"
    with home_with_bills(home) as engine:
        engine.fees.take(payments_table("A > TAX/1 100"), at="2026-11-25T12:00:00")
        early = Settings(cutoffs=("09:00", "15:30"), holidays=("2026-11-26", "2026-11-27"))
        engine.change_directory(settings=early)
        engine.fees.take(payments_table("B > TAX/3 40", 2), at="2026-11-25T16:00:00")
        assert state_of(engine, "P2")[1] == "20261130-1"
        engine.settle()
    assert switch.verify(home)


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
