"""Households that wait: lines keep the name of theirs, and go as one credit when they clear."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import households as house
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from answering import CALENDAR, back, said, states_of, switch_verify, take
from households import joined, lines, rows_sent
from scene import (
    BANK,
    BANK_ACCOUNT,
    TREASURY,
    WALLET,
    account,
    accounts_table,
    command,
    line,
    make_home,
    participant,
    pay,
    payment_table,
    people_table,
    person,
    person_id,
    reasons,
    run,
    tree_digest,
    write_table,
)
from stored_batches import rule_set, stored

import switch
from switch.errors import VerificationFailed
from switch.reason import FIRST_ACCOUNT, NO_MONTHS, RULE_SET, WAITS_ALONE
from switch.registry.settings import Settings

Row = dict[str, Any]
OTHER = [line(1, benefit="SASS")]
"""A table that has nothing to do with households."""
HEADS = "1000000001"


def waiting(path: Path, seq: int = 1) -> list[tuple[int, str | None]]:
    """(line, household) of what waits after a batch; no household where there is no column."""
    table = pq.read_table(path / "batches" / f"{seq:06d}" / "held.parquet")
    rows = table.to_pylist()
    return [(row["line_no"], row.get("household")) for row in rows]


def columns(path: Path, name: str) -> list[str]:
    return list(pq.read_schema(path / "batches" / name).names)


def open_accounts(engine: switch.Engine, *numbers: int, account_: str = HEADS) -> None:
    """The head's account becomes that of some of the others."""
    engine.register(accounts=accounts_table([account(n, account=account_) for n in numbers]))


@pytest.fixture
def held(tmp_path: Path) -> Path:
    """A household of four, of whom the head alone has an account, and one of two without any."""
    people = [person(n) for n in range(1, 7)]
    path = make_home(tmp_path / "h", people, [account(1, account=HEADS)])
    with switch.open(path) as engine:
        assert reasons(run(engine, lines((4, 2)), "A")) == [None, *["AC03"] * 5]
    return path


def test_waiting__who_waited_goes_as_one_credit(held: Path) -> None:
    """By the id of the first of them, and with the sum; nobody waits for the others: who has an
    account by then goes, and the rest another time."""
    home = [(2, "H1"), (3, "H1"), (4, "H1"), (5, "H2"), (6, "H2")]
    assert waiting(held) == home
    with switch.open(held) as engine:
        assert engine.home.catalog.meta("format") == "9"
        assert rule_set(stored(held, 1)) == RULE_SET
        assert joined(engine) == []
        open_accounts(engine, 2, 3)
        batch = run(engine, OTHER, "C")
        assert rows_sent(engine, 2) == {BANK: [(2, house.amount((2, 3))), (1, 1_000_001)]}
        assert joined(engine, 2) == [[2, 3]]
        row = pq.read_table(batch.folder / "credits.parquet").to_pylist()[1]
        assert row == {"batch": 1, "line_no": 3, "first": 2, "amount": 1_000_003}
        assert batch.summary["credits"] == {"count": 1, "lines": 2, "sum": house.amount((2, 3))}
        assert waiting(held, 2) == home[2:]
        open_accounts(engine, 4, 5, 6)
        run(engine, [line(1, benefit="MERT")], "D")
        assert joined(engine, 3) == [[5, 6]]
        assert rule_set(stored(held, 3)) == RULE_SET
        run(engine, [line(2, benefit="MERT")], "E")
        assert rule_set(stored(held, 4)) == FIRST_ACCOUNT, "nothing waits any more"
        assert switch_verify(engine)
    assert switch.verify(held)


def test_waiting__is_derived_again(tmp_path: Path) -> None:
    """Replay knows the queue of a batch with its households. Its people are late at first."""
    late = [person(n, status="late", status_since=dt.date(2026, 11, 1)) for n in (2, 3)]
    path = make_home(tmp_path / "h", [person(1), *late, person(4)], [
        account(n, account=HEADS) for n in (1, 2, 3, 4)])  # fmt: skip
    with switch.open(path) as engine:
        assert reasons(run(engine, lines((4,)), "A")) == [None, "G003", "G003", None]
        assert joined(engine) == [[1, 4]]
    assert switch.replay(path, "A", payment_table(lines((4,))))
    with switch.open(path) as engine:
        engine.register(population=people_table([person(2), person(3)]))
        run(engine, OTHER, "C")
        assert joined(engine, 2) == [[2, 3]]
        assert switch_verify(engine)
    assert switch.replay(path, "C", payment_table(OTHER))


