"""What is beside the lines: positions, audit records, the calendar, a search, one participant."""

from __future__ import annotations

import io
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from answering import home_of
from cycles import lines, make
from scene import (
    BANK,
    TREASURY,
    WALLET,
    account,
    accounts_table,
    change_catalog,
    command,
    line,
    make_home,
    new_checkpoint,
    people_table,
    person,
    person_id,
    run,
)

import switch
from switch import finding
from switch.errors import UsageError, VerificationFailed
from switch.files import row_index
from switch.finding import hidden


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Twelve lines of three receivers, settled."""
    return home_of(tmp_path / "home")


def peopled(path: Path, people: int = 12) -> Path:
    """A home with so many people, each with an account."""
    numbers = range(1, people + 1)
    return make_home(path, [person(n) for n in numbers], [account(n) for n in numbers])


def rows(listing: Any) -> list[dict[str, Any]]:
    return [dict(row) for row in listing.rows()]


# --- positions ------------------------------------------------------------------------------------


def test_positions__sum_to_zero_and_are_those_of_the_batch(home: Path) -> None:
    with switch.open(home, mode="r") as engine:
        told = rows(engine.watch.positions())
        batch = engine.batches()[0]["batch_id"]
        stored = {row["cycle"] for row in engine.batches()}
        export = engine.home.catalog.positions(told[0]["cycle"])
    assert {row["cycle"] for row in told} == stored
    assert batch
    assert sum(row["net"] for row in told) == 0
    assert {r.settled_by for r in export} == {row["participant"] for row in told}
    assert told[0]["participant"] == TREASURY
    assert told[0]["net"] == -told[0]["debit_sum"] < 0


def test_positions__of_an_open_cycle_have_room(tmp_path: Path) -> None:
    engine = make(tmp_path / "h", balances={"KBNN": 1_000})
    with engine:
        run(engine, lines("KBNN > A 300"), at="2026-11-25T09:00")
        (row,) = rows(engine.watch.positions(participant="KBNN"))
        assert (row["state"], row["net"]) == ("OPEN", -300)
        with pytest.raises(UsageError, match="not known here"):
            engine.watch.positions(participant="NOBODY")


# --- records --------------------------------------------------------------------------------------


def test_records__are_the_audit_chain_the_newest_first(home: Path) -> None:
    with switch.open(home) as engine:
        engine.control.participant(WALLET, by="An", why="it does not answer", status="suspended")
        told = rows(engine.watch.records())
        assert [row["record"] for row in told] == list(range(len(told), 0, -1))
        assert told[0]["link"] == engine.home.catalog.audit.head()[1]
        newest = {name: told[0][name] for name in ("kind", "subject", "by", "why")}
        assert newest == {
            "kind": "directory",
            "subject": WALLET,
            "by": "An",
            "why": "it does not answer",
        }
        assert [r["kind"] for r in rows(engine.watch.records(kind="batch"))] == ["batch"]
        assert len(engine.watch.records(limit=1)) == 1
        assert not len(engine.watch.records(since="2030-01-01"))


# --- the calendar ---------------------------------------------------------------------------------


def test_cut_offs__have_every_day_and_what_was_opened(tmp_path: Path) -> None:
    with make(tmp_path / "h", balances={"KBNN": 1_000}) as engine:
        run(engine, lines("KBNN > A 300"), at="2026-11-25T09:00")
        told = rows(engine.watch.cut_offs("2026-11-25", days=7))
    assert len({row["day"] for row in told}) == 7
    first = told[0]
    assert (first["day"], first["state"]) == ("2026-11-25", "OPEN")
    weekend = [row for row in told if row["weekday"] in ("Saturday", "Sunday")]
    assert [row["cycle"] for row in weekend] == [None, None]
    assert not any(row["business_day"] for row in weekend)


def test_cut_offs__are_none_without_a_calendar(home: Path) -> None:
    with switch.open(home, mode="r") as engine, pytest.raises(UsageError, match="no calendar"):
        engine.watch.cut_offs()


# --- finding --------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["BATCH 3", "batch/3", "20261125-000001-0000000003"])
def test_find__a_line_by_its_name(home: Path, text: str) -> None:
    with switch.open(home, mode="r") as engine:
        name = engine.batches()[0]["batch_id"]
        found = engine.watch.find(text.replace("BATCH", name).replace("batch", name))
        told = engine.line(name, 3)
    (only,) = found["lines"]
    assert (only["batch_id"], only["line_no"]) == (name, 3)
    assert (only["amount"], only["person"]) == (told["amount"], "")


def test_find__people_by_a_piece_of_their_id(tmp_path: Path) -> None:
    home = peopled(tmp_path / "h")
    with switch.open(home) as engine:
        run(engine, [line(1), line(2), line(12)], "ONE")
        run(engine, [line(2, period=202512)], "TWO")
        whole = engine.watch.find(person_id(2))
        assert [(one["batch_id"], one["line_no"]) for one in whole["lines"]] == [
            ("ONE", 2),
            ("TWO", 1),
        ]
        piece = engine.watch.find("0002")
        assert {one["person"] for one in piece["lines"]} == {"••••••••0002"}
        several = engine.watch.find("00100000")
        by_hand = [n for n in (1, 2, 12) if "00100000" in person_id(n)]
        assert several["people"] == len(by_hand)
        assert several["more"] is False
        bounded = engine.watch.find("00100000", limit=2)
        assert (len(bounded["lines"]), bounded["more"]) == (2, True)
        assert engine.watch.find("0002", sources=["NOBODY"])["lines"] == []


def test_find__people_of_a_delta_too(tmp_path: Path) -> None:
    home = peopled(tmp_path / "h", 200)
    with switch.open(home) as engine:
        engine.register(
            population=people_table([person(7777)]), accounts=accounts_table([account(7777)])
        )
        run(engine, [line(7777)], "ONE")
        assert len(engine.home.catalog.register_chain()) == 2
        (one,) = engine.watch.find("7777")["lines"]
        assert one["person"] == "••••••••7777"


def test_find__a_person_who_is_changed_by_a_delta_is_found_once(tmp_path: Path) -> None:
    home = peopled(tmp_path / "h", 200)
    with switch.open(home) as engine:
        run(engine, [line(7), line(8)], "ONE")
        engine.register(population=people_table([person(7, status="deceased")]))
        assert len(engine.home.catalog.register_chain()) == 2
        found = engine.watch.find("000007")
        assert (found["people"], len(found["lines"])) == (1, 1)
        assert [one["line_no"] for one in engine.watch.find("00000", limit=2)["lines"]] == [1, 2]


def test_find__a_person_of_two_ids_by_a_piece_of_either(tmp_path: Path) -> None:
    home = peopled(tmp_path / "h", 200)
    pair = {"person_id": [person_id(7)], "replaced_by": [person_id(150)]}
    with switch.open(home) as engine:
        run(engine, [line(7), line(8)], "ONE")
        engine.register(replaced=pa.table(pair))
        run(engine, [line(150, period=202612)], "TWO")
        for text in (person_id(7), person_id(150), "0007", "0150", "00000000", "0000"):
            found = engine.watch.find(text)["lines"]
            shown = {(one["batch_id"], one["line_no"]): one["person"] for one in found}
            assert text in shown["ONE", 1] == shown["TWO", 1], text
            assert list(shown) == list(dict.fromkeys(shown)), "each line once"


def test_find__batches_of_before_without_an_index(tmp_path: Path) -> None:
    home = peopled(tmp_path / "h")
    with switch.open(home) as engine:
        run(engine, [line(1), line(2), line(12)], "ONE")
        run(engine, [line(2, period=202512)], "TWO")
        wanted = engine.watch.find("0010")
    index = "batches/000001/rows.index"
    (home / index).unlink()
    with switch.open(home, mode="r") as engine, pytest.raises(VerificationFailed, match="is gone"):
        engine.watch.find("0010")
    change_catalog(home, "DELETE FROM files WHERE path = ?", index)
    new_checkpoint(home)
    with switch.open(home, mode="r") as engine:
        assert engine.watch.find("0010") == wanted


def test_find__looks_at_so_many_people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = peopled(tmp_path / "h")
    with switch.open(home) as engine:
        run(engine, [line(n) for n in range(1, 13)], "ONE")
        monkeypatch.setattr(finding, "LOOKS_MAX", 12)
        all_of_them = engine.watch.find("0010")
        assert (all_of_them["people"], all_of_them["more"]) == (12, False)
        monkeypatch.setattr(finding, "LOOKS_MAX", 5)
        some = engine.watch.find("0010")
        assert (some["people"], some["more"]) == (5, True)


@pytest.mark.parametrize("text", ["19990101-000001-0000000003", "20261125-000001-0000000099"])
def test_find__a_transfer_of_another_day_or_beyond_the_last_is_none(home: Path, text: str) -> None:
    with switch.open(home, mode="r") as engine:
        assert engine.watch.find(text)["lines"] == []


@pytest.mark.parametrize("digits", range(4, 12))
def test_fragment__is_found_wherever_it_stands(digits: int) -> None:
    draw = random.Random(digits)
    ids = [0, 10**12 - 1, *(draw.randrange(10 ** draw.randrange(1, 13)) for _ in range(2000))]
    texts = [f"{one:012d}" for one in ids]
    for text in draw.choices(texts, k=20):
        at = draw.randrange(13 - digits)
        piece = text[at : at + digits]
        found = finding.Fragment(piece)(np.array(ids, np.uint64))
        assert found.tolist() == [piece in one for one in texts], piece


@pytest.mark.parametrize("part_lines", [7, 100])
@pytest.mark.parametrize("spread", [1, 300, 1 << 20])
def test_rows_there__are_those_that_have_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part_lines: int, spread: int
) -> None:
    monkeypatch.setattr(row_index, "PART_LINES", part_lines)
    draw = np.random.default_rng(spread)
    path = tmp_path / "rows.index"
    index = row_index.RowIndex(path)
    index.add(draw.integers(5, 5 + spread, 150).astype(np.uint32))
    index.add_moved(np.array([3, spread + 9], np.uint32))
    index.close()
    for count in (1, 40, 3000):
        rows = draw.integers(0, spread + 12, count)
        wanted = [bool(row_index.places(path, row)) for row in rows.tolist()]
        assert row_index.rows_there(path, rows).tolist() == wanted
    content = path.read_bytes()
    for cut in (
        content[:-1],
        content[:8] + b"\xff" * 24 + content[32:],
        content[:32] + b"\xff" * 8,
    ):
        path.write_bytes(cut)
        with pytest.raises(VerificationFailed, match=r"rows\.index"):
            row_index.rows_there(path, rows)


def test_find__reads_what_is_looked_for_from_stdin(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = command("find", home, "0003", "--json")
    for text, code in (("0003", 0), (" 0003\n\n", 0), ("0003\n0004", 2), ("", 2)):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
        said = command("find", home, "-", "--json")
        assert said.code == code, said.err
        assert code or said.document == asked.document
    monkeypatch.setattr(sys, "stdin", None)
    assert command("find", home, "-").code == 2


def test_find__a_batch_by_a_piece_of_its_name(home: Path) -> None:
    with switch.open(home, mode="r") as engine:
        row = engine.batches()[0]
        (found,) = engine.watch.find(row["batch_id"][:2].lower())["batches"]
        assert found["batch_id"] == row["batch_id"]


@pytest.mark.parametrize("text", ["", "   ", "123", "x" * 129])
def test_find__refuses_what_finds_nobody(home: Path, text: str) -> None:
    with switch.open(home, mode="r") as engine, pytest.raises(UsageError):
        engine.watch.find(text)


def test_hidden__shows_the_digits_that_were_asked_for() -> None:
    assert hidden(1_000_000_002, "0100") == "•0100•••••••"
    assert hidden(1_000_000_002, "001000000002") == "001000000002"


# --- a participant --------------------------------------------------------------------------------


def test_participant__is_suspended_on_somebodys_word(tmp_path: Path) -> None:
    home = peopled(tmp_path / "h")
    with switch.open(home) as engine:
        run(engine, [line(1)], "ONE")
        said: Any = {"by": "An", "why": "it does not answer", "status": "suspended"}
        assert engine.control.participant(BANK, **said)["new"] is True
        assert engine.control.participant(BANK, **said)["new"] is False
        after = run(engine, [line(2)], "TWO")
        assert after.status["reason"].to_pylist() == ["AB08"]
        engine.control.participant(BANK, by="An", why="it answers", status="active")
        again = run(engine, [line(3)], "THREE")
        assert again.status["status"].to_pylist() == ["ACSC"]
    assert switch.verify(home)


def test_participant__is_capped_and_funded(tmp_path: Path) -> None:
    with make(tmp_path / "h", balances={"KBNN": 1_000}) as engine:
        changed = engine.control.participant("KBNN", by="An", why="less risk", cap=700)
        assert changed["participant"].net_debit_cap == 700
        assert (
            engine.control.participant("KBNN", by="An", why="more", cap=-1)[
                "participant"
            ].net_debit_cap
            is None
        )
        funded = engine.control.participant("KBNN", by="An", why="moved in", balance=2_500)
        assert funded["balance"] == 2_500
        held = {row["participant"]: row["balance"] for row in rows(engine.balances())}
        assert held["KBNN"] == 2_500
        again = engine.control.participant("KBNN", by="An", why="moved in", balance=2_500)
        assert again["new"] is False
    assert switch.verify(tmp_path / "h")


@pytest.mark.parametrize(
    ("code", "said", "what"),
    [
        ("NOBODY", {"status": "active"}, "not in the directory"),
        (BANK, {"status": "asleep"}, "not known"),
        (BANK, {}, "say status or cap"),
        (BANK, {"status": "active", "balance": 1}, "say status or cap"),
        (BANK, {"cap": -2}, "no amount"),
        (BANK, {"balance": -1}, "no amount"),
        (BANK, {"cap": 2**56}, "no amount"),
        (BANK, {"balance": 2**56}, "no amount"),
        (WALLET, {"balance": 1}, "settles by the account of"),
        (BANK, {"status": "suspended", "by": ""}, "say by"),
        (BANK, {"status": "suspended", "why": ""}, "say why"),
        (BANK, {"status": "suspended", "why": "x" * 141}, "why"),
    ],
)
def test_participant__refuses(tmp_path: Path, code: str, said: dict[str, Any], what: str) -> None:
    home = peopled(tmp_path / "h")
    with switch.open(home) as engine:
        before = engine.home.catalog.audit.head()
        with pytest.raises(UsageError, match=what):
            engine.control.participant(code, **{"by": "An", "why": "x", **said})
        assert engine.home.catalog.audit.head() == before


@pytest.mark.parametrize(
    ("forge", "what"),
    [
        (lambda said: said.update(by=""), "does not say by"),
        (lambda said: said.update(why="x" * 141), "does not say why"),
        (lambda said: said.update(participant=WALLET), "another participant"),
    ],
)
@pytest.mark.parametrize("change", [{"status": "suspended"}, {"balance": 5}])
def test_verify__finds_a_word_that_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forge: Any, what: str, change: dict[str, Any]
) -> None:
    from switch.home.store import Home

    home = peopled(tmp_path / "h")
    commit = Home.commit

    def forged(self: Home, **of: Any) -> Any:
        if "said" in of.get("detail", {}):
            of["detail"]["said"] = dict(of["detail"]["said"])
            forge(of["detail"]["said"])
        return commit(self, **of)

    with switch.open(home) as engine, monkeypatch.context() as patch:
        patch.setattr(Home, "commit", forged)
        engine.control.participant(BANK, by="An", why="x", **change)
    with pytest.raises(VerificationFailed, match=what):
        switch.verify(home)


def test_verify__finds_more_than_a_word_allows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import msgspec

    from switch.home.changes import SetMeta
    from switch.home.store import Home

    home = peopled(tmp_path / "h")
    commit = Home.commit

    def forged(self: Home, **of: Any) -> Any:
        if "said" in of.get("detail", {}):
            whole = msgspec.json.decode(of["detail"]["directory"])
            mine = next(p for p in whole["participants"] if p["participant"] == BANK)
            mine["amount_max"] = 5
            text = msgspec.json.encode(whole).decode()
            of["detail"] |= {"directory": text}
            of["changes"] = [SetMeta(text, "directory"), *of["changes"][1:]]
        return commit(self, **of)

    with switch.open(home) as engine, monkeypatch.context() as patch:
        patch.setattr(Home, "commit", forged)
        engine.control.participant(BANK, by="An", why="x", status="suspended")
    with pytest.raises(VerificationFailed, match="more is changed than its status"):
        switch.verify(home)


# --- the commands ---------------------------------------------------------------------------------


def test_commands__say_what_the_calls_do(home: Path) -> None:
    with switch.open(home, mode="r") as engine:
        wanted = {
            "positions": engine.watch.positions().document(),
            "audit": engine.watch.records().document(),
            "find": engine.watch.find("0003"),
        }
    assert command("positions", home, "--json").document == wanted["positions"]
    assert command("audit", home, "--json").document == wanted["audit"]
    assert command("find", home, "0003", "--json").document == wanted["find"]
    assert command("calendar", home, "--at", "home").code == 2
    said = ("participant", home, BANK, "--suspend", "--by", "An", "--why", "silent")
    assert "suspended" in command(*said).out
    assert "nothing is new" in command(*said).out
    told = command("participant", home, BANK, "--cap", "none", "--by", "An", "--why", "x", "--json")
    assert told.document["participant"]["net_debit_cap"] is None
    assert command("participant", home, BANK, "--cap", "-5", "--by", "An", "--why", "x").code == 2
    assert command("participant", home, "NOBODY", "--enable", "--by", "A", "--why", "x").code == 2
