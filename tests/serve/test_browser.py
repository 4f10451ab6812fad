"""Pages in a real browser: they render, sort, follow the home, and can be used without a mouse."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from answering import back, home_of, take
from scene import line, people_table, person, run

import switch

sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WIDTHS = (1440, 800, 390)
PAGES = (
    "/",
    "/batches",
    "/batches/VSS:A",
    "/batches/VSS:A/lines/1",
    "/cycles",
    "/cycles/20261125-1",
    "/positions",
    "/balances",
    "/awaited",
    "/breaks",
    "/alarms",
    "/held",
    "/returned",
    "/dossiers",
    "/participants",
    "/calendar",
    "/audit",
    "/lines",
    "/deeds",
    "/reports",
    "/do/snooze?alarm=day-open",
    "/statement",
)
AT = "2026-12-01T09:00"
IMAGES = Path(__file__).parents[2] / "docs" / "images"
PICTURES = {"today": "/", "alarms": "/alarms", "batch": "/batches/VSS:A", "positions": "/positions"}
"""Pages whose pictures stand in the documents; PICTURES=1 takes them anew."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = switch.Settings(cutoffs=("11:00", "15:30"), held_days=30)
    home = home_of(tmp_path_factory.mktemp("browser") / "payday", lines=40, settings=settings)
    with switch.open(home) as engine:
        engine.settle("20261125-1", at="2026-11-25T11:05")
        take(engine, home, *(back(n) for n in (1, 2)), at="2026-11-27T10:00")
        engine.settle("20261127-1", at="2026-11-27T11:30")
        engine.register(population=people_table([person(70)]))
        rows = [line(n, period=202512) for n in (5, 6, 70)]
        run(engine, rows, "M", source="MOH", value_date="2026-12-01", at="2026-12-01T08:00")
    return home


@pytest.fixture(scope="module")
def address(home: Path) -> Iterator[str]:
    """The server, in a process of its own, as its command starts it."""
    words = ("serve", home.name, "--port", "0", "--by", "an", "--role", "operator", "--at", AT)
    with subprocess.Popen(
        [sys.executable, "-m", "switch", *map(str, words)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=home.parent,
    ) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().split()[0].rstrip("/")
        finally:
            server.terminate()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with sync_api.sync_playwright() as play:
        found = play.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        yield found
        found.close()


class Watched:
    """A page, with all that went wrong on it, and every host that it asked."""

    def __init__(self, chromium: Any, address: str, width: int = 1280, **options: Any) -> None:
        self.page = chromium.new_page(viewport={"width": width, "height": 900}, **options)
        self.page.set_default_timeout(60_000)
        self.address, self.wrong, self.asked = address, [], set()
        self.page.on("console", lambda said: self.hear(said.type, said.text))
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("request", lambda request: self.asked.add(request.url.split("/")[2]))

    def hear(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.wrong.append(text)

    def open(self, path: str) -> Any:
        self.page.goto(self.address + path)
        return self.page


@pytest.mark.parametrize("width", WIDTHS)
def test_pages__render_without_a_fault_at_any_width(
    chromium: Any, address: str, width: int
) -> None:
    seen = Watched(chromium, address, width)
    for path in PAGES:
        page = seen.open(path)
        assert seen.wrong == [], path
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, (path, wide)
        assert page.locator("h1").count() == 1
    assert seen.asked == {address.split("/")[2]}
    seen.page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages__are_accessible(chromium: Any, address: str, scheme: str) -> None:
    sync = pytest.importorskip("axe_core_python.sync_playwright", reason="axe is not installed")
    axe = sync.Axe()
    seen = Watched(chromium, address, color_scheme=scheme)
    found = {}
    for path in PAGES if scheme == "light" else PAGES[:4]:
        told = axe.run(seen.open(path))
        faults = [(one["id"], one["nodes"][0]["html"][:200]) for one in told["violations"]]
        if faults:
            found[path] = faults
    assert found == {}
    seen.page.close()


def test_page__shows_the_same_without_scripts(chromium: Any, address: str) -> None:
    plain = Watched(chromium, address, java_script_enabled=False)
    full = Watched(chromium, address)
    for path in ("/audit", "/positions", "/"):
        values = [
            [cell.get_attribute("data-v") for cell in seen.open(path).locator("td").all()]
            for seen in (plain, full)
        ]
        assert values[0] == values[1]
        assert values[0]
    plain.page.close()
    full.page.close()


def test_table__sorts_by_a_head(chromium: Any, address: str) -> None:
    seen = Watched(chromium, address)
    page = seen.open("/positions")
    place = page.locator("thead th").all_text_contents().index("net")

    def nets() -> list[int]:
        cells = page.locator(f"tbody td:nth-child({place + 1})").all()
        return [int(cell.get_attribute("data-v") or 0) for cell in cells]

    head = page.locator(f"thead th:nth-child({place + 1}) button")
    head.click()
    assert nets() == sorted(nets(), reverse=True)
    head.press("Enter")
    assert nets() == sorted(nets())
    page.close()


def test_page__follows_the_home(chromium: Any, address: str, home: Path) -> None:
    """A commit of another process is on the page without anybody's doing."""
    seen = Watched(chromium, address)
    page = seen.open("/batches")
    sync_api.expect(page.locator("#live")).to_have_text("live")
    before = int(page.locator("#total").get_attribute("data-v"))
    with switch.open(home) as engine:
        rows = [line(n, period=202511) for n in (7, 8)]
        run(engine, rows, "LIVE", value_date="2026-12-01", at="2026-12-01T08:30")
    sync_api.expect(page.locator("#total")).to_have_attribute("data-v", str(before + 1))
    assert page.get_by_role("link", name="LIVE", exact=True).count() == 1
    assert page.get_by_role("button", name="copy").count() == 1  # Its tables have their tools.
    assert seen.wrong == []
    page.close()


def test_alarm__is_acknowledged_from_its_page(chromium: Any, address: str) -> None:
    seen = Watched(chromium, address)
    page = seen.open("/alarms")
    name = page.locator("tbody tr").first.locator("td").first.inner_text()
    page.get_by_role("link", name="acknowledge").first.click()
    assert page.locator("input[name=alarm]").input_value() == name
    page.locator("input[name=owner]").fill("night-desk")
    page.get_by_role("button", name="Go on").click()
    assert "--acknowledge" in page.locator(".command code").inner_text()
    page.get_by_role("button", name="Yes, do it").click()
    assert page.locator(".verdict.good").count() == 1
    page = seen.open(f"/alarms?names={name}")
    assert "acknowledged" in page.locator("tbody").inner_text()
    assert seen.wrong == []
    page.close()


@pytest.mark.skipif(not os.environ.get("PICTURES"), reason="PICTURES=1 takes them anew")
def test_pictures__of_the_documents_are_taken(chromium: Any, address: str) -> None:
    seen = Watched(chromium, address, 1280)
    for name, path in PICTURES.items():
        page = seen.open(path)
        sync_api.expect(page.locator("#live")).to_have_text("live")
        page.screenshot(path=IMAGES / f"serve-{name}.png")
    seen.page.close()
