"""Copies for people: no link leads them elsewhere, none lands in a home, nothing is overwritten."""

from __future__ import annotations

import os
import shutil
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from scene import command, line, pay, payment_table, tree_digest, write_table

import switch
from switch.errors import EnvironmentFailed, UsageError
from switch.files.disk import land

NATION = ("--people", 5, "--lines", 5, "--seed", 1)


@pytest.fixture
def calendar(village: Path) -> Path:
    """A home whose batches settle in cycles of a calendar."""
    (village.parent / "c.toml").write_text('cutoffs = ["11:00", "16:00"]\n')
    said = command("directory", village, "--config", village.parent / "c.toml")
    assert said.code == 0, said.err
    return village


def days(home: Path, out: Path, folder: Path) -> Iterator[tuple[object, ...]]:
    """Every command that writes copies, one after the other."""
    table = write_table(payment_table([line(1), line(2)]), folder / "t.parquet", batch_id="B")
    yield "run", home, table, "--out", out, "--at", "2026-11-25T08:00:00"
    yield "settle", home, "--out", out, "--at", "2026-11-25T18:00:00"
    yield "report", home, "--out", out, "--csv"
    yield "shared", home, "--out", out
    yield "exchange", home, "--out", out
    yield "reconcile", home, "--out", out, "--at", "2026-11-26"
    yield "close", home, "--out", out, "--at", "2026-11-27"
    yield "rehearse", home, table, "--picture", out / "curve.svg"


def everything(folder: Path) -> list[Path]:
    return sorted(path.relative_to(folder) for path in folder.rglob("*"))


def test_copies__follow_no_link_at_any_name(calendar: Path, tmp_path: Path) -> None:
    """Each folder and each file (its .part, too) is a link once: what it leads to stays as it was,
    and where the copy could not land the command says so."""
    home = calendar
    sound = tmp_path / "sound"
    for call in days(shutil.copytree(home, tmp_path / "first"), sound, tmp_path):
        assert command(*call).code == 0, call
    names = everything(sound)
    folders = [name for name in names if (sound / name).is_dir()]
    files = [name for name in names if name not in folders]
    assert len(folders) >= 10, folders
    assert len(files) >= 15, files
    victim, theirs = tmp_path / "victim", tmp_path / "theirs"
    theirs.mkdir()
    victim.write_text("mine")
    parts = [name.with_name(f".{name.name}.part") for name in files]
    for number, names in enumerate((folders, files, parts)):
        # Links at all names of a kind that do not lie in one another; deeper folders come next.
        depths = {len(name.parts) for name in names}
        for depth in depths if names is folders else {0}:
            mine = shutil.copytree(home, tmp_path / f"home {number} {depth}")
            out = tmp_path / f"out {number} {depth}"
            for name in names:
                if depth in (0, len(name.parts)):
                    (out / name.parent).mkdir(parents=True, exist_ok=True)
                    (out / name).symlink_to(theirs if names is folders else victim)
            codes = [command(*call).code for call in days(mine, out, tmp_path)]
            assert set(codes) <= {0, 2, 6}, codes
            assert (6 in codes) is (names is folders), codes
            assert everything(theirs) == []
            assert victim.read_text() == "mine"
            assert len(switch.verify(mine)) > 10
            if names is not folders:
                assert everything(out) == everything(sound)
                assert not any(path.is_symlink() for path in out.rglob("*"))


