"""$SWITCH_HOME is the home of every command that names none; words of commands are completed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from answering import back, home_of, write
from scene import BANK, command, line, payment_table, write_table

import switch
from switch.cli.main import cli
from switch.control.acts import STOPS
from switch.control.policy import STEPS

WITH_HOME = sorted(
    name
    for name, one in cli.commands.items()
    if any(isinstance(p, click.Argument) and p.name == "home" for p in one.params)
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = home_of(tmp_path / "h", 4)
    with switch.open(home) as engine:
        engine.reconcile(write(tmp_path / "back", [back(1)]), at="2026-11-26")
    monkeypatch.setenv("SWITCH_HOME", str(home))
    return home


def calls(path: Path) -> dict[str, tuple[object, ...]]:
    """Words behind a command's name that do without HOME."""
    table = write_table(payment_table([line(5)]), path / "t.parquet", batch_id="T")
    return {
        "run": (table,),
        "rehearse": (table,),
        "replay": ("T", table),
        "totals": (table, "--by", "commune"),
        "reconcile": (),
        "dispose": ("A:1", "--write-back", "--yes"),
        "close": ("--at", "2026-11-27"),
        "scrub": ("--copy", path / "copy"),
        "register": ("--population", path / "none"),
        "init": ("--participants", path / "none", "--debtors", path / "none"),
        "settle": (),
        "expire": ("--at", "2026-12-26"),
        "compact": (),
        "citizen": ("show", "001099000001"),
        "identify": (table, "--out", path / "request.csv", "--at", "2026-11-27"),
        "identified": (table, table),
        "agencies": (table,),
        "bills": (table,),
        "fees": (table, "--at", "2026-11-27"),
        "refund": ("P1", "--by", "an", "--why", "x"),
        "match-fees": ("TAX", table, "--at", "2026-11-27"),
        "find": ("A 1",),
        "participant": (BANK, "--suspend", "--by", "an", "--why", "x"),
        "cancel-line": ("A:1", "--by", "an", "--why", "x"),
        "recall": ("A:1", "--reason", "DUPL", "--by", "an", "--why", "x"),
        "prepare": (table, "--by", "an", "--key", path / "none"),
        "statement": ("A", "approve", "--by", "an", "--public", "00", "--out", path / "out"),
        "act": (path / "none",),
        "portal": (path / "spool",),
        **dict.fromkeys(
            (*STEPS[1:], *STOPS), ("A", "--by", "an", "--key", path / "none", "--why", "x")
        ),
    }


@pytest.mark.parametrize("name", WITH_HOME)
def test_home__of_the_environment_does_as_a_home_that_is_named(
    name: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = calls(tmp_path).get(name, ())
    if name == "replay":
        command("run", home, words[1])
    by_variable = command(name, *words, "--json")
    assert "Missing argument" not in by_variable.err
    other = home_of(tmp_path / "other", 4)
    with switch.open(other) as engine:
        engine.reconcile(write(tmp_path / "again", [back(1)]), at="2026-11-26")
    if name == "replay":
        command("run", other, words[1])
    monkeypatch.delenv("SWITCH_HOME")
    named = command(name, other, *words, "--json")
    assert named.code == by_variable.code, (by_variable.err, named.err)


def test_home__that_is_named_goes_before_the_environment(home: Path, tmp_path: Path) -> None:
    other = home_of(tmp_path / "other", 2)
    table = write_table(payment_table([line(5)]), tmp_path / "t.parquet", batch_id="T")
    assert command("run", other, table).code == 0
    with switch.open(home, mode="r") as engine:
        assert engine.home.catalog.batch_of("VSS", "T") is None
    assert command("status", tmp_path / "none").code == 2, "it is not taken for anything else"
    told = command("run", tmp_path / "none.parquet", "--at", "2026-11-26")
    assert (told.code, "none.parquet" in told.err) == (3, True)


def test_home__must_be_said_somewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWITCH_HOME", "")
    told = command("status")
    assert (told.code, "Missing argument 'HOME'" in told.err) == (2, True)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion__is_printed_and_installed(
    shell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "ZDOTDIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    source = command("completion", shell).out
    assert "_SWITCH_COMPLETE" in source
    done = command("completion", shell, "--install", "--json").document
    assert Path(done["file"]).read_text().strip() == source.strip()
    assert command("completion", "tcsh").code == 2


def test_completion__knows_commands_and_options(tmp_path: Path) -> None:
    def completed(*words: str) -> set[str]:
        told = subprocess.run(
            [Path(sys.executable).with_name("switch")],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ
            | {
                "_SWITCH_COMPLETE": "bash_complete",
                "COMP_WORDS": " ".join(["switch", *words]),
                "COMP_CWORD": str(len(words)),
                "SWITCH_HOME": str(tmp_path),
            },
        )
        return {row.partition(",")[2] for row in told.stdout.splitlines()}

    assert completed("re") >= {"register", "rehearse", "report", "replay", "reconcile"}
    assert "--fail-on-refused" in completed("run", "--f")
