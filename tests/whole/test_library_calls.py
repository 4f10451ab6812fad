"""Everything that commands do, the library does: one call for each, and the same answer."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from cycles import lines, make
from scene import command, payment_table, run

import switch
from switch.cli import control
from switch.cli.main import cli
from switch.errors import UsageError, VerificationFailed
from switch.outcomes import Check

ENGINE = switch.Engine
CALLS: dict[str, object] = {
    "balances": ENGINE.balances,
    "breaks": ENGINE.breaks,
    "cancel-line": ENGINE.cancel_lines,
    "citizen": switch.Citizens.account,
    "recall": ENGINE.recall,
    "recalls": ENGINE.recalls,
    "cash": ENGINE.cash,
    "agencies": switch.Fees.load_agencies,
    "alarms": switch.Watch.alarms,
    "awaited": switch.Watch.awaited,
    "metrics": switch.Watch.metrics,
    "audit": switch.Watch.records,
    "calendar": switch.Watch.cut_offs,
    "find": switch.Watch.find,
    "participant": switch.Control.participant,
    "positions": switch.Watch.positions,
    "watch": switch.Watch.within,
    "bills": switch.Fees.load_bills,
    "close": ENGINE.close_day,
    "compact": ENGINE.compact,
    "cycles": ENGINE.cycles,
    "directory": ENGINE.change_directory,
    "dispose": ENGINE.write_back,
    "doctor": switch.examine,
    "dossier": switch.write_dossier,
    "exchange": switch.exchange,
    "expire": ENGINE.expire,
    "fees": switch.Fees.take,
    "generate": switch.generate,
    "held": ENGINE.held,
    "identify": switch.Identities.identify,
    "identified": switch.Identities.identified,
    "init": switch.init,
    "match-fees": switch.Fees.match,
    "reconcile": ENGINE.reconcile,
    "refund": switch.Fees.refund,
    "register": ENGINE.register,
    "rehearse": ENGINE.rehearse,
    "replay": ENGINE.replay,
    "report": ENGINE.report,
    "returned": ENGINE.returned,
    "run": ENGINE.run,
    "schema": switch.json_schema,
    "scrub": ENGINE.scrub,
    "settle": ENGINE.settle,
    "shared": ENGINE.shared_accounts,
    "status": ENGINE.status,
    "totals": ENGINE.totals,
    "verify": ENGINE.verify,
}
OF_A_TERMINAL = {"bench", "completion", "demo", "serve", "staff", "top"}
"""Commands that are there for who sits before it."""
ROWS = "A > B 50\nB > C 30"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with a settled payday."""
    with make(tmp_path / "h") as engine:
        run(engine, lines(ROWS), "X")
        engine.settle()
    return tmp_path / "h"


def test_commands__have_a_call_of_the_library() -> None:
    of_control = {command.name for command in control.COMMANDS}  # Each is one of switch.Control.
    assert set(cli.commands) == {*CALLS, *OF_A_TERMINAL} | of_control
    for name, call in CALLS.items():
        assert callable(call)
        assert call.__doc__, name


def test_verify__of_an_engine_is_that_of_the_function(home: Path) -> None:
    for mode in ("r", "w"):
        with switch.open(home, mode=mode) as engine:  # type: ignore[arg-type]
            checks = engine.verify()
            assert checks == switch.verify(home)
            assert all(isinstance(check, Check) and not check.fault for check in checks)
    told = json.loads(command("verify", home, "--json").out)
    assert [c["name"] for c in told["checks"]] == [check.name for check in checks]


def test_verify__of_an_engine_names_what_was_changed(home: Path) -> None:
    path = next((home / "batches").rglob("status.parquet"))
    path.write_bytes(path.read_bytes()[:-1])
    with switch.open(home, mode="r") as engine, pytest.raises(VerificationFailed, match="status"):
        engine.verify()


def test_replay__of_an_engine_is_that_of_the_function(home: Path) -> None:
    table = payment_table(lines(ROWS))
    with switch.open(home, mode="r") as engine:
        digests = engine.replay("X", table)
        assert digests == switch.replay(home, "X", table)
        assert digests.keys() >= {"status"}
        with pytest.raises(UsageError, match="no batch 'Y'"):
            engine.replay("Y", table)


