"""Rows of a list as a page shows them: its columns, links from them, and what may be done."""

from __future__ import annotations

import datetime
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

import jinja2
from markupsafe import Markup

from switch.open_items.listing import Listing
from switch.report.page import Column, Sheet, cell, environment
from switch.serve import deeds
from switch.serve.staff import APPROVER, OPERATOR, Person
from switch.serve.views import View, kind_of

HEADS = {
    "batch_id": "batch",
    "line_no": "line",
    "short_name": "name",
    "debit_sum": "pays",
    "credit_sum": "receives",
    "balance": "account",
    "sum": "money",
    "value": "money",
    "amount": "money",
    "net_debit_cap": "cap",
    "amount_max": "limit of a line",
    "settled_by": "settled by",
    "went_back_lines": "went back",
    "went_back_sum": "money that went back",
    "returned_lines": "returns",
    "returned_sum": "money of returns",
    "waits": "waits for",
    "what": "what is wrong",
}
"""Heads of columns in words, where the name is none."""


class Link(NamedTuple):
    """A value that leads somewhere."""

    text: str
    address: str
    kind: str = "code"

    def __str__(self) -> str:
        return self.text


class Links(tuple[Link, ...]):
    """Several of them in one cell."""

    def __str__(self) -> str:
        return ""


def templates() -> jinja2.Environment:
    """Templates of the pages, which show links, too."""
    inside = environment("serve/pages")

    @jinja2.pass_context
    def shown(context: jinja2.runtime.Context, value: Any, kind: str) -> Any:
        say = context["say"]
        if isinstance(value, Links):
            return Markup(" · ").join(_anchor(one, say(one.text)) for one in value)
        text = cell(str(value) if isinstance(value, Link) else value, kind)
        text = say(text) if kind in ("words", "wide") and text else text
        return _anchor(value, text) if isinstance(value, Link) else text

    inside.filters["shown"] = shown
    return inside


def _anchor(link: Link, text: str) -> Markup:
    return Markup('<a href="{}">{}</a>').format(link.address, text)


def sheet_of(view: View, found: Listing, person: Person, start: int, count: int) -> Sheet:
    """Rows from start on, so many at most, as a sheet."""
    allowed = [name for name in view.deeds if _may(person, name)]
    names = [name for name in found.table.column_names if name not in view.hidden]
    columns = [
        Column(
            HEADS.get(name, name.replace("_", " ")),
            kind_of(view, name, found.table.schema.field(name).type),
        )
        for name in names
    ]
    if allowed:
        columns.append(Column("actions", "words"))
    rows = []
    for row in found.table.slice(start, count).to_pylist():
        cells: list[Any] = [_value(view, row, name, person) for name in names]
        if allowed:
            offered = [n for n in allowed if n not in view.only or row["state"] in view.only[n]]
            cells.append(Links(_deed(view, name, row) for name in offered))
        rows.append(cells)
    return Sheet(view.name, view.title, columns, rows)


def _value(view: View, row: dict[str, Any], name: str, person: Person) -> Any:
    value = row[name]
    if isinstance(value, bool):
        value = "yes" if value else "no"
    elif isinstance(value, datetime.date):
        value = value.isoformat()
    if value in (None, "") or name not in view.links:
        return value
    address = view.links[name]
    if person.is_agency and not address.startswith("/batches"):
        return value
    return Link(str(value), _filled(address, row))


def _filled(address: str, row: dict[str, Any]) -> str:
    return address.format(**{name: quote(str(value), safe="") for name, value in row.items()})


def _deed(view: View, name: str, row: dict[str, Any]) -> Link:
    given = {field: text.format(**row) for field, text in view.deeds[name].items()}
    at = f"/do/{name}" if name in deeds.BY_NAME else f"/{name}"
    return Link(name.replace("-", " ").replace("participant ", ""), f"{at}?{urlencode(given)}")


def _may(person: Person, name: str) -> bool:
    """True where somebody may do what a list offers: a deed, or the statement of a step."""
    deed = deeds.BY_NAME.get(name)
    return person.has(APPROVER, OPERATOR) if deed is None else deeds.may(person, deed)
