"""Release: what a run asks of a home with a policy, before it takes the first line."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import NoReturn, Protocol

from switch.control.dossiers import RELEASED, Dossier
from switch.control.take import Book
from switch.errors import InputRefused
from switch.home.store import Home


class Declared(Protocol):
    """A table as it is declared to be run."""

    @property
    def source(self) -> str: ...
    @property
    def batch_id(self) -> str: ...
    @property
    def value_date(self) -> datetime.date: ...
    @property
    def count(self) -> int: ...
    @property
    def sum(self) -> int: ...
    @property
    def currency(self) -> str: ...
    @property
    def programmes(self) -> Mapping[str, int] | None: ...
    @property
    def debtors(self) -> Mapping[str, int] | None: ...
    @property
    def sha256(self) -> str:
        """Digest of its file, which is held to it; '' where it has none."""


def require_released(home: Home, declared: Declared) -> None:
    """A new table is one that was released, to the letter, or the home has no policy. Raises
    InputRefused."""
    book = Book(home)
    if not book.rules:
        return
    name = f"batch {declared.batch_id!r} of {declared.source!r}"
    if not declared.sha256:
        what = f"{name} is a table in memory, and this home has a policy"
        _refuse("NOT_RELEASED", what, "give its file, with a dossier, through the steps of release")
    dossier = book.dossier(declared.source, declared.batch_id)
    if dossier is None:
        what = f"{name} was not prepared, and this home has a policy"
        _refuse("NOT_RELEASED", what, "prepare it: `switch prepare HOME TABLE`")
    if dossier.state != RELEASED:
        _refuse("NOT_RELEASED", f"{name} is {dossier.state}: {_due(dossier)}", "release it first")
    table = dossier.table
    said = [
        dict(part) if part is not None else None for part in (declared.programmes, declared.debtors)
    ]
    pairs = {
        "currency": (declared.currency, table.currency),
        "sums by programme": (said[0], table.programmes),
        "sums by debtor account": (said[1], table.debtors),
        "content": (f"sha256:{declared.sha256}", table.digest),
        "count": (declared.count, table.count),
        "sum": (declared.sum, table.sum),
        "value_date": (declared.value_date.isoformat(), table.value_date),
    }
    other = [name for name, (said, certified) in pairs.items() if said != certified]
    if other:
        what = f"{name} is not what was certified: {', '.join(other)} differs"
        _refuse("TABLE_OTHER", what, "run the file that was prepared, with its dossier of then")


def _due(dossier: Dossier) -> str:
    due, last = dossier.due, dossier.acts[-1]
    if dossier.stop or due is None:
        return f"{last.step} by {last.by}: {last.why}"
    return f"{due.step} is due"


def _refuse(rule: str, what: str, remedy: str) -> NoReturn:
    raise InputRefused(rule, what, remedy=remedy)
