"""Files of answers are read or refused whole; statements and rules are held against requests."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from answering import LATER, back, breaks_of, home_of, said, states_of, take, transfer, write
from scene import tree_digest

import switch
from switch.errors import InputRefused, VerificationFailed
from switch.files import airlock
from switch.files.columns import text_buffers
from switch.home.history import folders, open_breaks
from switch.home.store import Home
from switch.native.sent import Sent
from switch.reconcile import read_rules
from switch.reconcile.sent_lines import SentLines
from switch.sim.lives.tables import CONFIRMATIONS, STATEMENT

# --- files --------------------------------


def test_answers__come_in_any_form(tmp_path: Path) -> None:
    table = pa.Table.from_pylist([said(n) for n in range(1, 13)], CONFIRMATIONS)
    texts = table.set_column(
        6, "booked_at", pa.array(["2026-11-25T19:00:00+07:00"] * 6 + ["2026-11-25T19:00:00"] * 6)
    )
    pq.write_table(table.slice(0, 4), tmp_path / "a")
    with pa.ipc.new_file(str(tmp_path / "b"), table.schema) as writer:
        writer.write_table(table.slice(4, 4))
    pa.csv.write_csv(texts.slice(3), tmp_path / "c")
    with switch.open(home_of(tmp_path / "h")) as engine:
        answer = engine.reconcile(*(tmp_path / name for name in "abc"), at=LATER)
        assert answer["new"]["confirmations"] == 12
        assert answer["read"]["confirmations"] == 17
        assert answer["states"]["CREDITED"] == 12


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"status": "DONE"}, "VALUE_UNKNOWN"),
        ({"amount": str(2**56)}, "AMOUNT_RANGE"),
        ({"booked_at": "yesterday"}, "TIME_INVALID"),
        ({"booked_at": "1066-10-14T09:00:00Z"}, "TIME_INVALID"),
        ({"booked_at": "2026-11-25"}, "TIME_INVALID"),
        ({"amount": "1.5"}, "AMOUNT_FORMAT"),
        ({"transfer_id": "é" * 70}, None),
        ({"transfer_id": "é" * 71}, "FIELD_TOO_LONG"),
    ],
)
def test_answers__a_file_that_cannot_be_read_is_refused_whole(
    tmp_path: Path, changes: Any, rule: str | None
) -> None:
    row = {name: str(value or "") for name, value in said(1).items()}
    rows = [row | {"booked_at": "2026-11-25T12:00:00Z"}] * 2
    pa.csv.write_csv(pa.Table.from_pylist([rows[0], rows[1] | changes]), tmp_path / "a")
    with switch.open(home_of(tmp_path / "h", 1)) as engine:
        before = tree_digest(tmp_path / "h")
        if rule is None:
            assert engine.reconcile(tmp_path / "a", at=LATER)["number"] == 1
        else:
            with pytest.raises(InputRefused, match=rule) as refused:
                engine.reconcile(tmp_path / "a", at=LATER)
            assert refused.value.row == 2
            assert tree_digest(tmp_path / "h") == before
    assert switch.verify(tmp_path / "h")


def test_answers__a_file_of_no_kind_is_refused(tmp_path: Path) -> None:
    pa.csv.write_csv(pa.table({"a": ["1"]}), tmp_path / "a")
    with switch.open(home_of(tmp_path / "h", 1)) as engine:
        with pytest.raises(InputRefused, match="KIND_UNKNOWN"):
            engine.reconcile(tmp_path / "a")
        with pytest.raises(InputRefused, match="HEADER_MISMATCH"):
            engine.reconcile(tmp_path / "a", kind="returns")


def test_answers__a_file_is_opened_once_and_its_columns_say_of_what_kind_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, ask = [], airlock.ask

    def counted(file: int, name: str, *more: Any) -> airlock.Answer:
        asked.append(Path(name).name)
        return ask(file, name, *more)

    monkeypatch.setattr(airlock, "ask", counted)
    # Columns of another kind are unknown ones, whatever stands in them.
    table = pa.Table.from_pylist([said(n) for n in (1, 2)], CONFIRMATIONS)
    table = table.append_column("entry_id", pa.array(["x" * 1000] * 2))
    pq.write_table(table, tmp_path / "a")
    write(tmp_path / "b", [back(3)])
    pq.write_table(pa.Table.from_pylist([], STATEMENT), tmp_path / "c")
    with switch.open(home_of(tmp_path / "h")) as engine:
        asked.clear()
        answer = engine.reconcile(*(tmp_path / name for name in "abc"), at=LATER)
        assert asked == ["a", "b", "c"]
        assert answer["read"] == {"confirmations": 2, "returns": 1, "statement": 0}
        assert answer["warnings"] == ["a: unknown column entry_id is ignored"]
        with pytest.raises(InputRefused, match="HEADER_MISMATCH"):
            engine.reconcile(tmp_path / "a", strict_columns=True)


def test_answers__what_was_sent_is_proven_once_and_stays_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = home_of(tmp_path / "h")
    proven, prove = [], Home.proven

    def counted(self: Home, path: Path) -> Path:
        proven.append(path)
        return prove(self, path)

    with switch.open(home) as engine:
        monkeypatch.setattr(Home, "proven", counted)
        take(engine, home, *(said(n, amount=1) for n in range(1, 13)))
        sent = [path for path in proven if path.parent.name == "clearing"]
        assert len(sent) == len(set(sent)) == 3
        lines = SentLines(engine.home, {1})
        chosen = np.ones(len(lines), bool)
        assert len(lines.records(chosen, pa.array([], pa.string()))) == 12
        # A rehearsal links the file, a backup changes its mode: it is what it was.
        (tmp_path / "link").hardlink_to(sent[0])
        assert len(lines.records(chosen, pa.array([], pa.string()))) == 12
        sent[0].write_bytes(sent[0].read_bytes()[:-1] + b"?")
        with pytest.raises(VerificationFailed, match="is not as it was committed"):
            lines.records(chosen, pa.array([], pa.string()))


def words_of(column: pa.Array, secret: int) -> Any:
    """Account words of texts."""
    none = [np.empty(0, kind) for kind in ("u2", "u4", "i8", "u8", "i8", "u2")]
    words = np.empty(len(column), np.uint64)
    sent = Sent(np.zeros((1, 3), np.int64), tuple(none), 0, 35, secret)
    sent.accounts(*text_buffers(column), words)
    return words


def test_answers__texts_have_keys_of_their_own() -> None:
    texts = ["", "a", "a" * 7, "a" * 8, "a" * 9, "b" + "a" * 8, "a" * 40, "0", "00", None]
    column = pa.array(["x", *texts])[1:]
    keys = words_of(column, 5)[:9]
    assert len(np.unique(keys)) == 9
    assert (words_of(pa.array(texts), 5)[:9] == keys).all()
    # Short numbers are their own keys: nobody can make two of them alike.
    assert ((words_of(column, 6)[:9] != keys) == [t > "9" for t in texts[:9]]).all()


# --- statements and rules --------------------------------


def test_answers__the_statement_is_held_against_what_was_asked(tmp_path: Path) -> None:
    home = home_of(tmp_path / "h", 4)
    entry = {"end_to_end_id": "20261125-000001", "booked_on": dt.date(2026, 11, 25)}
    with switch.open(home) as engine:
        request = (tmp_path / "h" / "batches" / "000001" / "settlement.json").read_bytes()
        import json

        rows = [
            {
                "account": r["account"],
                "entry_id": f"E{n}",
                "amount": int(r["amount"]) + (n == 0),
                "side": "C" if r["side"] == "credit" else "D",
                **entry,
            }
            for n, r in enumerate(json.loads(request)["participants"])
        ]
        rows.append(
            {
                "account": "T.RETURNS",
                "entry_id": "X",
                "transfer_id": transfer(1),
                "amount": 1_000_001,
                "side": "C",
                "booked_on": dt.date(2026, 11, 27),
            }
        )
        pq.write_table(pa.Table.from_pylist(rows, STATEMENT), tmp_path / "s")
        engine.reconcile(
            tmp_path / "s", write(tmp_path / "a", [said(n) for n in (2, 3, 4)]), at=LATER
        )
        table = open_breaks(engine.home, folders(engine.home))
        found = list(zip(table["set"].to_pylist(), table["class"].to_pylist(), strict=True))
        assert sorted(found) == [
            ("confirmations", "MISSING"), ("settlement", "AMOUNT"), ("treasury", "MISSING")
        ]  # fmt: skip
        engine.reconcile(write(tmp_path / "r", [back(1)]), at=LATER)
        table = open_breaks(engine.home, folders(engine.home))
        kept = table.filter(pa.array([s == "treasury" for s in table["set"].to_pylist()]))
        assert len(kept) == 0
    assert switch.verify(home)


def test_answers__rules_stay_in_force(tmp_path: Path) -> None:
    from importlib.resources import files

    text = files("switch").joinpath("data", "reconciliation.toml").read_text("utf-8")
    (tmp_path / "r.toml").write_text(
        text.replace("deadline_days = 1", "deadline_days = 9"), "utf-8"
    )
    with switch.open(home_of(tmp_path / "h", 2)) as engine:
        take(engine, tmp_path / "h", said(1))
        assert breaks_of(engine) == [("MISSING", transfer(2))]
        ruled = engine.reconcile(rules=read_rules(tmp_path / "r.toml"), at=LATER)
        assert (ruled["number"], ruled["events"]) == (2, {"closed": 1})
        assert engine.reconcile(at="2026-12-01")["breaks"] == {}
        assert states_of(engine)[2] == "SETTLED"
        assert engine.reconcile(at="2026-12-20")["breaks"] == {"MISSING": 1}
    assert switch.verify(tmp_path / "h")
