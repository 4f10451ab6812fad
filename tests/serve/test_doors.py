"""Doors of the served pages: who comes in, by which token, and what an attacker tried."""

from __future__ import annotations

import html
import io
import re
from pathlib import Path
from urllib.parse import quote

import pyarrow.parquet as pq
import pytest
from scene import command, person_id
from serving import ORIGIN, TIME, browser

import switch
from switch.errors import UsageError
from switch.serve.app import HEADERS, STATIC
from switch.serve.server import Address, staff_of
from switch.serve.staff import EXCLUDED, ROLES, add_person, digest_of, read_staff

ROLES_OF_STAFF = ("operator", "approver", "auditor")


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
        came = page.client.post(
            html.unescape(form[1]), data={"token": token}, follow_redirects=False
        )
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


def test_agency__finds_nobody_by_a_piece_of_an_id(home: Path) -> None:
    """Else it could guess the rest, digit by digit."""
    with browser(home, "moh", "agency", sources=("MOH",)) as page:
        assert page.post("/lines", text="00000007").status_code == 400
        assert page.post("/lines", text=person_id(71)).status_code == 200


@pytest.mark.parametrize(
    ("name", "money"), [("breaks", "value"), ("held", "amount"), ("batches", "sum")]
)
def test_agency__has_totals_of_its_own_rows(home: Path, name: str, money: str) -> None:
    with browser(home, "vss", "agency", sources=("VSS",)) as page:
        html = page.get(f"/{name}").text
        exported = pq.read_table(io.BytesIO(page.get(f"/export/{name}.parquet").content))
    assert len(exported)
    total = sum(exported[money].to_pylist())
    assert total
    assert f'id="total" data-v="{len(exported)}"' in html
    assert f'<b data-v="{total}">' in html
