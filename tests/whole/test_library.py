"""What callers of the library meet: arguments that are none change nothing, in words that help."""

from __future__ import annotations

import builtins
import datetime as dt
import pydoc
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scene import BANK, accounts_table, command, line, make_home, pay, run

import switch
from switch import reconcile as rec
from switch.errors import HomeLocked, UsageError


@pytest.mark.parametrize(
    ("at", "recorded"),
    [
        ("2026-11-25T08:00:00", "2026-11-25T08:00:00"),
        (dt.datetime(2026, 11, 25, 8), "2026-11-25T08:00:00"),
        (dt.date(2026, 11, 26), "2026-11-26"),
        (None, "2026-11-25"),
    ],
)
def test_run__a_time_is_recorded_as_text(village: Path, at: Any, recorded: str) -> None:
    assert pay(village, [line(1)], at=at).summary["at"] == recorded
    assert switch.verify(village)


@pytest.mark.parametrize("at", ["yesterday", 20261125])
def test_engine__a_time_that_is_none_is_recorded_nowhere(village: Path, at: Any) -> None:
    """It could never be mended, and every later question about times would fail on it."""
    with switch.open(village) as engine:
        before = engine.home.catalog.heads().link
        for call in (
            lambda: run(engine, [line(1)], at=at),
            lambda: engine.register(accounts=accounts_table([]), at=at),
            lambda: engine.change_directory(at=at),
            lambda: engine.reconcile(at=at),
            lambda: engine.close_day(at),
            lambda: engine.write_back(at=at),
            lambda: engine.reissue(at=at),
        ):
            with pytest.raises(UsageError, match="ISO 8601"):
                call()
        assert engine.home.catalog.heads().link == before
    with pytest.raises(UsageError, match="ISO 8601"):
        make_home(village.parent / "new", at=at)
    assert not (village.parent / "new").exists()


def test_settle__a_time_that_is_none(tmp_path: Path) -> None:
    calendar = switch.Settings(cutoffs=["08:00"])
    with switch.open(make_home(tmp_path / "h", settings=calendar)) as engine:
        with pytest.raises(UsageError, match="ISO 8601"):
            engine.settle(at="noon")
        assert engine.settle(at=dt.datetime(2026, 11, 25, 8)) == []


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("count", "1", "count '1' is no whole number"),
        ("sum", 1_000_001.0, "sum 1000001.0 is no whole number"),
        ("source", 7, "source 7 is no text"),
        ("batch_id", 202611, "batch_id 202611 is no text"),
        ("value_date", 20261125, "20261125 is no date: write yyyy-mm-dd"),
    ],
)
def test_run__an_argument_of_another_kind_is_named(
    village: Path, name: str, value: Any, said: str
) -> None:
    with switch.open(village) as engine, pytest.raises(UsageError, match=said):
        run(engine, [line(1)], **{name: value})
    assert not list((village / "batches").iterdir())


def test_run__whole_numbers_of_numpy_are_taken(village: Path) -> None:
    batch = pay(village, [line(1)], count=np.int64(1), sum=np.int64(1_000_001))
    assert batch.summary["received"] == {"count": 1, "sum": 1_000_001}
    assert switch.verify(village)


def test_engine__says_that_it_was_closed(village: Path) -> None:
    engine = switch.open(village)
    engine.close()
    engine.close()
    with pytest.raises(UsageError, match="was closed here: open it again"):
        run(engine, [line(1)])


def test_open__twice_in_one_process_is_named(village: Path) -> None:
    with switch.open(village), pytest.raises(HomeLocked, match="another engine of this one"):
        switch.open(village)


def test_switch__tells_its_names(tmp_path: Path) -> None:
    assert set(switch.__all__) <= set(dir(switch))
    told = pydoc.plain(pydoc.render_doc(switch))
    assert "settle_in_order" in told
    assert "class Engine" in told


