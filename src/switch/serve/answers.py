"""Answers: what each address tells. Each asks one call of the library, and shows its command."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shlex
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
from starlette.responses import HTMLResponse, RedirectResponse, Response

from switch.control.acts import Act
from switch.control.desk import read_act
from switch.errors import SwitchError, UsageError
from switch.finding import ID_DIGITS
from switch.outcomes import Rows
from switch.report.facts import Facts, Scope
from switch.report.page import Column, Sheet, Verdict, body
from switch.serve import deeds
from switch.serve.front import Done, Front, Seen, may_see
from switch.serve.rows import Link, sheet_of
from switch.serve.staff import APPROVER, OPERATOR, ROLES
from switch.serve.views import (
    BY_NAME,
    Asked,
    View,
    command_of,
    names_of,
    own_names,
    words_of,
)
from switch.watch.alarms import UNSEEN

ROWS = 100
"""Rows of a page."""
ALARMS_FIRST, STEPS_MAX = 3, 5
"""Alarms that stand at the top of the day, and steps with them; their pages have all."""
TYPES = {
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
    "arrow": "application/vnd.apache.arrow.file",
}
UNDER_WAY = ("held", "cleared", "settled", "returned")
AGENCY_SHEETS = ("reasons", "receivers", "breaks", "batches")
"""Tables of a batch that an agency may see."""
STEP_FIELDS = ("batch", "step", "by", "public", "why", "behalf", "at", "answered")
ACT_BYTES_MAX = 1 << 20


class Missing(Exception):
    """Nothing is at an address, or nothing that whoever asks may see."""


class Forbidden(Exception):
    """Somebody may not see or do it."""


# --- reports --------------------------------------------------------------------------------------


def today(front: Front, seen: Seen) -> Response:
    """The whole home: whether all is well, where it is not, and how far today is."""
    if seen.person.is_agency:
        return RedirectResponse("/batches", 303)
    facts = front.house.facts(Scope("home"))
    at = front.clock()
    found = front.house.watch.alarms(at)
    now: Facts = {**facts, "alarms": found.rows()}
    told = body(now, seen.say)
    unseen = [one for one in found.rows() if one["state"] in UNSEEN]
    if unseen:
        steps = [{"why": one["what"], "command": one["next"]} for one in unseen[:ALARMS_FIRST]]
        known = {step["command"] for step in steps}
        others = (one for one in told["steps"] if one["command"] not in known)
        told["steps"] = [*steps, *others][:STEPS_MAX]
        raised = any(one["level"] == "raised" for one in unseen)
        text = f"{seen.say('alarms that nobody has seen')}: {len(unseen):,}"
        told["verdict"] = Verdict("bad" if raised else "wait", text)
    more = [("/alarms", "Alarms"), ("/awaited", "Answers awaited"), ("/cycles", "Cycles")]
    command = shlex.join(["switch", "report", front.house.name, "--whole"])
    return _html(
        front, seen, "report.html", "Today", at=found.as_of, command=command, more=more, **told
    )


def batch(front: Front, seen: Seen) -> Response:
    """One batch."""
    name = _own_batch(front, seen, seen.parts["batch"])
    facts = front.house.facts(Scope("batch", name))
    if seen.person.is_agency:
        home = dataclasses.replace(facts["home"], next=[], budgets=[])
        facts = {**facts, "home": home}
    title = f"{seen.say('batch')} {name}"
    more = [(f"/held?batch={quote(name)}", "Lines that wait")]
    more += [(f"/returned?batch={quote(name)}", "Lines that came back")]
    more += [(f"/breaks?batch={quote(name)}", "Breaks")]
    if not seen.person.is_agency:
        more += [(f"/reports/batch/{quote(name)}", "Report")]
    command = "switch report {} --batch " + shlex.quote(name)
    return _report(front, seen, facts, title, command, facts["home"].at, more)


def cycle(front: Front, seen: Seen) -> Response:
    """One cycle."""
    _require(not seen.person.is_agency)
    name = seen.parts["cycle"]
    facts = front.house.facts(Scope("cycle", name))
    title = f"{seen.say('cycle')} {name}"
    more = [(f"/positions?cycle={quote(name)}", "Positions")]
    more += [(f"/reports/cycle/{quote(name)}", "Report")]
    command = "switch report {} --cycle " + shlex.quote(name)
    return _report(front, seen, facts, title, command, facts["home"].at, more)


def _report(
    front: Front,
    seen: Seen,
    facts: Facts,
    title: str,
    command: str,
    at: str,
    more: list[tuple[str, str]] | None = None,
) -> Response:
    told = body(facts, seen.say)
    if seen.person.is_agency:
        told["sheets"] = [one for one in told["sheets"] if one.id in AGENCY_SHEETS]
        if told["verdict"].level == "good" and any(facts["now"][n]["count"] for n in UNDER_WAY):
            told["verdict"] = Verdict("wait", "All is well so far")
    said = command.format(shlex.quote(front.house.name))
    return _html(front, seen, "report.html", title, at=at, command=said, more=more or [], **told)


def reports(front: Front, seen: Seen) -> Response:
    """Files to take away: a page of its own for the home, each batch, cycle and day."""
    _require(not seen.person.is_agency)
    rows = front.house.engine.batches()
    found = [("/reports/home/all", front.house.name)]
    days = sorted({row["value_date"] for row in rows}, reverse=True)
    found += [(f"/reports/day/{day}", f"{seen.say('value date')} {day}") for day in days]
    cycles = sorted({row["cycle"] for row in rows}, reverse=True)
    found += [(f"/reports/cycle/{quote(one)}", f"{seen.say('cycle')} {one}") for one in cycles]
    named = [f"{row['source']}:{row['batch_id']}" for row in rows[::-1]]
    found += [(f"/reports/batch/{quote(one)}", f"{seen.say('batch')} {one}") for one in named]
    return _html(front, seen, "reports.html", "Reports", reports=found)


def report_file(front: Front, seen: Seen) -> Response:
    """One of them (`Engine.report`)."""
    kind, name = seen.parts["kind"], seen.parts["name"]
    if kind == "batch":
        name = _own_batch(front, seen, name)
    _require(not seen.person.is_agency)
    how: dict[str, Any] = {"home": {"whole": True}, "batch": {}}.get(kind, {kind: name})
    if kind not in ("home", "batch", "cycle", "day"):
        raise Missing
    with tempfile.TemporaryDirectory() as folder:
        made = front.house.engine.report(
            name if kind == "batch" else None, out=folder, language=seen.language, **how
        )
        content = made.page.read_bytes()
    # Its own policy stands in it; it is handed out as a file, and shown by no address of ours.
    return _file(content, "text/html; charset=utf-8", f"report-{kind}-{name}.html")


# --- lists ----------------------------------------------------------------------------------------


def _asked(front: Front, seen: Seen, view: View) -> tuple[Asked, str]:
    """Words that a list is asked by, and the address of the question without its place."""
    if seen.person.is_agency and seen.one("batch"):  # Of others it is not told that they are there.
        own = _own_batch(front, seen, seen.one("batch"))
        seen = seen._replace(query={**seen.query, "batch": [own]})
    words = words_of(view, seen.query)
    at = ""
    if view.timed:
        at = seen.one("at") or front.clock()
    kept = {n: v for n, v in seen.query.items() if n in {f.name for f in view.filters} and any(v)}
    return Asked(words, seen.person, at), urlencode(
        {n: [w for w in v if w] for n, v in kept.items()}, doseq=True
    )


def listing(front: Front, seen: Seen) -> Response:
    """A list: filters in the address, exact totals, a page of rows."""
    view = _view(seen)
    asked, query = _asked(front, seen, view)
    head = front.house.head()
    link, _, offset = seen.one("after").partition(".")
    start = int(offset) if offset.isascii() and offset.isdigit() and len(offset) < 10 else 0
    if (link or start) and link != head.link[:16]:
        raise UsageError("the home has changed since this page was shown: begin with the first one")
    found = front.listing(view, asked, head)
    sheet = sheet_of(view, found, seen.person, start, ROWS)
    shown = len(sheet.rows)
    following = ""
    if start + shown < len(found):
        place = {"after": f"{head.link[:16]}.{start + shown}"} | (
            {"at": asked.at} if asked.at else {}
        )
        following = "&".join(filter(None, [query, urlencode(place)]))
    return _html(
        front,
        seen,
        "list.html",
        view.title,
        at=found.as_of or asked.at,
        command=command_of(view, front.house, asked.words, asked.at),
        note=view.note,
        fields=_fields(view, seen),
        total=found.total,
        noun=found.name.replace("_", " "),
        has_money=found.has_money,
        shown_from=start + 1 if shown < len(found) else 0,
        shown_to=start + shown,
        view=view.name,
        query="&".join(filter(None, [query, urlencode({"at": asked.at}) if asked.at else ""])),
        groups=_groups(view, found.parts),
        sheet=sheet,
        next=following,
    )


def _view(seen: Seen) -> View:
    view = BY_NAME.get(seen.parts["view"])
    if view is None:
        raise Missing
    _require(may_see(seen.person, view))
    return view


def _fields(view: View, seen: Seen) -> list[dict[str, Any]]:
    return [
        {"name": f.name, "label": f.label, "kind": f.kind, "values": seen.query.get(f.name) or [""]}
        for f in view.filters
    ]


def _groups(view: View, parts: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, Any]]:
    """Totals of parts, each with the address that shows it alone, where a filter does."""
    singular = {"classes": "class_", "severities": "severity", "participants": "receiver"}
    names = {one.name for one in view.filters}
    found = []
    for name, some in parts.items():
        column = singular.get(name, name.removesuffix("s"))
        linked = [
            (word, f"?{urlencode({column: word})}" if column in names else "", part)
            for word, part in list(some.items())[:40]
        ]
        if linked:
            found.append((name, linked))
    return found


def export(front: Front, seen: Seen) -> Response:
    """A list as a file: exactly what it shows, all rows of it (`Listing.write`)."""
    view, ending = _view(seen), seen.parts["ending"]
    if ending not in TYPES:
        raise Missing
    asked, _ = _asked(front, seen, view)
    found = front.listing(view, asked, front.house.head())
    with tempfile.TemporaryDirectory() as folder:
        content = found.write(Path(folder) / f"{view.name}.{ending}").read_bytes()
    return _file(content, TYPES[ending], f"{view.name}.{ending}")


# --- lines and people -----------------------------------------------------------------------------


def line(front: Front, seen: Seen) -> Response:
    """The timeline of a line."""
    name = _own_batch(front, seen, seen.parts["batch"])
    number = seen.parts["line"]
    told = front.house.engine.line(name, number)
    command = shlex.join(["switch", "status", front.house.name, "--line", f"{name}:{number}"])
    title = f"{name} {seen.say('line')} {number}"
    return _html(front, seen, "line.html", title, lines=[told], command=command)


def lines(front: Front, seen: Seen) -> Response:
    """A search. What is looked for stands in no address, for it may be a citizen's id."""
    text = str(seen.form.get("text", "")).strip()
    if not text:
        return _html(front, seen, "find.html", "Find", found=None)
    if seen.person.is_agency and text.isdigit() and len(text) < ID_DIGITS:
        raise UsageError(f"an agency looks for whole citizen ids, of {ID_DIGITS} digits")
    sources = sorted(seen.person.sources) if seen.person.is_agency else None
    found = front.house.watch.find(text, sources=sources)
    columns = [Column("batch", "code"), Column("line", "code"), Column("money", "money")]
    columns += [Column("status", "code"), Column("reason", "code"), Column("person", "code")]
    rows: list[Any] = [
        [
            *(one["batch_id"], _line_link(one["batch_id"], one["line_no"]), one["amount"]),
            *(one["status"], one["reason"], one["person"]),
        ]
        for one in found["lines"]
    ]
    sheets = [Sheet("lines", "Lines", columns, rows)] if rows else []
    if found["batches"]:
        heads = [Column("batch", "code"), Column("source"), Column("value date"), Column("state")]
        named: list[Any] = [
            [
                Link(
                    one["batch_id"],
                    f"/batches/{quote(one['source'])}:{quote(one['batch_id'].rpartition(':')[2])}",
                ),
                *(one["source"], one["value_date"], one["state"]),
            ]
            for one in found["batches"]
        ]
        sheets.append(Sheet("batches", "Batches", heads, named))
    whole = text if found["what"] == "person" and len(text) == ID_DIGITS else ""
    command = shlex.join(["switch", "find", front.house.name, "-"])
    return _html(
        front, seen, "find.html", "Find", found=found, sheets=sheets, whole=whole, command=command
    )


