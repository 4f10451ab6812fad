"""Changed and merged ids: a line for an id of before is judged as that of who carries it now."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import answering
import pyarrow as pa
import pytest
from households import joined
from scene import (
    BANK,
    WALLET,
    account,
    accounts_table,
    answers,
    command,
    entitlement,
    line,
    make_home,
    paid_table,
    pay,
    payment_table,
    people_table,
    person,
    person_id,
    run,
    tree_digest,
)

import switch
from switch.engine import Engine
from switch.errors import InputRefused, VerificationFailed
from switch.reason import REPLACED_ID
from switch.registry import identities
from switch.registry.load_registers import current

MANY = range(100, 300)
"""People beside, so that a change of a few is a delta."""


def pairs(*rows: tuple[int, int]) -> pa.Table:
    ids = [(person_id(old), person_id(new)) for old, new in rows]
    return pa.table({"person_id": [a for a, _ in ids], "replaced_by": [b for _, b in ids]})


def home_of(tmp_path: Path, **options: Any) -> Path:
    """Persons 1 to 4 with an account each, among many."""
    numbers = [1, 2, 3, 4, *MANY]
    return make_home(
        tmp_path / "home",
        [person(n) for n in numbers],
        [account(n) for n in numbers],
        **options,
    )


def replace(home: Path, *rows: tuple[int, int], **more: Any) -> dict[str, int]:
    with switch.open(home) as engine:
        return engine.register(replaced=pairs(*rows), **more)


def verify(home: Path) -> None:
    with switch.open(home, mode="r") as engine:
        assert len(engine.verify())


def refused(home: Path, *rows: tuple[int, int], **more: Any) -> tuple[str, int | None, str | None]:
    before = sorted(p.name for p in (home / "registers").iterdir())
    with pytest.raises(InputRefused) as caught:
        replace(home, *rows, **more)
    assert sorted(p.name for p in (home / "registers").iterdir()) == before
    assert caught.value.remedy
    return caught.value.rule, caught.value.row, caught.value.column


# --- judged as who carries it now -----------------------------------------------------------------


def test_replaced__a_line_for_an_id_of_before_is_paid_to_the_new_one(tmp_path: Path) -> None:
    home = home_of(tmp_path)
    assert replace(home, (1, 2)) == {"replaced_ids": 1}
    batch = pay(home, [line(1), line(3)])
    assert answers(batch) == [("ACSC", None), ("ACSC", None)]
    assert batch.status["reason_detail"].to_pylist() == [REPLACED_ID, None]
    verify(home)


def test_replaced__both_ids_are_one_person_within_a_table(tmp_path: Path) -> None:
    home = home_of(tmp_path)
    replace(home, (1, 2))
    batch = pay(home, [line(2), line(1), line(1, benefit="MERT")])
    assert [reason for _, reason in answers(batch)] == [None, "AM05", None]
    assert str(batch.status["reason_detail"][1]).endswith(f"; {REPLACED_ID}")
    verify(home)


@pytest.mark.parametrize(("first", "second"), [(1, 2), (1, 1), (2, 1), (2, 2)])
def test_replaced__who_was_paid_by_one_id_is_not_paid_by_the_other(
    tmp_path: Path, first: int, second: int
) -> None:
    home = home_of(tmp_path)
    pay(home, [line(first)], "A")
    replace(home, (1, 2))
    assert answers(pay(home, [line(second), line(3)], "B")) == [("RJCT", "AM05"), ("ACSC", None)]
    verify(home)


@pytest.mark.parametrize("when", ["before", "with", "after"])
def test_replaced__history_of_an_id_of_before_counts(tmp_path: Path, when: str) -> None:
    home = home_of(tmp_path, paid=[entitlement(1)] if when == "before" else [])
    history = {"paid_history": paid_table([entitlement(1)])}
    replace(home, (1, 2), **(history if when == "with" else {}))
    if when == "after":
        with switch.open(home) as engine:
            engine.register(**history)
    assert answers(pay(home, [line(2), line(1)])) == [("RJCT", "AM05")] * 2
    verify(home)


def test_replaced__chains_end_at_the_last_id(tmp_path: Path) -> None:
    home = home_of(tmp_path)
    pay(home, [line(1)], "A")
    replace(home, (1, 2))
    replace(home, (3, 4), (2, 3))
    for number in (1, 2, 3, 4):
        assert answers(pay(home, [line(number)], f"B{number}")) == [("RJCT", "AM05")]
    batch = pay(home, [line(n, period=202612) for n in (1, 2, 3, 4)], "C")
    assert [reason for _, reason in answers(batch)] == [None, "AM05", "AM05", "AM05"]
    verify(home)


def test_replaced__an_id_that_the_register_never_had_may_be_replaced(tmp_path: Path) -> None:
    home = home_of(tmp_path)
    replace(home, (9, 2))
    assert answers(pay(home, [line(9), line(2)])) == [("ACSC", None), ("RJCT", "AM05")]
    with switch.open(home) as engine:
        engine.register(paid_history=paid_table([entitlement(9, period=202612)]))
    assert answers(pay(home, [line(2, period=202612)], "C")) == [("RJCT", "AM05")]
    verify(home)


def test_replaced__who_died_with_the_new_id_is_stopped_by_the_old(tmp_path: Path) -> None:
    home = home_of(tmp_path)
    dead = person(2, status="deceased", status_since=dt.date(2026, 10, 1))
    replace(home, (1, 2), population=people_table([dead]))
    batch = pay(home, [line(1)])
    assert answers(batch) == [("RJCT", "MD07")]
    assert str(batch.status["reason_detail"][0]).endswith(REPLACED_ID)
    verify(home)


def test_replaced__pairs_outlive_a_register_that_is_loaded_anew(tmp_path: Path) -> None:
    home = home_of(tmp_path)
    pay(home, [line(1)], "A")
    replace(home, (1, 2))
    numbers = [1, 2, 3, 4, *MANY]
    with switch.open(home) as engine:
        engine.register(
            population=people_table([person(n) for n in numbers]),
            accounts=accounts_table([account(n) for n in numbers]),
            replace=True,
        )
    assert answers(pay(home, [line(2)], "B")) == [("RJCT", "AM05")]
    with switch.open(home) as engine:
        engine.register(population=people_table([person(500)]))
        engine.compact()
    assert answers(pay(home, [line(2)], "C")) == [("RJCT", "AM05")]
    verify(home)


def test_replaced__a_whole_register_takes_pairs_too(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home", [person(1), person(2)], [account(1), account(2)])
    replace(home, (1, 2))
    with switch.open(home) as engine:
        assert len(current(engine.home).replaced) == 1
    assert answers(pay(home, [line(1), line(2)])) == [("ACSC", None), ("RJCT", "AM05")]
    verify(home)


def test_replaced__a_pair_may_be_said_again(tmp_path: Path) -> None:
    home = home_of(tmp_path)
    replace(home, (1, 2), (1, 2))
    assert replace(home, (1, 2)) == {"replaced_ids": 1}
    assert answers(pay(home, [line(1), line(2)])) == [("ACSC", None), ("RJCT", "AM05")]
    verify(home)


def test_replaced__a_line_that_waits_is_put_right_by_each_run(tmp_path: Path) -> None:
    home = make_home(
        tmp_path / "home",
        [person(n) for n in (1, 2, *MANY)],
        [account(n) for n in (2, *MANY)],
    )
    assert answers(pay(home, [line(1)], "A")) == [("PDNG", "AC03")]
    replace(home, (1, 2))
    batch = pay(home, [line(2)], "B")
    assert answers(batch) == [("RJCT", "AM05")]  # The line that waited was paid before it.
    verify(home)


def test_replaced__both_may_have_been_paid_before_they_were_known_as_one(tmp_path: Path) -> None:
    home = home_of(tmp_path)
    assert answers(pay(home, [line(1), line(2)], "A")) == [("ACSC", None)] * 2
    replace(home, (1, 2))
    assert answers(pay(home, [line(1), line(2)], "B")) == [("RJCT", "AM05")] * 2
    verify(home)


# --- exclusive groups, accounts, representatives --------------------------------------------------


def test_replaced__accounts_of_the_old_id_count_behind_those_of_the_new(tmp_path: Path) -> None:
    home = make_home(
        tmp_path / "home",
        [person(n) for n in (1, 2, *MANY)],
        [
            account(1, participant=WALLET, account="0912", kind="wallet"),
            account(1, account="777", priority=9),
            account(2, account="777", priority=2, valid_to=dt.date(2026, 1, 1)),
            *(account(n) for n in MANY),
        ],
    )
    replace(home, (1, 2))
    with switch.open(home) as engine:
        register = current(engine.home, whole=True)
        row = register.rows_of([int(person_id(2))])[0]
        mine = register.accounts[register.accounts["row"] == row]
        assert mine["priority"].tolist() == [2, 3]
    batch = pay(home, [line(1)])
    assert answers(batch) == [("ACSC", None)]
    assert batch.status["participant"].to_pylist() == [WALLET]
    with switch.open(home) as engine:  # What comes for the old id later is the person's, too.
        engine.register(accounts=accounts_table([account(1, account="888")]))
    batch = pay(home, [line(2, period=202612)], "C")
    assert batch.status["participant"].to_pylist() == [BANK]
    verify(home)


def test_replaced__a_representative_is_judged_by_the_id_of_now(tmp_path: Path) -> None:
    home = make_home(
        tmp_path / "home",
        [person(n) for n in (1, 2, 3, *MANY)],
        [
            account(3, representative=person_id(1), valid_to=dt.date(2027, 1, 1)),
            *(account(n) for n in MANY),
        ],
    )
    assert answers(pay(home, [line(3)], "A")) == [("ACSC", None)]
    dead = person(2, status="deceased", status_since=dt.date(2026, 10, 1))
    replace(home, (1, 2), population=people_table([dead]))
    assert answers(pay(home, [line(3, period=202612)], "B")) == [("PDNG", "AC03")]
    verify(home)


def test_replaced__nobody_comes_to_represent_themself(tmp_path: Path) -> None:
    until = dt.date(2027, 1, 1)
    home = make_home(
        tmp_path / "home",
        [person(n) for n in (1, 2, *MANY)],
        [account(1, representative=person_id(2), valid_to=until), *(account(n) for n in MANY)],
    )
    replace(home, (1, 2))
    assert answers(pay(home, [line(2)], "A")) == [("PDNG", "AC03")]
    with switch.open(home) as engine, pytest.raises(InputRefused) as caught:
        engine.register(
            accounts=accounts_table([account(2, representative=person_id(1), valid_to=until)])
        )
    assert caught.value.rule == "REPRESENTATIVE_SELF"
    verify(home)


def test_replaced__an_exclusive_group_sees_both_ids_as_one_person(tmp_path: Path) -> None:
    groups = [
        {"benefit": code, "name": code, "purpose": "SSBE", "exclusive_group": "TET"}
        for code in ("MERT", "SASS")
    ]
    home = home_of(tmp_path, programmes=pa.Table.from_pylist(groups))
    pay(home, [line(1, benefit="MERT")], "A")
    replace(home, (1, 2))
    batch = pay(home, [line(2, benefit="SASS"), line(1, benefit="SASS")], "B")
    assert answers(batch) == [("RJCT", "AM05")] * 2
    assert "MERT" in batch.status["reason_detail"][0].as_py()
    verify(home)


# --- batches of before, and the way back ----------------------------------------------------------


def test_replaced__batches_replay_by_the_version_that_judged_them(tmp_path: Path) -> None:
    home = home_of(tmp_path)
    first = payment_table([line(1), line(2)])
    pay(home, first, "A")
    replace(home, (1, 2))
    second = payment_table([line(n, period=202612) for n in (1, 2, 3)])
    pay(home, second, "B")
    replace(home, (3, 2))
    with switch.open(home) as engine:
        engine.replay("A", first)
        engine.replay("B", second)
    verify(home)


def test_replaced__what_came_back_from_the_old_id_is_paid_again_once(tmp_path: Path) -> None:
    home = answering.home_of(tmp_path / "home")
    with switch.open(home) as engine:
        answering.take(engine, tmp_path / "a", answering.back(1))
        engine.register(replaced=pairs((1, 50)))
        assert answers(run(engine, [line(50)], "B")) == [("RJCT", "AM05")]
        engine.reissue(at=answering.LATER)
        assert engine.status().open["reissued"]["count"] == 1
        assert answers(run(engine, [line(50), line(1)], "C")) == [("ACSC", None), ("RJCT", "AM05")]
        assert engine.status().open["reissued"]["count"] == 0
    verify(home)


# --- verify does not believe the engine -----------------------------------------------------------


def test_replaced__verify_finds_who_was_paid_by_both_ids(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = home_of(tmp_path)
    pay(home, [line(1)], "A")
    replace(home, (1, 2))
    monkeypatch.setattr("switch.home.paid_bits.join", lambda *_: None)
    assert answers(pay(home, [line(2)], "B")) == [("ACSC", None)]
    with pytest.raises(VerificationFailed, match="PENS 202611 is paid twice"):
        verify(home)


def test_replaced__verify_finds_a_line_that_was_judged_by_the_old_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = home_of(tmp_path)
    replace(home, (1, 2))
    monkeypatch.setattr("switch.registry.replaced.Replaced.of", lambda _, ids: ids)
    assert answers(pay(home, [line(1)], "B")) == [("ACSC", None)]
    with pytest.raises(VerificationFailed, match="another one stands in place of"):
        verify(home)


# --- refusals -------------------------------------------------------------------------------------


def test_replaced__wrong_pairs_are_refused_with_row_and_column(tmp_path: Path) -> None:
    home = home_of(tmp_path)
    assert refused(home, (1, 2), (3, 3)) == ("REPLACED_SELF", 2, "replaced_by")
    assert refused(home, (1, 2), (1, 3)) == ("REPLACED_OTHERWISE", 2, "replaced_by")
    assert refused(home, (4, 3), (1, 2), (2, 1)) == ("REPLACED_CYCLE", 2, "replaced_by")
    assert refused(home, (1, 2), (3, 9)) == ("REPLACED_UNKNOWN", 2, "replaced_by")
    replace(home, (1, 2))
    assert refused(home, (1, 3)) == ("REPLACED_OTHERWISE", 1, "replaced_by")
    assert refused(home, (3, 4), (2, 1)) == ("REPLACED_CYCLE", 2, "replaced_by")
    assert refused(home, (2, 9)) == ("REPLACED_UNKNOWN", 1, "replaced_by")
    long = pa.table({"person_id": [person_id(3)], "replaced_by": ["1"]})
    with switch.open(home) as engine, pytest.raises(InputRefused) as caught:
        engine.register(replaced=long)
    assert (caught.value.rule, caught.value.column) == ("ID_FORMAT", "replaced_by")
    verify(home)


_WRONG = {
    "itself": ([(1, 2), (3, 3)], "REPLACED_SELF", 2, "the id that the person has now"),
    "otherwise": ([(1, 2), (1, 3)], "REPLACED_OTHERWISE", 2, "a pair holds for good"),
    "circle": ([(4, 3), (1, 2), (2, 1)], "REPLACED_CYCLE", 2, "the row that leads back"),
    "unknown": ([(1, 2), (3, 9)], "REPLACED_UNKNOWN", 2, "--population"),
}


@pytest.mark.parametrize("wrong", _WRONG)
def test_command__names_what_is_wrong_with_a_pair(tmp_path: Path, wrong: str) -> None:
    rows, rule, row, remedy = _WRONG[wrong]
    home, file = home_of(tmp_path), tmp_path / "pairs.csv"
    lines = [f"{person_id(old)},{person_id(new)}" for old, new in rows]
    file.write_text("\n".join(["person_id,replaced_by", *lines]) + "\n")
    before = tree_digest(home)
    told = command("register", home, "--replaced", file)
    assert told.code == 3
    assert all(part in told.err for part in (rule, f"row {row}", "replaced_by", remedy))
    assert person_id(rows[row - 1][0]) not in told.err, "no id of a person is shown"
    assert tree_digest(home) == before


def test_command__loads_pairs_and_tells_how_many(tmp_path: Path) -> None:
    home, file = home_of(tmp_path), tmp_path / "pairs.csv"
    file.write_text(f"person_id,replaced_by\n{person_id(1)},{person_id(2)}\n")
    told = command("register", home, "--replaced", file)
    assert (told.code, "1 id in place of another" in told.out) == (0, True)
    assert command("verify", home).code == 0


# --- asked ----------------------------------------------------------------------------------------


def test_replaced__a_persons_lines_are_told_by_either_id(tmp_path: Path) -> None:
    home = home_of(tmp_path)
    pay(home, [line(1)], "A")
    replace(home, (1, 2))
    pay(home, [line(3), line(1, period=202612)], "B")
    with switch.open(home, mode="r") as engine:
        told = [_lines(engine, n) for n in (1, 2)]
    assert told[0] == told[1] == [("A", 1), ("B", 2)]


def _lines(engine: Engine, number: int) -> list[tuple[str, int]]:
    lines = engine.person(person_id(number))["lines"]
    assert REPLACED_ID[1:] in lines[1]["states"][-1]["text"]
    return [(one["batch_id"], one["line_no"]) for one in lines]


def test_replaced__a_line_that_waited_is_told_to_its_end(tmp_path: Path) -> None:
    home = make_home(
        tmp_path / "home",
        [person(n) for n in (1, 2, *MANY)],
        [account(n) for n in (2, *MANY)],
    )
    pay(home, [line(1)], "A")
    replace(home, (1, 2))
    pay(home, [line(3)], "B")
    with switch.open(home, mode="r") as engine:
        told = [engine.person(person_id(n))["lines"] for n in (1, 2)]
        assert told[0] == told[1] == [engine.line("A", 1)]
        assert [state["state"] for state in told[0][0]["states"]] == ["HELD", "SETTLED"]


def test_replaced__the_population_database_is_asked_for_the_new_id(tmp_path: Path) -> None:
    home = home_of(tmp_path)
    replace(home, (1, 2))
    with switch.open(home) as engine:
        table = payment_table([line(1), line(2), line(3)])
        asked = identities.ask(
            engine.home, engine.open_register(), table, everybody=True, at="2026-11-20"
        )[0]
    assert asked["person_id"].to_pylist() == [person_id(2), person_id(3)]


def test_replaced__self_service_knows_the_person_by_either_id(tmp_path: Path) -> None:
    home, secrets = home_of(tmp_path), b"s" * 32
    said = {"by": "officer", "secrets": secrets, "out": tmp_path / "seed"}
    with switch.open(home) as engine:
        citizens = engine.citizens
        citizens.bind(person_id(1), device="phone", at="2026-11-20T08:00:00", **said)
        engine.register(replaced=pairs((1, 2)))
        held = [citizens.show(person_id(n)) for n in (1, 2)]
        assert held[0] == held[1]
        assert held[0]["bound"] == 0, "an officer sees the new card first"
        assert len(held[0]["accounts"]) == 2
        citizens.bind(person_id(1), device="phone", at="2026-11-21T08:00:00", **said)
        assert citizens.show(person_id(2))["bound"] == 2
        for device in ("phone", "other phone"):
            citizens.bind(person_id(2), device=device, at="2026-11-22T08:00:00", **said)
            with pytest.raises(InputRefused) as caught:
                citizens.bind(person_id(3), device="phone", at="2026-11-22T08:00:00", **said)
            assert caught.value.rule == "DEVICE_TAKEN", "the old id's last one stays the person's"
    verify(home)


def test_replaced__no_pair_leaves_every_byte_as_it_was(tmp_path: Path) -> None:
    home = home_of(tmp_path)
    with switch.open(home) as engine:
        engine.register(population=people_table([person(500)]))
        assert int(engine.home.catalog.meta("format")) < 8
    assert not list((home / "registers").glob("*/replaced.bin"))
    run_of_before = pay(home, [line(1)])
    assert run_of_before.status["reason_detail"].to_pylist() == [None]


@pytest.mark.parametrize("is_first", [True, False], ids=["first", "after"])
def test_replaced__stands_beside_a_household_that_waits(tmp_path: Path, is_first: bool) -> None:
    """Format 8 comes before 9 or after it, and the later one stays. Two of the household are one
    person, so that one line of them goes."""
    path = make_home(tmp_path / "home", [person(n) for n in range(1, 5)], [account(1)])
    formats = []

    def load(engine: Engine, **tables: pa.Table) -> None:
        engine.register(**tables)
        formats.append(engine.home.catalog.meta("format"))

    with switch.open(path) as engine:
        if is_first:
            load(engine, replaced=pairs((2, 3)))
        lines = [line(n, household="H") for n in (1, 2, 3, 4)]
        assert [reason for _, reason in answers(run(engine, lines, "A"))] == [None, *["AC03"] * 3]
        formats.append(engine.home.catalog.meta("format"))
        if not is_first:
            load(engine, replaced=pairs((2, 3)))
        load(engine, accounts=accounts_table([account(n, account="VN-1") for n in (3, 4)]))
        assert formats == (["8", "9", "9"] if is_first else ["9", "9", "9"])
        run(engine, [line(1, benefit="MERT")], "B")
        assert joined(engine, 2) == [[2, 4]], "the one person goes once"
    verify(path)
