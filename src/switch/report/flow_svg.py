"""Picture of where lines stand: all that was received on the left, and their states on the right.

Heights are lines; a state that has any is never thinner than a hair. Floats are pixels only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from switch.report.svg import money, n, safe
from switch.results import Total

WIDTH, HEIGHT, GAP, HAIR, SLOT = 960, 300, 14, 2, 38
LEFT, BAR, RIGHT = 190, 16, 560
STATES = (
    ("credited", "credited by the receiver", "good"),
    ("settled", "settled, no answer yet", "calm"),
    ("unapplied", "settled, the answer is overdue", "bad"),
    ("cleared", "in a cycle that has not settled", "calm"),
    ("held", "waiting", "wait"),
    ("returned", "came back", "wait"),
    ("written_back", "written back", "grey"),
    ("reissued", "freed to be paid again", "grey"),
    ("refused", "refused", "bad"),
)
"""States of lines (`Now`) in the order of the picture, in words, and the class of their colour."""


def flow_svg(received: Total, now: Mapping[str, Total], say: Callable[[str], str]) -> str:
    """An SVG element without styles: classes good, wait, bad, calm, grey and those with -band say
    what a colour means. say: puts words into the language of the reader. Asserts that states add up
    to what was received."""
    some = [(state, *words) for state, *words in STATES if now[state]["count"]]
    assert sum(now[state]["count"] for state, *_ in STATES) == received["count"], "lines"
    assert sum(now[state]["sum"] for state, *_ in STATES) == received["sum"], "money"
    whole = max(received["count"], 1)
    room = HEIGHT - HAIR * len(some)
    heights = [HAIR + room * now[state]["count"] / whole for state, *_ in some]
    spread = sum(max(height, SLOT) + GAP for height in heights) - GAP
    at, here = 10.0, 10.0 + max(spread - HEIGHT, 0) / 2
    parts: list[str] = []
    parts.append(_bar(LEFT, here, HEIGHT if some else HAIR, "calm"))
    parts.append(_label(LEFT - 12, here + HEIGHT / 2, say("received"), received, "end"))
    for (state, words, tone), height in zip(some, heights, strict=True):
        tip = f"{say(words)}: {now[state]['count']:,} · {now[state]['sum']:,} ₫"
        mid = n((LEFT + BAR + RIGHT) / 2)
        # What is thinner than its words stands in the middle of the room that they take.
        head = at + max(SLOT - height, 0) / 2
        top, low, to, end = n(here), n(here + height), n(head), n(head + height)
        band = (
            f"M{LEFT + BAR} {top}C{mid} {top} {mid} {to} {RIGHT} {to}V{end}"
            f"C{mid} {end} {mid} {low} {LEFT + BAR} {low}z"
        )
        parts.append(
            f'<g><title>{safe(tip)}</title><path class="{tone}-band" d="{band}"/>'
            f"{_bar(RIGHT, head, height, tone)}</g>"
        )
        parts.append(_label(RIGHT + BAR + 12, head + height / 2, say(words), now[state], ""))
        here += height
        at += max(height, SLOT) + GAP
    tall = n(max(at - GAP, here) + 10)
    told = safe(say("Where lines stand, of all that was received"))
    return (
        f'<svg viewBox="0 0 {WIDTH} {tall}" role="img" aria-label="{told}">{"".join(parts)}</svg>'
    )


def _bar(x: float, y: float, height: float, tone: str) -> str:
    return f'<rect class="{tone}" x="{n(x)}" y="{n(y)}" width="{BAR}" height="{n(height)}"/>'


def _label(x: float, y: float, words: str, total: Total, anchor: str) -> str:
    """Words and a count above each other, and the money."""
    side = f' text-anchor="{anchor}"' if anchor else ""
    return (
        f'<text x="{n(x)}" y="{n(y - 1)}"{side}>{safe(words)}</text>'
        f'<text class="small" x="{n(x)}" y="{n(y + 14)}"{side}>'
        f"{total['count']:,} · {safe(money(total['sum']))}</text>"
    )
