"""Identities: the population database is asked about people, and what it answers becomes a change
of the population register.

A request names persons, and for each what the register holds of them, as a keyed hash. Its id is a
keyed hash of all that it says, so that a home knows its own request without keeping it. An answer
is one version of the register, and one audit record; nothing else of it is kept.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol, TypedDict

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from switch.errors import InputRefused, UsageError
from switch.files.columns import Texts
from switch.files.exports import defused
from switch.files.tables import TableLike, TableReader, open_own, open_table
from switch.home import days
from switch.home.history import queue_of
from switch.home.signing import keyed
from switch.home.store import Home
from switch.home.times import day_of, latest, time_text
from switch.native.names import NOW
from switch.registry import replaced
from switch.registry.load_registers import Tables, load_registers
from switch.registry.register import Register, name_keys, require_ids, require_utf8
from switch.registry.versions import HAS_SINCE, KNOWN, PERSON, TWICE, UNANSWERED
from switch.schema import (
    DAY_MIN,
    DUPLICATE,
    HELD,
    IDENTITY_ANSWER,
    IDENTITY_ANSWERS,
    IDENTITY_REQUEST,
    LATE,
    LIFE,
    PAYMENT,
    UNKNOWN,
)

IDENTITY = "identity"
"""Field of the audit record of a register that an answer changed."""
STATUSES = ("alive", "alive", UNKNOWN, "deceased", DUPLICATE, LATE)
STATUS_OF = dict(zip(IDENTITY_ANSWERS, STATUSES, strict=True))
"""Status that the register has of a person by each answer."""
NAMED = ("NAME_DIFFERS", "DECEASED")
"""Answers with a name: the first always has one, the second may."""
EPOCH = datetime.date(1970, 1, 1)
ID_LIMIT = np.uint64(10**12)
_SCHEMA = pa.schema([(column.name, pa.string()) for column in IDENTITY_REQUEST.columns])


class Authority(Protocol):
    """The population database, as far as it is asked about identities."""

    def answer(self, request: pa.Table) -> TableLike:
        """The answer to a request (columns request, table, asked_at, person_id, name, held): a
        table of request, person_id, answer, name ? and died_on ?. Who is not in it is late."""


class IdentityAsked(TypedDict):
    """A request to the population database."""

    request: str
    """Its id; '' where there is nobody to ask for."""
    table: str
    """Digest of the payment table."""
    at: str
    named: int
    """Persons whom the table names."""
    waiting: int
    """Persons of lines that wait, whom it does not name."""
    asked: int
    file: str
    """Path of it; '' where there is nobody to ask for, or it was not written."""


class IdentityTaken(TypedDict):
    """An answer of the population database, as it was taken."""

    request: str
    at: str
    asked: int
    answers: dict[str, int]
    """Persons by answer; who was not answered for is LATE."""
    changed: dict[str, int]
    """Those of them whom the register has otherwise by it."""
    overtaken: int
    """Those of whom the register was told something else since they were asked for."""
    register: int
    """Version of the register that has it."""
    new: bool
    """False where it was taken before, or changes nothing: nothing is recorded."""


class Person(NamedTuple):
    """A person as a register has them."""

    status: str
    key: int
    since: int

    @classmethod
    def of(cls, record: Any, since: Mapping[int, int]) -> Person:
        """A record of the people table. since: days by row."""
        word, key, _, row, _, _ = record
        if not word & int(KNOWN):
            return cls(UNKNOWN, 0, DAY_MIN)
        status = LATE if word & int(UNANSWERED) else DUPLICATE if word & int(TWICE) else ""
        # A day of an earlier record may stand there still, and counts no more.
        day = since.get(row, DAY_MIN) if word & int(HAS_SINCE) else DAY_MIN
        return cls(status or LIFE[word >> 40 & 3], key, day)

    @property
    def is_open(self) -> bool:
        """The register does not hold the answer of the population database."""
        return self.status in (UNKNOWN, LATE)


class Request(NamedTuple):
    """A request that is one of the home."""

    id: str
    at: str
    ids: NDArray[np.uint64]
    names: list[str]
    held: list[str]


class Answered(NamedTuple):
    """An answer for one person."""

    word: str
    name: str | None = None
    died: int = DAY_MIN


# --- asking ---------------------------------------------------------------------------------------


def ask(
    home: Home,
    register: Register | None,
    table: TableLike,
    *,
    everybody: bool,
    at: datetime.date | str | None,
    strict_columns: bool = False,
) -> tuple[pa.Table, IdentityAsked]:
    """A request for the persons of a table, and of lines that wait, with what is said of it.
    everybody: also those whose answer the register holds."""
    time = time_text(at) or days.times(home).now
    if not time:
        raise UsageError("say when it is asked: --at, for this home knows no time yet")
    reader = open_table(table, PAYMENT, strict_columns=strict_columns, room=home.path)
    found = _Persons(register.replaced if register else replaced.NONE)
    found.take(reader)
    digest = f"sha256:{reader.sha256}" if reader.sha256 else f"persons:{found.digest.hexdigest()}"
    named = found.count
    if (queue := queue_of(home)) is not None:
        found.take(open_own(home.path / queue[0], HELD, queue[1]))
    ids, names = found.all()
    known = holdings(register, ids)
    asked = [place for place, one in enumerate(known) if everybody or one.is_open]
    secret = (home.path / "key").read_bytes()
    rows = []
    for place in asked:
        person, mark = int(ids[place]), _mark(secret, int(ids[place]), known[place])
        rows.append((f"{person:012d}", defused(names[place].as_py()), mark))
    number = _id_of(secret, digest, time, rows) if rows else ""
    persons, written, marks = zip(*rows, strict=True) if rows else ((), (), ())
    constant = ([text] * len(rows) for text in (number, digest, time))
    columns = [*constant, list(persons), list(written), list(marks)]
    made = pa.table([pa.array(column, pa.string()) for column in columns], schema=_SCHEMA)
    return made, {
        "request": number,
        "table": digest,
        "at": time,
        "named": named,
        "waiting": len(ids) - named,
        "asked": len(rows),
        "file": "",
    }


class _Persons:
    """Distinct persons of tables, each with the first name that stands there for them. Lines that
    name nobody, or nobody who may be called so, are refused by a run whatever is known of people.
    """

    def __init__(self, known: replaced.Replaced) -> None:
        """known: ids of before, whose persons are asked for by the present ones."""
        self._known = known
        self.digest = hashlib.sha256()
        self._ids: list[NDArray[np.uint64]] = [np.empty(0, np.uint64)]
        self._names: list[pa.Array] = [pa.array([], pa.string())]

    def take(self, reader: TableReader) -> None:
        done = 0
        for chunk in reader.chunks():
            ids, names = chunk["person_id"], chunk["person_name"]
            keys, _, bad = name_keys(names)
            require_utf8(bad, reader.name, done, "person_name")
            texts = names.rows()
            self.digest.update(ids.tobytes())
            self.digest.update("\n".join(texts.to_pylist()).encode())
            chosen = np.flatnonzero((ids < ID_LIMIT) & (keys != 0))
            now, first = np.unique(self._known.of(ids[chosen]), return_index=True)
            self._ids.append(now)
            self._names.append(texts.take(pa.array(chosen[first])))
            done += len(ids)

    @property
    def count(self) -> int:
        return len(self.all()[0])

    def all(self) -> tuple[NDArray[np.uint64], pa.Array]:
        """(ids, names), in order of id."""
        ids, first = np.unique(np.concatenate(self._ids), return_index=True)
        return ids, pa.concat_arrays(self._names).take(pa.array(first))


def holdings(register: Register | None, ids: NDArray[np.uint64]) -> list[Person]:
    """Each person as a register has them. register: None where there is none."""
    if register is None:
        return [Person(UNKNOWN, 0, DAY_MIN)] * len(ids)
    found = np.zeros(len(ids), PERSON)
    register.table.records(np.ascontiguousarray(ids), found.view(np.uint8))
    since = dict(zip(register.since["row"].tolist(), register.since["day"].tolist(), strict=True))
    return [Person.of(record, since) for record in found.tolist()]


def _mark(secret: bytes, person: int, held: Person) -> str:
    """A keyed hash of what the register holds of a person."""
    return keyed(secret, f"{IDENTITY} {person} {held.status} {held.key} {held.since}")


def _id_of(secret: bytes, digest: str, at: str, rows: list[tuple[str, str, str]]) -> str:
    """The id of a request: a keyed hash of all that it says."""
    hasher = hashlib.sha256()
    for row in rows:
        hasher.update("\t".join(row).encode() + b"\n")
    return keyed(secret, f"{IDENTITY} {digest} {at} {hasher.hexdigest()}")


# --- being answered -------------------------------------------------------------------------------


def take(
    home: Home,
    register: Register | None,
    request: TableLike,
    answer: TableLike,
    *,
    at: str,
    warn: Callable[[str], None],
    why: Mapping[str, object],
) -> IdentityTaken:
    """Take the answer to a request of this home (`Identities.identified`). at: as it is recorded,
    '' where none is said; why: of it."""
    asked = _request(home, request)
    given = _answers(home, asked, answer, latest([at, asked.at]))
    digest = _digest(home, asked, given)
    before = _taken_before(home, asked.id)
    if before is not None:
        if before[1]["answer"] != digest:
            raise InputRefused(
                "REQUEST_ANSWERED",
                "the request was answered before, in other words",
                column="request",
                remedy="ask again, `switch identify`: the next request has all who are late",
            )
        return _told(asked, *before, new=False)
    rows, changed, overtaken = _changes(home, register, asked, given)
    counts = {word: sum(one.word == word for one in given) for word in IDENTITY_ANSWERS}
    said = {
        "request": asked.id,
        "answer": digest,
        "asked": len(given),
        "answers": {word: count for word, count in counts.items() if count},
        "changed": {word: count for word, count in changed.items() if count},
        "overtaken": overtaken,
    }
    if rows.num_rows:
        load_registers(
            home,
            Tables(population=rows),
            replace=False,
            at=at,
            strict_columns=True,
            progress=None,
            warn=warn,
            why={IDENTITY: said, **why},
        )
    return _told(asked, home.catalog.register_seq(), said, at, new=rows.num_rows > 0)


def _told(
    asked: Request, register: int, said: Mapping[str, Any], at: str, *, new: bool
) -> IdentityTaken:
    return {
        "request": asked.id,
        "at": at,
        "asked": said["asked"],
        "answers": dict(said["answers"]),
        "changed": dict(said["changed"]),
        "overtaken": said["overtaken"],
        "register": register,
        "new": new,
    }


def _taken_before(home: Home, number: str) -> tuple[int, dict[str, Any], str] | None:
    """(version, what was said, time) of the answer to a request that was taken; None for none."""
    for record in home.catalog.audit.records("register"):
        detail = msgspec.json.decode(record.detail)
        if detail.get(IDENTITY, {}).get("request") == number:
            return detail["version"], detail[IDENTITY], record.at
    return None


def _request(home: Home, table: TableLike) -> Request:
    """A request that this home made, as it made it. Raises InputRefused."""
    reader = open_table(table, IDENTITY_REQUEST, digest=False, room=home.path)
    parts: dict[str, list[Any]] = {column.name: [] for column in IDENTITY_REQUEST.columns}
    done = 0
    for chunk in reader.chunks():
        require_ids(chunk["person_id"], reader.name, done)
        for name, values in chunk.items():
            parts[name] += values.tolist() if name == "person_id" else values.rows().to_pylist()
        done += len(chunk["person_id"])
    rows = zip(
        (f"{number:012d}" for number in parts["person_id"]),
        parts["name"],
        parts["held"],
        strict=True,
    )
    secret = (home.path / "key").read_bytes()
    first = [parts[name][0] for name in ("request", "table", "asked_at")]
    is_one = all(len(set(parts[name])) == 1 for name in ("request", "table", "asked_at"))
    if not is_one or _id_of(secret, first[1], first[2], list(rows)) != first[0]:
        raise InputRefused(
            "REQUEST_OTHER",
            "the request is none of this home, or was changed since",
            file=reader.name,
            column="request",
            remedy="give the file that `switch identify` wrote, as it was written",
        )
    ids = np.array(parts["person_id"], np.uint64)
    return Request(first[0], first[2], ids, parts["name"], parts["held"])


def _answers(home: Home, asked: Request, table: TableLike, now: str) -> list[Answered]:
    """Answers to a request, by its persons; LATE for whom there is none. now: the day that it is.
    Raises InputRefused for what is no answer to it."""
    reader = open_table(table, IDENTITY_ANSWER, digest=False, room=home.path)
    place_of = {number: place for place, number in enumerate(asked.ids.tolist())}
    found: dict[int, Answered] = {}
    for row, (number, person, one) in enumerate(_rows(reader), start=1):
        place = place_of.get(person)
        try:
            _require_asked(asked, number, place, found)
            assert place is not None
            _require_sound(one, asked.names[place], (day_of(now) - EPOCH).days)
        except _Fault as wrong:
            rule, column, what, remedy = wrong.args
            raise InputRefused(
                rule, what, file=reader.name, row=row, column=column, remedy=remedy
            ) from None
        found[place] = one
    return [found.get(place, Answered("LATE")) for place in range(len(asked.ids))]


class _Fault(Exception):
    """A row that is no answer: rule, column, what, remedy."""


def _rows(reader: TableReader) -> Iterator[tuple[str, int, Answered]]:
    done = 0
    for chunk in reader.chunks():
        ids = chunk["person_id"]
        require_ids(ids, reader.name, done)
        count = len(ids)
        names = chunk["name"].rows().to_pylist() if "name" in chunk else [None] * count
        died = chunk["died_on"].tolist() if "died_on" in chunk else [DAY_MIN] * count
        words, numbers = (chunk[n].rows().to_pylist() for n in ("answer", "request"))
        for number, person, *said in zip(numbers, ids.tolist(), words, names, died, strict=True):
            yield number, person, Answered(*said)
        done += count


def _require_asked(
    asked: Request, number: str, place: int | None, found: Mapping[int, Answered]
) -> None:
    """A row is of the request, and of a person who was asked for and was not answered for yet."""
    if number != asked.id:
        raise _Fault(
            "ANSWER_OTHER",
            "request",
            "the answer is one to another request",
            "give the answer that belongs to the request, or the request that it answers",
        )
    if place is None:
        raise _Fault(
            "ANSWER_STRANGER",
            "person_id",
            "nobody asked for the person",
            "leave out whom the request does not name",
        )
    if place in found:
        raise _Fault(
            "ANSWER_TWICE",
            "person_id",
            "the person is answered for twice",
            "give one answer a person",
        )


def _require_sound(one: Answered, name: str, today: int) -> None:
    """An answer says what it has to, and nothing else. name: by which it was asked."""
    if one.word not in IDENTITY_ANSWERS:
        words = ", ".join(IDENTITY_ANSWERS)
        raise _Fault("VALUE_UNKNOWN", "answer", f"answer is none of {words}", "write one of them")
    if one.word == "NAME_DIFFERS" and (one.name is None or _key(one.name) in (0, _key(name))):
        raise _Fault(
            "ANSWER_NAME",
            "name",
            "the name is not said, or is the one that was asked for",
            "give the name that the population database has; where it is the same, MATCH",
        )
    if one.name is not None and (one.word not in NAMED or not _key(one.name)):
        raise _Fault(
            "ANSWER_NAME",
            "name",
            "a name stands by an answer that has none, or cannot be one",
            "name those alone whose name differs, or who are deceased",
        )
    if (one.died != DAY_MIN) != (one.word == "DECEASED") or one.died > today:
        raise _Fault(
            "ANSWER_DAY",
            "died_on",
            "a day of death is missing, lies behind the day that it is, or stands by who lives",
            "give the day for who is deceased, and for nobody else; --at says the day that it is",
        )


def _key(name: str) -> int:
    keys, _, _ = name_keys(Texts(pa.array([name], pa.string()), None))
    return int(keys[0])


def _digest(home: Home, asked: Request, given: list[Answered]) -> str:
    """A keyed hash of an answer, whatever the order and the form of its rows."""
    hasher = hashlib.sha256()
    for person, one in zip(asked.ids.tolist(), given, strict=True):
        hasher.update(f"{person}\t{one.word}\t{one.name}\t{one.died}\n".encode())
    return home.id_hash(f"{IDENTITY} answer {hasher.hexdigest()}")


def _changes(
    home: Home, register: Register | None, asked: Request, given: list[Answered]
) -> tuple[pa.Table, dict[str, int], int]:
    """(rows of the population register that change by answers, how many by answer, persons of whom
    the register was told something else since they were asked for, whose rows stay)."""
    secret = (home.path / "key").read_bytes()
    fold = NOW if register is None else register.fold
    names = [one.name or name for one, name in zip(given, asked.names, strict=True)]
    keys, _, _ = name_keys(Texts(pa.array(names, pa.string()), None), fold=fold)
    changed = dict.fromkeys(IDENTITY_ANSWERS, 0)
    chosen, overtaken = [], 0
    known = holdings(register, asked.ids)
    for place, (was, one) in enumerate(zip(known, given, strict=True)):
        if _mark(secret, int(asked.ids[place]), was) != asked.held[place]:
            overtaken += 1
        elif _is_new(was, one, int(keys[place])):
            changed[one.word] += 1
            chosen.append(place)
    date = pa.date32()
    died = [given[place].died for place in chosen]
    columns = {
        "person_id": pa.array([f"{asked.ids[place]:012d}" for place in chosen], pa.string()),
        "name": pa.array([names[place] for place in chosen], pa.string()),
        "birth_date": pa.array([EPOCH] * len(chosen), date),
        "status": pa.array([STATUS_OF[given[place].word] for place in chosen], pa.string()),
        "status_since": pa.array(
            [None if day == DAY_MIN else EPOCH + datetime.timedelta(day) for day in died], date
        ),
    }
    return pa.table(columns), changed, overtaken


def _is_new(was: Person, one: Answered, key: int) -> bool:
    """The register has a person otherwise by an answer. Who is late stays what they are where that
    is no reason to pay."""
    if one.word == "LATE":
        return was.status in (UNKNOWN, "alive")
    if one.word == "NOT_FOUND":
        return was.status != UNKNOWN
    return was != Person(STATUS_OF[one.word], key, one.died)