def _line_link(batch_id: str, line_no: int) -> Link:
    return Link(f"{line_no}", f"/batches/{quote(batch_id)}/lines/{line_no}")


def person(front: Front, seen: Seen) -> Response:
    """The timeline of a person over all batches; of an agency's own, where an agency asks."""
    asked = str(seen.form.get("person", "")).strip()
    if seen.person.is_agency:
        own, told = own_names(front.house, seen.person), []
        if len(asked) == ID_DIGITS and asked.isascii() and asked.isdigit():
            with contextlib.suppress(UsageError):  # Who is registered is not told by this.
                told = front.house.engine.person(asked)["lines"]
        told = [one for one in told if one["batch_id"] in own]
    else:
        told = front.house.engine.person(asked)["lines"]
    command = shlex.join(["switch", "status", front.house.name, "--person", "-"])
    return _html(front, seen, "line.html", "Person", lines=told, command=command)


def _own_batch(front: Front, seen: Seen, name: str) -> str:
    """The name of a batch that somebody may see. An agency is not told what others have."""
    rows = [row for row in front.house.engine.batches() if name in names_of(row)]
    mine = [row for row in rows if seen.person.sees(row["source"])]
    if not mine:
        raise Missing
    if len(mine) > 1:
        raise UsageError(f"several agencies have a batch {name!r}: ask for SOURCE:{name}")
    return f"{mine[0]['source']}:{mine[0]['batch_id']}"


