"""Metrics: numbers for a monitor are those of the library, in a format that monitors read."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from answering import home_of, said, take
from cycles import BOUND, CUTOFFS, lines, make
from prometheus_client.parser import text_string_to_metric_families as parsed
from scene import BANK, command, line, make_home, pay, person, run

import switch
from switch.errors import EnvironmentFailed
from switch.watch.metrics import GAUGES

AT = "2026-11-26T08:00:00"
DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Twelve lines of which one is credited with another amount, and two are."""
    home = home_of(tmp_path / "home")
    with switch.open(home) as engine:
        take(engine, home, said(3), said(6), said(5, amount=5), at="2026-11-26")
    return home


def samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in parsed(text)
        for sample in family.samples
    }


def test_metrics__are_what_the_library_returns(home: Path) -> None:
    with switch.open(home, mode="r") as engine:
        found = samples(engine.watch.metrics(AT))
        status = engine.status()
        for state in status.batches[0]["now"]:
            key = frozenset({("state", state)})
            totals = [row["now"][state] for row in status.batches]  # type: ignore[literal-required]
            assert found["switch_lines", key] == sum(total["count"] for total in totals)
            assert found["switch_lines_dong", key] == sum(total["sum"] for total in totals)
        for row in engine.watch.awaited().rows():
            key = frozenset({("participant", str(row["participant"]))})
            assert found["switch_awaited_lines", key] == row["lines"]
        for row in engine.breaks().rows():
            key = frozenset({("class", str(row["class"])), ("severity", str(row["severity"]))})
            assert found["switch_breaks", key] >= 1
        assert found["switch_audit_records", frozenset()] == engine.home.catalog.heads().seq
        assert found["switch_closings_due", frozenset()] == len(status.open["days"]["open"])
        alarms = engine.watch.alarms(AT)
        count = sum(value for (name, _), value in found.items() if name == "switch_alarms")
        assert count == alarms.total["count"] > 0


def test_metrics__of_cycles_and_budgets_that_are_open(tmp_path: Path) -> None:
    with make(tmp_path / "home", CUTOFFS, BOUND) as engine:
        run(engine, lines("A > C 80"), "X")
        found = samples(engine.watch.metrics("2026-11-25T10:00:00"))
    cycle = ("cycle", "20261125-1")
    assert found["switch_cycle_lines", frozenset({cycle, ("state", "OPEN")})] == 1
    assert found["switch_owed_dong", frozenset({cycle, ("participant", "A")})] == 80
    assert found["switch_room_dong", frozenset({cycle, ("participant", "A")})] == 20
    closes = found["switch_cycle_closes_seconds", frozenset({cycle})]
    assert closes == 1795579200  # 2026-11-25T11:00 in Vietnam.


def test_metrics__name_no_person_and_no_account(home: Path) -> None:
    text = command("metrics", home, "--at", AT).out
    labels = {key for _, pairs in samples(text) for key, _ in pairs}
    assert labels <= {name for gauge in GAUGES for name in gauge.labels}
    assert not re.search(r"\b001\d{9}\b|\b1000\d{6}\b", text)


def test_metrics__have_their_type_and_words_and_stand_in_the_documents() -> None:
    table = (DOCS / "watch.md").read_text("utf-8")
    for gauge in GAUGES:
        labels = ", ".join(gauge.labels) or "none"
        assert f"| `{gauge.name}` | {labels} | {gauge.text} |" in table


def test_metrics__are_landed_in_a_file_whole(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "collector" / "switch.prom"
    told = command("metrics", home, "--at", AT, "--out", file, "--json")
    assert told.document["file"] == str(file)
    assert file.read_text() == told.document["metrics"]
    assert [path.name for path in file.parent.iterdir()] == ["switch.prom"]


def test_metrics__need_their_library(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "prometheus_client", None)
    with switch.open(home, mode="r") as engine, pytest.raises(EnvironmentFailed, match="http"):
        engine.watch.metrics()


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool__takes_metrics_and_rules(home: Path) -> None:
    text = command("metrics", home, "--at", AT).out
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=text, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rules = DOCS.parent / "deploy" / "alerts.yml"
    done = subprocess.run(
        ["promtool", "check", "rules", str(rules)], text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_metrics__of_a_home_whose_lines_wait(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home", [person(1)])
    pay(home, [line(1)])
    text = command("metrics", home, "--at", "home").out
    assert 'switch_reason_lines{reason="AC03",status="PDNG"} 1.0' in text
    assert BANK not in text
