"""The portal, killed at any call that it makes to the file system, and called again."""

from __future__ import annotations

import itertools
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from home_reads import catalog
from signing_people import DAY, pem, policy, public, sign_all, table

import switch
from switch.control.keys import FileKey

CALLS = ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.scandir", "shutil.rmtree")
"""Audit events of Python before which the process ends."""
KILLED = 9
STRIDE = 3
"""One in so many calls is tried here; PORTAL_KILLS=1 tries each."""


@pytest.fixture
def before(village: Path, tmp_path: Path) -> Path:
    """A folder with a home and a spool, in which three deliveries wait: a table, an act about
    another one, and answers to what was run."""
    parties = [
        {"name": name, "keys": [{"public": public(name)}], "kinds": list(kinds)}
        for name, kinds in {"vss": ("table", "act"), "bank": ("confirmations",)}.items()
    ]
    first, second = table(tmp_path / "in"), table(tmp_path / "in", "B2", period=202612)
    folder = tmp_path / "before"
    with switch.open(village) as engine:
        engine.control.set_policy(policy(parties=parties))
        sign_all(engine, first)
        engine.run(first)
        act = engine.control.statement(
            "B2", "prepare", table=second, by="ana", public=public("ana")
        )
    (tmp_path / "act.json").write_bytes(msgspec.json.encode(act.signed(FileKey(pem("ana")))))
    switch.exchange(village, plain=True)
    folder.mkdir()
    village.rename(folder / "home")
    answers = sorted((folder / "home" / "out" / "B1" / "answers" / "confirmations").iterdir())
    for party, kind, files in (
        ("vss", "table", [second]),
        ("vss", "act", [tmp_path / "act.json"]),
        ("bank", "confirmations", answers),
    ):
        switch.deliver(folder / "spool", party, kind, files, key=pem(party), at=DAY)
    return folder


def take(folder: Path) -> list[Any]:
    with switch.open(folder / "home") as engine:
        return engine.control.portal(folder / "spool")


def killed(folder: Path, at: int) -> bool:
    """A process takes what was delivered, and ends before a call. False: it came to its end."""
    child = os.fork()
    if child == 0:
        count = itertools.count(1)

        def hook(name: str, args: tuple[Any, ...]) -> None:
            mine = bool(args) and str(folder) in str(args[0])
            if name in CALLS and mine and next(count) == at:
                os._exit(KILLED)

        sys.addaudithook(hook)
        take(folder)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, KILLED)
    return code == KILLED


def told(folder: Path) -> Any:
    """Everything that was recorded, and where files stand."""
    records = catalog(folder / "home", "SELECT kind, at, detail FROM audit ORDER BY seq")
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted((folder / "spool").rglob("*"))
        if path.is_file()
    }
    return records, files


def points() -> Iterator[int]:
    step = 1 if os.environ.get("PORTAL_KILLS") else STRIDE
    return itertools.count(1, step)


@pytest.mark.timeout(1200)
def test_portal__killed_at_any_call_takes_each_delivery_once(before: Path, tmp_path: Path) -> None:
    whole = shutil.copytree(before, tmp_path / "whole")
    assert {one["outcome"] for one in take(whole)} == {"taken"}
    expected = told(whole)
    tried = 0
    for at in points():
        folder = shutil.copytree(before, tmp_path / "trial")
        was_killed = killed(folder, at)
        take(folder)
        records, files = told(folder)
        assert files == expected[1], at
        assert records == expected[0], at
        assert take(folder) == []
        shutil.rmtree(folder)
        if not was_killed:
            break
        tried += 1
    assert tried > 20
    assert switch.verify(whole / "home")