# --- deeds ----------------------------------------------------------------------------------------


def may(front: Front, seen: Seen) -> Response:
    """Actions that somebody may take."""
    allowed = [deed for deed in deeds.DEEDS if deeds.may(seen.person, deed)]
    signs = seen.person.has(OPERATOR, APPROVER)
    return _html(
        front, seen, "deeds.html", "What may I do", deeds=allowed, roles=ROLES, signs=signs
    )


def ask(front: Front, seen: Seen) -> Response:
    """The form of an action, as far as the address fills it in."""
    deed = _deed(seen)
    given = {field.name: seen.one(field.name) for field in deed.fields}
    return _form(front, seen, deed, given)


def do(front: Front, seen: Seen) -> Response:
    """An action: asked whether it is meant, then taken."""
    deed = _deed(seen)
    form = {name: str(value) for name, value in seen.form.items() if isinstance(value, str)}
    try:
        given = deeds.read(deed, form, front.clock() or front.house.engine.status().at)
        command = deeds.command_of(deed, front.house, given, seen.person)
        if form.get("sure") != "yes":
            return _form(front, seen, deed, given, sure=True, command=command)
    except UsageError as error:
        return _form(front, seen, deed, form, error=error)
    done = _take(
        front,
        seen,
        deed.title,
        command,
        lambda engine: deed.act(deeds.Doing(engine, front.house, given, seen.person)),
    )
    return RedirectResponse(f"/done/{front.tell(done)}", 303)


