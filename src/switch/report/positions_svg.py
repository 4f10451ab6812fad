"""The picture of positions: how they move through the day, as a drawing read from left to right.

IN: points of a rehearsal, one a table: batch_id, cycle, and the nets it adds by settlement
participant. OUT: one SVG text, the same for the same points. Each line begins anew with a cycle.
"""

from __future__ import annotations

from collections.abc import Mapping

from switch.errors import counted
from switch.report.svg import FONTS, MUTED, PAPER, RULE, Pen, money, n, safe
from switch.results import CurvePoint

WIDTH, HEIGHT = 1240, 620
LEFT, RIGHT, TOP, BOTTOM = 130, 1000, 92, 540
NAMED_MAX = 16
COLOURS = (
    "#1d3557", "#b8423a", "#1f7a55", "#8d57b3", "#96600f", "#0f8f96", "#3f6fb6", "#6b7a12",
    "#d4748f", "#5b4636", "#2aa876", "#c08be0", "#d9922e", "#59c3c3", "#7d95c9", "#a3a948",
)  # fmt: skip


def curve_svg(
    points: list[CurvePoint],
    needs: dict[str, int],
    names: Mapping[str, str] | None = None,
    caps: Mapping[str, int] | None = None,
    lacks: Mapping[str, int] | None = None,
) -> str:
    """Draw positions. needs: the most that each settlement participant owes at any time. names:
    short names by code. caps: the most that each may owe. lacks: what each is short of, for all
    that waits to go. Names stand in the order of how far a line goes from zero, with where it ends;
    beyond NAMED_MAX lines are grey, and their number is said."""
    names, caps, lacks = names or {}, caps or {}, lacks or {}
    pen = Pen()
    runs = _runs(points)
    values = [value for run in runs.values() for _, value, _ in run] or [0]
    low, high = min(0, *values), max(0, *values)
    scale = (BOTTOM - TOP) / max(high - low, 1)
    step = (RIGHT - LEFT) / max(len(points), 1)

    def y_of(value: int) -> float:
        return TOP + (high - value) * scale

    pen.text(LEFT - 98, 46, "Positions through the day", 22, "bold")
    note = "net of each settlement participant after each table; below zero it owes"
    pen.text(LEFT - 98, 68, note, 13, "muted")
    for value in sorted({low, 0, high}):
        pen.stroke(f"M{LEFT} {n(y_of(value))}H{RIGHT}", RULE, 1.6 if value == 0 else 0.8)
        pen.text(LEFT - 10, y_of(value) + 4, money(value), 12, "end", fit=96)
    cycle = ""
    for i, point in enumerate(points):
        x = LEFT + (i + 1) * step
        if point["cycle"] != cycle:
            cycle = point["cycle"]
            pen.stroke(f"M{n(x - step)} {TOP}V{BOTTOM}", RULE, 0.8)
            pen.text(x - step + 4, BOTTOM + 40, cycle, 11, "muted cut", fit=max(step - 6, 40))
        pen.text(x, BOTTOM + 22, _called(point), 11, "middle cut", fit=max(step - 4, 20))
    far = {code: max(abs(value) for _, value, _ in run) for code, run in runs.items()}
    order = sorted(runs, key=lambda code: (-far[code], code))
    for rank, code in reversed(list(enumerate(order))):
        named = rank < NAMED_MAX
        colour = COLOURS[rank % len(COLOURS)] if named else RULE
        path = "".join(
            f"{'M' if begins else 'L'}{n(LEFT + place * step)} {n(y_of(value))}"
            for place, value, begins in runs[code]
        )
        called = names.get(code) or code
        told = f"{called} ({code})" if called != code else code
        limit = f" of {caps[code]:,} ₫" if code in caps else ""
        short = f", lacks {lacks[code]:,} ₫" if lacks.get(code) else ""
        with pen.group(f"{told}: owes {needs.get(code, 0):,} ₫{limit} at most{short}"):
            pen.stroke(path, colour, 2 if named else 1)
        if named:
            y = TOP + 12 + rank * 27
            pen.rect(RIGHT + 24, y - 10, 12, 12, colour, rx=2)
            pen.text(RIGHT + 44, y, called, 12, "bold cut", fit=90)
            pen.text(WIDTH - 20, y, money(runs[code][-1][1]), 12, "end", MUTED, fit=96)
            limits = [f"cap {money(caps[code])}"] if code in caps else []
            limits += [f"lacks {money(lacks[code])}"] if lacks.get(code) else []
            pen.text(RIGHT + 44, y + 12, ", ".join(limits), 9.5, "muted cut", fit=170)
    if len(order) > NAMED_MAX:
        y = TOP + 12 + NAMED_MAX * 27
        pen.text(RIGHT + 24, y, f"{len(order) - NAMED_MAX} more are grey, not named", 12, "muted")
    title = f"Positions after {counted(sum(bool(p['batch_id']) for p in points), 'table')}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        f'height="{HEIGHT}" role="img" font-family="{FONTS}">\n<title>{safe(title)}</title>\n'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="{PAPER}"/>\n'
        + "\n".join(pen.parts)
        + "\n</svg>\n"
    )


def _called(point: CurvePoint) -> str:
    return point["batch_id"] or "before"


def _runs(points: list[CurvePoint]) -> dict[str, list[tuple[int, int, bool]]]:
    """Points by participant: (place, net so far, a line begins here); each cycle begins with
    zero."""
    codes = sorted({code for point in points for code in point["nets"]})
    runs: dict[str, list[tuple[int, int, bool]]] = {code: [] for code in codes}
    cycle, so_far = "", dict.fromkeys(codes, 0)
    for place, point in enumerate(points):
        if point["cycle"] != cycle:
            cycle, so_far = point["cycle"], dict.fromkeys(codes, 0)
            for code in codes:
                runs[code].append((place, 0, True))
        for code in codes:
            so_far[code] += point["nets"].get(code, 0)
            runs[code].append((place + 1, so_far[code], False))
    return runs
