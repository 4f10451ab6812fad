"""Plain credit: what is told of a line by its one answer is what judging everything says."""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path
from typing import Any

import pytest
from answering import NOON, back, home_of, said, take

import switch
from switch import status
from switch.errors import InputRefused

HEAD = "20261125-000001"
OTHER = "970003"
"""A participant that got no line."""


def told(engine: switch.Engine, batch: str, number: int, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What is told of a line, and whether by its one answer alone; the same by all of them."""
    used: list[object] = []
    real = status.plain_credit

    def watched(*args: Any) -> Any:
        used.append(real(*args))
        return used[-1]

    with monkeypatch.context() as patch:
        patch.setattr(status, "plain_credit", watched)
        quick = engine.line(batch, number)
        patch.setattr(status, "plain_credit", lambda *_: None)
        assert engine.line(batch, number) == quick
    return quick, any(used)


def test_line__is_told_the_same_by_its_answer_and_by_all(
    paid_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Receivers that answer late, twice, wrong, to whole files, in broken files, or send back."""
    home = shutil.copytree(paid_home, tmp_path / "home")
    switch.exchange(home, seed=3)
    answers = home / "out" / "PAYDAY-2026-11" / "answers"
    files = [path for kind in ("confirmations", "returns") for path in (answers / kind).iterdir()]
    with switch.open(home) as engine:
        _take_all(engine, sorted(files))
        states: dict[str, set[bool]] = {}
        for number in [*range(1, 3000, 97), *_odd(engine)]:
            line_, is_quick = told(engine, "PAYDAY-2026-11", number, monkeypatch)
            states.setdefault(line_["states"][-1]["state"], set()).add(is_quick)
    assert True in states["CREDITED"]
    assert {state for state, quick in states.items() if True in quick} == {"CREDITED"}
    assert len(states) >= 3


def _take_all(engine: switch.Engine, files: list[Path]) -> None:
    """Take in all files that are not broken, in one commit."""
    while True:
        try:
            engine.reconcile(*files, at="2026-12-05")
        except InputRefused as error:
            files = [path for path in files if str(path) != error.file]
        else:
            return


def _odd(engine: switch.Engine) -> list[int]:
    """Numbers of some lines about which a break is open, or which came back."""
    rows = [*engine.breaks().rows(), *engine.returned().rows()]
    numbers = sorted({row["line_no"] for row in rows if row["line_no"] is not None})
    return numbers[:: 1 + len(numbers) // 12]


WHOLE = said(3) | {"transfer_id": HEAD, "creditor_account": None, "amount": 4_000_030}
"""An answer to the whole file of lines 3, 6, 9 and 12."""
CASES: dict[str, tuple[list[dict[str, Any]], bool]] = {
    "credited": ([said(3)], True),
    "credited, no account named": ([said(3, creditor_account=None)], True),
    "credited with a reason": ([said(3, reason="AC01")], True),
    "credited, and others too": ([said(3), said(6), said(9, "RJCT")], True),
    "nothing said": ([said(6)], False),
    "refused": ([said(3, "RJCT")], False),
    "another amount": ([said(3, amount=5)], False),
    "another account": ([said(3, creditor_account="5")], False),
    "another participant": ([said(3, participant=OTHER)], False),
    "late": ([said(3, booked_at=NOON + dt.timedelta(days=4))], False),
    "twice": ([said(3), said(3, booked_at=NOON + dt.timedelta(hours=1))], False),
    "also refused": ([said(3), said(3, "RJCT")], False),
    "with the whole file": ([WHOLE], False),
    "by itself, and with the whole file": ([said(3), WHOLE], False),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("apart", [False, True], ids=["one file", "a file each"])
def test_line__what_is_plain_and_what_is_not(
    name: str, apart: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one file or in several, the answer alone or all of them together: the same is told."""
    rows, is_plain = CASES[name]
    home_of(tmp_path / "home")
    with switch.open(tmp_path / "home") as engine:
        for some in [[row] for row in rows] if apart else [rows]:
            take(engine, tmp_path / "home", *some)
        assert told(engine, "A", 3, monkeypatch)[1] is is_plain


@pytest.mark.parametrize("then", ["returned", "returned unfit", "recalled", "answered a recall"])
def test_line__what_comes_behind_a_credit(
    then: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = home_of(tmp_path / "home")
    with switch.open(home) as engine:
        take(engine, home, said(3))
        assert told(engine, "A", 3, monkeypatch)[1]
        if then == "returned":
            take(engine, home, back(3))
        elif then == "returned unfit":
            take(engine, home, back(3, amount=7))
        else:
            engine.recall([("A", 3)], reason="DUPL", by="Desk", why="it was sent twice")
        assert told(engine, "A", 3, monkeypatch)[1] is False
        if then == "returned":
            engine.write_back([("A", 3)])
            assert told(engine, "A", 3, monkeypatch)[1] is False
        assert told(engine, "A", 6, monkeypatch)[1] is False
