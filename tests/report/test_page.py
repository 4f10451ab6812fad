"""The page of a report: every number on it is what the library returns, and it asks nobody."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import subprocess
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from scene import BANK, PARTICIPANTS, account, command, line, make_home, pay, person

import switch
from switch import present
from switch.engine import Engine
from switch.errors import UsageError
from switch.present import STANDS
from switch.report.flow_svg import STATES
from switch.report.tile_map import PLACES
from switch.words import Chosen, vietnamese

SUMMED = ("count", "money")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


class Read(HTMLParser):
    """A page as a machine reads it: tables by their section, and all addresses in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.sheets: dict[str, list[list[str]]] = {}
        self.totals: dict[str, list[str]] = {}
        self.kinds: dict[str, list[str]] = {}
        self.tiles: list[int] = []
        self.addresses: list[str] = []
        self.classes: set[str] = set()
        self.styled = 0
        self._section = self._part = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        said = {name: value or "" for name, value in attributes}
        self.classes |= set(said.get("class", "").split())
        self.addresses += [said[name] for name in ("src", "href", "action") if name in said]
        self.styled += "style" in said or any(name.startswith("on") for name in said)
        if tag == "section":
            self._section = said.get("id", "")
        elif tag in ("thead", "tbody", "tfoot"):
            self._part = tag
        elif tag == "th":
            self.kinds.setdefault(self._section, []).append(said["class"])
        elif tag == "tr" and self._part == "tbody":
            self.sheets.setdefault(self._section, []).append([])
        elif tag == "td" and self._part == "tbody":
            self.sheets[self._section][-1].append(said["data-v"])
        elif tag == "td":
            self.totals.setdefault(self._section, []).append(said["data-v"])
        elif tag in ("b", "span") and "data-v" in said:
            self.tiles.append(int(said["data-v"]))


