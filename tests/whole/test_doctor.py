"""The doctor: a sound home is fit, and each thing that is wrong with one is found and told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from scene import (
    PARTICIPANTS,
    account,
    change_catalog,
    command,
    line,
    make_home,
    pay,
    person,
    tree_digest,
)

import switch
from switch import doctor
from switch.doctor import FAIL, NATIVE, OK, WARN
from switch.home import signing
from switch.home.store import Home


@pytest.fixture
def paid(village: Path) -> Path:
    pay(village, [line(1)], "A")
    return village


def finding(home: Path | None, subject: str) -> doctor.Finding:
    (one,) = [one for one in switch.examine(home).findings if one.subject == subject]
    return one


def test_doctor__sound_home_is_fit_and_stays_as_it_was(paid: Path) -> None:
    before = tree_digest(paid)
    found = switch.examine(paid)
    assert found.exit_code == 0
    bad = [one for one in found.findings if one.state == FAIL]
    assert bad == []
    home = {one.subject: one.state for one in found.findings if one.area == "home"}
    assert set(home) == {
        *("permissions", "opens", "checkpoint", "time", "key", "signing key", "signatures"),
        *("files", "leftovers"),
    }
    assert all(one.remedy for one in found.findings if one.state != OK)
    said = command("doctor", paid, "--json")
    assert said.code == 0
    assert [one["subject"] for one in said.document["findings"]] == [
        one.subject for one in found.findings
    ]
    assert said.document["state"] == found.state
    assert tree_digest(paid) == before


def test_doctor__without_a_home_looks_at_the_machine() -> None:
    found = switch.examine()
    assert {one.area for one in found.findings} == {"environment"}
    said = command("doctor")
    assert said.code == 0
    for one in found.findings:
        assert one.subject in said.out


def test_doctor__of_no_home_is_usage(tmp_path: Path) -> None:
    assert command("doctor", tmp_path).code == 2
    assert command("doctor", tmp_path / "none").code == 2


def test_doctor__knows_every_native_module() -> None:
    folder = Path(switch.__file__).parent / "native"
    assert set(NATIVE) == {path.stem for path in folder.glob("*.pyi")}


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


WRONG: dict[str, tuple[str, str, Callable[[Path], object]]] = {
    "another key": ("key", FAIL, lambda home: (home / "key").write_bytes(b"x" * 32)),
    "short key": ("key", FAIL, lambda home: (home / "key").write_bytes(b"x")),
    "no key": ("key", FAIL, lambda home: (home / "key").unlink()),
    "a signature gone": ("signatures", WARN, lambda home: drop_line(home, -1)),
    "a signature changed": ("signatures", FAIL, lambda home: turn(home / "checkpoints.signed")),
    "no signing key": ("signing key", WARN, lambda home: (home / "signing.key").unlink()),
    "another public key": (
        "signing key",
        FAIL,
        lambda home: (home / "signing.pub").write_bytes(b"no key"),
    ),
    "a file is cut": ("files", FAIL, lambda home: cut(home / "batches/000001/status.parquet")),
    "a file is gone": (
        "files",
        FAIL,
        lambda home: (home / "batches/000001/lines.parquet").unlink(),
    ),
    "open to others": ("permissions", WARN, lambda home: (home / "key").chmod(0o644)),
    "a draft": ("leftovers", WARN, lambda home: (home / "batches/.draft-1").mkdir(0o700)),
    "a folder of no commit": (
        "leftovers",
        WARN,
        lambda home: (home / "batches/000002").mkdir(0o700),
    ),
    "quarantine": ("leftovers", WARN, lambda home: (home / "quarantine/batches-x").mkdir(0o700)),
    "no checkpoint": ("opens", FAIL, lambda home: (home / "checkpoint").unlink()),
    "a changed catalog": (
        "opens",
        FAIL,
        lambda home: change_catalog(home, "UPDATE balances SET balance = balance + 1"),
    ),
    "no catalog": ("opens", FAIL, lambda home: (home / "catalog.sqlite").unlink()),
    "a catalog that is none": (
        "opens",
        FAIL,
        lambda home: (home / "catalog.sqlite").write_bytes(b"no database at all" * 100),
    ),
}


def drop_line(home: Path, at: int) -> None:
    path = home / "checkpoints.signed"
    lines = path.read_bytes().splitlines(keepends=True)
    del lines[at]
    path.write_bytes(b"".join(lines))


def turn(path: Path) -> None:
    """Change a digit of the last signature."""
    content = path.read_bytes()
    path.write_bytes(content[:-10] + (b"0" if content[-10:-9] != b"0" else b"1") + content[-9:])


@pytest.fixture
def signed(tmp_path: Path) -> Path:
    """A home with a signing key, of one batch."""
    home = make_home(
        tmp_path / "home",
        [person(1)],
        [account(1)],
        participants=PARTICIPANTS,
        signing_key=signing.new_key(),
    )
    pay(home, [line(1)], "A")
    return home


@pytest.mark.parametrize("name", WRONG)
def test_doctor__finds_what_is_wrong_with_a_home(signed: Path, name: str) -> None:
    subject, state, harm = WRONG[name]
    assert finding(signed, subject).state == OK
    harm(signed)
    before = tree_digest(signed)
    one = finding(signed, subject)
    assert (one.state, bool(one.remedy)) == (state, True), one
    said = command("doctor", signed, "--json")
    assert said.code == (5 if state == FAIL else 0)
    assert said.document["state"] == state
    assert one._asdict() in said.document["findings"]
    assert tree_digest(signed) == before


def test_doctor__looks_at_a_home_at_work(paid: Path) -> None:
    with Home(paid, writing=True):
        assert finding(paid, "opens").state == OK
        assert switch.examine(paid).exit_code == 0


def test_doctor__missing_library_fails_and_is_exit_6(
    paid: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = doctor.import_module

    def broken(name: str) -> object:
        if name == "switch.native.screen":
            raise ImportError("no such symbol")
        return real(name)

    monkeypatch.setattr(doctor, "import_module", broken)
    assert finding(paid, "native core").state == FAIL
    cut(paid / "batches/000001/status.parquet")
    assert command("doctor", paid).code == 6


def test_doctor__full_disk_fails(paid: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        free = 1000

    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: Full)
    one = finding(paid, "disk")
    assert (one.state, one.area) == (FAIL, "environment")
    assert command("doctor", paid).code == 6