def test_scrub__of_an_engine_repairs_and_goes_on(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home, tmp_path / "copy")
    path = next((home / "batches").rglob("status.parquet"))
    with switch.open(home) as engine:
        path.unlink()
        (found,) = engine.scrub(str(tmp_path / "copy"), dry_run=True)
        assert (found.side, found.path, found.repaired) == (
            "home", str(path.relative_to(home)), True,
        )  # fmt: skip
        assert not path.exists()
        assert engine.scrub(tmp_path / "copy", at="2026-11-26") == [found]
        assert engine.scrub(tmp_path / "copy") == []
        assert engine.verify()
        run(engine, lines("C > A 5", 9), "Y", at="2026-11-26")
        with pytest.raises(UsageError, match="is no copy of"):
            engine.scrub(tmp_path / "nowhere")
        assert [batch["batch_id"] for batch in engine.batches()] == ["X", "Y"]
    with (
        switch.open(home, mode="r") as reader,
        pytest.raises(UsageError, match="open for reading"),
    ):
        reader.scrub(tmp_path / "copy")


def test_report__of_an_engine_is_that_of_the_command(home: Path, tmp_path: Path) -> None:
    with switch.open(home, mode="r") as engine:
        told = engine.report()
        assert (told.scope, told.name, told.csv) == ("batch", "X", None)
        assert told.page == home / "out" / "X" / "report.html"
        assert told.picture == home / "out" / "X" / "payday.svg"
        assert told.svg == told.picture.read_text("utf-8") == told._repr_html_()
        again = engine.report("X", out=str(tmp_path / "there"), csv=True)
        assert again.csv == tmp_path / "there" / "X" / "status.csv"
        assert again.csv.read_text("utf-8-sig").splitlines()[0].startswith('"line_no"')
        with pytest.raises(UsageError, match="no batch 'Y'"):
            engine.report("Y")
    with switch.open(home) as engine:
        batch = engine.run(payment_table(lines(ROWS)), **_said())
        assert batch.replayed
        assert engine.report(batch).svg == told.svg
    by_command = json.loads(command("report", home, "--csv", "--json").out)
    assert by_command == told.document() | {"csv": str(home / "out" / "X" / "status.csv")}


def _said() -> dict[str, object]:
    return {"source": "VSS", "batch_id": "X", "value_date": "2026-11-25", "count": 2, "sum": 80}


def test_draw_rehearsal__is_the_picture_of_the_command(home: Path, tmp_path: Path) -> None:
    table = tmp_path / "t.parquet"
    pq.write_table(payment_table(lines("C > A 5", 9)), table)
    dossier = {"source": "VSS", "batch_id": "Z", "value_date": "2026-11-26"}
    switch.write_dossier(table, **dossier)
    with switch.open(home, mode="r") as engine:
        told = engine.rehearse([table])
    path = switch.draw_rehearsal(told, str(tmp_path / "mine.svg"))
    assert command("rehearse", home, table, "--picture", tmp_path / "its.svg").code == 0
    assert path.read_bytes() == (tmp_path / "its.svg").read_bytes()
    with pytest.raises(UsageError, match="no rehearsal"):
        switch.draw_rehearsal({"tables": []}, path)  # type: ignore[typeddict-item]


def test_calls__from_four_threads_answer_the_same(home: Path) -> None:
    with switch.open(home) as engine, ThreadPoolExecutor(4) as threads:
        checks = [*threads.map(lambda _: engine.verify(), range(4))]
        reports = [*threads.map(lambda _: engine.report("X"), range(4))]
    assert all(found == checks[0] for found in checks)
    assert len(set(reports)) == 1


def _verified(home: Path) -> list[Check]:
    return switch.verify(home)


def test_calls__of_another_process_answer_whole(home: Path) -> None:
    with ProcessPoolExecutor(1) as pool:
        assert pool.submit(_verified, home).result() == switch.verify(home)
