"""Views: the lists that pages show: what each asks of the library, by which filters, for whom.

A page, its export and the command that it shows are of the same question.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import pyarrow as pa

from switch.errors import UsageError
from switch.open_items.listing import Choice, Listing, listing, require_known
from switch.results import BatchRow
from switch.serve.house import House
from switch.serve.staff import Person

Words = Mapping[str, list[str]]
"""Filters as the address has them: words by name."""


class Asked(NamedTuple):
    """Question that a list is asked. at: the time as of which it is judged."""

    words: dict[str, Any]
    person: Person
    at: str


class Filter(NamedTuple):
    """A filter of a list. kind: words (one or several), number, day, flag or one."""

    name: str
    label: str
    kind: str = "words"
    option: str = ""
    """Option of the command; default: --name."""


class View(NamedTuple):
    """A list. links: addresses by column, with {columns} of the row in them. deeds: actions that
    are offered for a row, each with the fields that are filled in by the row."""

    name: str
    title: str
    command: str
    ask: Callable[[House, Asked], Listing]
    filters: tuple[Filter, ...] = ()
    kinds: Mapping[str, str] = {}
    hidden: tuple[str, ...] = ()
    links: Mapping[str, str] = {}
    deeds: Mapping[str, Mapping[str, str]] = {}
    only: Mapping[str, tuple[str, ...]] = {}
    """States of a row in which an action is offered; others are offered in all."""
    agency: bool = False
    """An agency may see it: rows of its own batches."""
    note: str = ""
    timed: bool = False
    """It is judged as of a time: the command takes --at."""


MONEY = ("sum", "value", "amount", "debit_sum", "credit_sum", "went_back_sum", "returned_sum")
COUNTS = ("lines", "count", "batches", "sent", "records", "went_back_lines", "returned_lines")
CODES = ("cycle", "participant", "receiver", "batch_id", "alarm", "break", "reason", "next")
LIMITS = ("cap", "room")
BALANCES = ("net", "balance", "reserved", "moved")


def kind_of(view: View, column: str, type_: pa.DataType) -> str:
    """Kind of a column (`switch.report.page.Column`)."""
    if column in view.kinds:
        return view.kinds[column]
    for kind, names in (
        ("money", MONEY),
        ("count", COUNTS),
        ("code", CODES),
        ("limit", LIMITS),
        ("balance", BALANCES),
        ("digest", ("link", "digest")),
    ):
        if column in names:
            return kind
    return "days" if pa.types.is_integer(type_) else "words"


# --- questions ------------------------------------------------------------------------------------


def _batches(house: House, asked: Asked) -> Listing:
    rows: list[dict[str, Any]] = []
    for row in house.engine.batches():
        if asked.person.sees(row["source"]):
            told: dict[str, Any] = {**row}
            now = {state: total["count"] for state, total in told["now"].items()}
            rows.append(
                {
                    **{n: told[n] for n in ("batch_id", "source", "value_date", "cycle", "state")},
                    "lines": row["received"]["count"],
                    "sum": row["received"]["sum"],
                    **now,
                }
            )
    texts = [(n, pa.string()) for n in ("batch_id", "source", "value_date", "cycle", "state")]
    names = list(rows[0])[5:] if rows else ["lines", "sum"]
    schema = pa.schema([*texts, *((name, pa.int64()) for name in names)])
    table = pa.Table.from_pylist(rows[::-1], schema)
    return _chosen(house, "batches", table, asked, ("source", "cycle", "state", "value_date"))


def _participants(house: House, asked: Asked) -> Listing:
    house.head()  # The directory is that of the last commit.
    names = ("participant", "short_name", "kind", "status", "settled_by", "net_debit_cap")
    rows = [
        {**{n: getattr(one, n) for n in names}, "amount_max": one.amount_max}
        for one in house.engine.directory.participants
    ]
    types = [(n, pa.string()) for n in names[:-1]]
    schema = pa.schema([*types, ("net_debit_cap", pa.int64()), ("amount_max", pa.int64())])
    table = pa.Table.from_pylist(rows, schema)
    return _chosen(house, "participants", table, asked, ("participant", "kind", "status"))


def _chosen(
    house: House, name: str, table: pa.Table, asked: Asked, columns: tuple[str, ...]
) -> Listing:
    """Rows of a table that fit the filters, each of which is a column."""
    words = {column: asked.words.get(column) for column in columns}
    for column, values in words.items():
        require_known(column, values, set(table[column].to_pylist()))
    return _in_order(house, name, asked.at, table, words)


def _of_own(house: House, asked: Asked, found: Listing, column: str) -> Listing:
    """Rows of the batches that somebody may see. Totals are those of these rows."""
    if not asked.person.is_agency:
        return found
    allowed = sorted(own_names(house, asked.person))
    return _in_order(house, found.name, found.as_of, found.table, {column: allowed})


def _dossiers(house: House, asked: Asked) -> Listing:
    found = house.engine.control.dossiers(**asked.words)
    if not asked.person.is_agency:
        return found
    own = {"source": sorted(asked.person.sources)}
    return _in_order(house, found.name, found.as_of, found.table, own)


def _in_order(house: House, name: str, at: str, table: pa.Table, words: dict[str, Any]) -> Listing:
    """Rows whose columns have one of these words, in the order in which they stand."""
    money = next((n for n in ("sum", "amount", "value") if n in table.column_names), "")
    rows = table.append_column("place", pa.array(range(len(table)), pa.int64()))
    choice = Choice(words, {}, [("place", "ascending")], None, ("place",))
    return listing(house.home, name, at, rows, choice, money)


def own_names(house: House, person: Person) -> set[str]:
    """Names by which lists and timelines tell the batches that somebody may see."""
    rows = house.engine.batches()
    mine = {name for row in rows if person.sees(row["source"]) for name in names_of(row)}
    return mine - {row["batch_id"] for row in rows if not person.sees(row["source"])}


def names_of(row: BatchRow) -> set[str]:
    """Names by which a batch is asked for."""
    return {row["batch_id"], f"{row['source']}:{row['batch_id']}"}


LINES = (
    Filter("reason", "reason"),
    Filter("receiver", "receiver"),
    Filter("batch", "batch", "one"),
    Filter("age", "days at least", "number"),
    Filter("sort", "sort", "one"),
)
UNSETTLED = ("OPEN", "CLOSED")
LINE_LINK = "/batches/{batch_id}/lines/{line_no}"

VIEWS = (
    View(
        "batches",
        "Batches",
        "status",
        _batches,
        (
            Filter("source", "agency", option="-"),
            Filter("cycle", "cycle", option="-"),
            Filter("state", "state", option="-"),
            Filter("value_date", "value date", option="-"),
        ),
        links={"batch_id": "/batches/{source}:{batch_id}", "cycle": "/cycles/{cycle}"},
        kinds={"value_date": "text", "source": "text"},
        note="The command lists all of them.",
        agency=True,
    ),
    View(
        "cycles",
        "Cycles",
        "cycles",
        lambda house, asked: house.engine.cycles(**asked.words),
        (Filter("state", "state"),),
        hidden=("batch_ids",),
        links={"cycle": "/cycles/{cycle}"},
        deeds={
            "close-cycle": {"cycle": "{cycle}"},
            "settle": {"cycle": "{cycle}"},
            "abort": {"cycle": "{cycle}"},
        },
        only={"close-cycle": ("OPEN",), "settle": UNSETTLED, "abort": UNSETTLED},
    ),
    View(
        "positions",
        "Positions",
        "positions",
        lambda house, asked: house.watch.positions(**asked.words),
        (
            Filter("cycle", "cycle"),
            Filter("participant", "participant"),
            Filter("state", "state"),
        ),
        links={"cycle": "/cycles/{cycle}"},
        kinds={"short_name": "text"},
        deeds={"participant-cap": {"code": "{participant}"}},
        note="Positions of each cycle sum to zero.",
    ),
    View(
        "balances",
        "Settlement accounts",
        "balances",
        lambda house, asked: house.engine.balances(**asked.words),
        (Filter("at", "as of", "day"),),
        kinds={"account": "text", "short_name": "text"},
        deeds={"participant-balance": {"code": "{participant}"}},
    ),
    View(
        "awaited",
        "Answers awaited",
        "awaited",
        lambda house, asked: house.watch.awaited(at=asked.at, **asked.words),
        (Filter("receiver", "receiver"),),
        links={"cycle": "/cycles/{cycle}"},
        kinds={"short_name": "text"},
        timed=True,
    ),
    View(
        "breaks",
        "Breaks",
        "breaks",
        lambda house, asked: _of_own(house, asked, house.engine.breaks(**asked.words), "batch_id"),
        (
            Filter("class_", "class", option="--class"),
            Filter("severity", "severity"),
            Filter("owner", "desk"),
            Filter("receiver", "receiver"),
            Filter("batch", "batch", "one"),
            Filter("accepted", "accepted", "flag"),
            Filter("age", "days at least", "number"),
            Filter("sort", "sort", "one"),
        ),
        hidden=(
            "expected",
            "found",
            "days",
            "set",
            "side",
            "transfer_id",
            "record_id",
            "account",
            "counterpart",
            "noted_at",
        ),
        kinds={"owner": "text", "note": "text", "noted_by": "text"},
        links={"line_no": LINE_LINK},
        deeds={"note-break": {"break": "{break}"}, "accept-break": {"break": "{break}"}},
        agency=True,
    ),
    View(
        "alarms",
        "Alarms",
        "alarms",
        lambda house, asked: house.watch.alarms(asked.at, **asked.words),
        (
            Filter("rule", "rule"),
            Filter("severity", "severity"),
            Filter("state", "state"),
            Filter("level", "level"),
            Filter("names", "alarm", option="--alarm"),
        ),
        hidden=("rule", "subject"),
        kinds={
            "what": "wide",
            "note": "text",
            "owner": "text",
            "since": "code",
            "noted_by": "text",
            "until": "text",
        },
        deeds={
            "acknowledge": {"alarm": "{alarm}"},
            "snooze": {"alarm": "{alarm}"},
            "unseen": {"alarm": "{alarm}"},
        },
        timed=True,
    ),
    View(
        "held",
        "Lines that wait",
        "held",
        lambda house, asked: _of_own(house, asked, house.engine.held(**asked.words), "batch_id"),
        LINES,
        links={"line_no": LINE_LINK},
        deeds={"cancel-line": {"line": "{batch_id}:{line_no}"}},
        agency=True,
    ),
    View(
        "returned",
        "Lines that came back",
        "returned",
        lambda house, asked: _of_own(
            house, asked, house.engine.returned(**asked.words), "batch_id"
        ),
        LINES,
        links={"line_no": LINE_LINK},
        deeds={
            "write-back": {"line": "{batch_id}:{line_no}"},
            "reissue": {"line": "{batch_id}:{line_no}"},
        },
        agency=True,
    ),
    View(
        "recalls",
        "Recalls",
        "recalls",
        lambda house, asked: _of_own(house, asked, house.engine.recalls(**asked.words), "batch_id"),
        (Filter("state", "state"), *LINES),
        kinds={"by": "text", "why": "text"},
        links={"line_no": LINE_LINK},
        agency=True,
    ),
    View(
        "dossiers",
        "Approvals",
        "dossiers",
        _dossiers,
        (Filter("state", "state"),),
        hidden=("digest", "policy"),
        kinds={"source": "text", "may_sign": "text", "signed": "text", "why": "text"},
        deeds={"statement": {"batch": "{source}:{batch_id}", "step": "{due}"}},
        agency=True,
        note="A step is signed where the key is: take its statement, sign it, and bring it back.",
    ),
    View(
        "participants",
        "Participants",
        "directory",
        _participants,
        (
            Filter("participant", "participant", option="-"),
            Filter("kind", "kind", option="-"),
            Filter("status", "status", option="-"),
        ),
        kinds={
            **dict.fromkeys(("participant", "settled_by"), "code"),
            **dict.fromkeys(("net_debit_cap", "amount_max"), "limit"),
            "short_name": "text",
        },
        note="The command lists all of them.",
        deeds={
            "participant-suspend": {"code": "{participant}"},
            "participant-enable": {"code": "{participant}"},
            "participant-cap": {"code": "{participant}"},
        },
    ),
    View(
        "calendar",
        "Calendar",
        "calendar",
        lambda house, asked: house.watch.cut_offs(asked.at, **asked.words),
        (Filter("days", "days", "number"),),
        links={"cycle": "/cycles/{cycle}"},
        timed=True,
    ),
    View(
        "audit",
        "Audit",
        "audit",
        lambda house, asked: house.watch.records(**asked.words),
        (
            Filter("kind", "kind"),
            Filter("by", "by"),
            Filter("since", "since", "day"),
            Filter("until", "until", "day"),
        ),
        kinds={"at": "text", "subject": "text", "by": "text", "why": "text", "record": "days"},
        note="Each link follows from the one before it, and from what its record says.",
    ),
)
"""All lists, in the order of the menu."""
BY_NAME = {view.name: view for view in VIEWS}


def words_of(view: View, given: Words) -> dict[str, Any]:
    """Arguments of the question, of the words in an address. Raises UsageError for a word that is
    none."""
    found: dict[str, Any] = {}
    for one in view.filters:
        words = [word for word in given.get(one.name, []) if word]
        if not words:
            continue
        if one.kind == "words":
            found[one.name] = words
        elif one.kind == "number":
            if not (words[-1].isascii() and words[-1].isdigit() and len(words[-1]) < 10):
                raise UsageError(f"{one.label} {words[-1]!r} is no whole number")
            found[one.name] = int(words[-1])
        elif one.kind == "flag":
            if words[-1] not in ("yes", "no"):
                raise UsageError(f"{one.label} {words[-1]!r} is neither yes nor no")
            found[one.name] = words[-1] == "yes"
        else:
            found[one.name] = words[-1]
    return found


def command_of(view: View, house: House, words: Mapping[str, Any], at: str, out: str = "") -> str:
    """The command that lists the same."""
    told = ["switch", view.command, house.name]
    for one in view.filters:
        if one.name not in words or one.option == "-":
            continue
        option = one.option or f"--{one.name}"
        value = words[one.name]
        if one.kind == "flag":
            told.append(option if value else f"--not-{one.name}")
            continue
        for word in value if isinstance(value, list) else [value]:
            told += [option, str(word)]
    if view.timed and at:
        told += ["--at", at]
    if view.command == "alarms":
        told += house.bounds
    return shlex.join([*told, *(["--out", out] if out else [])])