def test_switch__takes_no_name_of_python_away() -> None:
    names: dict[str, Any] = {}
    exec("from switch import *", names)
    assert not {*switch.__all__} & {*dir(builtins)}
    assert names["Engine"] is switch.open is switch.Engine
    assert "open" in dir(switch)


def test_generate__takes_a_path_as_text(tmp_path: Path) -> None:
    assert switch.generate(str(tmp_path / "w"), 10, 5, 1).payday.exists()


def test_line__is_told_to_callers_as_to_the_command(village: Path) -> None:
    with switch.open(village) as engine:
        run(engine, [line(1), line(2, amount=0)])
        told = engine.line("VSS:B", 2)
        assert [(state["status"], state["reason"]) for state in told["states"]] == [
            ("RJCT", "AM12")
        ]
        with pytest.raises(UsageError, match="lines 1 to 2"):
            engine.line("B", 3)
    assert command("--json", "status", village, "--line", "B:2").document == told


def test_reconcile__takes_paths_as_text(tmp_path: Path) -> None:
    path = tmp_path / "returns.parquet"
    table = pa.table({"transfer_id": ["a"], "return_id": ["r"], "amount": [5], "reason": ["AC04"]})
    hour = dt.datetime(2026, 11, 25, 9, tzinfo=dt.UTC)
    pq.write_table(table.append_column("booked_at", pa.array([hour])), path)
    assert len(rec.returns(str(path))) == len(rec.returns(path)) == 1
    rules = Path(rec.__file__).parents[1] / "data" / "reconciliation.toml"
    assert rec.read_rules(str(rules)) == rec.default_rules()


def test_contract__has_every_key_of_a_summary(village: Path) -> None:
    contract = (Path(__file__).parents[2] / "docs" / "contract.md").read_text("utf-8")
    table = contract.split("| key of a batch |")[1].split("\n\n")[0]
    listed = {key for row in table.splitlines()[2:] for key in row.split("|")[1].split(", ")}
    keys = {key.strip() for key in listed}
    assert keys - {"credits"} == set(pay(village, [line(1)]).summary)
    together = {"household": "H", "creditor_agent": BANK, "creditor_account": "7"}
    assert keys == set(pay(village, [line(n, **together) for n in (2, 3)], "C").summary)


def test_settings__of_texts_are_those_of_the_configuration(village: Path) -> None:
    given: Any = {"cutoffs": ["08:00"], "holidays": ["2026-11-25"]}
    with switch.open(village) as engine:
        engine.change_directory(settings=switch.Settings(**given))
        assert engine.settings.holidays == (dt.date(2026, 11, 25),)
        assert run(engine, [line(1)]).cycle == "20261126-1"
        wrong: Any = {"clearing_limit": "much"}
        with pytest.raises(UsageError, match="settings: Expected `int`"):
            engine.change_directory(settings=switch.Settings(**wrong))


def test_netting_of__takes_rows_and_names_what_is_none() -> None:
    rows = [[0, 10], [4, 0]]
    assert switch.netting_of(rows) == switch.netting_of(np.array(rows))
    with pytest.raises(UsageError, match="no square table"):
        switch.netting_of([[0, 1]])


def test_share_loss__of_less_than_nothing_is_named() -> None:
    with pytest.raises(UsageError, match="a loss is not negative"):
        switch.share_loss(-1, [1])


def test_library__former_names_of_modules_are_the_same_modules_with_a_note() -> None:
    program = """
import warnings
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    import switch.liquidity, switch.signing
    from switch.liquidity.proof import require_in_order
    from switch.liquidity.stress import clearing_vector
from switch.home import signing
from switch.settlement.liquidity import proof, queue
import switch
assert switch.signing is signing and require_in_order is proof.require_in_order
assert clearing_vector is switch.clearing_vector
assert switch.liquidity.queue is queue
print([w.category.__name__ for w in said])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "['DeprecationWarning', 'DeprecationWarning']\n", done.stderr
