"""Authority: a simulated population database (C06), asked about identities by requests."""

from __future__ import annotations

import datetime
import random
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from switch.schema import DUPLICATE
from switch.sim.auditor.screening import citizen_id, name_key

ANSWER = pa.schema(
    [
        ("request", pa.string()),
        ("person_id", pa.string()),
        ("answer", pa.string()),
        ("name", pa.string()),
        ("died_on", pa.date32()),
    ]
)
BORN = datetime.date(1900, 1, 1)


class SimulatedAuthority:
    """A population database that answers by a population table, but for chosen shares of persons.

    population: rows of a population register; who is missing or revoked there is not found. shares:
    rates of persons, by answer, for whom it says that whatever the table has: NOT_FOUND, DUPLICATE,
    LATE (of whom every other one is left out), DECEASED (on `died`), NAME_DIFFERS (as `name`).
    seed: of who they are: the same person has the same answer in each request.
    """

    def __init__(
        self,
        population: pa.Table,
        shares: Mapping[str, float] | None = None,
        *,
        seed: int = 0,
        name: str = "Nguyễn Khác",
        died: datetime.date = BORN,
    ) -> None:
        self._people = {citizen_id(row["person_id"]): row for row in population.to_pylist()}
        self._shares, self._seed = dict(shares or {}), seed
        self._name, self._died = name, died

    def answer(self, request: pa.Table) -> pa.Table:
        """The answer to a request, a row a person but for some who are late."""
        asked = request.to_pylist()
        rows = [row for row in map(self._one, asked) if row]
        if not rows:  # A table has rows.
            some = {name: asked[0][name] for name in ("request", "person_id")}
            rows = [{**some, "answer": "LATE"}]
        return pa.Table.from_pylist(rows, schema=ANSWER)

    def _one(self, asked: Mapping[str, Any]) -> dict[str, Any] | None:
        person = asked["person_id"]
        luck = random.Random(f"{self._seed} {person}")
        said = {"request": asked["request"], "person_id": person}
        drawn = luck.random()
        for word, share in self._shares.items():
            if drawn < share:
                return self._drawn(word, said, luck)
            drawn -= share
        return {**said, **self._known(asked)}

    def _drawn(self, word: str, said: dict[str, Any], luck: random.Random) -> dict[str, Any] | None:
        if word == "LATE" and luck.random() < 0.5:
            return None
        more: dict[str, dict[str, Any]] = {
            "NAME_DIFFERS": {"name": self._name},
            "DECEASED": {"died_on": self._died},
        }
        return {**said, "answer": word, **more.get(word, {})}

    def _known(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """The answer by the population table."""
        row = self._people.get(asked["person_id"])
        if row is None or row["status"] in ("missing", "revoked", "unknown"):
            return {"answer": "NOT_FOUND"}
        if row["status"] == DUPLICATE:
            return {"answer": "DUPLICATE"}
        if row["status"] == "deceased":
            return {"answer": "DECEASED", "died_on": row["status_since"] or self._died}
        if name_key(row["name"]) != name_key(asked["name"]):
            return {"answer": "NAME_DIFFERS", "name": row["name"]}
        return {"answer": "LATE" if row["status"] == "late" else "MATCH"}
