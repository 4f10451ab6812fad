"""Dispositions by command: what is shown is what is done, of lines that are named, listed or chosen
by filters, and never unasked; the end of a day with critical breaks."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import click
import pytest
from answering import back, home_of, said, write
from scene import BANK, asked, command, tree_digest

import switch

COUNT = 6


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Six lines came back, of which nobody has decided."""
    home = home_of(tmp_path / "h", COUNT)
    with switch.open(home) as engine:
        engine.reconcile(
            write(tmp_path / "a", [back(n) for n in range(1, COUNT + 1)]), at="2026-11-28"
        )
    return home


def returned(home: Path) -> list[dict[str, Any]]:
    with switch.open(home, mode="r") as engine:
        return engine.returned(sort="batch").rows()


def left(home: Path) -> list[Any]:
    return [row["line_no"] for row in returned(home)]


@pytest.mark.parametrize("how", ["--write-back", "--reissue"])
def test_dispose__without_a_word_shows_and_does_nothing(how: str, home: Path) -> None:
    clean = tree_digest(home)
    told = command("dispose", home, how)
    assert (told.code, "say --yes where it is meant" in told.err) == (2, True)
    for row in returned(home):
        assert f"{row['batch_id']}:{row['line_no']}  {row['transfer_id']}" in told.out
    sum_ = sum(row["amount"] for row in returned(home))
    assert f"6 lines, {sum_:,} dong would be" in told.out
    document = command("dispose", home, how, "--dry", "--json").document
    assert (document["count"], document["sum"], len(document["lines"])) == (6, sum_, 6)
    assert tree_digest(home) == clean
    assert "6 lines, " in command("dispose", home, how, "--yes").out
    assert left(home) == []
    assert command("dispose", home, how).code == 0, "nothing waits, and nothing is asked"
    assert switch.verify(home)


def test_dispose__takes_lines_ids_and_files(home: Path, tmp_path: Path) -> None:
    rows = returned(home)
    ids = [row["transfer_id"] for row in rows]
    assert command("dispose", home, ids[0], "A:2", "--write-back", "--yes").code == 0
    assert left(home) == [3, 4, 5, 6]
    (tmp_path / "list").write_text(f"{ids[2]}\n\nA:4\n")
    assert command("dispose", home, "--from", tmp_path / "list", "--reissue", "--yes").code == 0
    assert left(home) == [5, 6]
    for words, why in (
        (["A:1"], "is not on T.RETURNS"),
        (["20261125-000001-nothing"], "is no line that came back"),
        (["A:5", "--receiver", BANK], "LINEs or filters, not both"),
        (["--from", tmp_path / "gone"], "--from"),
    ):
        told = command("dispose", home, *words, "--reissue", "--yes")
        assert (told.code, why in told.err) == (2, True), told.err
    (tmp_path / "list").write_text("\n")
    assert command("dispose", home, "--from", tmp_path / "list", "--reissue", "--yes").code == 2
    assert left(home) == [5, 6]
    assert switch.verify(home)


def test_dispose__goes_by_filters(home: Path) -> None:
    first = returned(home)[0]
    reason, receiver = first["reason"], first["participant"]
    those = [r for r in returned(home) if (r["reason"], r["participant"]) == (reason, receiver)]
    for words, count in (
        (["--reason", "AC99"], 0),
        (["--reason", reason, "--receiver", receiver, "--batch", "A"], len(those)),
        (["--age", "1000"], 0),
    ):
        told = command("dispose", home, *words, "--write-back", "--dry", "--json")
        assert told.document["count"] == count, words
    assert command("dispose", home, "--receiver", "NOBODY", "--write-back", "--yes").code == 2
    assert command("dispose", home, "--age", "0", "--write-back", "--yes").code == 0
    assert left(home) == []


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("answer", "count"), [("n\n", COUNT), ("y\n", 0)])
def test_dispose__asks_on_a_terminal(
    answer: str, count: int, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from switch.cli import answers

    monkeypatch.setattr(answers.sys, "stdin", Terminal())
    asked_of: list[str] = []
    monkeypatch.setattr(click, "confirm", lambda what: asked_of.append(what) or answer == "y\n")
    monkeypatch.setattr("sys.argv", ["switch", "dispose", str(home), "--write-back"])
    from switch.cli.main import _run

    assert _run() == (2 if count else 0)
    assert asked_of == ["Do it?"]
    assert len(left(home)) == count


def test_close__with_critical_breaks_is_exit_1_and_signed(tmp_path: Path) -> None:
    home = home_of(tmp_path / "h", 2)
    with switch.open(home) as engine:
        twice = [said(1, amount=5), said(1), said(2)]
        engine.reconcile(write(tmp_path / "a", twice), at="2026-11-26")
        engine.reconcile(at="2027-01-10")
        critical = len(engine.breaks(severity="critical"))
    assert critical > 0
    told = command("close", home, "--at", "2027-01-12", "--json")
    assert told.code == 1
    assert json.loads(told.out)["as_of"] == "2027-01-12"
    assert "open and not accepted: switch breaks" in told.err
    with switch.open(home) as engine:
        kinds = asked(engine.home, "SELECT kind FROM audit ORDER BY seq DESC LIMIT 1")
        assert [row["kind"] for row in kinds] == ["day"]
