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
from answering import back, home_of, take
from scene import account, accounts_table, command, line, people_table, person, person_id, run
from serving import ORIGIN, TIME, Browser, browser

import switch
from switch.errors import UsageError
from switch.serve import answers
from switch.serve.app import HEADERS, STATIC
from switch.serve.server import Address, staff_of
from switch.serve.staff import EXCLUDED, ROLES, add_person, digest_of, read_staff
from switch.serve.views import BY_NAME, VIEWS

ROLES_OF_STAFF = ("operator", "approver", "auditor")
CALENDAR = switch.Settings(cutoffs=("11:00", "15:30"), held_days=30)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two agencies with a batch each, lines that wait, came back and were not answered."""
    home = home_of(tmp_path_factory.mktemp("pages") / "home", settings=CALENDAR)
    with switch.open(home) as engine:
        engine.settle("20261125-1", at="2026-11-25T11:05")
        take(engine, home, *(back(n) for n in (1, 2)), at="2026-11-27T10:00")
        engine.settle("20261127-1", at="2026-11-27T11:30")
        engine.register(
            population=people_table([person(70), person(71), person(72)]),
            accounts=accounts_table([account(71)]),
        )
        rows = [line(n, period=202512) for n in (72, 6)]
        day = {"value_date": "2026-12-01", "at": "2026-12-01T07:00"}
        run(engine, rows, "OTHER", source="VSS", **day)
        run(engine, [line(7, period=202512)], "BOTH", source="VSS", **day)
        run(engine, [line(8, period=202512)], "BOTH", source="MOH", **day)
        rows = [line(n, period=202512) for n in (70, 71, 5)]
        run(engine, rows, "M", source="MOH", value_date="2026-12-01", at="2026-12-01T08:00")
    return home


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


# --- who comes in ---------------------------------------------------------------------------------


def test_door__asks_for_a_token_where_there_is_staff(home: Path, tmp_path: Path) -> None:
    token = add_person(tmp_path / "staff.toml", "an", ["operator"])
    staff = read_staff(tmp_path / "staff.toml")
    with browser(home, staff=staff) as page:
        away = page.client.get("/", headers={"accept": "text/html"}, follow_redirects=False)
        assert (away.status_code, away.headers["location"]) == (303, "/login?next=%2F")
        assert page.client.get("/alarms").status_code == 401
        assert page.client.get("/events").status_code == 401
        assert page.client.post("/do/settle", data={"cycle": "x"}).status_code == 401
        assert page.client.get("/health").json()["status"] == "ok"
        wrong = page.client.post("/login", data={"token": "guess"})
        assert wrong.status_code == 401
        bearer = {"authorization": f"Bearer {token}"}
        assert page.client.get("/alarms", headers=bearer).status_code == 200
        assert page.client.get("/metrics", headers=bearer).text.startswith("# HELP")
        came = page.client.post("/login?next=/alarms", data={"token": token})
        assert str(came.url).endswith("/alarms")
        cookie = came.history[0].headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert "an <span>" in came.text
        key = page.client.cookies["switch_session"]
        page.client.get("/logout")
        assert page.client.get("/alarms").status_code == 401
        old = {"cookie": f"switch_session={key}"}
        assert page.client.get("/alarms", headers=old).status_code == 401


def test_door__keeps_cookies_for_tls_where_there_is_tls(home: Path, tmp_path: Path) -> None:
    token = add_person(tmp_path / "staff.toml", "an", ["operator"])
    with browser(home, staff=read_staff(tmp_path / "staff.toml"), tls=True) as page:
        came = page.client.post("/login", data={"token": token}, follow_redirects=False)
        assert "Secure" in came.headers["set-cookie"]
        assert "max-age" in came.headers["strict-transport-security"]


@pytest.mark.parametrize("place", ["//evil.example", "/\\evil.example", "https://evil.example"])
def test_door__leads_to_no_other_place(home: Path, tmp_path: Path, place: str) -> None:
    token = add_person(tmp_path / "staff.toml", "an", ["operator"])
    with browser(home, staff=read_staff(tmp_path / "staff.toml")) as page:
        came = page.client.post(
            f"/login?next={quote(place)}", data={"token": token}, follow_redirects=False
        )
    assert came.headers["location"] == "/"


def test_form__of_another_page_is_refused(home: Path) -> None:
    said = {"code": "970001", "why": "x", "sure": "yes"}
    with browser(home, "an", "approver") as page:
        client = page.client
        assert client.post("/do/participant-suspend", data=said).status_code == 403
        html = page.get("/do/participant-suspend").text
        token = re.search(r'name="token" value="([0-9a-f]{64})"', html)
        assert token
        signed = {**said, "token": token[1]}
        for headers in ({"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}):
            sent = client.post("/do/participant-suspend", data=signed, headers=headers)
            assert sent.status_code == 403
        forged = {**said, "token": "0" * 64}
        assert client.post("/do/participant-suspend", data=forged).status_code == 403


def test_server__answers_to_its_own_name_alone(home: Path) -> None:
    with browser(home, "an", "auditor") as page:
        for host in ("evil.example", "127.0.0.1.evil.example", "[::2]", ""):
            assert page.client.get("/", headers={"host": host}).status_code == 421, host
        for host in ("localhost:8010", "127.0.0.1", "[::1]:8010"):
            assert page.client.get("/", headers={"host": host}).status_code == 200, host


def test_server__has_files_and_no_others(home: Path) -> None:
    with browser(home) as page:
        for name in STATIC:
            assert page.client.get(f"/static/{name}").status_code == 200
        for path in ("/static/app.py", "/static/..%2Fapp.py", "/nothing", "/do/nothing", "/done/x"):
            assert page.client.get(path).status_code == 404, path
        assert page.client.get("/batches/NONE").status_code == 404
        assert page.client.get("/cycles/NONE").status_code == 400


def test_page__is_in_the_language_that_is_asked_for(home: Path) -> None:
    with browser(home) as page:
        assert '<html lang="en">' in page.client.get("/").text
        assert '<html lang="vi">' in page.client.get("/?lang=vi").text
        assert '<html lang="vi">' in page.client.get("/alarms").text  # It is remembered.
        page.client.get("/?lang=en")
        assert '<html lang="en">' in page.client.get("/alarms").text
    with browser(home) as page:
        vi = page.client.get("/", headers={"accept-language": "vi-VN,vi;q=0.9"})
        assert '<html lang="vi">' in vi.text


# --- staff ----------------------------------------------------------------------------------------


def test_staff__roles_exclude_each_other_as_said() -> None:
    pairs = {("approver", "operator"), ("auditor", "operator"), ("approver", "auditor")}
    pairs |= {("agency", "operator"), ("agency", "approver"), ("agency", "auditor")}
    assert {tuple(sorted(pair)) for pair in EXCLUDED} == pairs


def test_staff__is_known_by_tokens_that_are_kept_nowhere(tmp_path: Path) -> None:
    file = tmp_path / "staff.toml"
    first = add_person(file, "Nguyễn An", ["operator"])
    moh = add_person(file, "moh", ["agency"], ["MOH"])
    staff = read_staff(file)
    assert staff.of(first) == ("Nguyễn An", frozenset({"operator"}), frozenset())
    found = staff.of(moh)
    assert found is not None
    assert found.sources == {"MOH"}
    assert staff.of("") is None
    assert first not in file.read_text("utf-8")
    again = add_person(file, "Nguyễn An", ["approver"])
    assert read_staff(file).of(first) is None
    assert read_staff(file).of(again) is not None
    assert (file.stat().st_mode & 0o077) == 0


@pytest.mark.parametrize("pair", EXCLUDED, ids=lambda pair: "+".join(sorted(pair)))
def test_staff__nobody_has_two_roles_that_exclude_each_other(
    tmp_path: Path, pair: frozenset[str]
) -> None:
    sources = ["MOH"] if "agency" in pair else []
    with pytest.raises(UsageError, match="may not be"):
        add_person(tmp_path / "staff.toml", "an", sorted(pair), sources)
    digest = digest_of("x")
    roles = ", ".join(f'"{one}"' for one in sorted(pair))
    (tmp_path / "own.toml").write_text(
        f'[people.an]\nroles = [{roles}]\ntoken = "{digest}"\nsources = {sources}\n'
    )
    with pytest.raises(UsageError, match="may not be"):
        read_staff(tmp_path / "own.toml")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "people"),
        ("[people]", "names nobody"),
        ("[people.an]\nroles=[]\ntoken='x'", "no role"),
        ("[people.an]\nroles=['king']\ntoken='x'", "is none"),
        ("[people.an]\nroles=['operator']\ntoken='x'", "no digest"),
        ("[people.an]\nroles=['agency']\ntoken='x'", "has sources"),
        ("[people.an]\nroles=['operator']\ntoken='x'\nsources=['A']", "has sources"),
        ("[people.an]\nroles=['operator']\ntoken='x'\nmore=1", "more"),
        ("not toml", "staff"),
    ],
)
def test_staff__of_a_file_that_is_none_is_refused(tmp_path: Path, text: str, what: str) -> None:
    (tmp_path / "staff.toml").write_text(text)
    with pytest.raises(UsageError, match=what):
        read_staff(tmp_path / "staff.toml")


def test_address__that_others_reach_needs_tokens_and_tls(tmp_path: Path) -> None:
    file = tmp_path / "staff.toml"
    add_person(file, "an", ["operator"])
    with pytest.raises(UsageError, match="name who may come in"):
        staff_of(Address("0.0.0.0"), None)
    with pytest.raises(UsageError, match="give TLS"):
        staff_of(Address("10.1.2.3"), file)
    with pytest.raises(UsageError, match="a certificate and its key"):
        staff_of(Address("127.0.0.1", certificate=file), None)
    assert staff_of(Address("127.0.0.1"), None) is None
    assert staff_of(Address("::1"), file) is not None
    assert staff_of(Address("0.0.0.0", certificate=file, key=file), file) is not None


def test_command__refuses_what_is_not_safe(home: Path, tmp_path: Path) -> None:
    assert command("serve", home, "--host", "0.0.0.0").code == 2
    assert command("serve", home, "--by", "an", "--role", "king").code == 2
    assert (
        command("serve", home, "--by", "an", "--role", "operator", "--role", "approver").code == 2
    )
    assert command("serve", home, "--json").code == 2
    told = command("staff", tmp_path / "s.toml", "an", "--role", "operator", "--json")
    assert read_staff(tmp_path / "s.toml").of(told.document["token"]) is not None
    assert command("staff", tmp_path / "s.toml", "x", "--role", "agency").code == 2


def test_roles__are_all_said() -> None:
    assert {*ROLES} == {role for pair in EXCLUDED for role in pair}
    assert ORIGIN.startswith("http://127.0.0.1")


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


# --- what an attacker tried -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["held", "returned", "recalls", "breaks"])
def test_agency__is_not_told_which_batches_others_have(home: Path, name: str) -> None:
    with browser(home, "moh", "agency", sources=("MOH",)) as page:
        asked = {
            batch: page.get(f"/{name}?batch={batch}")
            for batch in ("A", "NOPE", "VSS:BOTH", "BOTH", "M", "MOH:M")
        }
        exported = page.get(f"/export/{name}.csv?batch=A")
    codes = {batch: answer.status_code for batch, answer in asked.items()}
    assert codes == {"A": 404, "NOPE": 404, "VSS:BOTH": 404, "BOTH": 200, "M": 200, "MOH:M": 200}
    assert exported.status_code == 404
    assert "VSS" not in asked["BOTH"].text


def test_agency__is_not_told_that_all_is_well_while_lines_wait(home: Path) -> None:
    with browser(home, "moh", "agency", sources=("MOH",)) as page:
        html = page.get("/batches/MOH:M").text
    assert "nothing is open" not in html
    assert "All is well so far" in html
    assert "/reports/batch" not in html


def test_agency__does_not_learn_who_is_registered(home: Path) -> None:
    with browser(home, "moh", "agency", sources=("MOH",)) as page:
        told = [page.post("/person", person=one) for one in (person_id(1), "9" * 12, "x")]
    assert [answer.status_code for answer in told] == [200, 200, 200]
    assert len({re.sub(r'value="[0-9a-f]{64}"', "", answer.text) for answer in told}) == 1


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1000000", 1_000_000),
        ("1.000.000", 1_000_000),
        ("1,000,000", 1_000_000),
        ("1 000", 1_000),
        ("0", 0),
        *((text, None) for text in ("1.5", "1,000,000.00", "1.000.000,50", "12,34")),
        *((text, None) for text in ("-1", "1e3", "")),
    ],
)
def test_number__is_read_as_it_is_meant_or_not_at_all(text: str, number: int | None) -> None:
    from switch.serve.deeds import number_of

    if number is None:
        with pytest.raises(UsageError, match="no whole number"):
            number_of("cap", text)
    else:
        assert number_of("cap", text) == number


def test_token__that_was_replaced_lets_nobody_in(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "staff.toml"
    token = add_person(file, "an", ["operator"])
    with browser(home, staff=read_staff(file)) as page:
        page.client.post("/login", data={"token": token})
        assert page.get("/do/settle").status_code == 200
        add_person(file, "an", ["auditor"])
        assert page.client.get("/alarms").status_code == 401
        bearer = {"authorization": f"Bearer {token}"}
        assert page.client.get("/alarms", headers=bearer).status_code == 401
        file.write_text("broken")
        assert page.client.get("/alarms", headers=bearer).status_code == 401


def test_login__leads_to_where_somebody_wanted_to_go(home: Path, tmp_path: Path) -> None:
    token = add_person(tmp_path / "staff.toml", "an", ["operator"])
    with browser(home, staff=read_staff(tmp_path / "staff.toml")) as page:
        shown = page.client.get("/held?reason=AC03&age=1", headers={"accept": "text/html"})
        assert f">{home.name}<" not in shown.text  # Nobody has come in yet.
        form = re.search(r'action="(/login[^"]*)"', shown.text)
        assert form
        came = page.client.post(unescaped(form[1]), data={"token": token}, follow_redirects=False)
        assert came.headers["location"] == "/held?reason=AC03&age=1"
        for cookie in ("xx", "vi"):
            told = page.client.get("/login", headers={"cookie": f"switch_lang={cookie}"})
            assert f'<html lang="{"vi" if cookie == "vi" else "en"}">' in told.text


def test_sessions__of_one_person_throw_nobody_else_out(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "staff.toml"
    tokens = [add_person(file, "an", ["operator"]), add_person(file, "moh", ["agency"], ["MOH"])]
    from switch.serve.front import SESSIONS_MAX, Front
    from switch.serve.house import House

    house = House(home)
    front = Front(house, read_staff(file), None, lambda: TIME)  # type: ignore[arg-type]
    first = front.enter(tokens[0])
    keys = [front.enter(tokens[1]) for _ in range(SESSIONS_MAX + 5)]
    assert front.who(str(first)) is not None
    assert [front.who(str(key)) is None for key in keys] == [True] * 5 + [False] * SESSIONS_MAX
    house.close()


def test_address__that_is_long_is_not_looked_at(home: Path) -> None:
    from switch.serve.front import TEXT_MAX, told

    with browser(home) as page:
        assert page.get("/held?sort=" + "a" * 5000).status_code == 414
        assert page.get("/held?lang=vi&sort=" + "a+" * 2000).status_code == 400
    assert told("no line " * TEXT_MAX, "vi") == "no line " * TEXT_MAX


def test_page__is_asked_for_by_no_page_of_others(home: Path) -> None:
    cross = {"sec-fetch-site": "cross-site"}
    with browser(home) as page:
        assert page.client.get("/held", headers=cross).status_code == 403
        link = {**cross, "sec-fetch-mode": "navigate"}
        assert page.client.get("/held", headers=link).status_code == 200
        assert page.post("/lines", token="é", text="x").status_code == 403


def test_home__that_was_restored_in_place_is_read_anew(home: Path, tmp_path: Path) -> None:
    import shutil

    served = tmp_path / "home"
    shutil.copytree(home, served)
    with browser(served, "an", "approver") as page:
        before = page.client.get("/health").json()["records"]
        shutil.copytree(served, tmp_path / "copy")
        shutil.rmtree(served)
        assert page.client.get("/health").status_code == 503
        assert page.client.get("/alarms").status_code in (500, 503)
        (tmp_path / "copy").rename(served)
        assert page.client.get("/health").json()["records"] == before
        with switch.open(served) as engine:
            engine.control.participant("970001", by="an", why="x", status="suspended")
        assert page.client.get("/health").json()["records"] == before + 1


def test_home__whose_catalog_is_none_is_told_and_not_crashed_over(
    home: Path, tmp_path: Path
) -> None:
    import shutil

    served = tmp_path / "home"
    shutil.copytree(home, served)
    with browser(served) as page:
        content = (served / "catalog.sqlite").read_bytes()
        (served / "catalog.sqlite").write_bytes(b"x" * len(content))
        assert page.client.get("/health").status_code == 503
        failed = page.client.get("/alarms")
        assert failed.status_code in (500, 503)
        assert failed.headers["content-security-policy"] == HEADERS["content-security-policy"]
        (served / "catalog.sqlite").write_bytes(content)
        assert page.client.get("/alarms").status_code == 200


def test_actions__that_wait_for_each_other_end(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from switch.errors import HomeLocked
    from switch.serve import house as at_work

    monkeypatch.setattr(at_work, "WRITE_WAIT", 0.05)
    house = at_work.House(home)
    house._writing.acquire()
    with pytest.raises(HomeLocked, match="other actions"), house.writing():
        pass
    house._writing.release()
    house.close()
