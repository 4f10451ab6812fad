"""Spans of OpenTelemetry: one for each public call, where whoever uses the library has it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from answering import home_of
from scene import line, payment_table, person_id, run

import switch
from switch import spans
from switch.errors import InputRefused, UsageError
from switch.log import LOG_FIELDS

trace = pytest.importorskip("opentelemetry.trace", reason="OpenTelemetry is not installed")


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An exporter that keeps spans in memory; the process's own provider is left alone."""
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    kept = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    yield kept
    provider.shutdown()


def names(told: Any) -> list[str]:
    return [one.name for one in told.get_finished_spans()]


def test_span__is_of_each_public_call_and_says_what_a_log_may(told: Any, tmp_path: Path) -> None:
    home = home_of(tmp_path / "home")
    told.clear()
    with switch.open(home) as engine:
        run(engine, [line(n, period=202512) for n in (1, 2)], "B")
        engine.person(person_id(1))
    assert names(told) == ["switch.open", "switch.run", "switch.person", "switch.close"]
    _, ran, asked, _ = told.get_finished_spans()
    assert ran.attributes["switch.home"] == str(home)
    assert (ran.attributes["switch.batch_id"], ran.attributes["switch.lines"]) == ("B", 2)
    assert ran.end_time > ran.start_time
    for one in told.get_finished_spans():
        assert {name.removeprefix("switch.") for name in one.attributes} <= LOG_FIELDS
    assert person_id(1) not in asked.to_json()


def test_span__of_a_call_that_is_refused_has_its_rule_and_no_words(
    told: Any, tmp_path: Path
) -> None:
    home = home_of(tmp_path / "home")
    with switch.open(home) as engine:
        told.clear()
        with pytest.raises(InputRefused):
            engine.run(
                payment_table([line(1)]), source="VSS", batch_id="B",
                value_date="2026-11-25", count=2, sum=1,
            )  # fmt: skip
        with pytest.raises(UsageError):
            engine.batch("NOPE-SECRET")
    refused, unknown = told.get_finished_spans()[:2]
    assert refused.status.status_code is trace.StatusCode.ERROR
    assert refused.attributes["switch.rule"] == refused.status.description
    assert not refused.events
    assert "NOPE-SECRET" not in unknown.to_json()


def test_span__is_of_no_value_that_is_made(told: Any) -> None:
    switch.PaymentQueue([0, 1], [1, 0], [5, 7], participants=2)
    assert names(told) == []


def test_span__asks_for_nothing_where_nobody_traces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, spans.API)
    with spans.span("run", {}) as tell:
        tell({"batch_id": "B"})
    code = "import sys, switch; switch.Engine; print('opentelemetry' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == "False\n"
