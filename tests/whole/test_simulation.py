"""Simulated lives: the engine beside the auditor, and proof that the auditor would notice."""

from __future__ import annotations

import ast
import datetime as dt
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import planted_accounts
import planted_arrears
import planted_months
import planted_representatives
import pyarrow as pa
import pytest
from planted_seeds import FOUND, is_found
from scene import (
    BANK,
    CLOSED_BANK,
    account,
    accounts_table,
    entitlement,
    line,
    make_home,
    paid_table,
    participant,
    payment_table,
    person,
    run,
)

import switch
from switch._core import Core
from switch.clearing import batch_writer, held_queue, kernel, payday
from switch.clearing import close as closing
from switch.files import segment
from switch.home import commit, paid_bits, store
from switch.proof import verify
from switch.reason import Reason
from switch.reconcile import day_end, dispositions, line_states, sent_lines
from switch.registry.directory import Directory
from switch.registry.register import Register
from switch.settlement import calendar, netting, postings, recast, returns, reversal
from switch.settlement.accounts import WRITE_BACK
from switch.sim import simulate
from switch.sim.auditor.auditor import Auditor
from switch.sim.auditor.expected import Table
from switch.sim.lives import faults
from switch.sim.lives.operations import Fault
from switch.sim.simulate import Failure, live, live_twice, script_of

FOUND_ONCE = [15, 36, 57, 143, 2432, 3553]
"""Seeds that once found a difference."""
SEEDS = [*range(1, 25), *FOUND_ONCE[1:], 1001, 1002, 1003]
PLANTED_SEEDS = [41, *range(1, 41), *range(42, 101)]
ANSWERED_SEEDS = [45, 8, 82, 5]
"""Seeds whose lives have a way back."""
LIVED_ELSEWHERE = [56, 64, 82]
"""Seeds that tests of control and of ids that change live without a bug."""
SHRUNK = 310
"""The seed of a short life that fails where lines that are paid again are not sealed."""


@pytest.mark.parametrize("seed", SEEDS)
def test_simulation__engine_and_auditor_agree(seed: int) -> None:
    result = live_twice(seed)
    assert not isinstance(result, Failure), str(result)


def test_simulation__the_lives_have_everything_in_them() -> None:
    """What the lives are for happens in them: faults of every kind at every place, and all that a
    line, a table and a directory may be answered."""
    words = set()
    for seed in range(1, 301):
        for operation in script_of(seed).operations:
            fault = getattr(operation, "fault", None)
            words.add((type(operation).__name__, fault.kind if fault else None))
    kinds = ("Payday", "Register", "Change", "Answers", "Dispose", "CloseDay", "NoteBreaks")
    for kind in (*kinds, "Compact"):
        assert {(kind, fault) for fault in ("crash", "power", "full", None)} <= words
    assert {(kind, None) for kind in ("Reopen", "OldCatalog", "Verify", "PayAgain")} <= words


@pytest.mark.parametrize("seed", ANSWERED_SEEDS)
def test_simulation__these_lives_have_a_way_back(seed: int) -> None:
    kinds = {type(operation).__name__ for operation in script_of(seed).operations}
    assert {"Answers", "Dispose", "CloseDay", "PayAgain"} <= kinds


def test_simulation__same_seed_same_life() -> None:
    assert script_of(7) == script_of(7)
    assert script_of(7) != script_of(8)


def test_simulation__a_failure_is_written_and_shrunk(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Core, "seal", lambda core: None)
    monkeypatch.setattr(simulate, "shrink", functools.cache(simulate.shrink))
    lives = (live(script_of(seed), seed) for seed in (SHRUNK, *PLANTED_SEEDS))
    failure = next(life for life in lives if isinstance(life, Failure))
    seed = failure.seed
    arguments = ["--seeds", f"{seed}:{seed}", "--cases", str(tmp_path), "--shrink"]
    assert simulate.main(arguments) == 1
    told = capsys.readouterr().out
    assert f"seed {seed}, operation" in told
    assert "expected" in told
    least = simulate.shrink(seed)
    assert least is not None
    assert f"least: {least[1]}" in told
    assert len(least[0].operations) < failure.number
    assert "nation:" in (tmp_path / f"simulation-{seed}.txt").read_text("utf-8")