@pytest.fixture(scope="module")
def homes(golden: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The golden homes, which know every command."""
    return shutil.copytree(golden.folder, tmp_path_factory.mktemp("homes") / "homes")


def read(path: Path) -> Read:
    return Read(path.read_text("utf-8"))


def words(rows: list[list[Any]]) -> list[list[str]]:
    """Values as a page keeps them for scripts."""
    return [["" if value is None else str(value) for value in row] for row in rows]


HOMES = ("plain", "calendar", "budget", "lines")
GROUPS = (
    *(["credited"], ["cleared", "settled"], ["unapplied"], ["held"]),
    *(["returned", "written_back", "reissued"], ["refused"]),
)
SENT = STANDS[2:8]


class Seen(NamedTuple):
    """A page with the batches that it is of, as the library tells them."""

    page: Read
    engine: Engine
    rows: list[Any]
    whole: bool

    def now(self, state: str, key: str) -> int:
        return sum(row["now"][state][key] for row in self.rows)

    def added(self, sheet: str, place: int) -> int:
        return sum(int(row[place]) for row in self.page.sheets.get(sheet, []))


@pytest.fixture(scope="module", params=HOMES)
def seen(
    request: pytest.FixtureRequest, homes: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[Seen]]:
    """Pages of a home, of some cycles, days and batches of it."""
    out = tmp_path_factory.mktemp("pages")
    with switch.open(homes / request.param, mode="r") as engine:
        rows = engine.batches()
        scopes: list[dict[str, Any]] = [{"whole": True}]
        scopes += [{"cycle": cycle} for cycle in sorted({row["cycle"] for row in rows})[:2]]
        scopes += [{"day": day} for day in sorted({row["value_date"] for row in rows})[:2]]
        scopes += [{"batch": f"{row['source']}:{row['batch_id']}"} for row in rows[:3]]
        yield [
            Seen(
                read(engine.report(out=out, **scope).page),
                engine,
                [row for row in rows if is_in(row, scope)],
                scope.get("whole", False),
            )
            for scope in scopes
        ]


def is_in(row: Any, scope: dict[str, Any]) -> bool:
    names = {
        "whole": True,
        "cycle": row["cycle"],
        "day": row["value_date"],
        "batch": f"{row['source']}:{row['batch_id']}",
    }
    ((kind, name),) = scope.items()
    return bool(names[kind] == name)


def test_page__has_the_batches_and_where_their_lines_stand(seen: list[Seen]) -> None:
    for one in seen:
        assert one.page.sheets["batches"] == words(
            [
                [
                    *(row["batch_id"], row["source"], row["value_date"], row["cycle"]),
                    *(row["state"], row["received"]["count"], row["received"]["sum"]),
                    *(total["count"] for total in row["now"].values()),
                ]
                for row in one.rows
            ]
        )
        received = [sum(row["received"][key] for row in one.rows) for key in ("count", "sum")]
        assert one.page.tiles == received + [
            sum(one.now(state, key) for state in group)
            for group in GROUPS
            for key in ("count", "sum")
        ]


def test_page__has_the_alarms_of_the_whole_home(seen: list[Seen]) -> None:
    for one in seen:
        rows = one.engine.watch.alarms().rows() if one.whole else []
        names = ("alarm", "severity", "level", "state", "since", "what", "lines", "value")
        found = [row[:8] for row in one.page.sheets.get("alarms", [])]
        assert found == [[str(row[name]) for name in names] for row in rows]


def test_page__has_the_reasons_of_its_batches(seen: list[Seen]) -> None:
    for one in seen:
        expected: dict[tuple[str, ...], list[int]] = {}
        for row in one.rows:
            for reason in one.engine.batch(f"{row['source']}:{row['batch_id']}")["reasons"]:
                key = (reason["reason"], reason["status"], reason["sentence"])
                both = expected.setdefault(key, [0, 0])
                both[:] = both[0] + reason["count"], both[1] + reason["sum"]
        rows = one.page.sheets.get("reasons", [])
        assert {tuple(row[:3]): [int(row[3]), int(row[4])] for row in rows} == expected


def test_page__has_receivers_that_add_up_to_what_was_sent(seen: list[Seen]) -> None:
    for one in seen:
        for place, state in enumerate(SENT):
            assert one.added("receivers", 5 + place) == one.now(state, "count")
        for place, key in ((3, "count"), (4, "sum")):
            assert one.added("receivers", place) == sum(one.now(state, key) for state in SENT)
        for place, key in ((2, "count"), (3, "sum")):
            awaited = one.now("settled", key) + one.now("unapplied", key)
            assert one.added("awaited", place) == awaited
        assert one.added("awaited", 4) == one.now("unapplied", "count")
        assert one.added("positions", 4) == 0


def test_page__of_a_home_has_what_is_open_in_it(seen: list[Seen]) -> None:
    (one,) = [one for one in seen if one.whole]
    cycles = [row["cycle"] for row in one.engine.cycles().rows()]
    assert [row[0] for row in one.page.sheets["cycles"]] == cycles
    breaks = one.engine.breaks()
    assert one.added("breaks", 2) == len(breaks)
    assert one.added("breaks", 3) == breaks.total["sum"]
    names = ("programme", "budget", "reserved", "consumed", "released", "remaining", "available")
    budgets = [[row[name] for name in names] for row in one.engine.status().budgets]  # type: ignore[literal-required]
    assert one.page.sheets.get("budgets", []) == words(budgets)


def test_page__has_what_settlement_accounts_hold(seen: list[Seen]) -> None:
    for one in seen:
        held = {row["participant"]: row["balance"] for row in one.engine.balances().rows()}
        for row in one.page.sheets.get("positions", []):
            assert row[6] == str(held.get(row[0], 0))


def test_page__reads_lines_that_moved_once(
    homes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many batches they came with."""
    read_table, paths = present.read_table, []

    def read_(path: Path, **how: Any) -> Any:
        paths.extend([] if how else [path.relative_to(homes)])
        return read_table(path, **how)

    monkeypatch.setattr(present, "read_table", read_)
    with switch.open(homes / "plain", mode="r") as engine:
        assert len(engine.batches()) > 2
        engine.report(whole=True, out=tmp_path)
    assert len(set(paths)) > 1
    assert len(paths) == len(set(paths))


def test_page__adds_up_below_its_tables(seen: list[Seen]) -> None:
    for one in seen:
        assert one.page.totals or len(one.rows) < 2
        for section, total in one.page.totals.items():
            for place, kind in enumerate(one.page.kinds[section]):
                assert kind not in SUMMED or int(total[place]) == one.added(section, place)


def test_page__of_provinces_is_that_of_totals(homes: Path, tmp_path: Path) -> None:
    with switch.open(homes / "plain", mode="r") as engine:
        table = homes / "first.parquet"
        told = engine.report("FIRST", table=table, out=tmp_path)
        rows = engine.totals(table, by="province").rows()
    page = read(told.page)
    assert page.sheets["provinces"] == words(
        [
            [
                *(row["key"], row["name"], row["lines"], row["sum"]),
                *(row["held_lines"], row["refused_lines"], row["credited_lines"]),
            ]
            for row in rows
        ]
    )
    assert len(PLACES) == len(set(PLACES.values())) == 34


def test_page__has_everything_in_it(homes: Path, tmp_path: Path) -> None:
    """No address but one within the page, no style and no script beside those that the policy
    names by their digest."""
    said = command("report", homes / "plain", "--whole", "--prove", "--out", tmp_path)
    assert said.code == 0
    text = (tmp_path / "report.html").read_text("utf-8")
    page = Read(text)
    assert page.addresses == ["#content"]
    assert page.styled == 0
    assert "://" not in text.replace("http://www.w3.org", "")
    for tag, name in (("style", "style-src"), ("script", "script-src")):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{name} 'sha256-{digest}'" in text
    assert all(row[2] == "holds" for row in page.sheets["checks"])
    assert len(page.sheets["checks"]) == len(switch.verify(homes / "plain"))


def test_page__is_the_same_for_the_same_home(homes: Path, tmp_path: Path) -> None:
    with switch.open(homes / "calendar", mode="r") as engine:
        first = engine.report(whole=True, out=tmp_path / "a")
        second = engine.report(whole=True, out=tmp_path / "b")
    assert first.page.read_bytes() == second.page.read_bytes()
    assert not first.csv
    assert first.picture is None
    assert repr(first) == "<report of the home: report.html>"
    assert "report.html" in first._repr_html_()


def test_page__of_an_aborted_cycle_says_so(homes: Path, tmp_path: Path) -> None:
    aborted = 0
    for path in sorted(path for path in homes.iterdir() if (path / "catalog.sqlite").exists()):
        with switch.open(path, mode="r") as engine:
            for row in engine.batches():
                if row["cycle_state"] == "ABORTED":
                    told = engine.report(cycle=row["cycle"], out=tmp_path / "out")
                    text = told.page.read_text("utf-8")
                    assert 'class="verdict bad"' in text
                    assert "a cycle was aborted" in text
                    aborted += 1
    assert aborted


def test_page__names_of_others_are_text_in_it(tmp_path: Path) -> None:
    """A short name that is markup, or a formula, stays what it is."""
    evil = "</script><script>alert(1)</script>"
    others = [one for one in PARTICIPANTS if one["participant"] != BANK]
    (bank,) = [one for one in PARTICIPANTS if one["participant"] == BANK]
    home = make_home(
        tmp_path / "home",
        [person(1), person(2)],
        [account(1), account(2)],
        participants=[*others, {**bank, "short_name": evil}],
    )
    pay(home, [line(1), line(2)])
    with switch.open(home, mode="r") as engine:
        text = engine.report(whole=True, out=tmp_path / "out").page.read_text("utf-8")
    assert "<script>alert" not in text
    assert evil in [row[1] for row in Read(text).sheets["receivers"]]


def test_page__in_vietnamese_has_every_word(
    homes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No heading and no sentence of the page stays English."""
    monkeypatch.setattr(Chosen, "language", "en")
    assert (
        command("report", homes / "plain", "--whole", "--out", tmp_path, "--lang", "vi").code == 0
    )
    text = (tmp_path / "report.html").read_text("utf-8")
    assert '<html lang="vi">' in text
    plain = re.sub(r"<(style|script|code).*?</\1>", "", text, flags=re.DOTALL)
    known = set(vietnamese()) - set(vietnamese().values())
    shown = {part.strip() for part in re.split(r"<[^>]+>", plain)}
    assert not shown & known
    heads = set(re.findall(r"<(?:h2|th|figcaption)[^>]*>(.*?)</", plain))
    assert not heads & {words_ for _, words_, _ in STATES}


@pytest.mark.parametrize(
    ("words_", "says"),
    [
        (("--cycle", "X"), "no batch is in the cycle 'X'"),
        (("--day", "2020-01-01"), "no batch is on the day '2020-01-01'"),
        (("--batch", "NONE"), "no batch 'NONE'"),
        (("--cycle", "X", "--whole"), "cycle and whole are two reports"),
        (("--whole", "--csv"), "those of one batch"),
        (("--whole", "--table", "first.parquet"), "those of one batch"),
    ],
)
def test_report__of_what_is_not_there_is_refused(
    homes: Path, words_: tuple[str, ...], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(homes)
    said = command("report", "plain", *words_)
    assert said.code in (2, 3)
    assert says in said.err


def test_report__in_no_other_language(homes: Path, tmp_path: Path) -> None:
    with (
        switch.open(homes / "plain", mode="r") as engine,
        pytest.raises(UsageError, match="en, vi"),
    ):
        engine.report(language="fr", out=tmp_path)


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")
def test_page__in_a_browser_its_tables_sort_and_copy(homes: Path, tmp_path: Path) -> None:
    """Its script runs under its own policy: heads become buttons, and tables have their tools."""
    command("report", homes / "plain", "--whole", "--out", tmp_path)
    page = (tmp_path / "report.html").as_uri()
    done = subprocess.run(
        [str(CHROMIUM), *QUIET, f"--user-data-dir={tmp_path / 'user'}", "--dump-dom", page],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    tables = done.stdout.count("<table>")
    assert tables > 5
    assert done.stdout.count('<input type="search"') == tables
    assert done.stdout.count('<th scope="col"') == done.stdout.count("</button></th>")
