"""The picture and the console of a batch: what people are shown is what was counted."""

from __future__ import annotations

import copy
import itertools
import re
import xml.etree.ElementTree as ElementTree
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from switch.cli.context import Context
from switch.cli.tables import (
    print_batch,
    print_budgets,
    print_directory,
    print_rehearsal,
    print_status,
)
from switch.outlook import HomeStatus
from switch.reason import RULES
from switch.report.payday_svg import payday_svg

SVG = "{http://www.w3.org/2000/svg}"
ABOVE, ROW_HEIGHT = 530, 20
"""Pixels of a picture without its reasons, and that each of them takes."""
STATUS_OF = {"held": "PDNG", "refused": "RJCT"}


def receiver(code: str, name: str, count: int, sum_: int, kind: str = "bank") -> dict[str, Any]:
    return {"participant": code, "short_name": name, "kind": kind, "count": count, "sum": sum_}


def outcome(cleared: tuple[int, int], reasons: list[dict[str, Any]]) -> dict[str, Any]:
    """As report.outcome gives it, from what cleared and the reasons."""
    out: dict[str, Any] = {"cleared": {"count": cleared[0], "sum": cleared[1]}}
    for state, status in STATUS_OF.items():
        rows = [row for row in reasons if row["status"] == status]
        out[state] = {key: sum(row[key] for row in rows) for key in ("count", "sum")}
    states = list(out.values())
    out["received"] = {key: sum(state[key] for state in states) for key in ("count", "sum")}
    return {**out, "reasons": reasons}