def _take(front: Front, seen: Seen, title: str, command: str, act: Callable[[Any], Any]) -> Done:
    """Take an action on the home, open for writing, and keep what became of it."""
    try:
        with front.house.writing() as engine:
            answer = act(engine)
        rows = [dict(row) for row in answer] if isinstance(answer, Rows) else answer
        text = json.dumps(msgspec.to_builtins(rows, enc_hook=str), ensure_ascii=False, indent=1)
        done = Done(seen.person.name, title, command, text)
    except SwitchError as error:
        told = error.told()
        what, remedy = str(told["what"]), str(told.get("remedy", ""))
        done = Done(seen.person.name, title, command, "", what, remedy)
    front.log(done)
    return done


def done(front: Front, seen: Seen) -> Response:
    """Outcome of an action."""
    found = front.done_by(seen.parts["name"], seen.person)
    if found is None:
        raise Missing
    return _html(
        front,
        seen,
        "done.html",
        found.title,
        done=not found.fault,
        fault=found.fault,
        remedy=found.remedy,
        answer=found.answer,
        command=found.command,
    )


def _deed(seen: Seen) -> deeds.Deed:
    deed = deeds.BY_NAME.get(seen.parts["deed"])
    if deed is None:
        raise Missing
    _require(deeds.may(seen.person, deed))
    return deed


