"""Actions of pages: each does what its command does, to the last link of the audit chain, and only
for those whose role it is."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
from answering import CALENDAR, back, home_of, said, take
from scene import BANK, SMALL_BANK, WALLET, command, line, people_table, person, run
from serving import Browser, browser

import switch
from switch.home.store import Home
from switch.serve.deeds import BY_NAME, DEEDS

AT = "2026-12-01T09:00"
CYCLE, NEXT = "20261125-1", "20261201-1"
FIELDS: dict[str, dict[str, str]] = {
    "acknowledge": {"alarm": f"answers-overdue:{WALLET}", "owner": "night", "at": AT},
    "unseen": {"alarm": f"answers-overdue:{WALLET}", "note": "look again", "at": AT},
    "snooze": {
        "alarm": f"answers-overdue:{WALLET}",
        "until": "2026-12-02T08:00",
        "note": "it is a holiday there",
        "at": AT,
    },
    "note-break": {"break": "{break}", "note": "asked", "owner": "desk"},
    "accept-break": {"break": "{break}", "note": "so it is"},
    "withdraw-break": {"break": "{break}", "note": "not so"},
    "cancel-line": {"line": "WAITS:1", "why": "it is not owed"},
    "recall": {"line": "A:5", "reason": "DUPL", "why": "paid twice"},
    "write-back": {"line": "A:1"},
    "reissue": {"line": "A:1"},
    "expire": {"at": "2026-12-20"},
    "close-cycle": {"cycle": NEXT, "at": "2026-12-01T11:00"},
    "settle": {"cycle": NEXT, "at": "2026-12-01T11:30"},
    "close-day": {"at": "2026-12-01"},
    "abort": {"cycle": NEXT, "why": "the bank is closed", "at": "2026-12-01T11:30"},
    "participant-suspend": {"code": BANK, "why": "it does not answer"},
    "participant-enable": {"code": BANK, "why": "it answers"},
    "participant-cap": {"code": SMALL_BANK, "cap": "1.000.000", "why": "less risk"},
    "participant-balance": {"code": SMALL_BANK, "balance": "5,000,000", "why": "it moved in"},
}
"""What is said in the form of each action."""
BEFORE = {"unseen": "acknowledge", "withdraw-break": "accept-break", "settle": "close-cycle"}
BEFORE |= {"participant-enable": "participant-suspend"}
"""Actions that others have to come before."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which each action may be taken: a settled cycle with lines that came back, breaks
    and silent receivers; an open one; lines that wait."""
    settings = CALENDAR
    settings = switch.Settings(cutoffs=settings.cutoffs, held_days=10)
    home = home_of(tmp_path_factory.mktemp("deeds") / "home", settings=settings)
    with switch.open(home) as engine:
        engine.settle(CYCLE, at="2026-11-25T11:05")
        take(engine, home, *(back(n) for n in (1, 2)), at="2026-11-27T10:00")
        engine.settle("20261127-1", at="2026-11-27T11:30")
        take(engine, home, said(3, amount=7), at="2026-11-27T12:00")
        day = {"value_date": "2026-12-01", "at": "2026-12-01T08:00"}
        other = {"period": 202512}
        run(engine, [line(n, **other) for n in range(20, 26)], "B", **day)
        engine.register(population=people_table([person(70)]))
        waits = run(engine, [line(70, **other)], "WAITS", **day)
        assert waits.status["status"].to_pylist() == ["PDNG"]
    return home


@pytest.fixture
def home(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "home")
    return tmp_path / "home"


def link(home: Path) -> tuple[int, str]:
    with Home(home, writing=False) as opened:
        return opened.catalog.audit.head()


def filled(home: Path, name: str) -> dict[str, str]:
    with switch.open(home, mode="r") as engine:
        one = str(engine.breaks().table["break"][0])
    return {field: text.format(**{"break": one}) for field, text in FIELDS[name].items()}


def done(page: Browser, name: str, fields: dict[str, str]) -> str:
    """The page that tells what became of an action."""
    sure = page.post(f"/do/{name}", **fields)
    assert "Is it meant?" in sure.text, sure.text
    told = page.post(f"/do/{name}", **fields, sure="yes")
    assert told.status_code == 200
    return told.text


def command_in(html: str) -> list[str]:
    """Words of the command that a page shows."""
    import html as escapes

    found = re.search(r"The same by a command: <code>(.*?)</code>", html)
    assert found
    return shlex.split(escapes.unescape(found[1]))[1:]


def test_fields__are_those_of_all_actions() -> None:
    assert {*FIELDS} == {*BY_NAME}


@pytest.mark.parametrize("name", FIELDS)
def test_deed__does_what_its_command_does(home: Path, name: str) -> None:
    twin = home.parent / "twin" / "home"
    role = "operator" if "operator" in BY_NAME[name].roles else "approver"
    for first in [name for name in [BEFORE.get(name)] if name]:
        with browser(home, "an", role) as page:
            done(page, first, filled(home, first))
    shutil.copytree(home, twin)
    before = link(home)
    with browser(home, "an", role) as page:
        html = done(page, name, filled(home, name))
    assert '<section class="verdict good"' in html, html
    assert link(home) != before
    words = command_in(html)
    assert words[1] == str(home)
    words[1] = str(twin)
    said = command(*words)
    assert said.code == 0, (words, said.err)
    assert link(twin) == link(home)
    assert switch.verify(home)


@pytest.mark.parametrize("deed", DEEDS, ids=lambda deed: deed.name)
@pytest.mark.parametrize("role", ["operator", "approver", "auditor"])
def test_deed__is_for_its_roles_alone(home: Path, deed: object, role: str) -> None:
    assert hasattr(deed, "roles")
    before = link(home)
    allowed = role in deed.roles
    with browser(home, "an", role) as page:
        shown = page.get(f"/do/{deed.name}")
        listed = f'href="/do/{deed.name}"' in page.get("/deeds").text
        if not allowed:
            sent = page.post(f"/do/{deed.name}", **filled(home, deed.name), sure="yes")
            assert sent.status_code == 403
    assert (shown.status_code == 200) == allowed == listed
    assert link(home) == before


def test_deed__asks_first_and_does_nothing_without_a_yes(home: Path) -> None:
    before = link(home)
    with browser(home, "an", "approver") as page:
        sure = page.post("/do/participant-suspend", code=BANK, why="silent")
    assert "Is it meant?" in sure.text
    assert "--suspend --by an" in sure.text
    assert link(home) == before


@pytest.mark.parametrize(
    ("name", "fields", "what"),
    [
        ("participant-suspend", {"code": BANK}, "reason is empty"),
        ("participant-cap", {"code": BANK, "cap": "much", "why": "x"}, "no whole number of dong"),
    ],
)
def test_deed__that_is_none_says_what_is_missing(
    home: Path, name: str, fields: dict[str, str], what: str
) -> None:
    before = link(home)
    with browser(home, "an", "approver") as page:
        sent = page.post(f"/do/{name}", **fields, sure="yes")
    assert sent.status_code == 400
    assert what in sent.text
    assert link(home) == before


def test_deed__that_the_library_refuses_says_why(home: Path) -> None:
    before = link(home)
    with browser(home, "an", "operator") as page:
        html = done(page, "cancel-line", {"line": "A:1", "why": "x"})
    assert '<section class="verdict bad"' in html
    assert link(home) == before


def test_deed__waits_for_no_writer_for_ever(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from switch.serve import house

    monkeypatch.setattr(house, "WRITE_WAIT", 0.1)
    with switch.open(home), browser(home, "an", "approver") as page:
        html = done(page, "participant-suspend", {"code": BANK, "why": "silent"})
    assert '<section class="verdict bad"' in html


def test_deed__is_told_to_the_log(home: Path) -> None:
    told: list[object] = []
    with browser(home, "an", "approver", log=told.append) as page:
        done(page, "participant-suspend", {"code": BANK, "why": "silent"})
    (one,) = told
    assert getattr(one, "person", "") == "an"
    assert "--suspend" in getattr(one, "command", "")


def test_deed__says_who_came_in_whatever_the_form_says(home: Path) -> None:
    with browser(home, "an", "approver") as page:
        done(page, "participant-suspend", {"code": BANK, "why": "silent", "by": "binh"})
    with switch.open(home, mode="r") as engine:
        assert engine.watch.records().rows()[0]["by"] == "an"
