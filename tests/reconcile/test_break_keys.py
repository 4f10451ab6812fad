"""Keys of breaks: no two breaks have one, and what is open under a key of before keeps it."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from answering import NOON, home_of, said, take
from hypothesis import given, settings
from record_sets import DUE, compare, line, side
from scene import BANK

import switch
from switch import reconcile as rec
from switch.home.history import folders, open_breaks
from switch.reconcile import take_in
from switch.reconcile.match import breaks
from switch.sim.lives.tables import STATEMENT as LIVED_STATEMENT

EARLY = dt.datetime(2026, 11, 25, 3, tzinfo=dt.UTC)
MICROSECONDS = 1_795_575_600_000_000
FIRST = (breaks._first_parts, "key of version 1")


def stray(name: str, amount: int, reason: str | None) -> dict[str, Any]:
    """Any receiver's row that names no line."""
    return {
        "participant": BANK,
        "transfer_id": name,
        "amount": amount,
        "creditor_account": "x",
        "status": "ACCC",
        "reason": reason,
        "booked_at": EARLY,
    }


THREE = [
    stray("q", 3, None),
    stray("q", 5, "r//"),
    stray(f"q///{MICROSECONDS}/5/x/{BANK}//ACCC/r", 5, None),
]


def as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys are made as version 1 made them."""

    def keys(this: Any, at: Any, which: str, name: str) -> Any:
        return breaks._first_keys(this, at, "lines" if which == "l" else name, name)

    monkeypatch.setattr(breaks, "_keys", keys)


def test_breaks__three_rows_do_not_stop_a_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A home that stands still by them goes on as it is."""
    home = home_of(tmp_path / "h", 1)
    with monkeypatch.context() as before, switch.open(home) as engine:
        as_before(before)
        take(engine, home, *THREE, at="2026-11-25")
        with pytest.raises(AssertionError, match="stands twice"):
            engine.reconcile(at="2026-11-30")
        with pytest.raises(AssertionError, match="stands twice"):
            engine.close_day("2026-11-30")
    with switch.open(home) as engine:
        answer = engine.reconcile(at="2026-11-30")
        assert answer["breaks"] == {"DUPLICATE": 1, "MISSING": 3}
        assert answer["events"] == {"changed": 1, "opened": 3}
        assert engine.reconcile(at="2026-11-30")["number"] == 0
        assert engine.close_day("2026-11-30")["breaks"] == answer["breaks"]
    assert switch.verify(home)


@pytest.mark.parametrize("reason", ["", "/", "-", "0:"])
def test_breaks__a_null_is_no_text(tmp_path: Path, reason: str) -> None:
    with switch.open(home_of(tmp_path / "h", 1)) as engine:
        rows = [stray("q", 3, text) for text in (None, reason)]
        clean = [said(1, reason=text) for text in (None, reason)]
        answer = take(engine, tmp_path / "h", *rows, *clean)
        assert answer["new"]["confirmations"] == 4
        assert answer["breaks"] == {"DUPLICATE": 2, "MISSING": 1}
    assert switch.verify(tmp_path / "h")


def entry(name: str, **ids: str | None) -> dict[str, Any]:
    empty = dict.fromkeys(("transfer_id", "end_to_end_id"))
    more = {"amount": 5, "side": "C", "booked_on": dt.date(2026, 11, 25)}
    return {"account": "T.RETURNS", "entry_id": name, **empty, **ids, **more}


STATEMENTS = {
    "null and empty": [
        entry("E", transfer_id=transfer_id, end_to_end_id=end_to_end_id)
        for transfer_id in (None, "")
        for end_to_end_id in ("20261125-1", "")
    ],
    "slashes": [
        entry(name, transfer_id=transfer_id, end_to_end_id=end_to_end_id)
        for transfer_id, name, end_to_end_id in (
            ("a/b", "c", "d"), ("a", "b/c", "d"), ("a", "b", "c/d")
        )
    ],
}  # fmt: skip