def summary_of(
    receivers: list[dict[str, Any]],
    reasons: list[dict[str, Any]],
    represented: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """A summary that adds up: one payer, everyone else is paid, nothing is on-us."""
    both = {key: sum(row[key] for row in receivers) for key in ("count", "sum")}
    again = represented["cleared"] if represented else {"count": 0, "sum": 0}
    nets = {row["participant"]: row["sum"] for row in receivers}
    if both["sum"]:
        nets["KBNN"] = -both["sum"]
    return {
        "source": "VSS",
        "batch_id": "PAYDAY-2026-11",
        "seq": 1,
        "cycle": "20261125-000001",
        "value_date": "2026-11-25",
        "at": "2026-11-25",
        "currency": "VND",
        "digest": "sha256:00",
        **outcome((both["count"] - again["count"], both["sum"] - again["sum"]), reasons),
        "represented": represented,
        "receivers": receivers,
        "positions": [],
        "settlement": {
            "gross": both["sum"],
            "settled": both["sum"],
            "payers": int(both["sum"] > 0),
            "receivers": len(receivers),
            "nets": nets,
        },
        "replayed": False,
        "state": "SETTLED",
        "sent_back": [],
    }


def all_reasons(factor: int = 1, refused: int = 1) -> list[dict[str, Any]]:
    return [
        {
            "reason": rule.code,
            "status": rule.status,
            "sentence": rule.sentence,
            "count": factor * int(number),
            "sum": (refused if rule.status == "RJCT" else 1) * 7_000_123 * factor * int(number),
        }
        for number, rule in RULES.items()
    ]


def common() -> dict[str, Any]:
    """Twenty receivers of three kinds, every reason there is."""
    kinds = ["bank"] * 17 + ["wallet", "mobile_money", "mobile_money"]
    receivers = [
        receiver(f"97{i:04d}", f"Bank{i}", 2000 - 100 * i, (20 - i) ** 2 * 1_234_567_891, kind)
        for i, kind in enumerate(kinds)
    ]
    return summary_of(receivers, all_reasons())


def presented_again() -> dict[str, Any]:
    again = outcome((30, 90_000_000), [{**all_reasons()[7], "count": 3, "sum": 4_000_001}])
    return summary_of([receiver("970405", "Agribank", 1000, 5_000_000_000)], all_reasons(), again)


EXTREMES: dict[str, dict[str, Any]] = {
    "common": common(),
    "presented again": presented_again(),
    "one line": summary_of([receiver("970405", "Agribank", 1, 100_000)], []),
    "no line": summary_of([], []),
    "nothing cleared": summary_of([], all_reasons()),
    "nothing refused": summary_of([receiver("1", "A", 10, 999), receiver("2", "", 1, 1)], []),
    # As far as it goes: 2.7e9 lines, and 64-bit amounts of refused lines, either sign.
    "refused sums below zero": summary_of(
        [receiver("1", "A", 10, 999)], all_reasons(factor=2 * 10**7, refused=-(10**12))
    ),
    "refused sums absurd": summary_of([], all_reasons(factor=2 * 10**7, refused=10**12)),
    "a thousand receivers": summary_of(
        [
            receiver(f"{i:04d}", f"Người nhận WMWM {i}" * 3, i + 1, 10**12 + i, f"kind_{i % 7}")
            for i in range(1000)
        ],
        all_reasons(10**6),
    ),
    "one has nearly all": summary_of(
        [receiver("0", "Whale", 10**6, 10**15)]
        + [receiver(f"{i:02d}", f"Small {i}", 1, 1) for i in range(1, 30)],
        [],
    ),
}


def texts(svg: str) -> list[str]:
    return [node.text or "" for node in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def printed(summary: dict[str, Any], width: int = 80, seconds: float | None = None) -> str:
    file = StringIO()
    print_batch(Console(file=file, width=width), summary, seconds=seconds)
    return file.getvalue()


@pytest.mark.parametrize("name", EXTREMES)
def test_picture__extreme_batches_are_well_formed_and_inside_the_frame(name: str) -> None:
    summary = EXTREMES[name]
    root = ElementTree.fromstring(payday_svg(summary))
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    assert 600 < height <= max(694, ABOVE + ROW_HEIGHT * len(summary["reasons"]))
    numbers = re.compile(r"-?\d+(?:\.\d+)?")
    for node in root.iter():
        for side, end in (("x", width), ("y", height), ("x1", width), ("x2", width)):
            assert 0 <= float(node.get(side, 0)) <= end
        if node.tag == f"{SVG}rect":
            assert float(node.attrib["width"]) >= 0
            assert float(node.get("x", 0)) + float(node.attrib["width"]) <= width
            assert float(node.get("y", 0)) + float(node.attrib["height"]) <= height
        if node.tag == f"{SVG}text":
            assert float(node.attrib["font-size"]) >= 6
        assert all(abs(float(n)) <= width for n in numbers.findall(node.get("d", "")))


@pytest.mark.parametrize("name", EXTREMES)
def test_picture__the_rows_of_receivers_do_not_overlap(name: str) -> None:
    """Names of receivers are the bold texts at one x; they keep 14 pixels from each other."""
    root = ElementTree.fromstring(payday_svg(EXTREMES[name]))
    ys = [float(n.attrib["y"]) for n in root.iter(f"{SVG}text") if n.get("x") == "705"]
    assert all(b - a >= 14 for a, b in itertools.pairwise(ys))


@pytest.mark.parametrize("name", EXTREMES)
def test_picture__totals_stand_in_the_text(name: str) -> None:
    summary = EXTREMES[name]
    shown = texts(payday_svg(summary))
    for key, unit in (("count", "lines"), ("sum", "₫")):
        received, cleared, held, refused = (
            summary[state][key] for state in ("received", "cleared", "held", "refused")
        )
        last = f"{refused:,}" if refused >= 0 else f"({refused:,})"
        proof = f"{received:,} = {cleared:,} + {held:,} + {last} {unit}"
        assert proof.replace("-", "−") in shown


def test_picture__reasons_and_receivers_stand_in_the_text() -> None:
    summary = common()
    svg = payday_svg(summary)
    shown = texts(svg)
    for row in summary["reasons"]:
        assert row["sentence"] in shown
        assert f"{row['count']:,} line" in svg
        assert f"{row['sum']:,} ₫" in svg
    assert {"Bank0", "Bank9", "8 others"} <= set(shown)
    assert {"Bank17", "Bank18"} <= set(shown), "the largest wallet and mobile-money operator"


def test_picture__lines_presented_again_are_shown_apart() -> None:
    shown = texts(payday_svg(presented_again()))
    assert {"33 lines", "30 cleared now", "3 refused", "with 30 held before"} <= set(shown)


def test_picture__same_summary_gives_same_bytes() -> None:
    summary = common()
    shuffled = {**copy.deepcopy(summary), "receivers": summary["receivers"][::-1]}
    assert payday_svg(summary) == payday_svg(copy.deepcopy(summary)) == payday_svg(shuffled)


def test_picture__text_from_files_is_escaped() -> None:
    summary = summary_of([receiver("1", '<b>&"', 1, 5), receiver("2", "a\x00\x1b]b", 1, 4)], [])
    summary["batch_id"] = "</title><script>alert(1)</script>"
    svg = payday_svg(summary)
    assert '<b>&"' in texts(svg)
    assert "a��]b" in texts(svg)
    assert "<script" not in svg
    assert "<b>" not in svg


def test_picture__needs_nothing_from_outside() -> None:
    svg = payday_svg(common())
    assert svg.count("http") == 1, "the name space alone"
    tags = {node.tag.removeprefix(SVG) for node in ElementTree.fromstring(svg).iter()}
    assert tags == {"svg", "title", "desc", "g", "rect", "path", "text", "linearGradient", "stop"}
    assert 'role="img"' in svg


@pytest.mark.parametrize("path", ["cleared", "held", "refused"])
def test_picture__what_does_not_add_up_is_not_drawn(path: str) -> None:
    summary = common()
    summary[path]["sum"] += 1
    with pytest.raises(AssertionError):
        payday_svg(summary)


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (999_999, "999,999 ₫"),
        (1_000_000, "1.0 m ₫"),
        (-24_492_661_063, "−24.5 bn ₫"),
        (4_129_402_900_900, "4,129.4 bn ₫"),
        (2 * 10**15, "2,000.0 tn ₫"),
        (10**30, "> 999,999 tn ₫"),
        (-(10**30), "< −999,999 tn ₫"),
    ],
)
def test_picture__money_has_readable_units(amount: int, text: str) -> None:
    reasons = [{**all_reasons()[0], "sum": amount}]
    assert text in texts(payday_svg(summary_of([], reasons)))