@pytest.mark.parametrize("rows_max", [1, 2, 3, 1000])
def test_waiting__chunks_do_not_show(tmp_path: Path, rows_max: int) -> None:
    """The column comes with the first line that names a household, whatever was written before."""
    rows = [
        *(line(n) for n in (1, 2, 3)),
        *lines((1, 1, 1, 4, 2))[3:],
        *(line(n, household="") for n in (10, 11)),
    ]
    rows[2]["household"] = rows[1]["household"] = "H1"
    people = [person(n) for n in range(1, 12)]
    files = []
    for name, chunk in (("a", rows_max), ("b", 1000)):
        path = make_home(tmp_path / name, people, [account(12)])
        with switch.open(path) as engine:
            run(engine, rows, "A", chunk_rows=chunk, threads=1 + chunk % 2)
            open_accounts(engine, *range(1, 12))
            run(engine, OTHER, "C", chunk_rows=chunk)
            assert joined(engine, 2) == [[2, 3], [4, 5, 6, 7], [8, 9]]
            assert switch_verify(engine)
        files.append([tree_digest(path / "batches" / f"00000{n}") for n in (1, 2)])
    assert files[0] == files[1]


def test_waiting__the_first_who_names_one_may_come_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind more lines than are kept back, which are in the file by then."""
    rows = [*(line(n) for n in range(1, 8)), *lines((7, 2))[7:]]
    found = []
    for most in (1000, 3):
        monkeypatch.setattr("switch.files.lines_file.GROUP_ROWS", most)
        path = make_home(tmp_path / f"h{most}", [person(n) for n in range(1, 10)])
        with switch.open(path) as engine:
            run(engine, rows, "A", chunk_rows=2)
            assert switch_verify(engine)
        assert waiting(path) == [*((n, None) for n in range(1, 8)), (8, "H2"), (9, "H2")]
        found.append((path / "batches" / "000001" / "held.parquet").read_bytes())
    assert found[0] == found[1]


def test_waiting__nothing_is_kept_where_no_line_names_a_household(tmp_path: Path) -> None:
    """To the byte: of who waits none has a name."""
    rows = [*lines((2,)), line(40, household=None), line(41, household="")]
    plain = [{n: v for n, v in row.items() if n != "household"} for row in rows]
    found = []
    for name, table in (("with", rows), ("without", plain)):
        path = house.home_of(tmp_path / name, settings=CALENDAR)
        with switch.open(path) as engine:
            engine.register(population=people_table([person(40), person(41)]))
            run(engine, table, "A")
        found.append((path / "batches" / "000001" / "held.parquet").read_bytes())
        assert "household" not in columns(path, "000001/held.parquet")
        assert ("household" in columns(path, "000001/cleared.parquet")) == (name == "with")
    assert found[0] == found[1]


def test_waiting__neighbours_in_the_queue_are_of_one_batch(held: Path) -> None:
    """Who stood between them may have gone; a household of another table is another."""
    with switch.open(held) as engine:
        rows = [line(n, household="H2", benefit="MERT") for n in (5, 2, 6)]
        run(engine, rows, "B")
        open_accounts(engine, 2)
        run(engine, OTHER, "C")
        assert joined(engine, 3) == []
        run(engine, [line(n, household="H2", benefit="SASS") for n in (5, 6)], "D")
        open_accounts(engine, 3, 4, 5, 6)
        run(engine, [line(1, benefit="MERT")], "E")
        assert joined(engine, 5) == [[3, 4], [5, 6], [1, 3], [1, 2]]
        batches = pq.read_table(held / "batches" / "000005" / "credits.parquet")["batch"]
        assert batches.to_pylist() == [1, 1, 1, 1, 2, 2, 4, 4]
        assert switch_verify(engine)


def test_waiting__a_household_of_two_tables_is_two(tmp_path: Path) -> None:
    """Neighbours in the queue that differ in nothing but their batch."""
    path = make_home(tmp_path / "h", [person(n) for n in (1, 2, 3)])
    with switch.open(path) as engine:
        for n in (2, 3):
            run(engine, [line(n, household="H1")], f"A{n}")
        open_accounts(engine, 2, 3)
        run(engine, OTHER, "C")
        assert joined(engine, 3) == []
        assert rows_sent(engine, 3) == {BANK: [(1, 1_000_002), (1, 1_000_003)]}
        assert switch_verify(engine)


def test_waiting__who_finds_cover_at_the_end_goes_alone(tmp_path: Path) -> None:
    """What waits for the receipts of the table goes by itself, of this batch or an earlier one; who
    has cover before the table begins goes with the household."""
    capped = [
        participant(TREASURY, "treasury"), participant(BANK, net_debit_cap=1), participant(WALLET)
    ]  # fmt: skip
    everybody = [person(n) for n in range(1, 6)], [account(5)]
    path = make_home(tmp_path / "h", *everybody, participants=capped)
    of_bank = [
        row | {"debtor_account": BANK_ACCOUNT, "creditor_agent": WALLET, "creditor_account": "9"}
        for row in lines((4,))
    ]
    with switch.open(path) as engine:
        assert reasons(run(engine, of_bank[:2], "A")) == ["AM23", "AM23"]
        assert reasons(run(engine, [*of_bank[2:], line(5, amount=9_000_000)], "B")) == [None] * 3
        assert joined(engine, 2) == []
        assert rows_sent(engine, 2)[WALLET] == [
            (1, 1_000_001), (2, 1_000_002), (1, 1_000_003), (2, 1_000_004)
        ]  # fmt: skip
        assert switch_verify(engine)
    again = make_home(tmp_path / "o", *everybody, participants=capped)
    with switch.open(again) as engine:
        run(engine, of_bank, "A")
        rich = [participant(TREASURY, "treasury"),
                participant(BANK, net_debit_cap=9_000_000), participant(WALLET)]  # fmt: skip
        engine.change_directory(participants=pa.Table.from_pylist(rich))
        run(engine, [line(5, benefit="SASS")], "B")
        assert joined(engine, 2) == [[1, 2, 3, 4]]
        assert switch_verify(engine)


def test_waiting__older_rules_send_each_line_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch that was run before is derived again as it was, and what waited since then has no
    household any more."""
    people = [person(n) for n in (1, 2, 3)]
    path = make_home(tmp_path / "h", people, [account(1)], settings=CALENDAR)
    with monkeypatch.context() as patch:
        patch.setattr("switch.clearing.payday.RULE_SET", WAITS_ALONE)
        pay(path, lines((3,)), "A")
    assert rule_set(stored(path, 1)) == FIRST_ACCOUNT
    assert waiting(path) == [(2, None), (3, None)]
    assert "household" not in columns(path, "000001/cleared.parquet")
    assert switch.replay(path, "A", payment_table(lines((3,))))
    with switch.open(path) as engine:
        assert engine.home.catalog.meta("format") == "3"
        open_accounts(engine, 2, 3)
        run(engine, [line(1, benefit="SASS")], "C")
        assert joined(engine, 2) == []
        assert rows_sent(engine, 2) == {BANK: [(2, 1_000_002), (3, 1_000_003), (1, 1_000_001)]}
        assert switch_verify(engine)


