"""Answers awaited: by receiver and cycle, as where each line stands says it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from answering import back, home_of, said, take
from scene import BANK, SMALL_BANK, WALLET, account, command, line, make_home, person, run

import switch
from switch.engine import Engine
from switch.errors import UsageError
from switch.open_items.awaited import AWAITED, SENT, parts
from switch.present import STANDS, Present, line_receivers, line_runs


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Twelve lines of three receivers, not answered."""
    return home_of(tmp_path / "home")


def told(engine: Engine, at: str = "") -> dict[str, dict[str, Any]]:
    return {str(row["participant"]): row for row in engine.watch.awaited(at=at).rows()}


def line_by_line(engine: Engine) -> Counter[tuple[str, int, str]]:
    """The same counts from the state of every single line."""
    here, found = Present(engine.home), Counter[tuple[str, int, str]]()
    for row in here.rows:
        states, runs = line_runs(engine.home, row.seq, here)
        codes, names = line_receivers(engine.home, row.seq, here)
        for state, run_of, code in zip(states.tolist(), runs.tolist(), codes.tolist(), strict=True):
            if STANDS[state] in SENT:
                found[names[code], run_of, STANDS[state]] += 1
    return found


def by_parts(engine: Engine) -> Counter[tuple[str, int, str]]:
    here, found = Present(engine.home), Counter[tuple[str, int, str]]()
    for row in here.rows:
        for part in parts(here, row.seq):
            found[part.participant, part.run, part.state] += part.lines
    return found


def test_awaited__tells_who_is_silent_and_who_is_late(home: Path) -> None:
    with switch.open(home) as engine:
        found = told(engine)
        assert {code: row["lines"] for code, row in found.items()} == {
            BANK: 4, SMALL_BANK: 4, WALLET: 4,
        }  # fmt: skip
        assert all(row["silent"] and not row["overdue"] for row in found.values())
        total = engine.watch.awaited().total
        assert total == {"count": 3, "sum": sum(1_000_000 + n for n in range(1, 13))}
        take(engine, home, said(3), *(said(n) for n in (1, 4, 7, 10)), at="2026-11-26")
        found = told(engine, "2026-11-28")
        assert set(found) == {BANK, WALLET}
        assert (found[BANK]["lines"], found[BANK]["sent"], found[BANK]["silent"]) == (3, 4, False)
        assert found[BANK]["overdue"] is True
        assert found[WALLET]["silent"] is True
        assert line_by_line(engine) == by_parts(engine)


def test_awaited__lines_that_had_waited_are_of_the_run_that_sent_them(tmp_path: Path) -> None:
    """A line that waited for an account is awaited since the cycle of the run that paid it."""
    home = make_home(tmp_path / "home", [person(1), person(2)], [account(2)])
    with switch.open(home) as engine:
        run(engine, [line(1), line(2)], "A")
        engine.register(accounts=accounts_of(1))
        run(engine, [line(2, period=202612)], "B", value_date="2026-11-26")
        cycles = Counter(
            {str(r["cycle"]): int(str(r["lines"])) for r in engine.watch.awaited().rows()}
        )
        assert sorted(cycles.values()) == [1, 2]
        assert line_by_line(engine) == by_parts(engine)


def accounts_of(number: int) -> Any:
    from scene import accounts_table

    return accounts_table([account(number)])


def test_awaited__parts_are_those_of_single_lines_whatever_moved(home: Path) -> None:
    with switch.open(home) as engine:
        assert line_by_line(engine) == by_parts(engine)
        take(engine, home, back(1), at="2026-11-27")
        assert line_by_line(engine) == by_parts(engine)
        take(engine, home, *(said(n) for n in range(2, 13)), at="2026-11-28")
        assert line_by_line(engine) == by_parts(engine)
        assert not {state for _, _, state in by_parts(engine)} & set(AWAITED)
        engine.write_back(at="2026-11-28")
        assert line_by_line(engine) == by_parts(engine)


def test_awaited__reads_no_line_where_all_went_one_way(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reads(*_: object) -> None:
        raise AssertionError("a line was read")

    with switch.open(home) as engine:
        monkeypatch.setattr("switch.open_items.awaited.line_runs", reads)
        assert len(told(engine)) == 3
        take(engine, home, *(said(n) for n in range(1, 13)), at="2026-11-26")
        assert told(engine) == {}


def test_command__lists_and_writes_the_same(home: Path, tmp_path: Path) -> None:
    with switch.open(home, mode="r") as engine:
        document = engine.watch.awaited(at="2026-11-26").document()
        one = engine.watch.awaited(receiver=BANK).rows()
        with pytest.raises(UsageError, match="receiver"):
            engine.watch.awaited(receiver="970009")
    assert command("awaited", home, "--at", "2026-11-26", "--json").document == document
    file = tmp_path / "awaited.csv"
    assert command("awaited", home, "--at", "home", "--receiver", BANK, "--out", file).code == 0
    assert len(file.read_text().splitlines()) == len(one) + 1 == 2
    assert BANK in command("awaited", home, "--at", "home").out