def test_copies__are_their_owners_alone_whatever_the_umask(calendar: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for number, call in enumerate(days(calendar, out, tmp_path)):
        was = os.umask((0, 0o777, 0o022, 0o277)[number % 4])
        try:
            assert command(*call).code == 0, call
        finally:
            os.umask(was)
    for path in (out, *out.rglob("*")):
        wanted = 0o700 if path.is_dir() else 0o600
        assert stat.S_IMODE(path.stat().st_mode) == wanted, path


@pytest.mark.parametrize("inside", ["", "batches", "batches/000001", "new/x", "catalog.sqlite"])
@pytest.mark.parametrize("of", ["mine", "another", "link"])
def test_copies__land_in_no_home(inside: str, of: str, village: Path, tmp_path: Path) -> None:
    """Of no command, neither in its own home nor in another one, and nothing is done."""
    pay(village, [line(1)])
    other = shutil.copytree(village, tmp_path / "other")
    (tmp_path / "link").symlink_to(village)
    place = {"mine": village, "another": other, "link": tmp_path / "link"}[of] / inside
    table = write_table(payment_table([line(2)]), tmp_path / "t.parquet", batch_id="C")
    before = tree_digest(village), tree_digest(other)
    calls: list[tuple[object, ...]] = [
        ("run", village, table, "--out", place),
        ("settle", village, "--out", place),
        ("report", village, "--out", place, "--csv"),
        ("shared", village, "--out", place),
        ("exchange", village, "--out", place),
        ("reconcile", village, "--out", place),
        ("close", village, "--at", "2026-12-01", "--out", place),
        ("rehearse", village, table, "--picture", place),
        ("rehearse", village, table, "--picture", place / "x.svg"),
        ("generate", place, *NATION),
        ("demo", "--dir", place, *NATION),
    ]
    for call in calls:
        said = command(*call)
        assert (said.code, "Traceback" in said.err) == (2, False), (call, said.err)
    assert (tree_digest(village), tree_digest(other)) == before
    assert command("rehearse", village, table, "--picture", village / "out" / "x.svg").code == 0


def test_copies__of_another_homes_out_are_left_alone(village: Path, tmp_path: Path) -> None:
    pay(village, [line(1)])
    other = shutil.copytree(village, tmp_path / "other")
    assert command("report", village, "--out", other / "out").code == 2
    assert command("report", village, "--out", village / "out").code == 0
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    assert command("report", village, "--out", loop).code in (2, 6)


def test_generate__overwrites_nothing(tmp_path: Path) -> None:
    made = switch.generate(tmp_path / "w", 5, 5, 1)
    before = tree_digest(tmp_path)
    for place in (tmp_path / "w", made.payday, tmp_path):
        said = command("generate", place, "--people", 6, "--lines", 6, "--seed", 2)
        assert said.code == 2, said.err
        assert "give a new folder, or empty it" in said.err
    assert tree_digest(tmp_path) == before
    (tmp_path / "empty").mkdir()
    assert command("generate", tmp_path / "empty", *NATION).code == 0


@pytest.mark.parametrize(
    "gone",
    [
        ("",),
        ("", "-journal"),
        ("", "-journal", "!checkpoint"),
        ("", "-journal", "!checkpoints.signed"),
    ],
)
@pytest.mark.parametrize("paid", [True, False])
def test_init__leaves_a_home_without_its_catalog_alone(
    gone: tuple[str, ...], paid: bool, village: Path, tmp_path: Path
) -> None:
    if paid:
        pay(village, [line(1)])
    shutil.rmtree(village / "out", ignore_errors=True)
    for name in gone:
        (village / (name[1:] if name[:1] == "!" else f"catalog.sqlite{name}")).unlink(True)
    files = ("--participants", tmp_path / "p.csv", "--debtors", tmp_path / "d.csv")
    before = tree_digest(village)
    nation = switch.generate(tmp_path / "n", 5, 5, 1)
    with pytest.raises(UsageError, match="is gone: restore it"):
        switch.init(village, participants=nation.participants, debtors=nation.debtors)
    assert command("init", village, *files).code in (2, 3)
    assert tree_digest(village) == before


def test_init__of_what_never_held_anything_may_be_used_again(tmp_path: Path) -> None:
    nation = switch.generate(tmp_path / "n", 5, 5, 1)
    home, tables = tmp_path / "h", (nation.participants, nation.debtors)
    switch.init(home, participants=tables[0], debtors=tables[1]).close()
    keys = {name: (home / name).read_bytes() for name in ("key", "checkpoint")}
    # As an init leaves it that died before its last rename.
    (home / "catalog.sqlite").rename(home / "catalog.new")
    switch.init(home, participants=tables[0], debtors=tables[1]).close()
    assert (home / "key").read_bytes() != keys["key"]
    # A home of which the catalog alone is gone keeps its keys.
    kept = tree_digest(home)
    (home / "catalog.sqlite").unlink()
    with pytest.raises(UsageError, match="restore it"):
        switch.init(home, participants=tables[0], debtors=tables[1])
    assert {name: kept[name] for name in tree_digest(home)} == tree_digest(home)


@pytest.mark.parametrize("kind", ["pipe", "socket", "folder"])
def test_land__puts_no_file_in_the_place_of_what_is_none(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as /dev/null, which whoever may do anything would take from all others."""
    place = tmp_path / "place"
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as listening:
            monkeypatch.chdir(tmp_path)  # A socket's name is short.
            listening.bind("place")
    else:
        place.mkdir()
    before = place.stat()
    with pytest.raises(EnvironmentFailed, match=f"{place}: no file that may be replaced"):
        land(place, b"text")
    assert (place.stat().st_ino, place.stat().st_mode) == (before.st_ino, before.st_mode)
    assert [path.name for path in tmp_path.iterdir()] == ["place"]


def test_land__replaces_a_file_and_a_link(tmp_path: Path) -> None:
    (tmp_path / "kept").write_bytes(b"kept")
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    (tmp_path / "file").write_bytes(b"old")
    for name in ("link", "file", "new"):
        land(tmp_path / name, b"text")
        assert (tmp_path / name).read_bytes() == b"text"
    assert (tmp_path / "kept").read_bytes() == b"kept"
