"""Events of the library: nobody hears any by default, one call turns them on, and none names a
person."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from scene import NAME, line, pay, person_id, run

import switch
from switch.log import LOG_FIELDS


class Heard:
    """A listener that keeps what it hears."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def info(self, event: str, **fields: object) -> None:
        self.events.append({"event": event, **fields})

    warning = info


@pytest.fixture
def heard() -> Iterator[Heard]:
    listener = Heard()
    switch.log_events(listener)
    yield listener
    switch.log_events(off=True)


def test_events__are_told_of_calls_that_are_done_or_refused(village: Path, heard: Heard) -> None:
    with switch.open(village) as engine:
        run(engine, [line(1), line(2, amount=0)])
        with pytest.raises(switch.UsageError):
            engine.line("X", 1)
        with pytest.raises(switch.InputRefused):
            run(engine, [line(1)], "C", count=2)
    home = {"home": str(village)}
    names = [event["event"] for event in heard.events]
    assert names == ["open", "run", "line refused", "run refused", "close"]
    told = {event["event"]: event for event in heard.events}
    named = {"batch_id": "B", "cycle": "20261125-000001"}
    assert told["run"] == {"event": "run", **home, **named, "lines": 2, "cleared": 1}
    assert told["line refused"] == {"event": "line refused", **home, "rule": "USAGE"}
    assert told["run refused"] == {"event": "run refused", **home, "rule": "CONTROL_COUNT"}
    assert {field for event in heard.events for field in event} <= LOG_FIELDS
    said = json.dumps(heard.events, ensure_ascii=False)
    assert NAME not in said
    assert person_id(1) not in said


def test_events__are_off_by_default_and_lines_of_json_when_on(
    village: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pay(village, [line(1)])
    assert capfd.readouterr() == ("", "")
    switch.log_events()
    try:
        pay(village, [line(2)], "C")
    finally:
        switch.log_events(off=True)
    out, err = capfd.readouterr()
    events = [json.loads(text) for text in err.splitlines()]
    assert out == ""
    assert [event["event"] for event in events] == ["open", "run", "close"]
    assert events[1]["batch_id"] == "C"
    assert all({"timestamp", "level"} <= set(event) <= LOG_FIELDS for event in events)
