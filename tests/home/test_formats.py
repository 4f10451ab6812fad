"""Format of a home: it rises where something comes in that an older engine does not know."""

from __future__ import annotations

from pathlib import Path

import pytest
from scene import change_catalog, make_home, new_checkpoint

import switch
from switch.home import store
from switch.home.changes import SetMeta


@pytest.mark.parametrize("made", [3, 6, 9, 10])
def test_format__rises_and_never_falls(
    made: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As texts, 10 comes before 6."""
    monkeypatch.setattr(store, "FORMATS", (*store.FORMATS, "10"))
    home = make_home(tmp_path / "home")
    change_catalog(home, "UPDATE meta SET value = ? WHERE name = 'format'", str(made))
    new_checkpoint(home)
    with switch.open(home) as engine:
        rises = [SetMeta("6", "format")] if made < 6 else []
        assert store.raised(engine.home, 6) == rises
