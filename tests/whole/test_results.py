"""Results of all calls: short in a line, a table in a notebook, whole after a pickle, and JSON."""

from __future__ import annotations

import copy
import inspect
import json
import pickle
import shutil
import typing
from collections.abc import Callable, Hashable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from cycles import CUTOFFS, CYCLE, NEXT_DAY, lines, make
from scene import account, accounts_table, payment_table, run

import switch
from switch.outcomes import Document, Rows, html_table, shown

REPR_MAX = 200
QUEUE = switch.PaymentQueue([0, 1], [1, 0], [5, 7], participants=2)
TABLE = payment_table(lines("A > B 50\nB > C 30\nC > X 20"))
SAID = {"source": "VSS", "batch_id": "X", "value_date": "2026-11-25", "count": 3, "sum": 100}

Ask = Callable[[switch.Engine, Path], Any]
CALLS: dict[str, Ask] = {
    "open": lambda e, at: e,
    "run": lambda e, at: e.run(TABLE, **SAID),
    "export": lambda e, at: e.export("X"),
    "settle": lambda e, at: e.settle(CYCLE),
    "line": lambda e, at: e.line("X", 1),
    "person": lambda e, at: e.person("001000000001"),
    "batch": lambda e, at: e.batch("X"),
    "batches": lambda e, at: e.batches(),
    "status": lambda e, at: e.status(),
    "breaks": lambda e, at: e.breaks(),
    "cycles": lambda e, at: e.cycles(),
    "balances": lambda e, at: e.balances(),
    "held": lambda e, at: e.held(),
    "returned": lambda e, at: e.returned(),
    "shared_accounts": lambda e, at: e.shared_accounts("X"),
    "rehearse": lambda e, at: e.rehearse([at / "table.parquet"]),
    "reconcile": lambda e, at: e.reconcile(
        *sorted((at / "h/out/X/answers/confirmations").iterdir()), **NEXT_DAY
    ),
    "close_day": lambda e, at: e.close_day("2026-12-05"),
    "write_back": lambda e, at: e.write_back(),
    "reissue": lambda e, at: e.reissue(),
    "register": lambda e, at: e.register(accounts=accounts_table([account(1)])),
    "report": lambda e, at: e.report("X", csv=True),
    "verify": lambda e, at: e.verify(),
    "replay": lambda e, at: e.replay("X", TABLE),
    "scrub": lambda e, at: e.scrub(at / "copy", dry_run=True),
    "exchange": lambda e, at: switch.exchange(e.home.path, "X"),
    "settings": lambda e, at: e.settings,
    "examine": lambda e, at: switch.examine(e.home.path),
    "netting_of": lambda e, at: switch.netting_of([[0, 5], [3, 0]]),
    "clearing_vector": lambda e, at: switch.clearing_vector([[0, 5], [0, 0]], [1, 0]),
    "fewest_transfers": lambda e, at: switch.fewest_transfers([5, -5]),
    "queue": lambda e, at: QUEUE,
    "recast": lambda e, at: switch.recast([[0, 5], [3, 0]], [0]),
    "in_order": lambda e, at: switch.settle_in_order(QUEUE, [0, 0]),
    "by_value": lambda e, at: switch.settle_by_value(QUEUE, [0, 0]),
    "generate": lambda e, at: switch.generate(at / "world", 50, 20, 1),
}  # fmt: skip
NAMES = {"open", "run", "export", "report"}
"""Calls whose result names something."""
SILENT = {"open", "export", "shared_accounts", "settings", "netting_of", "clearing_vector",
          "fewest_transfers", "queue", "recast", "in_order", "by_value"}  # fmt: skip