@pytest.mark.parametrize("name", EXTREMES)
def test_console__all_numbers_stand_within_80_columns(name: str) -> None:
    summary = EXTREMES[name]
    out = printed(summary)
    assert max(map(len, out.splitlines())) <= 80
    assert "…" not in out
    assert "\x1b" not in out
    for state in ("received", "cleared", "held", "refused"):
        line = next(line for line in out.splitlines() if line.strip().startswith(state))
        assert f"{summary[state]['count']:,}" in line
        assert f"{summary[state]['sum']:,}" in line


def test_console__reasons_receivers_and_nets_are_shown() -> None:
    summary = common()
    out = printed(summary, seconds=2.0)
    for row in summary["reasons"]:
        assert f"{row['sum']:,}" in out
    for row in summary["receivers"][:10]:
        assert f"{row['sum']:,}" in out
    assert "10 others" in out
    assert f"{summary['settlement']['settled']:,} VND" in out
    assert "KBNN" in out
    assert "in 2.00 s" in out


def test_console__stored_answer_and_lines_presented_again_are_named() -> None:
    out = printed({**presented_again(), "replayed": True})
    assert "Answered from what was stored" in out
    assert "still held" in out
    assert "90,000,000" in out
    assert "stored" not in printed(common())


def test_console__text_from_files_gives_no_markup_and_no_escape_codes() -> None:
    out = printed(summary_of([receiver("1", "[red]x[/red]\x1b[2J", 1, 5)], []))
    assert "[red]x[/red]\\x1b[2J" in out


def test_console__narrow_screens_fold_and_do_not_fail() -> None:
    out = printed(common(), width=40)
    assert max(map(len, out.splitlines())) <= 40


def shown(show: Any, *what: Any, width: int) -> str:
    file = StringIO()
    show(Console(file=file, width=width), *what)
    return file.getvalue()


NAMES = (
    *("held", "cleared", "settled", "unapplied", "credited"),
    *("returned", "written_back", "reissued", "refused"),
)