def _form(
    front: Front,
    seen: Seen,
    deed: deeds.Deed,
    given: Mapping[str, str],
    *,
    sure: bool = False,
    command: str = "",
    error: SwitchError | None = None,
) -> Response:
    told = error.told() if error else {}
    shown = {
        "deed": deed,
        "given": given,
        "sure": sure,
        "command": command,
        "fault": told.get("what", ""),
        "remedy": told.get("remedy", ""),
    }
    answer = _html(front, seen, "deed.html", deed.title, **shown)
    answer.status_code = 400 if error else 200
    return answer


# --- dossiers -------------------------------------------------------------------------------------


def statement(front: Front, seen: Seen) -> Response:
    """The form of a statement, which somebody signs where their key is."""
    _require(seen.person.has(OPERATOR, APPROVER))
    labels = {
        "batch": "batch",
        "step": "step",
        "by": "by",
        "public": "public key",
        "why": "reason",
        "behalf": "for whom",
        "at": "time to sign",
        "answered": "lines that were answered",
    }
    needed = ("batch", "step", "by", "public")
    filled = {"by": seen.person.name}
    fields = [
        (name, labels[name], seen.one(name) or filled.get(name, ""), name in needed)
        for name in STEP_FIELDS
    ]
    return _html(front, seen, "statement.html", "Sign a step of a dossier", fields=fields)


def statement_file(front: Front, seen: Seen) -> Response:
    """A statement to be signed (`Control.statement`)."""
    _require(seen.person.has(OPERATOR, APPROVER))
    words: dict[str, Any] = {n: seen.one(n) for n in STEP_FIELDS if seen.one(n)}
    batch_id, step = words.pop("batch", ""), words.pop("step", "")
    if "answered" in words:
        words["answered"] = deeds.number_of("answered", words["answered"])
    for name in ("by", "public"):
        if name not in words:
            raise UsageError(f"{name} is empty: say it")
    act = front.house.engine.control.statement(batch_id, step, **words)
    content = msgspec.json.format(msgspec.json.encode(act), indent=2) + b"\n"
    return _file(content, "application/json", "statement.json")


def take_act(front: Front, seen: Seen) -> Response:
    """A statement that was signed elsewhere (`Control.take_act`)."""
    _require(seen.person.has(OPERATOR, APPROVER))
    content = seen.form.get("act")
    if not isinstance(content, bytes) or not content or len(content) > ACT_BYTES_MAX:
        raise UsageError("no signed statement was sent")
    command = shlex.join(["switch", "act", front.house.name, "FILE"])
    taken = _take(
        front, seen, "Sign a step of a dossier", command, lambda e: _take_file(e, content)
    )
    return RedirectResponse(f"/done/{front.tell(taken)}", 303)


def _take_file(engine: Any, content: bytes) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "act.json"
        path.write_bytes(content)
        act: Act = read_act(path)
    return engine.control.take_act(act)


# --- all of them ----------------------------------------------------------------------------------


def metrics(front: Front, seen: Seen) -> Response:
    """Numbers for a monitor (`Watch.metrics`)."""
    _require(not seen.person.is_agency)
    text = front.house.watch.metrics(front.clock())
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")


def _require(allowed: bool) -> None:
    if not allowed:
        raise Forbidden


def _html(front: Front, seen: Seen, template: str, title: str, **what: Any) -> HTMLResponse:
    return HTMLResponse(front.page(seen, template, title, **what))


def _file(content: bytes, media: str, name: str) -> Response:
    safe = "".join(sign if sign.isalnum() or sign in "._-" else "_" for sign in name)
    headers = {"Content-Disposition": f'attachment; filename="{safe}"'}
    return Response(content, media_type=media, headers=headers)
