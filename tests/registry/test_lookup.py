"""Look up: a row found in a register at rest is the one that the register in memory gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scene import make_home, people_table, person

import switch
from switch.errors import VerificationFailed
from switch.registry import lookup
from switch.registry.lookup import first_slot, row_of
from switch.registry.register import Register
from switch.schema import NO_ROW

PEOPLE = 300


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = make_home(tmp_path_factory.mktemp("r") / "home", list(map(person, range(PEOPLE))), [])
    return home / "registers" / "000001"


def test_row_of__is_the_row_of_the_register(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a search is read in pieces and goes around the end of the table."""
    register = Register.load(folder)
    ids = [1_000_000_000 + n for n in range(-PEOPLE, 2 * PEOPLE)]
    expected = register.rows_of(np.array(ids, np.uint64)).tolist()
    assert sorted(expected)[:PEOPLE] == list(range(PEOPLE))
    assert expected.count(NO_ROW) == 2 * PEOPLE
    for read in (64, 3, 1):
        monkeypatch.setattr(lookup, "SLOTS_READ", read)
        assert [row_of(folder, one) for one in ids] == expected


def test_row_of__goes_around_the_end_of_the_table(tmp_path: Path) -> None:
    """Some people are found before the slot at which their search begins."""
    home = make_home(tmp_path / "home", list(map(person, range(PEOPLE))), [])
    folder = home / "registers" / "000001"
    slots = Register.load(folder).table.nbytes // 32
    last = [n for n in range(1, 10**6) if first_slot(n, slots) == slots - 1][:4]
    register = Register()
    register.give_rows(np.array(last, np.uint64))
    for name in ("people.slots", "register.json"):
        (folder / name).unlink()
    small = tmp_path / "small"
    small.mkdir()
    register.save(small)
    assert [row_of(small, one) for one in last] == list(range(len(last)))


def test_row_of__a_table_that_is_cut_off(folder: Path, tmp_path: Path) -> None:
    for name in ("people.slots", "register.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    (tmp_path / "people.slots").write_bytes(b"\0" * 31)
    with pytest.raises(VerificationFailed, match=r"people\.slots"):
        row_of(tmp_path, 1)
    (tmp_path / "register.json").write_bytes(b"{}")
    with pytest.raises(VerificationFailed, match=r"people\.slots"):
        row_of(tmp_path, 1)


def test_row_of__looks_through_the_deltas_of_a_version(tmp_path: Path) -> None:
    people = list(map(person, range(PEOPLE)))
    home = make_home(tmp_path / "home", people, [])
    with switch.open(home) as engine:
        engine.register(population=people_table([person(7), person(900)]))
        engine.register(population=people_table([person(901)]))
    folder = home / "registers" / "000003"
    ids = [1_000_000_000 + n for n in (0, 7, 900, 901, 902)]
    expected = Register.load(folder).rows_of(np.array(ids, np.uint64)).tolist()
    assert expected == [0, 7, PEOPLE, PEOPLE + 1, NO_ROW]
    assert [row_of(folder, one) for one in ids] == expected
