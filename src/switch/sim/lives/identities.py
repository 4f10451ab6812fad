"""Identities lived: the population database is asked, and answers rightly, wrongly, late and twice,
on engine and auditor."""

from __future__ import annotations

import datetime as dt
import random
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from switch.registry import delta
from switch.sim.auditor.people import Holding, Said
from switch.sim.auditor.screening import Row, citizen_id, name_key
from switch.sim.lives.difference import require
from switch.sim.lives.operations import Identify
from switch.sim.lives.sides import NOTHING, Sides
from switch.sim.lives.tables import PAYMENT, rows_table
from switch.sim.lives.village import NAMES

ANSWER = pa.schema(
    [
        *((name, pa.string()) for name in ("request", "person_id", "answer", "name")),
        ("died_on", pa.date32()),
    ]
)
WORDS = ("MATCH", "MATCH", "NAME_DIFFERS", "NOT_FOUND", "DECEASED", "DUPLICATE", "LATE", None)
"""Answers that are drawn; None for who is left out."""
OTHERS = ("001888888888", "001999999999", "001777777777")
"""Persons whom no register has to know."""


class Asked(NamedTuple):
    """A request that was written: its file, its id and day, and what was held of each person."""

    path: Path
    number: str
    day: dt.date
    held: dict[str, tuple[str, Holding]]


class Identities:
    """Requests of a home and its auditor."""

    def __init__(self, sides: Sides, folder: Path) -> None:
        self.sides, self.folder = sides, folder / "requests"
        self.folder.mkdir()
        self.open: list[Asked] = []
        self.answered: dict[str, dict[str, Said]] = {}
        """Answers that were taken and changed something, by request."""

    def ask(self, operation: Identify) -> str:
        """Ask for some people, and answer that or an earlier request. Returns what came of it."""
        rng = random.Random(operation.salt)
        asked = self._request(rng, operation)
        if asked is not None:
            self.open.append(asked)
        if not self.open or rng.random() < 0.15:
            return "asked"
        request = self.open[-1] if rng.random() < 0.7 else rng.choice(self.open)
        return self._answer(rng, operation, request)

    def _request(self, rng: random.Random, operation: Identify) -> Asked | None:
        auditor, everybody = self.sides.auditor, rng.random() < 0.4
        ids = sorted({*auditor.people.people, *auditor.people.known, *OTHERS})
        now, some = auditor.people.now, rng.sample(ids, min(len(ids), rng.randint(1, 6)))
        said = [(person, self._name(rng, person)) for person in some]
        rows = [_line(n, person, name) for n, (person, name) in enumerate(said, start=1)]
        names: dict[str, str] = {}
        for person, name in said:
            names.setdefault(now(person), name)
        some = sorted(names)
        for row in (entry.row for entry in auditor.payments.waiting):
            names.setdefault(now(citizen_id(row["person_id"])), row["person_name"])
        held = {person: auditor.people.holding(person) for person in sorted(names)}
        wanted = [p for p in held if everybody or held[p].status in ("unknown", "late")]
        path = self.folder / f"{len(list(self.folder.iterdir()))}.parquet"
        told = self.sides.engine.identities.identify(
            rows_table(rows, PAYMENT), out=path, everybody=everybody, at=operation.day
        )
        require("persons asked for", len(wanted), told["asked"])
        if not wanted:
            return None
        table = pq.read_table(path)
        require("persons of a request", wanted, table["person_id"].to_pylist())
        found = dict(zip(wanted, table["name"].to_pylist(), strict=True))
        require(
            "names asked for",
            [names[p] for p in wanted if p in some],
            [found[p] for p in wanted if p in some],
        )
        return Asked(path, told["request"], operation.day, {p: (found[p], held[p]) for p in wanted})

    def _name(self, rng: random.Random, person: str) -> str:
        row = self.sides.auditor.people.people.get(person)
        return str(row["name"]) if row and rng.random() < 0.7 else rng.choice(NAMES)

    def _answer(self, rng: random.Random, operation: Identify, request: Asked) -> str:
        said = self.answered.get(request.number)
        is_again = said is not None and rng.random() < 0.6
        drawn = dict(said) if said is not None and is_again else self._drawn(rng, request)
        rows = [
            {"request": request.number, "person_id": person, "answer": one.word,
             "name": one.name, "died_on": one.died}
            for person, one in drawn.items()
            if one.is_said
        ]  # fmt: skip
        rng.shuffle(rows)
        rule = _spoiled(rng, rows) if rng.random() < 0.2 else ""
        rows = rows or [{"request": request.number, "person_id": "0" * 12, "answer": "MATCH"}]
        if rows[0]["person_id"] == "0" * 12:
            rule = "ANSWER_STRANGER"
        if not rule and said is not None and _sense(drawn) != _sense(said):
            rule = "REQUEST_ANSWERED"
        after = self.sides.auditor.copy()
        is_stored = said is not None and not rule
        count = 0
        if not rule and not is_stored:
            count = after.identify(request.held, drawn, operation.share)
        refusals = frozenset({rule}) if rule else NOTHING

        def act() -> int:
            kept, delta.CHANGES_SHARE = delta.CHANGES_SHARE, operation.share
            try:
                table = pa.Table.from_pylist(rows, schema=ANSWER)
                told = self.sides.engine.identities.identified(request.path, table)
            finally:
                delta.CHANGES_SHARE = kept
            require("a new answer", count > 0, told["new"])
            return sum(told["changed"].values())

        link = self.sides.engine.home.catalog.heads().link
        word, found = self.sides.attempt(act, operation.fault, after, refusals, replay=not count)
        if found is not None and not is_stored:
            require("people who change by an answer", count, found)
        if self.sides.engine.home.catalog.heads().link != link:
            self.answered[request.number] = drawn
        return f"{word} {count}"

    def _drawn(self, rng: random.Random, request: Asked) -> dict[str, Said]:
        """An answer for each person."""
        found = {}
        for person, (name, _) in request.held.items():
            word = rng.choice(WORDS)
            key = name_key(name)
            others = [other for other in (*NAMES, "Phạm Khác") if name_key(other) != key]
            day = request.day - dt.timedelta(rng.choice([0, 1, 1, 40]))
            found[person] = Said(
                word or "LATE",
                rng.choice(others) if word == "NAME_DIFFERS" else None,
                day if word == "DECEASED" else None,
                is_said=word is not None,
            )
        return found