# --- planted bugs ---------------------------------------------------------------------------------


def _post_skips_a_line(patch: pytest.MonkeyPatch) -> None:
    post = Core.post

    def skip(core: Any, *columns: Any) -> None:
        post(core, *(column[: max(len(column) - 1, 1)] for column in columns))

    patch.setattr(Core, "post", skip)


def _represented_lines_are_not_sealed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Core, "seal", lambda core: None)


def _paid_bits_are_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(paid_bits, "read", lambda *_: np.zeros(1, np.uint64))


def _some_of_the_history_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    read = paid_bits.read

    def forget(path: Path) -> Any:
        words = read(path).copy()
        if len(words) and "registers" in path.parts:
            words[0] &= ~np.uint64(0xFF)
        return words

    patch.setattr(paid_bits, "read", forget)


def _the_newest_line_is_retried_first(patch: pytest.MonkeyPatch) -> None:
    rows = batch_writer.held_rows
    patch.setattr(batch_writer, "held_rows", lambda b, raw, chosen: rows(b, raw, chosen[::-1]))


def _held_lines_are_dropped(patch: pytest.MonkeyPatch) -> None:
    queue = held_queue.HeldQueue
    patch.setattr(queue, "represent", lambda queue: queue._kernel.core.tally())


def _held_lines_clear_in_their_old_cycle(patch: pytest.MonkeyPatch) -> None:
    def each(heads: list[bytes], line_no: Any, reason: Any) -> Any:
        heads = [heads[0]] * len(heads)
        return original(heads, line_no, reason)

    original = held_queue.ids_of_each
    patch.setattr(held_queue, "ids_of_each", each)


def _the_value_date_is_a_day_late(patch: pytest.MonkeyPatch) -> None:
    core_of = kernel.core_of

    def late(home: Any, directory: Any, register: Any, settings: Any, day: Any, *more: Any) -> Any:
        return core_of(home, directory, register, settings, day + dt.timedelta(days=1), *more)

    patch.setattr(kernel, "core_of", late)


def _benefits_exclude_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Directory, "_groups", lambda directory: list(range(len(directory.programmes))))


def _a_group_is_paid_as_one(patch: pytest.MonkeyPatch) -> None:
    """Whoever is paid one benefit of a group is written down as paid all of it."""
    patch.setattr(kernel.Exclusive, "cleared", lambda _, found: found)


def _wallets_settle_for_themselves(patch: pytest.MonkeyPatch) -> None:
    def own(cycle: list[netting.Position]) -> dict[str, int]:
        return {position.participant: position.net for position in cycle}

    patch.setattr(closing, "settlement_nets", own)


