"""Page of a report: one HTML file with everything in it, which asks no network for anything.

IN: facts. OUT: the page, the same for the same facts. It works without scripts; with them tables
sort, filter and copy. Numbers that scripts read stand beside those for people (data-v).
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
from collections.abc import Callable, Sequence
from importlib import resources
from typing import Any, NamedTuple

import jinja2
from markupsafe import Markup

from switch.open_items.awaited import SENT
from switch.report.facts import Facts
from switch.report.flow_svg import flow_svg
from switch.report.tile_map import Tile, tile_map

Value = str | int | None
STOPPED = ("held", "refused", "cancelled", "expired")


class Column(NamedTuple):
    """A column of a sheet. kind: text, words (of a language), code, digest, count, days, money
    (minor units), balance (the same, which nobody adds up) or limit (the same, where None is
    none)."""

    head: str
    kind: str = "text"


class Sheet(NamedTuple):
    """A table of the page. total: a row below it that adds up its counts and money, if any."""

    id: str
    title: str
    columns: Sequence[Column]
    rows: list[list[Value]]
    total: list[Value] | None = None
    note: str = ""


class Figure(NamedTuple):
    """A number at the top of the page. tone: good, wait, bad or calm."""

    name: str
    lines: int
    money: int
    tone: str


class Verdict(NamedTuple):
    """Answer to whether all is well, in words. level: good, wait or bad."""

    level: str
    text: str


def page(facts: Facts, command: str, language: str, say: Callable[[str], str]) -> str:
    """The page. command: by which it is made, as people type it. language: of its words, en or vi.
    say: puts English words into it."""
    style, script = part("page.css"), part("page.js")
    return (
        environment()
        .get_template("page.html")
        .render(
            **body(facts, say),
            language=language,
            title=_title(facts, say),
            at=facts["home"].at,
            command=command,
            style=Markup(style),
            style_hash=_hash(style),
            script=Markup(script),
            script_hash=_hash(script),
            words=script_words(say),
        )
    )


def body(facts: Facts, say: Callable[[str], str]) -> dict[str, Any]:
    """Content of `body.html`, of facts. say: puts English words into the language of the page."""
    return {
        "verdict": verdict(facts),
        "steps": facts["home"].next,
        "tiles": tiles(facts),
        "flow": Markup(flow_svg(facts["received"], facts["now"], say)),
        "map": _map(facts, say),
        "sheets": sheets(facts),
        "say": say,
    }


def script_words(say: Callable[[str], str]) -> Markup:
    """Words that the script of a page says, as JSON."""
    names = {"filter": "filter", "copy": "copy", "copied": "copied"}
    told = json.dumps({name: say(word) for name, word in names.items()})
    return Markup(told.replace("<", "\\u003c"))


def verdict(facts: Facts) -> Verdict:
    """Tell whether all is well: bad where answers are overdue, a break is critical or a cycle of
    the scope was aborted; wait where something is to be done."""
    faults = []
    if facts["now"]["unapplied"]["count"]:
        faults.append("answers are overdue")
    if any(one["severity"] == "critical" for one in facts["breaks"]):
        faults.append("breaks are critical")
    if any(row["cycle_state"] == "ABORTED" for row in facts["batches"]):
        faults.append("a cycle was aborted")
    if faults:
        return Verdict("bad", f"Not well: {', '.join(faults)}")
    if facts["home"].next:
        return Verdict("wait", "All is well so far; this is next")
    return Verdict("good", "All is well, and nothing is open")


def tiles(facts: Facts) -> list[Figure]:
    """The numbers at the top."""
    now = facts["now"]

    def added(*states: str) -> tuple[int, int]:
        return sum(now[s]["count"] for s in states), sum(now[s]["sum"] for s in states)

    received = facts["received"]
    back = added("returned", "written_back", "reissued")
    return [
        Figure("received", received["count"], received["sum"], "calm"),
        Figure("credited", *added("credited"), "good"),
        Figure("on their way", *added("cleared", "settled"), "calm"),
        Figure("answers overdue", *added("unapplied"), "bad" if now["unapplied"]["count"] else ""),
        Figure("waiting", *added("held"), "wait" if now["held"]["count"] else ""),
        Figure("came back", *back, "wait" if now["returned"]["count"] else ""),
        Figure("refused", *added("refused"), "bad" if now["refused"]["count"] else ""),
    ]


# --- sheets ---------------------------------------------------------------------------------------


def sheets(facts: Facts) -> list[Sheet]:
    """All tables of the page, in their order."""
    return [
        *_alarms(facts),
        *_of_lines(facts),
        *_of_money(facts),
        _breaks(facts),
        *_of_proof(facts),
    ]


def _alarms(facts: Facts) -> list[Sheet]:
    """Alarms, where the page is of the whole home."""
    if facts["scope"].kind != "home":
        return []
    heads = [Column("alarm", "code"), Column("severity", "words"), Column("level", "words")]
    heads += [Column("state", "words"), Column("since"), Column("what", "words")]
    heads += [Column("lines", "count"), Column("money", "money"), Column("owner")]
    heads.append(Column("next", "code"))
    rows: list[list[Value]] = [
        [
            *(one["alarm"], one["severity"], one["level"], one["state"], one["since"], one["what"]),
            *(one["lines"], one["value"], one["owner"], one["next"]),
        ]
        for one in facts["alarms"]
    ]
    note = "As of the time of the home. One line may be in several of them."
    return [Sheet("alarms", "Alarms", heads, rows, None, note)]


def _of_lines(facts: Facts) -> list[Sheet]:
    reasons: list[list[Value]] = [
        [one["reason"], one["status"], one["sentence"], one["count"], one["sum"]]
        for one in facts["reasons"]
    ]
    awaited: list[list[Value]] = [
        [
            *(one["participant"], one["short_name"], one["awaited"]["count"]),
            *(one["awaited"]["sum"], one["overdue"]["count"], one["since"], one["age_days"]),
        ]
        for one in sorted(facts["receivers"], key=lambda one: (-one["age_days"], one["since"]))
        if one["awaited"]["count"]
    ]
    found = [
        _summed(
            "reasons",
            "Why lines were refused or wait",
            [
                Column("code", "code"),
                Column("status", "code"),
                Column("reason", "words"),
                Column("lines", "count"),
                Column("money", "money"),
            ],
            reasons,
            "As they were judged when their batch was run. Amounts of refused lines may be absurd.",
        ),
        _summed(
            "receivers",
            "Receivers",
            [
                Column("code", "code"),
                Column("name"),
                Column("kind", "words"),
                Column("lines", "count"),
                Column("money", "money"),
                *(Column(state.replace("_", " "), "count") for state in SENT),
            ],
            [
                [
                    *(one["participant"], one["short_name"], one["kind"].replace("_", " ")),
                    *(one["sent"]["count"], one["sent"]["sum"]),
                    *(one["states"][state]["count"] for state in SENT),
                ]
                for one in facts["receivers"]
            ],
            "Lines whose cycle has settled, by where they stand now.",
        ),
        _summed(
            "awaited",
            "Answers awaited",
            [
                Column("code", "code"),
                Column("name"),
                Column("lines", "count"),
                Column("money", "money"),
                Column("overdue", "count"),
                Column("since"),
                Column("days", "days"),
            ],
            awaited,
        ),
    ]
    return found if facts["provinces"] is None else [*found, _provinces(facts["provinces"])]


def _provinces(totals: list[dict[str, Any]]) -> Sheet:
    rows: list[list[Value]] = [
        [
            *(row["key"] or "", row["name"] or "", row["lines"], row["sum"]),
            *(row["held_lines"], row["refused_lines"], row["credited_lines"]),
        ]
        for row in totals
    ]
    heads = [Column("code", "code"), Column("name"), Column("lines", "count")]
    heads += [Column("money", "money"), Column("waiting", "count"), Column("refused", "count")]
    heads.append(Column("credited", "count"))
    return _summed("provinces", "Provinces in numbers", heads, rows)


def _of_money(facts: Facts) -> list[Sheet]:
    positions: list[list[Value]] = [
        [
            *(one["participant"], one["short_name"], one["debit_sum"], one["credit_sum"]),
            *(one["net"], one["cap"], one["balance"]),
        ]
        for one in facts["positions"]
    ]
    heads = [Column("code", "code"), Column("name"), Column("pays", "money")]
    heads += [Column("receives", "money"), Column("net", "money"), Column("cap", "limit")]
    heads.append(Column("account", "balance"))
    cycles: list[list[Value]] = [
        [
            *(row["cycle"], row["state"], row["rule"], row["opened_at"], row["ended_at"]),
            *(row["batches"], row["lines"], row["sum"], row["went_back_lines"]),
            *(row["returned_lines"], row["fees_sum"], row["waits"]),
        ]
        for row in facts["cycles"]
    ]
    named = [Column("cycle", "code"), Column("state", "words"), Column("rule", "words")]
    named += [Column("opened"), Column("ended")]
    named += [Column("batches", "count"), Column("lines", "count")]
    named += [Column("money", "money"), Column("went back", "count"), Column("returns", "count")]
    named.append(Column("fees", "money"))
    budgets: list[list[Value]] = [
        [
            *(one["programme"], one["budget"], one["reserved"], one["consumed"], one["released"]),
            *(one["remaining"], one["available"]),
        ]
        for one in facts["home"].budgets
    ]
    funds = [Column("programme", "code"), Column("budget", "limit"), Column("reserved", "money")]
    funds += [Column("consumed", "money"), Column("released", "money")]
    funds += [Column("remaining", "money"), Column("available", "limit")]
    return [
        _summed(
            "positions",
            "Positions",
            heads,
            positions,
            "Of all cycles of this page together. They sum to zero. The account is as it is now.",
        ),
        _summed("cycles", "Cycles", [*named, Column("waits for", "words")], cycles),
        _summed("budgets", "Budgets of programmes", funds, budgets, "Of the whole home."),
        _summed(
            "batches",
            "Batches",
            [
                Column("batch", "code"),
                Column("source"),
                Column("value date"),
                Column("cycle", "code"),
                Column("state", "words"),
                Column("lines", "count"),
                Column("money", "money"),
                *(Column(state.replace("_", " "), "count") for state in facts["now"]),
            ],
            [
                [
                    *(row["batch_id"], row["source"], row["value_date"], row["cycle"]),
                    *(row["state"], row["received"]["count"], row["received"]["sum"]),
                    *(row["now"][state]["count"] for state in facts["now"]),  # type: ignore[literal-required]
                ]
                for row in facts["batches"]
            ],
        ),
    ]


def _breaks(facts: Facts) -> Sheet:
    rows: list[list[Value]] = [
        [one["name"], one["severity"], one["count"], one["value"], one["accepted"], one["oldest"]]
        for one in facts["breaks"]
    ]
    heads = [Column("class", "words"), Column("severity", "words"), Column("breaks", "count")]
    heads += [Column("money", "money"), Column("accepted", "count"), Column("days", "days")]
    return _summed("breaks", "Breaks that are open", heads, rows)


def _of_proof(facts: Facts) -> list[Sheet]:
    proof = facts["proof"]
    rows: list[list[Value]] = [[f"batch {name}", digest] for name, digest in proof["digests"]]
    rows += [[f"audit, {proof['audit'][0]:,} records", proof["audit"][1]]]
    rows += [[f"events, {proof['events'][0]:,} records", proof["events"][1]]]
    rows += [["version of the registers", str(proof["register"])]]
    digests = Sheet("digests", "Digests", [Column("of", "words"), Column("digest", "digest")], rows)
    if proof["checks"] is None:
        return [digests]
    checks = Sheet(
        "checks",
        "Invariants, recomputed from the files",
        [Column("check"), Column("of"), Column("fault", "words")],
        [[one.name, one.subject, one.fault or "holds"] for one in proof["checks"]],
    )
    return [checks, digests]


def _summed(
    id: str, title: str, columns: Sequence[Column], rows: list[list[Value]], note: str = ""
) -> Sheet:
    """A sheet whose counts and money are added up below it."""
    total: list[Value] = [
        sum(int(row[place] or 0) for row in rows) if column.kind in ("count", "money") else None
        for place, column in enumerate(columns)
    ]
    return Sheet(id, title, columns, rows, total if len(rows) > 1 else None, note)


# --- the page -------------------------------------------------------------------------------------


def _title(facts: Facts, say: Callable[[str], str]) -> str:
    kind, name = facts["scope"]
    return {
        "home": facts["home"].home,
        "batch": f"{say('batch')} {name}",
        "cycle": f"{say('cycle')} {name}",
        "day": f"{say('value date')} {name}",
    }[kind]


def _map(facts: Facts, say: Callable[[str], str]) -> Markup | None:
    if facts["provinces"] is None:
        return None
    tiles = {
        row["key"]: Tile(
            row["name"] or "", row["lines"], sum(row[f"{state}_lines"] for state in STOPPED)
        )
        for row in facts["provinces"]
        if row["key"]
    }
    return Markup(tile_map(tiles, say("Share of lines that were refused or wait, by province.")))


def number(value: int) -> str:
    """A number for people."""
    return f"{value:,}".replace("-", "−")


def cell(value: Value, kind: str) -> str:
    """A value of a sheet for people."""
    if value is None:
        return "∞" if kind == "limit" else ""
    return number(value) if isinstance(value, int) else str(value)


@functools.cache
def part(name: str) -> str:
    """A file of the page: its style, its script, a template."""
    return resources.files("switch").joinpath("report/page", name).read_text("utf-8")


def environment(*folders: str) -> jinja2.Environment:
    """Templates of a page; folders: of the package, which are looked through first."""
    loaders = [jinja2.PackageLoader("switch", folder) for folder in (*folders, "report/page")]
    inside = jinja2.Environment(
        autoescape=True,
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
        loader=jinja2.ChoiceLoader(loaders),
    )

    @jinja2.pass_context
    def say(context: jinja2.runtime.Context, text: str) -> Any:
        return context["say"](text)

    @jinja2.pass_context
    def shown(context: jinja2.runtime.Context, value: Value, kind: str) -> Any:
        text = cell(value, kind)
        return context["say"](text) if kind == "words" and value else text

    inside.filters |= {"number": number, "cell": cell, "say": say, "shown": shown}
    return inside


def _hash(text: str) -> str:
    """A source by its digest, as a content security policy names it."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