@pytest.mark.parametrize("what", STATEMENTS)
def test_breaks__rows_of_a_statement_do_not_stop_a_home(what: str, tmp_path: Path) -> None:
    home, path = home_of(tmp_path / "h", 1), tmp_path / "s.parquet"
    rows = STATEMENTS[what]
    pq.write_table(pa.Table.from_pylist(rows, LIVED_STATEMENT), path)
    with switch.open(home) as engine:
        answer = engine.reconcile(path, at="2026-11-25")
        assert answer["new"]["statement"] == len(rows)
        assert engine.reconcile(path, at="2026-12-20")["new"]["statement"] == 0
        engine.close_day("2026-12-20")
        found = open_breaks(engine.home, folders(engine.home))
        assert len(set(found["key"].to_pylist())) == len(found) == len(rows) + 1
    assert switch.verify(home)


def test_breaks__what_is_open_under_an_old_key_neither_opens_again_nor_closes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = home_of(tmp_path / "h", 6)
    again = [said(1), said(1, booked_at=NOON + dt.timedelta(hours=1)), said(2, amount=5)]
    whole = said(3, transfer_id="20261125-000001", creditor_account=None)
    with monkeypatch.context() as before, switch.open(home) as engine:
        as_before(before)
        before.setattr(breaks, "KEY_VERSION", "totals")
        before.setattr(breaks, "_part", lambda text: text)
        take(engine, home, *again, whole, stray("q", 3, None))
        old = open_breaks(engine.home, folders(engine.home)).to_pylist()
    old = [row | {"key": row["key"].replace("totals/totals", "totals")} for row in old]
    with switch.open(home) as engine:
        monkeypatch.setattr(take_in, "open_breaks", lambda *_: pa.Table.from_pylist(old, rec.BREAK))
        found = engine.reconcile()
        assert found["number"] == 0, "nothing happened to any break"
        assert found["breaks"]["TOTAL_DRIFT"] == 1


TEXTS = st.text("/-:1q", max_size=4) | st.none()
ROWS = st.lists(
    st.fixed_dictionaries(
        dict.fromkeys(("transfer_id", "record_id", "end_to_end_id", "account"), TEXTS),
        optional=dict.fromkeys(("participant", "currency", "status", "reason"), TEXTS),
    ).map(lambda row: row | {"amount": 1}),
    max_size=7,
)


@settings(max_examples=300, deadline=None)
@given(ROWS, ROWS, st.sampled_from(["confirmations", "lines", "1", "2", "totals"]))
def test_breaks__no_two_have_one_key(left: list[Any], right: list[Any], name: str) -> None:
    sides = side(left), side(right)
    found = rec.reconcile(
        sides[0], {name: sides[1], "returns": sides[1]}, DUE, totals={"a/b": 1, "a": 2}
    ).breaks
    assert len(set(found["key"].to_pylist())) == len(found)
    assert rec.apply(rec.BREAK.empty_table(), rec.fold(rec.BREAK.empty_table(), found, DUE)).equals(
        found
    )


@settings(max_examples=100, deadline=None)
@given(ROWS, ROWS)
def test_breaks__open_ones_of_before_are_found_again(left: list[Any], right: list[Any]) -> None:
    """Each key of before stands at most once, on a break that had it, and no break is lost."""
    outcome = compare(left, right)
    both = zip(
        breaks.breaks_of("confirmations", outcome.sets["confirmations"]).to_pylist(),
        breaks.first_keys_of("confirmations", outcome.sets["confirmations"]).to_pylist(),
        strict=True,
    )
    first = {row["key"]: row | {"key": key} for row, key in both}
    sole = {row["key"]: row for row in first.values()}
    kept = outcome.kept(pa.Table.from_pylist([*sole.values()], rec.BREAK))
    assert len(set(kept["key"].to_pylist())) == len(kept) == len(outcome.breaks)
    assert set(sole) <= set(kept["key"].to_pylist())
    assert [row for row in kept.to_pylist() if row["key"] in sole] == [
        sole[key] for key in sorted(sole)
    ]
    again = outcome.kept(kept)
    assert rec.fold(kept, again, DUE).num_rows == 0


def test_breaks__a_total_keeps_its_old_key() -> None:
    outcome = rec.reconcile(side([line(1)]), {}, DUE, totals={"970436": 1})
    (row,) = outcome.breaks.to_pylist()
    old = pa.Table.from_pylist([row | {"key": "totals/970436"}], rec.BREAK)
    assert row["key"] == "2/totals/6:970436"
    assert outcome.kept(old).equals(old)
    assert outcome.kept(outcome.breaks).equals(outcome.breaks)