"""Calls whose result is a value, a path, or a table that shows itself."""


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home after a payday that was settled and answered by its receivers, with a copy of it."""
    folder = tmp_path_factory.mktemp("results")
    with make(folder / "h", CUTOFFS) as engine:
        run(engine, lines("A > B 50\nB > C 30\nC > X 20"), "X")
        engine.settle()
        switch.exchange(folder / "h", "X", seed=5)
    shutil.copytree(folder / "h", folder / "copy")
    return folder


@pytest.fixture
def place(lived: Path, tmp_path: Path) -> Path:
    shutil.copytree(lived, tmp_path, dirs_exist_ok=True)
    return tmp_path


class Cells(HTMLParser):
    """Tags that are open, as a document is read."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tables = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tables += tag in ("table", "svg")
        self.open += [tag] if tag != "br" else []

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("name", CALLS)
def test_results__are_short_and_shown_and_whole_after_a_pickle(name: str, place: Path) -> None:
    with switch.open(place / "h") as engine:
        found = CALLS[name](engine, place)
        if name != "shared_accounts":  # A table, which Arrow shows.
            assert len(repr(found)) < REPR_MAX, repr(found)
            assert "\n" not in repr(found)
        if name in NAMES:
            assert isinstance(found, Hashable)
            assert {found: 1}[found] == 1
        if name not in SILENT:
            cells = Cells()
            cells.feed(found._repr_html_())
            assert cells.tables or not found
            assert not cells.open
        if name != "open":
            again = pickle.loads(pickle.dumps(found))
            assert type(again) is type(found)
            assert repr(again) == repr(found)


@pytest.mark.parametrize("name", ["line", "batch", "batches", "settle", "reconcile", "verify"])
def test_results__are_dicts_and_lists_whatever_else_they_do(name: str, place: Path) -> None:
    with switch.open(place / "h") as engine:
        found = CALLS[name](engine, place)
    assert isinstance(found, Document | Rows)
    plain = dict(found) if isinstance(found, Document) else list(found)
    assert found == plain
    assert copy.deepcopy(found) == plain
    assert msgspec.json.encode(found) == msgspec.json.encode(plain)
    assert json.dumps(found) == json.dumps(plain)


@pytest.mark.parametrize("name", ["batches", "settle", "verify"])
def test_rows__are_an_arrow_table_too(name: str, place: Path) -> None:
    with switch.open(place / "h") as engine:
        found = CALLS[name](engine, place)
    table = found.table()
    assert len(table) == len(found) > 0
    first = found[0] if isinstance(found[0], dict) else found[0]._asdict()
    assert table.column_names == list(first)
    assert table.to_pylist()[0].keys() == first.keys()


def shows_itself(kind: Any) -> bool:
    """A type whose values are short in a line, or become so as they are returned."""
    origin = typing.get_origin(kind) or kind
    plain = (type(None), dict, list, Rows, Path, pa.Table)
    return typing.is_typeddict(origin) or origin in plain or "__repr__" in vars(origin)


def test_results__of_all_calls_of_the_engine_show_themselves() -> None:
    methods = inspect.getmembers(switch.Engine, inspect.isfunction)
    for name, method in methods:
        if not name.startswith("_") and name not in {*CALLS, "open_register"}:
            assert shows_itself(typing.get_type_hints(method)["return"]), name


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ({"a": 1, "b": "x", "c": None}, "<some thing: a 1, b 'x', c None>"),
        ({"a": {"count": 5000, "sum": 1}, "b": {}, "c": [1, 2]}, "<some thing: a 5,000, 2 c>"),
        ({"a": "x" * 500}, f"<some thing: a '{'x' * 36}...>"),
        ([{"a": 1}], "<1 x some thing>"),
        ([], "<0 x some thing>"),
    ],
)  # fmt: skip
def test_shown__of_plain_values(value: object, line: str) -> None:
    assert repr(shown(value, "SomeThing")) == line


@pytest.mark.parametrize("value", [5, "x", [1, 2], (1,), None, pa.table({})])
def test_shown__leaves_other_values_alone(value: object) -> None:
    assert shown(value, "SomeThing") is value


def test_html__escapes_and_cuts_what_is_long() -> None:
    text = html_table(["<a>"], [["<b>"]] * 100)
    assert "<b>" not in text
    assert "<a>" not in text
    assert text.count("<tr>") == 21
    nested = Document("thing", {"rows": [{"x": 1000}, {"y": None}], "words": ["<", "b"]})
    shown_html = nested._repr_html_()
    assert "1,000" in shown_html
    assert "&lt;, b" in shown_html