def home_status(batch_id: str, state: str, sums: dict[str, int]) -> HomeStatus:
    """A home of one batch, by the counts of its lines; everything is open that can be."""
    now = {name: {"count": sums.get(name, 0), "sum": 10**5 * sums.get(name, 0)} for name in NAMES}
    total = {key: sum(one[key] for one in now.values()) for key in ("count", "sum")}
    old = {**now["held"], "since": "2026-11-25", "age_days": 1_234}
    row = {
        "seq": 1,
        "source": "VSS",
        "batch_id": batch_id,
        "value_date": "2026-11-25",
        "cycle": "20261125-1",
        "cycle_state": "OPEN",
        "state": state,
        "received": total,
        "now": now,
        "sent_back": [],
    }
    cycle = {"cycle": "20261125-1", "state": "OPEN", "closes": "2026-11-25T11:00:00"}
    none = {"count": 0, "sum": 0}
    items = {
        "held": old,
        "cycles": [{**cycle, **now["cleared"], "returns": none, "fees": none}],
        "unanswered": {**old, "overdue": {"count": 0, "sum": 0}},
        "breaks": {
            "count": 14_605,
            "value": 10**13,
            "severities": {"high": 14_605},
            "since": "2026-11-25",
            "age_days": 5,
        },
        "returned": {**old, "coming": {"count": 7, "sum": 70}},
        "reissued": old,
        "days": {"closed": "", "open": ["2026-11-25"]},
    }
    budget = dict.fromkeys(
        ("budget", "reserved", "consumed", "released", "remaining", "available"), 10**14
    )
    step = {"why": "14,605 breaks open: 14,605 high", "command": "switch breaks home"}
    return HomeStatus("home", "2026-11-30", [row], [{"programme": "PENS", **budget}], items, [step])


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_console__the_status_of_a_home_breaks_no_number(width: int) -> None:
    sums = {"settled": 106_000_001, "held": 300_000, "refused": 555_574}
    out = shown(print_status, home_status("B" * 64, "CLEARING", sums), width=width)
    assert max(map(len, out.splitlines())) <= width
    assert "B" * 64 in out.replace("\n", "").replace(" ", "") or "B" * 24 in out
    words = out.split()
    for number in ("106,855,575", "106,000,001", "300,000", "555,574", "10,685,557,500,000"):
        assert number in words
    assert words.count("100,000,000,000,000") == 6
    assert "2026-11-25" in words
    assert "credited" not in words
    assert "switch breaks home" in out


def test_console__names_of_a_directory_are_no_markup() -> None:
    row = {"participant": "A", "short_name": "[/b]\x1b[2J", "kind": "bank", "status": "active"}
    rows = [
        {**row, "settled_by": "A", "net_debit_cap": 5_000_000, "amount_max": None},
        {**row, "settled_by": "A", "net_debit_cap": None, "amount_max": None},
    ]
    content = {"participants": rows, "debtors": [{}], "settings": {"cutoffs": ["08:00"]}}
    out = shown(print_directory, content, width=80)
    assert "[/b]\\x1b[2J" in out
    assert "net_debit_cap" in out
    assert "5,000,000" in out
    assert "no limit" in out
    assert "amount_max" not in out
    assert 'cutoffs = ["08:00"]' in out


def test_console__names_of_a_rehearsal_are_no_markup() -> None:
    error = {"rule": "FILE_BAD", "what": "[/what]", "remedy": "[/remedy]"}
    told = {
        "tables": [{"table": "[/red]x", "error": error}],
        "cycles": [],
        "waiting": {"count": 0, "sum": 0},
        "injection": {"given": {}, "sum": 0, "at_least": 0},
        "seconds": 0.1,
    }
    out = shown(print_rehearsal, told, width=80)
    assert "[/red]x: would be refused, FILE_BAD: [/what]" in out


def test_console__programmes_of_budgets_are_no_markup() -> None:
    budget = {"programme": "[/p]", "budget": None, "reserved": 5, "available": None}
    out = shown(print_budgets, [budget, {**budget, "budget": 7}], width=80)
    assert "[/p]" in out
    assert "no limit" in out
    assert "available" not in out


@pytest.mark.parametrize(
    ("state", "said", "drawn"),
    [
        ("CLEARING", "To be settled with its cycle: ", "to come, with its cycle"),
        ("HELD", "Not settled, for its cycle was aborted: ", "its cycle was aborted"),
        ("SETTLED", "Settled ", "at the State Bank, final"),
        ("CLOSED", "Settled ", "at the State Bank, final"),
    ],
)
def test_picture_and_console__say_settled_of_what_is(state: str, said: str, drawn: str) -> None:
    summary = {**common(), "state": state}
    money = f"{said}{summary['settlement']['settled']:,} VND"
    assert money in " ".join(printed(summary).split())
    assert drawn in texts(payday_svg(summary))


@pytest.mark.parametrize("name", ["NO_COLOR", "TERM"])
def test_terminal__log_lines_are_plain_where_that_is_asked_for(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Screen(StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stderr", screen := Screen())
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    Context().log.warning("seen", lines=1)
    assert "\x1b[" in screen.getvalue()
    monkeypatch.setenv(name, "dumb")
    monkeypatch.setattr("sys.stderr", screen := Screen())
    Context().log.warning("seen", lines=1)
    assert "seen" in screen.getvalue()
    assert "\x1b[" not in screen.getvalue()