def _on_us_lines_enter_positions(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(netting.np, "fill_diagonal", lambda *_: None)


def _cover_is_not_asked_for(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(postings, "rooms", lambda *_: {})


def _what_waits_is_not_released(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(held_queue.HeldQueue, "release", lambda queue: None)


def _a_closed_cycle_takes_lines(patch: pytest.MonkeyPatch) -> None:
    slot_of = calendar.Calendar.slot_of
    patch.setattr(
        calendar.Calendar, "slot_of", lambda c, at, day, _, there: slot_of(c, at, day, (), there)
    )


def _reserves_are_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(postings, "net_reserves", lambda *_: [])


def _recasts_leave_entitlements_taken(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(reversal, "free", lambda *_: {})


def _recasts_leave_positions_open(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(reversal, "reversals", lambda *_: [])


def _recast_lines_are_retried_last(patch: pytest.MonkeyPatch) -> None:
    """In the order of their line numbers alone."""
    patch.setattr(recast, "IDENTITY", [("line_no", "ascending"), ("batch", "ascending")])


def _only_the_first_defaulter_is_taken_out(patch: pytest.MonkeyPatch) -> None:
    unwind = recast.unwind_cycle

    def one(home: Any, cycle: str, nets: Any, short: dict[str, int], _: Any) -> Any:
        return unwind(home, cycle, nets, short, lambda after: {})

    patch.setattr(recast, "unwind_cycle", one)


def _other_content_is_answered(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(payday, "_require_same", lambda *_: None)


def _a_replay_is_run_again_on_paper(patch: pytest.MonkeyPatch) -> None:
    batch = payday.batch_of

    def wrong(home: Any, row: Any, *, replayed: bool) -> Any:
        return batch(home, row, replayed=False)

    patch.setattr(payday, "batch_of", wrong)


def _files_are_not_synced(patch: pytest.MonkeyPatch) -> None:
    durable = commit.durable

    def careless(*values: Any) -> Any:
        synced = segment.sync_file
        segment.sync_file = lambda path: None
        try:
            return durable(*values)
        finally:
            segment.sync_file = synced

    patch.setattr(commit, "durable", careless)


def _the_parent_folder_is_not_synced(patch: pytest.MonkeyPatch) -> None:
    whole = store.Home.commit

    def careless(home: Any, **values: Any) -> Any:
        synced = segment.sync_folder
        segment.sync_folder = lambda path: path.name in ("batches", "registers") or synced(path)
        try:
            return whole(home, **values)
        finally:
            segment.sync_folder = synced

    patch.setattr(store.Home, "commit", careless)


def _an_old_catalog_is_taken(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(store, "is_behind", lambda *_, **__: False)


def _a_full_disk_is_ignored(patch: pytest.MonkeyPatch) -> None:
    write = segment.HashingFile.write

    def careless(file: Any, data: Any) -> int:
        try:
            return write(file, data)
        except OSError:
            return len(memoryview(data).cast("B"))

    # What the fault wraps is the careless write, so that its error must be eaten further out.
    close = segment.Segment.close

    def closed(part: Any) -> Any:
        try:
            return close(part)
        except OSError:
            return part._file.sha256, part._file.bytes

    patch.setattr(segment.HashingFile, "write", careless)
    patch.setattr(segment.Segment, "close", closed)


def _a_register_forgets_who_died(patch: pytest.MonkeyPatch) -> None:
    put = Register.put_people

    def alive(register: Any, reader: Any) -> int:
        count = put(register, reader)
        register.since = register.since[:0]
        return int(count)

    patch.setattr(Register, "put_people", alive)


def _a_refused_line_leaves_its_position(patch: pytest.MonkeyPatch) -> None:
    refused = returns.refused
    patch.setattr(returns, "refused", lambda *args: refused(*args)._replace(positions=[]))


def _a_refused_line_keeps_its_reserve(patch: pytest.MonkeyPatch) -> None:
    reserved = returns.Standing.reserved
    patch.setattr(
        returns.Standing,
        "reserved",
        lambda standing, cycle: reserved(standing, cycle) if cycle not in standing.nets else {},
    )


def _a_return_is_booked_twice(patch: pytest.MonkeyPatch) -> None:
    def twice(*args: Any) -> Any:
        moved = returned(*args)
        return moved._replace(postings=moved.postings * 2)

    returned = returns.returned
    patch.setattr(returns, "returned", twice)


def _what_was_written_back_may_be_paid_again(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(dispositions, "REISSUE", WRITE_BACK)


def _what_is_decided_may_be_decided_again(patch: pytest.MonkeyPatch) -> None:
    moved_lines = dispositions.moved_lines

    def forget(home: Any, folder: Any, name: str) -> Any:
        table = moved_lines(home, folder, name)
        return table.slice(0, 0) if name == "disposed" else table

    patch.setattr(dispositions, "moved_lines", forget)


def _a_late_refusal_is_in_time(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sent_lines.SentLines, "settled", lambda lines: np.zeros(len(lines), bool))


def _any_amount_is_clean(patch: pytest.MonkeyPatch) -> None:
    fits = sent_lines.SentLines.fits

    def lenient(lines: Any, table: Any, place: Any) -> Any:
        if len(table) and len(lines):
            at = table.schema.get_field_index("amount")
            due = lines.amount[np.maximum(place, 0)]
            table = table.set_column(at, table.schema.field(at), pa.array(due))
        return fits(lines, table, place)

    patch.setattr(sent_lines.SentLines, "fits", lenient)


def _nothing_is_ever_overdue(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(line_states.Verdicts, "_overdue", lambda v: np.zeros(len(v.lines), bool))


def _batches_are_closed_over_open_lines(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(day_end, "OPEN", ())


PLANTED_BACK = [
    _a_refused_line_leaves_its_position,
    _a_refused_line_keeps_its_reserve,
    _a_return_is_booked_twice,
    _what_was_written_back_may_be_paid_again,
    _what_is_decided_may_be_decided_again,
    _a_late_refusal_is_in_time,
    _any_amount_is_clean,
    _nothing_is_ever_overdue,
    _batches_are_closed_over_open_lines,
]
PLANTED = [
    _post_skips_a_line,
    _represented_lines_are_not_sealed,
    _paid_bits_are_forgotten,
    _some_of_the_history_is_forgotten,
    _the_newest_line_is_retried_first,
    _held_lines_are_dropped,
    _held_lines_clear_in_their_old_cycle,
    _the_value_date_is_a_day_late,
    *planted_accounts.PLANTED,
    *planted_arrears.PLANTED,
    *planted_months.PLANTED,
    *planted_representatives.PLANTED,
    _benefits_exclude_nothing,
    _a_group_is_paid_as_one,
    _wallets_settle_for_themselves,
    _on_us_lines_enter_positions,
    _cover_is_not_asked_for,
    _what_waits_is_not_released,
    _a_closed_cycle_takes_lines,
    _reserves_are_forgotten,
    _recasts_leave_entitlements_taken,
    _recasts_leave_positions_open,
    _recast_lines_are_retried_last,
    _only_the_first_defaulter_is_taken_out,
    _other_content_is_answered,
    _a_replay_is_run_again_on_paper,
    _files_are_not_synced,
    _the_parent_folder_is_not_synced,
    _an_old_catalog_is_taken,
    _a_full_disk_is_ignored,
    _a_register_forgets_who_died,
]


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__.strip("_"))
def test_simulation__finds_a_planted_bug(
    plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    # `verify` recomputes much of this by itself: the auditor has to find it without that help.
    monkeypatch.setattr(simulate, "VERIFY_EVERY", 10**9)
    plant(monkeypatch)
    assert is_found(plant, PLANTED_SEEDS)


@pytest.mark.parametrize("plant", PLANTED_BACK, ids=lambda plant: plant.__name__.strip("_"))
def test_simulation__finds_a_bug_planted_in_the_way_back(
    plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simulate, "VERIFY_EVERY", 10**9)
    plant(monkeypatch)
    assert is_found(plant, ANSWERED_SEEDS)


@pytest.mark.parametrize("seed", sorted({*FOUND.values()} - {*SEEDS, *LIVED_ELSEWHERE}))
def test_simulation__lives_that_find_bugs_go_well_without_them(seed: int) -> None:
    result = live(script_of(seed), seed, again=True)
    assert not isinstance(result, Failure), str(result)


# --- what simulation once found -------------------------------------------------------------------


def test_verify__takes_a_history_that_tells_of_payments_made_here(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home", [person(1), person(2)], [account(1), account(2)])
    with switch.open(home) as opened:
        run(opened, [line(1)])
        opened.register(paid_history=paid_table([entitlement(1), entitlement(2)]))
        after = run(opened, [line(1), line(2)], "C")
        assert after.status["reason"].to_pylist() == ["AM05", "AM05"]
    assert switch.verify(home)


def test_verify__finds_a_line_that_the_history_forbids(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = [entitlement(1)]
    home = make_home(tmp_path / "home", [person(1)], [account(1)], history)
    with switch.open(home) as opened, monkeypatch.context() as patch:
        patch.setattr(paid_bits, "read", lambda *_: np.zeros(1, np.uint64))
        assert run(opened, [line(1)]).status["status"].to_pylist() == ["ACSC"]
    with pytest.raises(switch.VerificationFailed, match="paid twice"):
        verify.verify(home)


# --- the checkpoint -------------------------------------------------------------------------------


@pytest.mark.parametrize("use", [switch.open, switch.verify], ids=["open", "verify"])
def test_store__an_old_catalog_is_refused_and_nothing_moves(
    village: Path, use: Callable[[Path], Any]
) -> None:
    old = (village / "catalog.sqlite").read_bytes()
    with switch.open(village) as opened:
        run(opened, [line(1)])
    current = (village / "catalog.sqlite").read_bytes()
    (village / "catalog.sqlite").write_bytes(old)
    with pytest.raises(switch.VerificationFailed, match="restore the last one"):
        use(village)
    (village / "catalog.sqlite").write_bytes(current)
    assert switch.verify(village)
    assert list((village / "quarantine").iterdir()) == []


def test_store__a_checkpoint_that_stayed_behind_is_mended(village: Path) -> None:
    behind = (village / "checkpoint").read_bytes()
    with switch.open(village) as opened:
        run(opened, [line(1)])
    ahead = (village / "checkpoint").read_bytes()
    assert ahead != behind
    (village / "checkpoint").write_bytes(behind)
    assert switch.verify(village), "a reader takes it, and writes nothing"
    assert (village / "checkpoint").read_bytes() == behind
    switch.open(village).close()
    assert (village / "checkpoint").read_bytes() == ahead


@pytest.mark.parametrize("content", [None, b"", b"{}"], ids=["gone", "empty", "other"])
def test_store__a_lost_checkpoint_stops(village: Path, content: bytes | None) -> None:
    (village / "checkpoint").unlink()
    if content is not None:
        (village / "checkpoint").write_bytes(content)
    with pytest.raises(switch.VerificationFailed, match="checkpoint"):
        switch.open(village)


# --- the auditor and the faults themselves --------------------------------------------------------


AUDITOR = sorted(Path(simulate.__file__).with_name("auditor").glob("*.py"))


@pytest.mark.parametrize("path", AUDITOR, ids=lambda path: path.stem)
def test_auditor__knows_nothing_but_words(path: Path) -> None:
    """import-linter knows the rooms it is told of; this one knows them all, native ones too."""
    room = "switch.sim.auditor"
    found = {
        f"{room}.{name.name}" if node.module == room else node.module
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("switch")
        for name in node.names
    }
    words = {"switch.reason", "switch.schema", "switch.errors"}
    family = {f"{room}.{path.stem}" for path in AUDITOR}
    assert found <= words | family
    assert "import switch" not in path.read_text("utf-8")


def test_auditor__a_held_line_waits_and_takes_its_entitlement_first() -> None:
    rows = [line(1) | {"line_no": 1}, line(1) | {"line_no": 2}, line(2) | {"line_no": 3}]
    auditor = Auditor(
        [participant("KBNN", "treasury"), participant(BANK), participant(CLOSED_BANK)],
        [{"debtor_account": rows[0]["debtor_account"], "debtor_agent": "KBNN"}],
        [{"benefit": "PENS", "name": "", "purpose": "PENS"}],
        {},
    )
    auditor.register([person(1), person(2)], [account(2)], None, replace=False)

    def table(name: str, rows: list[Any]) -> Table:
        total = sum(row["amount"] for row in rows)
        day = dt.date(2026, 11, 25)
        return Table("VSS", name, day, len(rows), total, tuple(rows), f"{rows}")

    first = auditor.run(table("A", rows)).batch
    assert first is not None
    assert [o.status for o in first.own] == ["PDNG", "PDNG", "ACSC"]
    auditor.register(None, [account(1)], None, replace=False)
    again = auditor.run(table("A", rows))
    assert (again.replay, again.batch) == (1, None)
    second = auditor.run(table("B", rows[:1])).batch
    assert second is not None
    assert second.represented is not None
    assert [(o.line_no, o.status) for o in second.represented] == [(1, "ACSC"), (2, "RJCT")]
    assert [o.reason for o in second.own] == [Reason.PAID_BEFORE]
    assert set(auditor.payments.status.values()) == {"ACSC", "RJCT"}
    assert auditor.books.balances["S.BANK[970001]"] == 2_000_000 + 3


def test_faults__a_loss_of_power_takes_what_was_not_synced(village: Path) -> None:
    lost = set()
    for salt in range(12):
        with (
            faults.Faults(village, Fault("power", 2, salt)) as armed,
            switch.open(village) as opened,
            pytest.raises(faults.Crash),
        ):
            run(opened, [line(n) for n in range(1, 10)], threads=1)
        lost.add(len(list((armed.aside / "batches").rglob("*"))))
        armed.survive()
        switch.open(village).close()
    assert len(lost) > 1


def test_faults__nothing_armed_touches_nothing(village: Path) -> None:
    with faults.Faults(village, None) as armed, switch.open(village) as opened:
        opened.register(accounts=accounts_table([account(1)]))
        run(opened, payment_table([line(1)]))
    assert armed.fired == ""