def _sense(said: dict[str, Said]) -> dict[str, Said]:
    """The sense of an answer, in whatever words."""
    return {person: one._replace(is_said=True) for person, one in said.items()}


def _spoiled(rng: random.Random, rows: list[dict[str, Any]]) -> str:
    """Make a row that is no answer; the rule by which it must be refused, '' where none is made."""
    if not rows:
        return ""
    row = rng.choice(rows)
    kind = rng.choice(["twice", "stranger", "other", "word", "name", "day"])
    if kind == "twice":
        rows.append(dict(row))
        return "ANSWER_TWICE"
    changes: dict[str, dict[str, Any]] = {
        "stranger": {"person_id": "001666666666"},
        "other": {"request": "f" * 16},
        "word": {"answer": "PERHAPS"},
        "name": {"answer": "NAME_DIFFERS", "name": None, "died_on": None},
        "day": {"answer": "DECEASED", "name": None, "died_on": None},
    }
    row |= changes[kind]
    rules = {"other": "ANSWER_OTHER", "stranger": "ANSWER_STRANGER", "word": "VALUE_UNKNOWN"}
    return rules.get(kind) or f"ANSWER_{kind.upper()}"


def _line(number: int, person: str, name: str) -> Row:
    return {
        "line_no": number,
        "person_id": person,
        "person_name": name,
        "benefit": "PENS",
        "period": 202611,
        "amount": 1,
        "debtor_account": "371301",
    }
