"""Verify proves credits by itself: files that were changed and linked well are named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from answering import CALENDAR, take
from households import answer, home_of, lines, members, returned
from scene import command, line, people_table, person, run

import switch
from switch.clearing import credits
from switch.errors import VerificationFailed
from switch.reason import EACH_BY_ITSELF
from switch.reconcile import recalls
from switch.reconcile.sent_lines import SentLines

Rows = list[tuple[int, int, int]]
"""(line number, that of the first, amount)."""


@pytest.fixture
def keeps(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Rows], Rows]], None]:
    """Let the file tell other rows than those that were sent."""

    def use(change: Callable[[Rows], Rows]) -> None:
        append = credits.Segment.append

        def wrong(self: Any, columns: Any) -> None:
            if self.path.name == "credits.parquet":
                rows = change(
                    list(zip(*(column.to_pylist() for column in columns.values()), strict=True))
                )
                parts = zip(*rows, strict=True) if rows else ((), (), ())
                kinds = [column.type for column in columns.values()]
                columns = {
                    name: pa.array(list(part), kind)
                    for name, part, kind in zip(columns, parts, kinds, strict=True)
                }
            append(self, columns)

        monkeypatch.setattr(credits.Segment, "append", wrong)

    return use


def _swapped(rows: Rows) -> Rows:
    return [rows[1], rows[0], *rows[2:]]


WRONG: dict[str, tuple[str, Callable[[Rows], Rows]]] = {
    "a line has another amount": (
        "a line of a credit has another amount",
        lambda rows: [(n, first, amount + (n == 2)) for n, first, amount in rows],
    ),
    "a line that went alone is in one": (
        "clearing files",
        lambda rows: [*rows[:3], (4, 1, 1_000_004), *rows[3:]],
    ),
    "a line is in none": ("clearing files", lambda rows: rows[:2] + rows[3:]),
    "two credits are one": (
        "lines of a credit differ in more than their person",
        lambda rows: [(n, 1 if n < 9 else first, amount) for n, first, amount in rows],
    ),
    "one line is a credit": (
        "a credit has one line",
        lambda rows: [(n, 3 if n == 3 else first, amount) for n, first, amount in rows],
    ),
    "it is known by its second line": (
        "a credit is not known by its first line",
        lambda rows: [(n, 2 if first == 1 else first, amount) for n, first, amount in rows],
    ),
    "rows stand in another order": ("do not stand in table order", _swapped),
    "a line is of no line": (
        "a line of a credit is not one of the batch",
        lambda rows: [*rows, (99, 12, 1)],
    ),
    "a line stands twice": ("not one of the batch", lambda rows: [rows[0], *rows]),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_verify__finds_credits_that_are_wrong(
    tmp_path: Path, keeps: Callable[[Callable[[Rows], Rows]], None], case: str
) -> None:
    path = home_of(tmp_path / "h")
    keeps(WRONG[case][1])
    with switch.open(path) as engine:
        run(engine, lines(), "A")
    said = command("verify", path)
    assert said.code == 5
    with pytest.raises(VerificationFailed, match=WRONG[case][0]):
        switch.verify(path)


def test_verify__finds_a_credit_of_a_line_that_waits(
    tmp_path: Path, keeps: Callable[[Callable[[Rows], Rows]], None]
) -> None:
    path = home_of(tmp_path / "h")
    with switch.open(path) as engine:
        engine.register(population=people_table([person(15)]))
        keeps(lambda rows: [*rows, (15, 12, 1_000_015)])
        run(engine, [*lines(), line(15)], "A")
    with pytest.raises(VerificationFailed, match="did not clear in its turn"):
        switch.verify(path)


@pytest.mark.parametrize(
    ("where", "value", "what"),
    [
        ("switch.clearing.run.NO_MONTHS", EACH_BY_ITSELF, "name credits where there are none"),
        ("switch.clearing.close.FORMAT_CREDITS", 3, "has format 3"),
        ("switch.clearing.credits.Credits.total", {"count": 4, "lines": 12, "sum": 1}, "summary"),
    ],
)
def test_verify__finds_a_batch_that_says_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, value: Any, what: str
) -> None:
    path = home_of(tmp_path / "h")
    with switch.open(path) as engine, monkeypatch.context() as patch:
        patch.setattr(where, value)
        run(engine, lines(), "A")
    with pytest.raises(VerificationFailed, match=what):
        switch.verify(path)


# --- answers that do not reach all lines ----------------------------------------------------------


@pytest.mark.parametrize("kind", ["refused", "returned"])
def test_verify__finds_a_credit_that_went_back_in_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Its first line went, and the others stayed."""
    refused = kind == "refused"
    path = home_of(tmp_path / "h", settings=CALENDAR if refused else None)
    with switch.open(path) as engine:
        run(engine, lines(), "A")
        with monkeypatch.context() as patch:
            patch.setattr(SentLines, "spread", lambda self, values: values)
            row = answer(0, "RJCT") if refused else returned(0)
            take(engine, path, row, at="2026-11-25" if refused else "2026-11-30")
    with pytest.raises(VerificationFailed, match="a part of a credit stands without the rest"):
        switch.verify(path)


def test_verify__finds_a_credit_that_was_answered_in_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = home_of(tmp_path / "h")
    with switch.open(path) as engine, monkeypatch.context() as patch:
        run(engine, lines(), "A")
        patch.setattr(SentLines, "spread", lambda self, values: values)
        take(engine, path, answer(0))
    with pytest.raises(VerificationFailed, match="I5 states of lines"):
        switch.verify(path)


def test_verify__finds_a_recall_of_a_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = home_of(tmp_path / "h")
    with switch.open(path) as engine, monkeypatch.context() as patch:
        run(engine, lines(), "A")
        patch.setattr(recalls, "_require_whole", lambda *_: None)
        engine.recall([("A", 1), ("A", 2)], reason="DUPL", by="a clerk", why="paid twice")
    with pytest.raises(VerificationFailed, match="a part of a credit stands without the rest"):
        switch.verify(path)


def test_verify__finds_lists_that_name_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = home_of(tmp_path / "h")
    with switch.open(path) as engine, monkeypatch.context() as patch:
        run(engine, lines(), "A")
        patch.setattr(recalls, "as_told", lambda home, table: table)
        mine = [("A", n) for n in members()[0]]
        engine.recall(mine, reason="DUPL", by="a clerk", why="paid twice")
    with pytest.raises(VerificationFailed, match="recall lists"):
        switch.verify(path)
