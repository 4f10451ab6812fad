"""Verify proves who receives for whom: registers whose representatives are wrong are named."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scene import account, accounts_table, change_catalog, make_home, new_checkpoint, person
from scene import person_id as id_of

import switch
from switch.errors import SwitchError, VerificationFailed
from switch.registry import delta, register
from switch.registry.versions import ACCOUNT, ACTING, REPRESENTATIVES

UNTIL = dt.date(2027, 6, 30)
HEAD = 30


def of_head(number: int, **changes: Any) -> dict[str, Any]:
    rows = account(number, account=f"09{number}", valid_to=UNTIL, representative=id_of(HEAD))
    return rows | changes


def made(path: Path) -> Path:
    """A town in which 1 and 2 have an account of their head's, and others their own."""
    people = range(1, 60)
    own = [account(n, priority=2) for n in people if n != 2]
    return make_home(path, map(person, people), [of_head(1), of_head(2), *own])


def _changed(name: str, change: Callable[[Any], None]) -> Callable[[dict[str, Any]], None]:
    def wrong(parts: dict[str, Any]) -> None:
        records = np.frombuffer(bytes(parts[name]), ACCOUNT).copy()
        change(records)
        parts[name] = records.view(np.uint8).data

    return wrong


def _without(parts: dict[str, Any]) -> None:
    parts[REPRESENTATIVES] = parts[REPRESENTATIVES][: ACCOUNT.itemsize]


def _unmarked(records: Any) -> None:
    records["kind"] &= ~ACTING


def _set(field: str, value: Any) -> Callable[[Any], None]:
    def change(records: Any) -> None:
        records[field][0] = value

    return change


def _open_in_both(parts: dict[str, Any]) -> None:
    for name in ("accounts.bin", REPRESENTATIVES):
        _changed(name, _no_end)(parts)


def _no_end(records: Any) -> None:
    records["valid_to"][records["kind"] >= ACTING] = 2**31 - 1


OTHERS = "representatives are not of the accounts that are theirs"
WRONG: dict[str, tuple[str, Callable[[dict[str, Any]], None]]] = {
    "an account is a representative's no more": (OTHERS, _changed("accounts.bin", _unmarked)),
    "one representative is missing": (OTHERS, _without),
    "the day is another": (OTHERS, _changed(REPRESENTATIVES, _set("valid_to", 99_999))),
    "the row is another": (OTHERS, _changed(REPRESENTATIVES, _set("row", 40))),
    "no id": ("a representative is nobody", _changed(REPRESENTATIVES, _set("account", 10**12))),
    "no end": ("an authority has no end", _open_in_both),
}


@pytest.mark.parametrize("what", WRONG)
@pytest.mark.parametrize("room", [register, delta])
def test_verify__finds_representatives_that_are_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: Any, what: str
) -> None:
    write = room.write_parts

    def wrong(folder: Path, parts: Any) -> dict[str, str]:
        changed = dict(parts)
        WRONG[what][1](changed)
        found: dict[str, str] = write(folder, changed)
        return found

    if room is register:
        monkeypatch.setattr(room, "write_parts", wrong)
        home = made(tmp_path / "home")
    else:
        home = made(tmp_path / "home")
        monkeypatch.setattr(room, "write_parts", wrong)
        with switch.open(home) as engine:
            engine.register(accounts=accounts_table([of_head(3), of_head(4)]))
    monkeypatch.undo()
    with pytest.raises(VerificationFailed, match=WRONG[what][0]):
        switch.verify(home)


def test_verify__finds_a_register_that_counts_representatives_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = made(tmp_path / "home")
    save = delta.Delta.save

    def wrong(changes: delta.Delta, folder: Path) -> Any:
        changes._acting_before += 1
        return save(changes, folder)

    monkeypatch.setattr(delta.Delta, "save", wrong)
    with switch.open(home) as engine:
        engine.register(accounts=accounts_table([of_head(3)]))
    monkeypatch.undo()
    with pytest.raises(VerificationFailed, match="are not as many as it says"):
        switch.verify(home)


def test_verify__finds_a_home_that_an_old_engine_would_open(tmp_path: Path) -> None:
    home = made(tmp_path / "home")
    assert switch.verify(home)
    change_catalog(home, "UPDATE meta SET value = '4' WHERE name = 'format'")
    new_checkpoint(home)
    with pytest.raises(VerificationFailed, match="format of a home with representatives"):
        switch.verify(home)


def test_verify__finds_every_flipped_bit_of_who_represents(tmp_path: Path) -> None:
    home = made(tmp_path / "home")
    file = home / "registers/000001" / REPRESENTATIVES
    content = file.read_bytes()
    assert len(content) == 2 * ACCOUNT.itemsize
    for bit in range(0, 8 * len(content), 7):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        file.write_bytes(changed)
        with pytest.raises(SwitchError, match=r"representatives\.bin"):
            switch.verify(home)
    file.unlink()
    with pytest.raises(SwitchError, match=r"representatives\.bin"):
        switch.verify(home)
