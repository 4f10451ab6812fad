"""Pages: what they show is what the library says; who sees what; who comes in at all."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow.parquet as pq
import pytest
from scene import command, person_id
from serving import TIME, Browser, browser

import switch
from switch.serve import answers
from switch.serve.app import HEADERS
from switch.serve.views import BY_NAME, VIEWS

ROLES_OF_STAFF = ("operator", "approver", "auditor")


def paths(home: Path) -> list[str]:
    """Every page that there is."""
    with switch.open(home, mode="r") as engine:
        named = [f"{row['source']}:{row['batch_id']}" for row in engine.batches()]
        cycles = [row["cycle"] for row in engine.cycles().rows()]
    found = ["/", "/lines", "/reports", "/deeds", "/statement", "/metrics"]
    found += [f"/{view.name}" for view in VIEWS]
    found += [f"/export/{view.name}.{ending}" for view in VIEWS for ending in ("csv", "parquet")]
    found += [f"/batches/{quote(name)}" for name in named]
    found += [f"/batches/{quote(name)}/lines/1" for name in named]
    found += [f"/reports/batch/{quote(name)}" for name in named]
    found += [f"/cycles/{one}" for one in cycles]
    return [*found, "/reports/home/all", "/reports/day/2026-12-01"]


# --- every page, by every role --------------------------------------------------------------------


@pytest.mark.parametrize("role", ROLES_OF_STAFF)
def test_pages__are_there_for_staff(home: Path, role: str) -> None:
    with browser(home, "an", role) as page:
        for path in paths(home):
            answer = page.get(path)
            if path == "/statement" and role == "auditor":
                assert answer.status_code == 403
                continue
            assert answer.status_code == 200, (path, answer.text)
            for name, value in HEADERS.items():
                assert answer.headers[name] == value, (path, name)


def test_pages__of_an_agency_show_its_own_batches_alone(home: Path) -> None:
    """Nothing of another agency stands on any page that it may open: no batch, no line."""
    allowed = {f"/{view.name}" for view in VIEWS if view.agency} | {"/", "/lines", "/deeds"}
    allowed |= {f"/export/{v.name}.{e}" for v in VIEWS if v.agency for e in ("csv", "parquet")}
    allowed |= {f"/batches/MOH%3A{name}{of}" for name in ("M", "BOTH") for of in ("", "/lines/1")}
    opened = set()
    with browser(home, "moh", "agency", sources=("MOH",)) as page:
        for path in paths(home):
            answer = page.get(path)
            if answer.status_code == 200:
                opened.add(path)
                if path.startswith("/export") and path.endswith("parquet"):
                    table = pq.read_table(io.BytesIO(answer.content))
                    assert set(table["batch_id"].to_pylist()) <= {"M", "BOTH", "MOH:BOTH"}
                else:
                    shown = re.sub(
                        r"<script.*?</script>|<header.*?</header>", "", answer.text, flags=re.S
                    )
                    assert "VSS" not in shown, path
                    assert not re.search(r"[>/:]A[<\"/]|batch=A\b|OTHER", shown), path
            else:
                assert answer.status_code in (403, 404), path
        shown = page.get("/held").text
        own = page.post("/lines", text=person_id(5)).text
        timeline = page.post("/person", person=person_id(5)).text
    assert opened == allowed
    assert ">M<" in shown
    assert own.count("<tr>") == 2  # Its head, and the line of its own batch.
    assert "M line 3" in timeline
    assert "A line 5" not in timeline


def test_pages__of_an_agency_take_no_action(home: Path) -> None:
    from switch.serve.deeds import DEEDS

    with browser(home, "moh", "agency", sources=("MOH",)) as page:
        assert "you see, and others act" in page.get("/deeds").text
        for deed in DEEDS:
            assert page.get(f"/do/{deed.name}").status_code == 403
            assert page.post(f"/do/{deed.name}", sure="yes").status_code == 403
        assert page.post("/act").status_code == 403


# --- lists ----------------------------------------------------------------------------------------


def listed(page: Browser, path: str) -> list[list[str]]:
    """Values of the rows of a list, as its script reads them."""
    html = page.get(path).text
    body = re.search(r"<tbody>(.*?)</tbody>", html, re.S)
    rows = re.findall(r"<tr>(.*?)</tr>", body[1], re.S) if body else []
    return [re.findall(r'data-v="([^"]*)"', row) for row in rows]


ASKED: dict[str, Any] = {
    "cycles": lambda engine: engine.cycles(),
    "positions": lambda engine: engine.watch.positions(),
    "balances": lambda engine: engine.balances(),
    "awaited": lambda engine: engine.watch.awaited(at=TIME),
    "breaks": lambda engine: engine.breaks(),
    "alarms": None,
    "held": lambda engine: engine.held(),
    "returned": lambda engine: engine.returned(),
    "recalls": lambda engine: engine.recalls(),
    "dossiers": lambda engine: engine.control.dossiers(),
    "calendar": lambda engine: engine.watch.cut_offs(TIME),
    "audit": lambda engine: engine.watch.records(),
}


@pytest.mark.parametrize("name", ASKED)
def test_list__has_the_rows_of_the_library_and_so_has_its_export(home: Path, name: str) -> None:
    with switch.open(home, mode="r") as engine:
        named = engine.watch.within({}, name=str(home)).alarms(TIME)
        found = named if name == "alarms" else ASKED[name](engine)
    view = BY_NAME[name]
    shown = [one for one in found.table.column_names if one not in view.hidden]
    with browser(home, "an", "auditor") as page:
        html = page.get(f"/{name}").text
        rows = listed(page, f"/{name}")
        exported = page.get(f"/export/{name}.parquet")
        sheet = page.get(f"/export/{name}.csv")
    wanted = [[said_in(row[one]) for one in shown] for row in found.rows()[: answers.ROWS]]
    assert [[unescaped(cell) for cell in row] for row in rows] == wanted
    assert f'id="total" data-v="{found.total["count"]}"' in html
    table = pq.read_table(io.BytesIO(exported.content))
    assert table.to_pylist() == found.table.to_pylist()
    read = list(csv.reader(io.StringIO(sheet.content.decode("utf-8-sig"))))
    assert len(read) == 1 + len(found)


def said_in(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)


def unescaped(text: str) -> str:
    import html

    return html.unescape(text)


@pytest.mark.parametrize("name", [view.name for view in VIEWS if view.command != "directory"])
def test_list__shows_the_command_that_lists_the_same(home: Path, name: str) -> None:
    import html as escapes
    import shlex

    with browser(home, "an", "auditor") as page:
        html = page.get(f"/{name}").text
        total = re.search(r'id="total" data-v="(\d+)"', html)
    found = re.search(r"The same by a command: <code>(.*?)</code>", html)
    assert found
    assert total
    words = shlex.split(escapes.unescape(found[1]))[1:]
    told = command(*words, "--json")
    assert told.code == 0, told.err
    count = told.document.get("count", len(told.document.get("batches", ())))
    assert count == int(total[1])


def test_list__filters_stand_in_the_address_and_in_the_command(home: Path) -> None:
    with browser(home, "an", "auditor") as page:
        html = page.get("/audit?kind=batch&by=").text
        rows = listed(page, "/audit?kind=batch&kind=register")
        wrong = page.get("/audit?kind=nothing")
        bad = page.get("/held?age=x")
    assert "--kind batch" in html
    assert {row[2] for row in rows} == {"batch", "register"}
    assert wrong.status_code == bad.status_code == 400
    assert "not known here" in wrong.text


def test_list__is_paged_over_one_answer(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "ROWS", 3)
    with browser(home, "an", "auditor") as page:
        path, seen = "/audit", []
        while path:
            html = page.get(path).text
            seen += [int(row[0]) for row in listed(page, path)]
            following = re.search(r'<a rel="next" href="([^"]*)"', html)
            path = f"/audit{unescaped(following[1])}" if following else ""
        stale = page.get("/audit?after=0123456789abcdef.3")
    with switch.open(home, mode="r") as engine:
        assert seen == engine.watch.records().table["record"].to_pylist()
    assert stale.status_code == 400
    assert "has changed since" in stale.text


def test_today__tells_alarms_first(home: Path) -> None:
    with browser(home, "an", "operator", at="2026-12-20T09:00:00") as page:
        html = page.get("/").text
    with switch.open(home, mode="r") as engine:
        alarms = engine.watch.within({}, name=str(home)).alarms("2026-12-20T09:00:00").rows()
    assert f"alarms that nobody has seen: {len(alarms)}" in html
    assert unescaped(html).count(str(alarms[0]["next"])) >= 1
    assert 'class="verdict bad"' in html


def test_find__leaves_no_id_in_an_address(home: Path) -> None:
    with browser(home, "an", "operator") as page:
        found = page.post("/lines", text="000005")
        whole = page.post("/lines", text=person_id(5))
        short = page.post("/lines", text="12")
        named = page.post("/lines", text="A 1")
    assert person_id(5) not in found.text
    assert "••••••000005" in found.text
    assert "Timeline of this person" in whole.text
    assert short.status_code == 400
    assert "/batches/A/lines/1" in named.text
    assert "?text" not in str(found.url)


def test_pages__in_vietnamese_have_no_english_word(home: Path) -> None:
    """What stands on a page is Vietnamese, a code, a command, or what people and banks said."""
    from switch.serve.front import _vietnamese
    from switch.words import vietnamese

    told = [*vietnamese().values(), *_vietnamese().values()]
    known = {word for text in told for word in re.findall(r"[A-Za-z]+", text)}
    known |= {"English", "csv", "parquet", "home", "bank", "token", "Nguy"}
    codes = {"operator", "an", "batch", "control", "directory", "init", "register", "settlement"}
    codes |= {
        "answers",
        "cycle",
        "switch",
        "disposition",
        "liquidity",
        "citizen",
        "day",
        "desk",
        "receiver",
    }
    found: dict[str, set[str]] = {}
    with browser(home, "an", "operator") as page:
        page.get("/?lang=vi")
        shown = ["/", "/lines", "/deeds", "/statement", "/reports", "/do/snooze", "/do/recall"]
        for path in [*shown, *(f"/{view.name}" for view in VIEWS), "/nothing"]:
            html = re.sub(
                r"<script.*?</script>|switch [a-z-]+ [^<]*|<code>.*?</code>|<[^>]*>",
                " ",
                page.get(path).text,
                flags=re.S,
            )
            text = re.sub(r"\S*[\d_/@=\[\]\"'-]\S*", " ", unescaped(html))
            words = set(re.findall(r"(?<![^\W\d_])[A-Za-z]{3,}(?![^\W\d_])", text))
            left = {w for w in words if not w.isupper()} - known - codes
            if left:
                found[path] = left
    assert not found, "\n".join(f"{k}: {sorted(v)}" for k, v in found.items())


def test_cycles__offer_what_may_be_done_in_their_state(home: Path) -> None:
    with browser(home, "an", "operator") as page:
        html = page.get("/cycles").text
    rows = re.findall(r"<tr>.*?</tr>", html, re.S)
    for row in rows[1:]:
        assert ("/do/settle" in row) == ("OPEN" in row or "CLOSED" in row)
        assert ("/do/close-cycle" in row) == ("OPEN" in row)
    assert any("/do/settle" in row for row in rows)
    assert any("SETTLED" in row for row in rows)
