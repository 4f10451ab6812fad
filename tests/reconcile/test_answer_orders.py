"""Neither the order of answers nor that of their files shows in where a line stands, and `status`
says the same of a line and of its batch."""

from __future__ import annotations

import datetime as dt
import itertools
import re
import shutil
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from answering import CALENDAR, NOON, back, breaks_of, home_of, said, transfer, write
from hypothesis import given, settings
from scene import BANK, SMALL_BANK

import switch
from switch import status
from switch.sim.lives.tables import CONFIRMATIONS, RETURNS, STATEMENT

DAY = dt.timedelta(days=1)
AFTER = "2026-12-20"
HEAD = transfer(1)[:15]
WHOLE = said(1, transfer_id=HEAD, creditor_account=None, amount=1_000_001)
"""An answer to the clearing file of line 1, which is alone in it."""
TABLES_OF = {"returned": RETURNS, "statement": STATEMENT}
ANSWERS = {
    "credited": said(1),
    "credited before": said(1, booked_at=NOON - DAY),
    "credited later": said(1, booked_at=NOON + 3 * DAY),
    "refused": said(1, "RJCT", booked_at=NOON + dt.timedelta(hours=1)),
    "another amount": said(1, amount=5, booked_at=NOON + 2 * DAY),
    "another receiver": said(1, participant=BANK, booked_at=NOON + 3 * DAY),
    "whole file": WHOLE,
    "returned": back(1, booked_at=NOON + DAY),
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return home_of(tmp_path_factory.mktemp("base") / "h", 1)


def told(states: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """States but for the commit that made them: its folder, and the cycle of returns by number."""
    return [
        {k: re.sub(r"-R\d{6}", "-R", str(v)) for k, v in state.items() if k != "file"}
        for state in states
    ]


@pytest.mark.parametrize(
    "names",
    [
        *(c for c in itertools.combinations(ANSWERS, 2) if "returned" in c),
        ("credited before", "credited later", "returned"),
        ("credited", "refused", "another amount"),
        ("credited later", "another receiver", "whole file"),
    ],
    ids=", ".join,
)
def test_timeline__no_order_of_files_shows(
    base: Path, tmp_path: Path, names: tuple[str, ...]
) -> None:
    found = []
    for number, order in enumerate(itertools.permutations(names)):
        for together in (True, False):
            home = tmp_path / f"{number}{together}"
            shutil.copytree(base, home)
            files = [write(tmp_path / f"{i}.parquet", [ANSWERS[n]]) for i, n in enumerate(order)]
            with switch.open(home) as engine:
                for part in [files] if together else [[file] for file in files]:
                    engine.reconcile(*part, at=AFTER)
                answer = engine.line("A", 1)
                (state,) = status.batch(engine.home, "A", answered=True)["answered"]["lines"]
                open_now = breaks_of(engine)
            states = told(answer["states"])
            assert states[-1]["state"] == state
            answered = [s for s in states[1:] if s["state"] != "UNAPPLIED"]
            assert answered == sorted(answered, key=lambda s: s["at"])
            if "returned" in names:
                assert state == "RETURNED"
            found.append((states, answer["breaks"], open_now))
    assert all(one == found[0] for one in found)


def test_timeline__what_is_booked_behind_a_return_contradicts_it(tmp_path: Path) -> None:
    with switch.open(home_of(tmp_path / "h", 1)) as engine:
        rows = [ANSWERS[n] for n in ("credited before", "credited later")]
        engine.reconcile(write(tmp_path / "r", [ANSWERS["returned"]]), at=AFTER)
        engine.reconcile(write(tmp_path / "c", rows), at=AFTER)
        states = engine.line("A", 1)["states"]
        assert [s["state"] for s in states[1:]] == ["CREDITED", "RETURNED", "RETURNED"]
        assert "contradicts" in states[-1]["text"]
        assert [s["status"] for s in states[1:]] == ["ACCC", "RTRN", "RTRN"]


def test_timeline__a_refusal_in_time_stays_the_end(tmp_path: Path) -> None:
    with switch.open(home_of(tmp_path / "h", 1, CALENDAR)) as engine:
        rows = [said(1, "RJCT"), said(1, booked_at=NOON + 2 * DAY)]
        engine.reconcile(write(tmp_path / "c", rows), at="2026-11-25")
        engine.settle()
        states = engine.line("A", 1)["states"]
        assert [s["state"] for s in states[1:]] == ["REFUSED", "REFUSED"]


def test_answers__a_settlement_bank_answers_for_its_wallets_alone(tmp_path: Path) -> None:
    """Line 2 went to a wallet that BANK settles for; nobody else speaks for it, nor it for BANK."""
    hour = dt.timedelta(hours=1)
    with switch.open(home_of(tmp_path / "h", 3)) as engine:
        rows = [
            said(2, participant=BANK),
            said(2, participant=SMALL_BANK, booked_at=NOON + hour),
            said(3, participant="971001"),
        ]
        answer = engine.reconcile(write(tmp_path / "c", rows), at=AFTER)
        assert answer["states"]["CREDITED"] == 1
        missing = [("MISSING", transfer(n)) for n in (1, 2, 3, 3)]
        assert breaks_of(engine) == missing
        assert engine.line("A", 2)["states"][1]["state"] == "CREDITED"
        again = said(2, participant=BANK, booked_at=NOON + 2 * hour)
        files = write(tmp_path / "d", [again]), write(tmp_path / "r", [back(2, participant=BANK)])
        engine.reconcile(*files, at=AFTER)
        found = breaks_of(engine)
        assert ("DUPLICATE", transfer(2)) in found
        assert ("STATUS", transfer(2)) in found
        assert engine.line("A", 2)["states"][-1]["state"] == "RETURNED"
    assert switch.verify(tmp_path / "h")


def test_answers__a_settlement_bank_refuses_for_its_wallet(tmp_path: Path) -> None:
    with switch.open(home_of(tmp_path / "h", 3, CALENDAR)) as engine:
        file = write(tmp_path / "c", [said(2, "RJCT", participant=BANK)])
        answer = engine.reconcile(file, at="2026-11-25")
        assert answer["moved"]["refused"] == {"count": 1, "sum": 1000002}
        assert breaks_of(engine) == []
    assert switch.verify(tmp_path / "h")


# --- all kinds, in all orders --------------------------------

KINDS = {
    "credited": said(1),
    "refused": said(1, "RJCT"),
    "returned": back(1),
    "whole file": WHOLE,
    "statement": {
        "account": "T.RETURNS",
        "entry_id": "E",
        "transfer_id": transfer(1),
        "end_to_end_id": None,
        "amount": 1_000_001,
        "side": "C",
        "booked_on": (NOON + DAY).date(),
    },
}
SHIFTS = st.integers(-1, 3).map(lambda days: days * DAY)


def shifted(name: str, by: dt.timedelta) -> dict[str, Any]:
    time = "booked_on" if name == "statement" else "booked_at"
    return KINDS[name] | {time: KINDS[name][time] + by}


@pytest.mark.parametrize("calendar", [False, True])
@settings(max_examples=3, deadline=None, derandomize=True)
@given(chosen=st.dictionaries(st.sampled_from([*KINDS]), SHIFTS, min_size=2, max_size=4))
def test_timeline__no_order_of_any_kinds_shows(
    calendar: bool, chosen: dict[str, dt.timedelta], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A file for each answer; with a calendar they come before the cycle settles."""
    folder = tmp_path_factory.mktemp("orders")
    first = home_of(folder / "first", 1, CALENDAR if calendar else None)
    files = {}
    for name, by in chosen.items():
        files[name] = folder / f"{name}.parquet"
        row, schema = shifted(name, by), TABLES_OF.get(name, CONFIRMATIONS)
        pq.write_table(pa.Table.from_pylist([row], schema), files[name])
    found = []
    for number, order in enumerate(itertools.permutations(files.values())):
        home = shutil.copytree(first, folder / str(number))
        with switch.open(home) as engine:
            for file in order:
                engine.reconcile(file, at=AFTER)
            if calendar:
                engine.settle()
                engine.reconcile(at=AFTER)
            answer = engine.line("A", 1)
            (state,) = status.batch(engine.home, "A", answered=True)["answered"]["lines"]
            found.append((state, told(answer["states"]), breaks_of(engine)))
        assert answer["states"][-1]["state"] == state
    assert all(one == found[0] for one in found), found
