"""Events in a short form, from preparation to closed dossiers: all is answered as the makers of the
tables know, and one who is wrong is told so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from switch.sim.events import flood, september, sheets, tet
from switch.sim.events.play import EVENTS
from switch.sim.events.stage import Stage, Surprise
from switch.sim.events.told import Told

SHARES = {"tet": 0.01, "september": 0.001, "flood": 0.02}


@pytest.mark.parametrize("name", ["tet", "flood"])
def test_event__goes_as_the_maker_of_its_tables_knows(name: str, tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    told = EVENTS[name](tmp_path / "event", 1, SHARES[name])
    _require_ended(told, {"tet": {"refused"}, "flood": {"refused", "expired"}}[name])


def _require_ended(told: Told, ends: set[str]) -> None:
    """Lines have come to an end, and to these ones among others."""
    counts = dict.fromkeys(sheets.STATES, 0)
    for one in told.sheets:
        for state, count in one.counts().items():
            counts[state] += count
    assert all(counts[state] for state in {"credited", "written_back"} | ends)
    assert not counts["held"] + counts["settled"] + counts["returned"]
    assert told.checks > 100
    lines = told.lines()
    assert max(map(len, lines)) <= 80
    assert lines[-1].endswith("proofs: all hold")


def test_event__september_pays_one_credit_a_household(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines that waited and those that were paid again too; where one household of a commune had
    two credits, or another's money, that is a surprise."""
    pytest.importorskip("cryptography")
    require, found = Stage.require_credits, []

    def held_to_it(self: Stage) -> int:
        found.append(require(self))
        for name, change in (("head", np.arange), ("amount", np.ones)):
            kept = getattr(self.sheets[0], name)
            setattr(self.sheets[0], name, change(len(kept), dtype=np.int64))
            with pytest.raises(Surprise, match="credits and their money are"):
                require(self)
            setattr(self.sheets[0], name, kept)
        return found[0]

    monkeypatch.setattr(Stage, "require_credits", held_to_it)
    told = september.play(tmp_path / "event", 1, SHARES["september"])
    _require_ended(told, {"reissued"})
    paid = [np.unique(one.head[~one.stands("refused")]) for one in told.sheets]
    assert found == [sum(map(len, paid))]
    lines = sum(len(one) for one in told.sheets)
    assert lines > 3 * found[0]
    waited = sum(int(np.isin(one.answer, (1, 2)).sum()) for one in told.sheets)
    assert waited > lines // 4


def test_event__a_second_gift_that_is_paid_is_a_surprise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lists whose gifts do not exclude each other pay whoever is on both twice."""
    pytest.importorskip("cryptography")
    apart = [{**row, "exclusive_group": row["benefit"]} for row in tet.PROGRAMMES]
    monkeypatch.setattr(tet, "PROGRAMMES", apart)
    with pytest.raises(Surprise, match=r"TET-SOCIAL: a line is .*ACSC.* and not .*AM05"):
        tet.play(tmp_path / "event", 1, 0.005)


def test_event__totals_of_another_commune_are_a_surprise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("cryptography")
    require = Stage.require_totals

    def moved(self: Stage) -> None:
        commune = np.sort(self.people.commune)
        self.people = self.people._replace(commune=commune)
        require(self)

    monkeypatch.setattr(Stage, "require_totals", moved)
    with pytest.raises(Surprise, match=r"FLOOD-2025-12"):
        flood.play(tmp_path / "event", 1, 0.01)


def test_event__has_as_many_citizens_as_it_is_said_to() -> None:
    household, commune = september._households(np.random.default_rng(3), 0.05)
    assert len(household) == round(september.CITIZENS * 0.05)
    assert len(commune) == round(september.HOUSEHOLDS * 0.05) == household.max() + 1
    assert len(np.unique(commune)) == 3321
