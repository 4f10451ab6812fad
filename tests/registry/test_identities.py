"""The population database: who is asked for, what its answers do to lines, and what is none."""

from __future__ import annotations

import csv
import datetime as dt
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scene import (
    DEBTORS,
    NAME,
    PARTICIPANTS,
    Row,
    Said,
    account,
    command,
    line,
    make_home,
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

import switch
from switch.errors import VerificationFailed
from switch.home.store import Home
from switch.registry import delta, identities
from switch.sim.authority import ANSWER, SimulatedAuthority

PARTICIPANTS_TABLE = pa.Table.from_pylist(list(PARTICIPANTS))
DEBTORS_TABLE = pa.Table.from_pylist(list(DEBTORS))
AT, NEXT = "2026-11-20", "2026-11-21"
DIED = dt.date(2026, 11, 1)
APRIL, MARCH = dt.date(2026, 4, 10), dt.date(2026, 3, 25)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home whose register has persons 1 to 4; 2 is late, 3 is deceased; accounts of 1 to 9."""
    people = [person(1), person(2, status="late"), person(3, status="deceased"), person(4)]
    return make_home(tmp_path / "home", people, map(account, range(1, 10)))


def table(folder: Path, numbers: Iterable[int] = range(1, 10), **changes: Any) -> Path:
    rows = [line(n, **changes) for n in numbers]
    return write_table(payment_table(rows), folder / "table.parquet")


def ask(home: Path, *more: object, given: Path | None = None, at: str = AT) -> pa.Table:
    """The request that the command writes for a table."""
    out = home.parent / "request.parquet"
    out.unlink(missing_ok=True)
    said = command("identify", home, given or table(home.parent), "--out", out, "--at", at, *more)
    assert said.code == 0, said.err
    return pq.read_table(out)


def answer_of(request: pa.Table, answers: dict[int, Row | str]) -> pa.Table:
    """An answer: by number of the person, a word or a row."""
    number = request["request"][0].as_py()
    rows = []
    for n, one in answers.items():
        row = {"answer": one} if isinstance(one, str) else one
        rows.append({"request": number, "person_id": person_id(n)} | row)
    return pa.Table.from_pylist(rows, schema=ANSWER)


def take(home: Path, given: pa.Table, *more: object, at: str = AT) -> Said:
    """The command that takes an answer."""
    path = home.parent / "answer.parquet"
    pq.write_table(given, path)
    return command("identified", home, home.parent / "request.parquet", path, "--at", at, *more)


EVERY: dict[int, Row | str] = {
    2: "MATCH",
    5: "MATCH",
    6: {"answer": "NAME_DIFFERS", "name": "Lê Thị Bé"},
    7: {"answer": "DECEASED", "died_on": DIED},
    8: "DUPLICATE",
    9: "NOT_FOUND",
}


def test_identify__asks_for_whom_the_register_does_not_hold_an_answer_of(home: Path) -> None:
    before = tree_digest(home)
    request = ask(home)
    assert request["person_id"].to_pylist() == [person_id(n) for n in (2, 5, 6, 7, 8, 9)]
    assert set(request["name"].to_pylist()) == {NAME}
    assert set(request["asked_at"].to_pylist()) == {AT}
    (digest,) = set(request["table"].to_pylist())
    assert digest.startswith("sha256:")
    assert len(ask(home, "--all")) == 9, "whatever the register holds"
    assert ask(home).equals(request), "the same again"
    assert tree_digest(home) == before, "nothing is recorded"


def test_identify__names_nobody_twice_and_nobody_who_cannot_be_asked_for(home: Path) -> None:
    rows = [
        line(5),
        line(5, person_name="Lê Thị Bé", period=202610),
        line(6, person_id="12"),
        line(7, person_name=" "),
        line(8, person_name="=Nguyễn"),
    ]
    given = write_table(payment_table(rows), home.parent / "odd.parquet")
    asked = [(row["person_id"], row["name"]) for row in ask(home, given=given).to_pylist()]
    assert asked == [(person_id(5), NAME), (person_id(8), "'=Nguyễn")]


def test_identify__where_nobody_is_to_be_asked_for_nothing_is_written(home: Path) -> None:
    out = home.parent / "request.csv"
    given = table(home.parent, [1, 3, 4])
    said = command("identify", home, given, "--out", out, "--at", AT, "--json")
    assert said.document["asked"] == 0
    assert said.document["file"] == ""
    assert not out.exists()
    said = command("identify", home, given, "--out", out)
    assert said.code == 2, "no time is known yet"
    assert "--at" in said.err


def test_identified__each_answer_acts_on_lines_as_its_row_says(home: Path) -> None:
    request = ask(home)
    said = take(home, answer_of(request, EVERY), "--json")
    assert said.document["answers"] == {
        "MATCH": 2, "NAME_DIFFERS": 1, "NOT_FOUND": 1, "DECEASED": 1, "DUPLICATE": 1,
    }  # fmt: skip
    assert (said.document["asked"], said.document["new"], said.document["register"]) == (6, True, 2)
    batch = pay(home, [line(n) for n in range(1, 10)], "A")
    assert reasons(batch) == [None, None, "MD07", None, None, "BE01", "MD07", "BE17", "BE06"]
    october = [line(7, period=202610)]
    assert reasons(pay(home, october, "O", value_date=DIED - dt.timedelta(1))) == [None], "before"
    by_name = [line(6, person_name="LE THI BE")]
    assert reasons(pay(home, by_name, "N")) == [None], "the register has the name of C06"
    switch.verify(home)


def test_identified__authenticated_in_march_and_deceased_in_april(home: Path) -> None:
    ask(home, given=table(home.parent, [5]), at="2026-03-20")
    request = pq.read_table(home.parent / "request.parquet")
    assert take(home, answer_of(request, {5: "MATCH"}), at="2026-03-20").code == 0
    assert reasons(pay(home, [line(5, period=202603)], "M", value_date=MARCH)) == [None]
    request = ask(home, "--all", given=table(home.parent, [5]), at="2026-04-20")
    died = {5: {"answer": "DECEASED", "died_on": APRIL}}
    assert take(home, answer_of(request, died), at="2026-04-20").code == 0
    lines = [line(5, period=202604)]
    assert reasons(pay(home, lines, "A", value_date=dt.date(2026, 4, 25))) == ["MD07"]
    arrears = [line(5, period=202602)]
    assert reasons(pay(home, arrears, "F", value_date=MARCH)) == [None], "an arrears line is paid"


def test_identified__who_is_late_waits_and_is_asked_for_again(home: Path) -> None:
    request = ask(home)
    said = take(home, answer_of(request, {5: "MATCH", 6: "LATE"}), "--json")
    assert said.document["answers"] == {"MATCH": 1, "LATE": 5}, "who is not answered for is late"
    assert said.document["changed"] == {"MATCH": 1, "LATE": 4}, "person 2 was late before"
    batch = pay(home, [line(n) for n in range(5, 10)], "A")
    assert reasons(batch) == [None, "G003", "G003", "G003", "G003"]
    other = write_table(payment_table([line(1)]), home.parent / "other.parquet", batch_id="B")
    again = ask(home, given=other, at=NEXT)
    assert again["person_id"].to_pylist() == [person_id(n) for n in (6, 7, 8, 9)]
    late = command("identify", home, other, "--out", home.parent / "x.csv", "--at", NEXT, "--json")
    assert (late.document["named"], late.document["waiting"]) == (1, 4)
    said = take(home, answer_of(again, {6: "MATCH", 7: "NOT_FOUND", 8: "DUPLICATE"}), at=NEXT)
    assert said.code == 0, said.err
    with switch.open(home) as engine:
        run(engine, [line(1)], "B")
        last = [engine.line("A", n)["states"][-1]["reason"] for n in (2, 3, 4, 5)]
    assert last == [None, "BE06", "BE17", "G003"]
    switch.verify(home)


def test_identified__late_makes_nobody_payable(home: Path) -> None:
    request = ask(home, "--all")
    assert take(home, answer_of(request, {1: "LATE"})).code == 0, "all are late"
    batch = pay(home, [line(n) for n in (1, 3, 5)], "A")
    assert reasons(batch) == ["G003", "MD07", "G003"], "who is deceased stays so"


def test_identified__same_answer_twice_changes_nothing_and_is_told_so(home: Path) -> None:
    request = ask(home)
    given = answer_of(request, EVERY)
    first = take(home, given, "--json").document
    before = tree_digest(home)
    turned = given.take(list(reversed(range(len(given)))))
    again = take(home, turned, "--json").document
    assert again == {**first, "new": False}
    shown = take(home, given)
    assert "taken before" in shown.out
    other = take(home, answer_of(request, {5: "MATCH"}))
    assert other.code == 3
    assert "REQUEST_ANSWERED" in other.err
    assert tree_digest(home) == before


def test_identified__what_the_register_was_told_since_stands(home: Path) -> None:
    request = ask(home)
    with switch.open(home) as engine:
        engine.register(population=people_table([person(5, status="deceased")]))
        engine.register(accounts=pa.Table.from_pylist([account(6, priority=2, account="77")]))
    said = take(home, answer_of(request, {5: "MATCH", 6: "MATCH"}), "--json").document
    assert said["overtaken"] == 1
    assert said["changed"]["MATCH"] == 1
    assert reasons(pay(home, [line(5), line(6)], "A")) == ["MD07", None]
    switch.verify(home)


def test_identified__a_day_of_an_earlier_record_is_none(home: Path) -> None:
    """A record without a day, behind one with it: the same answer again changes nothing."""
    with switch.open(home) as engine:
        for since in (APRIL, None):
            row = person(5, status="duplicate", status_since=since)
            engine.register(population=people_table([row]))
    request = ask(home, "--all", given=table(home.parent, [5]))
    said = take(home, answer_of(request, {5: "DUPLICATE"}), "--json").document
    assert (said["new"], said["changed"]) == (False, {})
    assert switch.verify(home)


def _row(**changes: Any) -> Callable[[list[Row]], None]:
    def wrong(rows: list[Row]) -> None:
        rows[1] |= changes

    return wrong


WRONG: dict[str, tuple[str, Callable[[list[Row]], None]]] = {
    "another request": ("ANSWER_OTHER", _row(request="0" * 16)),
    "somebody not asked for": ("ANSWER_STRANGER", _row(person_id=person_id(1))),
    "somebody twice": ("ANSWER_TWICE", _row(person_id=person_id(2))),
    "another word": ("VALUE_UNKNOWN", _row(answer="YES")),
    "no name": ("ANSWER_NAME", _row(answer="NAME_DIFFERS")),
    "the same name": ("ANSWER_NAME", _row(answer="NAME_DIFFERS", name="NGUYEN VAN AN")),
    "an empty name": ("ANSWER_NAME", _row(answer="NAME_DIFFERS", name=" ")),
    "a name that matches": ("ANSWER_NAME", _row(name="Lê Thị Bé")),
    "no day of death": ("ANSWER_DAY", _row(answer="DECEASED")),
    "a day of who lives": ("ANSWER_DAY", _row(died_on=DIED)),
    "a day to come": ("ANSWER_DAY", _row(answer="DECEASED", died_on=dt.date(2026, 11, 21))),
    "no id": ("ID_FORMAT", _row(person_id="1234")),
}


@pytest.mark.parametrize("what", WRONG)
def test_identified__what_is_no_answer_is_refused_and_changes_nothing(
    what: str, home: Path
) -> None:
    rows = answer_of(ask(home), EVERY).to_pylist()
    rule, wrong = WRONG[what]
    wrong(rows)
    before = tree_digest(home)
    said = take(home, pa.Table.from_pylist(rows, schema=ANSWER))
    assert (said.code, tree_digest(home)) == (3, before)
    assert rule in said.err
    assert "answer.parquet" in said.err
    assert "row 2" in said.err


def test_identified__a_request_that_is_none_of_the_home_is_refused(home: Path) -> None:
    request = ask(home)
    given = answer_of(request, EVERY)
    path, before = home.parent / "request.parquet", tree_digest(home)
    other = home.parent / "other"
    switch.init(other, participants=PARTICIPANTS_TABLE, debtors=DEBTORS_TABLE).close()
    changed = {
        "a name": request.set_column(4, "name", pa.array(["Lê Thị Bé"] * len(request))),
        "a person less": request.slice(1),
        "another time": request.set_column(2, "asked_at", pa.array([NEXT] * len(request))),
        "another table": request.set_column(1, "table", pa.array(["sha256:0"] * len(request))),
        "what is held": request.set_column(5, "held", pa.array(["0" * 16] * len(request))),
    }
    for what, one in changed.items():
        pq.write_table(one, path)
        said = take(home, given)
        assert (said.code, "REQUEST_OTHER" in said.err) == (3, True), what
    pq.write_table(request, path)
    assert "REQUEST_OTHER" in take(other, given).err
    assert tree_digest(home) == before


def test_identified__any_form_is_read_as_it_was_written(home: Path) -> None:
    given = table(home.parent)
    for form in ("csv", "arrow"):
        out, copy = home.parent / f"request.{form}", home.parent / f"home-{form}"
        shutil.copytree(home, copy)
        said = command("identify", copy, given, "--out", out, "--at", AT)
        assert said.code == 0, said.err
        request = ask(home)
        path = home.parent / "answer.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(ANSWER.names)
            for row in answer_of(request, EVERY).to_pylist():
                writer.writerow(["" if value is None else value for value in row.values()])
        said = command("identified", copy, out, path, "--at", AT)
        assert said.code == 0, said.err
        assert "MATCH" in said.out
        assert reasons(pay(copy, [line(5), line(6)], "A")) == [None, "BE01"]


def test_identity__of_a_home_without_a_register(tmp_path: Path) -> None:
    home = tmp_path / "home"
    switch.init(home, participants=PARTICIPANTS_TABLE, debtors=DEBTORS_TABLE).close()
    request = ask(home, given=table(tmp_path, [1, 2]))
    assert len(request) == 2
    assert take(home, answer_of(request, {1: "MATCH", 2: "NOT_FOUND"})).code == 0
    assert reasons(pay(home, [line(1), line(2)], "A")) == ["AC03", "BE06"]
    switch.verify(home)


def test_authenticate__an_authority_answers_at_once(home: Path) -> None:
    people = [person(n) for n in range(1, 8)] + [person(8, name="Lê Thị Bé")]
    people[4] = person(5, status="deceased", status_since=DIED)
    authority = SimulatedAuthority(people_table(people))
    lines = [line(n) for n in range(1, 10)]
    with switch.open(home) as engine:
        taken = engine.identities.authenticate(authority, payment_table(lines), at=AT)
        assert taken is not None
        assert taken["answers"] == {
            "MATCH": 3, "NAME_DIFFERS": 1, "NOT_FOUND": 1, "DECEASED": 1,
        }  # fmt: skip
        assert engine.identities.authenticate(authority, payment_table([line(1)]), at=AT) is None
        assert reasons(run(engine, lines, "A")) == [
            None, None, "MD07", None, "MD07", None, None, "BE01", "BE06",
        ]  # fmt: skip
        engine.verify()


def test_authority__answers_as_often_as_its_shares_say() -> None:
    people = [person(n) for n in range(2000)]
    shares = {"LATE": 0.2, "DUPLICATE": 0.1, "DECEASED": 0.1, "NAME_DIFFERS": 0.1, "NOT_FOUND": 0.1}
    authority = SimulatedAuthority(people_table(people), shares, seed=3)
    rows = [{"request": "R", "person_id": person_id(n), "name": NAME} for n in range(2000)]
    request = pa.Table.from_pylist(rows)
    answer = authority.answer(request)
    assert authority.answer(request).equals(answer), "the same person, the same answer"
    counts = {word: answer["answer"].to_pylist().count(word) for word in (*shares, "MATCH")}
    assert 100 < 2000 - len(answer) < 300, "some of who are late are left out"
    for word, share in {**shares, "LATE": 0.1, "MATCH": 0.4}.items():
        assert abs(counts[word] / 2000 - share) < 0.03, word
    one = authority.answer(request.slice(0, 1))
    assert len(one) == 1, "an answer has a row"


# --- proof ----------------------------------------------------------------------------------------


def _told(**changes: Any) -> Callable[[Row], None]:
    def wrong(detail: Row) -> None:
        detail["identity"] |= changes

    return wrong


FORGED: dict[str, Callable[[Row], None]] = {
    "not as many as were asked for": _told(asked=7),
    "more changed by an answer than had it": _told(changed={"MATCH": 4, "DECEASED": 2}),
    "more changed, or were overtaken": _told(overtaken=2),
    "other people than were answered for": _told(changed={"MATCH": 2}),
    "others left the register": lambda detail: detail.update(unknown=2),
}


@pytest.mark.parametrize("what", FORGED)
def test_verify__finds_an_answer_that_does_not_add_up(
    what: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = Home.commit

    def forged(self: Home, *, detail: Any, **said: Any) -> None:
        FORGED[what](detail)
        commit(self, detail=detail, **said)

    request = ask(home)
    monkeypatch.setattr(Home, "commit", forged)
    assert take(home, answer_of(request, EVERY)).code == 0
    monkeypatch.undo()
    with pytest.raises(VerificationFailed, match=what):
        switch.verify(home)


def test_verify__finds_a_request_that_was_answered_twice(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = ask(home)
    assert take(home, answer_of(request, {5: "MATCH"})).code == 0
    monkeypatch.setattr(identities, "_taken_before", lambda *_: None)
    monkeypatch.setattr(identities, "_mark", lambda *_: "")
    held = pa.array([""] * len(request))
    monkeypatch.setattr(identities, "_id_of", lambda *_: request["request"][0].as_py())
    pq.write_table(request.set_column(5, "held", held), home.parent / "request.parquet")
    assert take(home, answer_of(request, EVERY)).code == 0
    monkeypatch.undo()
    with pytest.raises(VerificationFailed, match="answered before"):
        switch.verify(home)


def test_verify__finds_a_delta_with_other_people_than_were_answered_for(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delta, "CHANGES_SHARE", 1)
    request = ask(home)
    statuses = identities.STATUS_OF
    monkeypatch.setattr(identities, "STATUS_OF", {**statuses, "DUPLICATE": "alive"})
    assert take(home, answer_of(request, EVERY)).code == 0
    monkeypatch.undo()
    with Home(home, writing=False) as opened:
        assert len(opened.catalog.register_chain()) == 2
    with pytest.raises(VerificationFailed, match="not as they were answered for"):
        switch.verify(home)


def test_verify__holds_of_a_delta_of_answers(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delta, "CHANGES_SHARE", 1)
    request = ask(home, "--all")
    assert take(home, answer_of(request, {**EVERY, 1: "NOT_FOUND", 3: "MATCH"})).code == 0
    with Home(home, writing=False) as opened:
        assert len(opened.catalog.register_chain()) == 2
    assert reasons(pay(home, [line(n) for n in (1, 3, 4, 8)], "A")) == [
        "BE06", None, "G003", "BE17",
    ]  # fmt: skip
    switch.verify(home)