def test_waiting__a_queue_by_newer_rules_is_read_by_older_ones(
    held: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with switch.open(held) as engine, monkeypatch.context() as patch:
        open_accounts(engine, 2, 3)
        patch.setattr("switch.clearing.payday.RULE_SET", NO_MONTHS)
        run(engine, OTHER, "C")
        assert joined(engine, 2) == []
        assert waiting(held, 2) == [(4, None), (5, None), (6, None)]
        assert switch_verify(engine)
    assert switch.replay(held, "C", payment_table(OTHER))


# --- who leaves the queue, and who comes back to it -----------------------------------------------


def test_waiting__cancelled_lines_leave_the_others_their_household(held: Path) -> None:
    words = {"by": "a clerk", "why": "twice in the list"}
    with switch.open(held) as engine:
        engine.cancel_lines([("A", 3)], **words)
        open_accounts(engine, 2, 4, 5, 6)
        run(engine, OTHER, "C")
        assert joined(engine, 2) == [[2, 4], [5, 6]]
        assert switch_verify(engine)
    assert switch.replay(held, "C", payment_table(OTHER))


def test_waiting__expired_lines_do_too(tmp_path: Path) -> None:
    path = make_home(
        tmp_path / "h",
        [person(n) for n in range(1, 5)],
        settings=Settings(held_days_of={"MERT": 3}),
    )
    with switch.open(path) as engine:
        rows = lines((4,))
        rows[1] |= {"benefit": "MERT"}
        run(engine, rows, "A")
        assert engine.expire("2026-12-20")["count"] == 1
        open_accounts(engine, 1, 3, 4)
        run(engine, [line(1, benefit="MERT")], "C", value_date="2026-12-21")
        assert joined(engine, 2) == [[1, 3, 4]]
        assert switch_verify(engine)


def test_waiting__a_household_that_went_and_waits_in_part(tmp_path: Path) -> None:
    """A cycle is given up: its credit is told of in one row, and waits beside the line that had
    waited; then all go as one, by the id of the first."""
    path = make_home(
        tmp_path / "h",
        [person(n) for n in (1, 2, 3)],
        [account(n, account=HEADS) for n in (2, 3)],
        settings=CALENDAR,
    )
    with switch.open(path) as engine:
        assert reasons(run(engine, lines((3,)), "A")) == ["AC03", None, None]
        assert joined(engine) == [[2, 3]]
        cycle = str(engine.cycles().rows()[0]["cycle"])
        engine.settle(cycle, close_only=True)
        engine.settle(cycle, abort="it was drawn")
        recall = path / "out" / "cycles" / cycle / "recall" / f"{BANK}.parquet"
        assert pq.read_table(recall)["amount"].to_pylist() == [house.amount((2, 3))]
        queue = pq.read_table(path / "recasts" / "000001" / "held.parquet")
        assert queue["household"].to_pylist() == ["H1"] * 3
        assert switch_verify(engine)
        open_accounts(engine, 1)
        run(engine, OTHER, "C")
        assert joined(engine, 2) == [[1, 2, 3]]
        engine.settle()
        take(engine, path, said(1, participant=BANK, amount=house.amount((1, 2, 3)),
                                creditor_account=HEADS))  # fmt: skip
        assert set(states_of(engine).values()) == {"CREDITED"}
        assert switch_verify(engine)
    assert switch.verify(path)


def test_waiting__what_was_taken_back_is_no_credit_any_more(tmp_path: Path) -> None:
    """Its first line is refused by the next run, and the other one goes and is answered alone."""
    path = make_home(
        tmp_path / "h",
        [person(n) for n in (1, 2)],
        [account(n, account=HEADS) for n in (1, 2)],
        settings=CALENDAR,
    )
    with switch.open(path) as engine:
        run(engine, lines((2,)), "A")
        assert joined(engine) == [[1, 2]]
        cycle = str(engine.cycles().rows()[0]["cycle"])
        engine.settle(cycle, close_only=True)
        engine.settle(cycle, abort="it was drawn")
        engine.register(population=people_table([person(1, status="missing")]))
        run(engine, [line(2, benefit="SASS")], "C")
        engine.settle()
        take(engine, path, said(2, participant=BANK, creditor_account=HEADS))
        assert states_of(engine)[2] == "CREDITED"
        assert switch_verify(engine)


# --- answers --------------------------------------------------------------------------------------


@pytest.fixture
def sent(held: Path) -> Path:
    """A credit of lines 2 to 4, and one of 5 and 6, which had waited."""
    with switch.open(held) as engine:
        open_accounts(engine, 2, 3, 4)
        open_accounts(engine, 5, 6, account_="1000000005")
        run(engine, OTHER, "C")
        assert joined(engine, 2) == [[2, 3, 4], [5, 6]]
    return held


def test_waiting__an_answer_is_one_to_every_line(sent: Path) -> None:
    """Credited, told of in the story of each line, and a break where a part is named."""
    whole = said(2, participant=BANK, amount=house.amount((2, 3, 4)), creditor_account=HEADS)
    part = said(5, participant=BANK, amount=1_000_005, creditor_account="1000000005")
    other = said(6, participant=BANK, amount=1_000_006, creditor_account="1000000005")
    with switch.open(sent) as engine:
        take(engine, sent, whole, part, other)
        states = states_of(engine)
        assert [states[n] for n in (2, 3, 4)] == ["CREDITED"] * 3
        assert [states[n] for n in (5, 6)] == ["UNAPPLIED"] * 2
        kinds = sorted(row["class"] for row in engine.breaks().rows())
        assert set(kinds) == {"AMOUNT", "MISSING"}
        assert switch_verify(engine)
    told = command("status", sent, "--line", "A:4", "--json").document
    assert [row["state"] for row in told["states"]] == ["HELD", "SETTLED", "CREDITED"]
    assert told["states"][-1]["transfer_id"].endswith("0000000004")
    told = command("status", sent, "--line", "A:6", "--json").document
    assert [row["class"] for row in told["breaks"]] == ["AMOUNT"]
    assert command("verify", sent).code == 0


def test_waiting__a_return_brings_back_all(sent: Path) -> None:
    with switch.open(sent) as engine:
        row = back(5, participant=BANK, amount=house.amount((5, 6)))
        take(engine, sent, row, at="2026-11-30")
        states = states_of(engine)
        assert [states[n] for n in (4, 5, 6)] == ["UNAPPLIED", "RETURNED", "RETURNED"]
        assert switch_verify(engine)
    assert switch.verify(sent)


def test_waiting__is_recalled_whole(sent: Path) -> None:
    words = ["--reason", "DUPL", "--by", "a clerk", "--why", "paid twice"]
    part = command("recall", sent, "A:2", "A:3", *words)
    assert (part.code, "in one credit with line 4" in part.err) == (2, True)
    assert command("recall", sent, "A:2", "A:3", "A:4", *words, "--yes").code in (0, 2)
    with switch.open(sent) as engine:
        engine.recall([("A", n) for n in (5, 6)], reason="DUPL", by="a clerk", why="paid twice")
        assert switch_verify(engine)
    path = sorted((sent / "answers").iterdir())[-1] / "recall" / f"{BANK}.parquet"
    assert pq.read_table(path)["amount"].to_pylist() == [house.amount((5, 6))]


def test_waiting__so_many_persons_an_account_count_each(sent: Path) -> None:
    told = command("shared", sent, "--json").document
    assert [(row["persons"], row["lines"]) for row in told["shown"]] == [(4, 4), (2, 2)]


def test_waiting__by_command_from_a_table(tmp_path: Path) -> None:
    """A representative's authority that ended leaves lines waiting; with a new one they are paid
    together, never to the former representative."""
    ended, far = dt.date(2026, 11, 24), dt.date(2027, 11, 25)
    theirs = [
        account(n, account=HEADS, valid_to=ended) | {"representative": person_id(1)} for n in (2, 3)
    ]
    people = [person(n) for n in (1, 2, 3, 4)]
    path = make_home(tmp_path / "h", people, [account(1, account=HEADS), *theirs])
    table = write_table(payment_table(lines((3,))), tmp_path / "t.parquet", batch_id="A")
    told = command("run", path, table, "--json").document["batches"][0]
    assert (told["cleared"]["count"], told["held"]["count"]) == (1, 2)
    new = [
        account(n, participant=WALLET, account="1000000004", valid_to=far)
        | {"representative": person_id(4)}
        for n in (2, 3)
    ]
    file = tmp_path / "accounts.parquet"
    pq.write_table(accounts_table(new), file)
    assert command("register", path, "--accounts", file).code == 0
    other = write_table(payment_table(OTHER), tmp_path / "o.parquet", batch_id="C")
    told = command("run", path, other, "--json").document["batches"][0]
    assert told["represented"]["cleared"]["count"] == 2
    assert told["credits"] == {"count": 1, "lines": 2, "sum": house.amount((2, 3))}
    assert command("verify", path).code == 0
    assert command("replay", path, "C", other).code == 0


# --- proof ----------------------------------------------------------------------------------------


def test_verify__finds_a_home_that_an_engine_of_before_would_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("switch.clearing.close.FORMAT_HOUSEHOLDS", 7)
    path = make_home(tmp_path / "h", [person(1), person(2)])
    pay(path, lines((2,)), "A")
    with pytest.raises(VerificationFailed, match="has format 7"):
        switch.verify(path)


def test_verify__finds_rules_that_do_not_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("switch.clearing.run.RULE_SET", WAITS_ALONE)
    path = make_home(tmp_path / "h", [person(1), person(2)])
    pay(path, lines((2,)), "A")
    with pytest.raises(VerificationFailed, match="name households that wait"):
        switch.verify(path)


def test_verify__finds_strangers_who_had_waited_in_one_credit(
    held: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines of two households to one account."""
    begins = "switch.clearing.credits.Credits._begins"

    def all_of_one(_: Any, chunk: Any, household: Any) -> Any:
        found = [n == 0 for n in range(len(chunk.lines))], [True] * len(chunk.lines)
        return tuple(map(pa_bools, found))

    def pa_bools(values: list[bool]) -> Any:
        return pa.array(values).to_numpy(zero_copy_only=False)

    with switch.open(held) as engine, monkeypatch.context() as patch:
        open_accounts(engine, 2, 3, 4, 5, 6)
        patch.setattr(begins, all_of_one)
        run(engine, OTHER, "C")
    with pytest.raises(VerificationFailed, match="a credit of before is of no household"):
        switch.verify(held)
