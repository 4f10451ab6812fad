"""The picture of a payday: one batch as a drawing that people read from left to right.

IN: the summary of a batch, as the engine gives it. OUT: one SVG text without scripts, fonts or
links, the same for the same summary. Widths of the cleared flow are money; held and refused lines
are drawn by their number, since amounts of refused lines may be negative or absurd. Exact numbers
stand in tooltips and in the footer; floats are pixels only.
"""

from __future__ import annotations

from typing import NamedTuple, cast

from switch.errors import counted
from switch.report.svg import FONTS, PAPER, RULE, Pen, money, n, safe
from switch.results import (
    BatchStatus,
    LineTotals,
    Outcome,
    ReceiverTotal,
    SentBack,
    Summary,
    Total,
)

WIDTH, LEFT, RIGHT = 1240, 32, 1208
FLOW_Y, FLOW_HEIGHT = 146, 284
FLOW_END, MIDDLE = FLOW_Y + FLOW_HEIGHT, FLOW_Y + FLOW_HEIGHT / 2
CARD_WIDTH, SWITCH_X, OUT_X, FAN_X, BAR_X = 150, 240, 390, 572, 690
LINES_X, MONEY_X, SETTLE_X, PANEL_X = 892, 980, 1012, 412
SLOT_HEIGHT, CLEARED_MAX, CLEARED_MIN = 20, 210, 130
ROWS_MAX = 13

NAVY, GREEN, AMBER, RED, GREY = "#1d3557", "#1f7a55", "#96600f", "#b8423a", "#8793a1"
GREEN_BAND, AMBER_BAND, RED_BAND, GREY_BAND = "#bfe3d1", "#f0d39b", "#efb8b2", "#d9e1ea"
KINDS = {
    "bank": ("banks", "#3f6fb6"),
    "wallet": ("wallets", "#8d57b3"),
    "mobile_money": ("mobile money", "#0f8f96"),
}
CHECKS = "amount, benefit|paying account|person and name|receiving account|limits|not paid before"
WORDS = (
    ("Clearing", "the switch counts who owes whom"),
    ("Netting", "only the difference has to move"),
    ("Settlement", "the State Bank moves it, for good"),
    ("AM12, BE01 ...", "reason codes of ISO 20022"),
)


class _Words(NamedTuple):
    """Words for the settlement of a batch, by what became of its cycle."""

    note: str
    owed: str
    moves: str
    pay: tuple[str, str]
    """After one account, and after several."""
    paid: tuple[str, str]
    colour: str


SETTLED = _Words(
    "at the State Bank, final",
    "owed between institutions",
    "moves; netting saves {}",
    ("pays in", "pay in"),
    ("is paid", "are paid"),
    NAVY,
)
TO_COME = _Words(
    "to come, with its cycle",
    "owed between institutions",
    "is to move; netting saves {}",
    ("is to pay in", "are to pay in"),
    ("is to be paid", "are to be paid"),
    NAVY,
)
ABORTED = _Words(
    "its cycle was aborted",
    "was owed between institutions",
    "was to move; nothing did",
    ("was to pay in", "were to pay in"),
    ("was to be paid", "were to be paid"),
    GREY,
)
RECAST = _Words(
    "its cycle was recast",
    "was owed before the recast",
    "was to move before the recast",
    ("was to pay in", "were to pay in"),
    ("was to be paid", "were to be paid"),
    GREY,
)


def _words(summary: Summary) -> _Words:
    """The words for a batch. A batch is HELD where its cycle was aborted."""
    rules = {one["rule"] for one in summary["sent_back"] if one["cycle"] == summary["cycle"]}
    if summary["state"] == "HELD" or "abort" in rules:
        return ABORTED
    if rules:
        return RECAST
    return TO_COME if summary["state"] == "CLEARING" else SETTLED


def payday_svg(summary: Summary | BatchStatus) -> str:
    """The batch as one SVG document, the same text for the same summary: the answer of its run, and
    where its lines stand now, as far as the summary says so.

    Shows nothing that does not add up: asserts that received is cleared + held + refused in lines
    and in dong, that the receivers' money is what was cleared, and that positions sum to zero.
    """
    flow, pen = _Flow(summary), Pen()
    bottom = _panels(pen, summary)
    _legend(pen, flow, bottom)
    _heads(pen, summary, flow)
    _table(pen, summary, flow)
    _switch(pen)
    _cleared(pen, flow, GREY_BAND if _words(summary) is ABORTED else GREEN_BAND)
    _settlement(pen, summary, flow)
    height = _footer(pen, summary, bottom + 16)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {n(height)}" '
        f'width="{WIDTH}" height="{n(height)}" role="img" aria-labelledby="payday-title '
        f'payday-desc" font-family="{FONTS}">\n'
        f'<title id="payday-title">{safe(_title(summary))}</title>\n'
        f'<desc id="payday-desc">{safe(_description(summary, flow))}</desc>\n'
        f'<rect width="{WIDTH}" height="{n(height)}" fill="{PAPER}"/>\n'
        + "\n".join(pen.parts)
        + "\n</svg>\n"
    )


# --- what is shown -------------------------------------------------------------------------------


class _Receiver(NamedTuple):
    name: str
    kind: str
    lines: int
    dong: int
    tip: str


class _Flow:
    """Cleared money fitted into the picture: the receivers that are named, and pixels for money."""

    def __init__(self, summary: Summary) -> None:
        states = (summary["cleared"], summary["held"], summary["refused"])
        whole = summary["received"]
        assert whole["count"] == sum(s["count"] for s in states), "counts of states do not add up"
        assert whole["sum"] == sum(s["sum"] for s in states), "sums of states do not add up"
        assert sum(summary["settlement"]["nets"].values()) == 0, "positions do not sum to zero"
        again = summary["represented"]
        self.again: LineTotals | None = again if again and again["received"]["count"] else None
        """Lines held before that were presented again; what cleared of them is in the flow."""
        carried = self.again["cleared"] if self.again else {"count": 0, "sum": 0}
        self.count = summary["cleared"]["count"] + carried["count"]
        self.sum = summary["cleared"]["sum"] + carried["sum"]
        rows = sorted(summary["receivers"], key=lambda row: (-row["sum"], row["participant"]))
        assert sum(row["sum"] for row in rows) == self.sum, "receivers do not add up to cleared"
        self.names = {
            **{row["participant"]: row["short_name"] or row["participant"] for row in rows},
            **summary.get("names", {}),
        }
        self.receivers = len(rows)
        """Receivers of the cleared lines, those that are not named too; no payer is one."""
        self.kinds = sorted({row["kind"] for row in rows}, key=lambda k: ([*KINDS, k].index(k), k))
        self.rows: list[_Receiver] = []
        self.height = 0
        """Height of the cleared band, in pixels."""
        for rows_count in range(ROWS_MAX, 1, -1):
            self.rows = self._rows(rows, rows_count)
            self.height = self._fit()
            if self.height >= CLEARED_MIN:
                break

    def _rows(self, rows: list[ReceiverTotal], rows_count: int) -> list[_Receiver]:
        """The largest receivers, with the largest of each kind among them, and the rest as one."""
        largest: dict[str, str] = {}
        for row in rows:
            largest.setdefault(row["kind"], row["participant"])
        order = dict.fromkeys([*largest.values(), *(row["participant"] for row in rows)])
        chosen = set(list(order)[: rows_count if len(rows) <= rows_count else rows_count - 1])
        out, rest = [], []
        for row in rows:
            if row["participant"] in chosen:
                name = self.names[row["participant"]]
                tip = f"{name} ({row['participant']}, {row['kind'].replace('_', ' ')}): "
                out.append(
                    _Receiver(name, row["kind"], row["count"], row["sum"], tip + _exact(row))
                )
            else:
                rest.append(row)
        if rest:
            both: Total = {
                "count": sum(row["count"] for row in rest),
                "sum": sum(row["sum"] for row in rest),
            }
            name = f"{len(rest):,} others"
            out.append(_Receiver(name, "", both["count"], both["sum"], f"{name}: {_exact(both)}"))
        return out

    def _fit(self) -> int:
        """The largest height of the cleared band at which all rows stand below each other."""
        for height in range(CLEARED_MAX, 0, -2):
            if sum(self.slot(row, height) for row in self.rows) <= FLOW_HEIGHT:
                return height
        return 0

    def slot(self, row: _Receiver, height: int) -> float:
        return max(SLOT_HEIGHT, self.width(row, height) + 3)

    def width(self, row: _Receiver, height: int) -> float:
        return height * (row.dong / self.sum) if self.sum else 0.0


# --- parts of the picture ------------------------------------------------------------------------


def _heads(pen: Pen, summary: Summary, flow: _Flow) -> None:
    pen.text(LEFT, 42, _title(summary), 25, "bold cut", fit=RIGHT - LEFT - 250)
    received, cleared = summary["received"]["count"], summary["cleared"]["count"]
    text = (
        f"Of {counted(received, 'line')}: {cleared:,} cleared ({_share(cleared, received)}), "
        f"{summary['held']['count']:,} held, {summary['refused']['count']:,} refused, none lost."
    )
    if summary["sent_back"]:
        text = " ".join(map(_sent_back, summary["sent_back"]))
        pen.text(LEFT, 68, text, 14.5, "bold cut", RED, fit=RIGHT - LEFT - 250)
    else:
        pen.text(LEFT, 68, text, 14.5, "muted", fit=RIGHT - LEFT - 250)
    pen.text(RIGHT, 41, f"value date {summary['value_date']}", 12, "end muted", fit=230)
    pen.text(RIGHT, 60, f"cycle {summary['cycle']}", 12, "end muted cut", fit=230)
    pen.rect(LEFT, 82, RIGHT - LEFT, 1, RULE)
    words = _words(summary)
    cleared_note = "passed every check"
    if words in (ABORTED, RECAST):
        cleared_note = words.note.replace("its", "then its")
    all_named = not flow.rows or flow.rows[-1].kind
    heads = (
        (LEFT, "Payment table", "what the sender declares"),
        (SWITCH_X, "The switch", "checks every line"),
        (OUT_X + 16, "Had cleared" if words is ABORTED else "Cleared", cleared_note),
        (
            BAR_X,
            f"Receivers: {flow.receivers:,}",
            "by money" if all_named else "the largest, and the largest of each kind",
        ),
        (SETTLE_X, "Settlement", words.note),
    )
    for number, (x, head, note) in enumerate(heads, 1):
        pen.rect(x, 97, 22, 22, NAVY, rx=11)
        pen.text(x + 11, 112.5, str(number), 12, "bold middle", "#fff")
        pen.text(x + 29, 107, head, 14, "bold")
        pen.text(x + 29, 122, note, 11, "muted")


def _table(pen: Pen, summary: Summary, flow: _Flow) -> None:
    """The payment table, and below it the lines held before that were presented again."""
    height = FLOW_HEIGHT - (118 if flow.again else 0)
    received, x, end = summary["received"], LEFT + 16, LEFT + CARD_WIDTH
    with pen.group(f"Received: {_exact(received)}"):
        pen.band(end, FLOW_Y + 10, height - 20, SWITCH_X, FLOW_Y + 10, height - 20, GREY_BAND)
        pen.rect(LEFT, FLOW_Y, CARD_WIDTH, height, "#fff", stroke="#b6c2d0", rx=8)
        for i in (*range(5), *(() if flow.again else range(18, 29))):
            pen.rect(x, FLOW_Y + 18 + 8.7 * i, 118 - 22 * (i % 2), 4, GREY_BAND)
        y = FLOW_Y + (92 if flow.again else 96)
        pen.text(x, y, f"{received['count']:,}", 21, "bold", fit=124)
        pen.text(x, y + 17, "line" if received["count"] == 1 else "lines", 12, "muted")
        pen.text(x, y + 44, money(received["sum"]), 16, "bold", fit=124)
        pen.text(x, y + 61, "declared", 12, "muted")
    if flow.again is None:
        return
    x, y = LEFT + 12, FLOW_Y + height + 12
    again = (
        (flow.again["cleared"], "cleared now"),
        (flow.again["held"], "still held"),
        (flow.again["refused"], "refused"),
    )
    parts = [f"{words} {_exact(total)}" for total, words in again]
    tip = f"Held before, presented again: {_exact(flow.again['received'])}; {'; '.join(parts)}"
    with pen.group(tip):
        pen.band(end, y + 8, 90, SWITCH_X, y + 8, 90, AMBER_BAND)
        pen.rect(LEFT, y, CARD_WIDTH, 106, "#fff", stroke="#d9b46c", rx=8)
        pen.text(x, y + 19, "Held before,", 11.5, "bold")
        pen.text(x, y + 33, "presented again:", 11.5, "bold")
        pen.text(x, y + 49, counted(flow.again["received"]["count"], "line"), 11.5, fit=130)
        for i, (total, words) in enumerate(again):
            text = f"{total['count']:,} {words}"
            pen.text(x, y + 66 + 14 * i, text, 11, "muted", fit=130)


def _switch(pen: Pen) -> None:
    x = SWITCH_X + 18
    with pen.group("The first check that fails gives the line its one reason"):
        pen.rect(SWITCH_X, FLOW_Y, OUT_X - SWITCH_X, FLOW_HEIGHT, NAVY, rx=8)
        pen.text(x, FLOW_Y + 33, "For each line:", 13, "bold", "#fff")
        for i, check in enumerate(CHECKS.split("|")):
            pen.tick(x, FLOW_Y + 58 + 26 * i, "#8fd3b4")
            pen.text(x + 18, FLOW_Y + 62 + 26 * i, check, 11, "", "#e6edf5", fit=108)
        for i, text in enumerate(("then cleared, held", "or refused: one of", "three, never lost")):
            pen.text(x, FLOW_Y + 234 + 15 * i, text, 11, "", "#b9c8da")


def _cleared(pen: Pen, flow: _Flow, band: str) -> None:
    """Draw the band of cleared money and its branches, to scale, with the receivers' names. band:
    its colour."""
    if not flow.count:
        box: dict[str, str | float] = {"stroke": GREY, "rx": 8, "stroke_dasharray": "5 5"}
        pen.rect(OUT_X + 14, MIDDLE - 32, MONEY_X - OUT_X - 14, 64, "none", **box)
        pen.text(OUT_X + 36, MIDDLE + 5, "Nothing was cleared, so no money moves.", 15, "muted")
        return
    pen.text(LINES_X, FLOW_Y - 6, "lines", 10.5, "end muted")
    pen.text(MONEY_X, FLOW_Y - 6, "money", 10.5, "end muted")
    top = MIDDLE - flow.height / 2
    with pen.group(f"Cleared: {_exact({'count': flow.count, 'sum': flow.sum})}"):
        pen.rect(OUT_X, top, FAN_X - OUT_X + 1, flow.height, band)
        pen.text(OUT_X + 16, MIDDLE - 4, money(flow.sum), 21, "bold", fit=160)
        pen.text(OUT_X + 16, MIDDLE + 17, counted(flow.count, "line"), 13, fit=160)
        if flow.again:
            text = f"with {flow.again['cleared']['count']:,} held before"
            pen.text(OUT_X + 16, MIDDLE + 35, text, 11, fit=160)
    for name, colour in (*((kind, KINDS[kind][1]) for kind in KINDS), ("", GREY)):
        pen.shade(f"payday-{name}", FAN_X, band, BAR_X, colour)
    slots = [flow.slot(row, flow.height) for row in flow.rows]
    gap = min(6.0, (FLOW_HEIGHT - sum(slots)) / len(slots))
    y = MIDDLE - (sum(slots) + gap * (len(slots) - 1)) / 2
    for slot, row in zip(slots, flow.rows, strict=True):
        width = flow.width(row, flow.height)
        thick = max(width, 1.2)
        at, base = y + (slot - thick) / 2, y + slot / 2 + 4
        kind = row.kind if row.kind in KINDS else ""
        with pen.group(row.tip):
            pen.band(FAN_X, top, width, BAR_X, at, thick, f"url(#payday-{kind})")
            pen.rect(BAR_X, at, 7, thick, KINDS[kind][1] if kind else GREY)
            pen.text(BAR_X + 15, base, row.name, 12, "bold cut", fit=116)
            pen.text(LINES_X, base, f"{row.lines:,}", 11.5, "end muted", fit=66)
            pen.text(MONEY_X, base, money(row.dong), 11.5, "end", fit=84)
        top += width
        y += slot + gap


def _settlement(pen: Pen, summary: Summary, flow: _Flow) -> None:
    """Gross and net below each other: what is owed, and what has to move at the State Bank."""
    settled, x, width = summary["settlement"], SETTLE_X + 16, RIGHT - SETTLE_X - 32
    if flow.count:
        pen.stroke(f"M{SETTLE_X - 20} {n(MIDDLE - 12)}l10 12l-10 12", GREY, 2.5)
    pen.rect(SETTLE_X, FLOW_Y, RIGHT - SETTLE_X, FLOW_HEIGHT, "#f0f4f8", stroke=RULE, rx=8)
    gross, net, own = settled["gross"], settled["settled"], flow.sum - settled["gross"]
    words = _words(summary)
    saved = words.moves.format(_share(gross - net, gross))
    bars = ((words.owed, gross, "#9db7d8"), (saved, net, words.colour))
    for i, (text, amount, colour) in enumerate(bars):
        y = FLOW_Y + 28 + 60 * i
        with pen.group(f"{text}: {amount:,} ₫"):
            pen.text(x, y, money(amount), 17, "bold", fit=width)
            pen.text(x, y + 16, text, 11, "muted", fit=width)
            pen.rect(x, y + 23, width, 8, "#fff")
            pen.rect(x, y + 23, width * (amount / gross) if gross else 0, 8, colour)
    nets = sorted((net, code) for code, net in settled["nets"].items() if net)
    payers, paid = settled["payers"], settled["receivers"]
    facts = (
        (f"{counted(payers, 'account')} {words.pay[payers != 1]}", payers, nets[:1]),
        (f"{counted(paid, 'account')} {words.paid[paid != 1]}", paid, nets[-1:]),
    )
    for i, (text, count, most) in enumerate(facts):
        y = FLOW_Y + 152 + 38 * i
        pen.text(x, y, text, 12, fit=width)
        for net, code in most:
            with pen.group(f"{code}: {net:,} ₫"):
                who = f"{'most: ' if count > 1 else ''}{flow.names.get(code, code)}"
                pen.text(x, y + 15, who, 11.5, "muted cut", fit=width)
    with pen.group(f"Paid from and to accounts at one bank: {own:,} ₫"):
        pen.text(x, FLOW_Y + 228, f"{money(own)} stays", 12, fit=width)
        pen.text(x, FLOW_Y + 243, "inside the bank that pays", 11.5, "muted", fit=width)
    pen.tick(x, FLOW_END - 18, GREEN)
    pen.text(x + 17, FLOW_END - 14, "positions add up to 0", 11.5, fit=width - 17)


def _panels(pen: Pen, summary: Summary | BatchStatus) -> float:
    """Held and refused lines by reason, each with its own small road from the switch. Returns
    where they end."""
    y: float = FLOW_END + 22
    most = max((row["count"] for row in summary["reasons"]), default=1)
    kinds: tuple[tuple[Outcome, str, str, int, str, str], ...] = (
        ("held", "PDNG", _waits(summary), 350, AMBER, AMBER_BAND),
        ("refused", "RJCT", "final; the sender is told why", 290, RED, RED_BAND),
    )
    for state, status, note, road, colour, band in kinds:
        total = summary[state]
        count = total["count"]
        with pen.group(f"{state.capitalize()}: {_exact(total)}"):
            head = f"{state.capitalize()}: {counted(count, 'line') if count else 'none'}"
            pen.text(PANEL_X, y + 19, head, 14.5, "bold", colour, fit=250)
            if count:
                thick = 8 + 12 * count / summary["received"]["count"]
                pen.stroke(f"M{road} {FLOW_END}V{n(y - 6)}q0 20 20 20H{PANEL_X - 22}", band, thick)
                pen.path(f"M{PANEL_X - 22} {n(y + 2)}l14 12l-14 12z", band)
                pen.text(PANEL_X + 262, y + 19, note, 11.5, "muted")
                pen.text(PANEL_X + 692, y + 19, "lines", 10.5, "end muted")
                pen.text(RIGHT, y + 19, money(total["sum"]), 12, "bold end", colour, fit=98)
        pen.rect(PANEL_X, y + 26, RIGHT - PANEL_X, 1, RULE)
        y += 42
        for row in summary["reasons"]:
            if row["status"] != status:
                continue
            with pen.group(f"{row['reason']}, {row['sentence']}: {_exact(row)}"):
                pen.text(PANEL_X, y, row["reason"], 11.5, "bold cut", colour, fit=44)
                pen.text(PANEL_X + 48, y, row["sentence"], 11.5, "cut", fit=470)
                pen.rect(PANEL_X + 526, y - 9, max(1.5, 88 * row["count"] / most), 10, band)
                pen.text(PANEL_X + 692, y, f"{row['count']:,}", 11.5, "end muted", fit=72)
                pen.text(RIGHT, y, money(row["sum"]), 11.5, "end", fit=98)
            y += 16
    return max(y - 8, FLOW_END + 170)


def _legend(pen: Pen, flow: _Flow, bottom: float) -> None:
    """Write how to read the picture, with the trade's words where there is room for them."""
    y = FLOW_END + 36
    pen.text(LEFT, y, "How to read it", 12, "bold")
    kinds = [KINDS.get(kind, (kind.replace("_", " "), GREY)) for kind in flow.kinds[:4]]
    for name, colour in (("width is money, 1 pixel at least", GREEN_BAND), *kinds):
        y += 18
        pen.rect(LEFT, y - 10, 12, 12, colour, rx=2)
        pen.text(LEFT + 20, y, name, 11.5, "cut", fit=190)
    pen.rect(LEFT, y + 8, 6, 12, AMBER_BAND)
    pen.rect(LEFT + 6, y + 8, 6, 12, RED_BAND)
    notes = ("not to scale; bars are lines,", "not money, as a refused", "amount can be nonsense")
    for text in notes:
        y += 14 if text != notes[0] else 18
        pen.text(LEFT + 20, y, text, 11.5, fit=215)
    if bottom - y < 34 + 32 * len(WORDS):
        return
    for i, (word, meaning) in enumerate(WORDS):
        pen.text(LEFT, y + 32 + 32 * i, word, 11.5, "bold")
        pen.text(LEFT, y + 46 + 32 * i, meaning, 11, "muted", fit=235)


def _footer(pen: Pen, summary: Summary | BatchStatus, y: float) -> float:
    """The proof that every line has its answer, and where the lines stand now, as far as that is
    known. Returns the height of the picture."""
    now = _now(summary)
    height = 84 if now else 58
    is_well = not summary["sent_back"] and summary["state"] != "HELD"
    fill, edge = ("#e9f4ee", "#c4e0d1") if is_well else ("#fbf3e4", "#e8d3a8")
    pen.rect(LEFT, y, RIGHT - LEFT, height, fill, stroke=edge, rx=8)
    pen.tick(LEFT + 18, y + 29, GREEN if is_well else AMBER, 1.7)
    pen.text(LEFT + 50, y + 25, "Received = cleared + held + refused", 14, "bold")
    note = "Nothing was lost." if is_well and not now else "as its run answered"
    pen.text(LEFT + 50, y + 44, note, 12, "muted")
    states = (summary["received"], summary["cleared"], summary["held"], summary["refused"])
    sums = (([s["count"] for s in states], "lines"), ([s["sum"] for s in states], "₫"))
    for i, ((whole, *parts), unit) in enumerate(sums):
        terms = " + ".join(f"{part:,}" if part >= 0 else f"({part:,})" for part in parts)
        text = f"{whole:,} = {terms} {unit}".replace("-", "−")
        pen.text(RIGHT - 18, y + 25 + 19 * i, text, 13, "end", fit=790)
    if now:
        pen.text(LEFT + 50, y + 70, now, 13, "bold", fit=RIGHT - LEFT - 68)
    return y + height + 20


# --- words and strokes ---------------------------------------------------------------------------


def _present(summary: Summary | BatchStatus) -> dict[str, Total]:
    """Lines by where they stand now, in their order; empty where the summary does not say so."""
    totals = cast(dict[str, Total], summary.get("now", {}))
    return {name.replace("_", " "): total for name, total in totals.items() if total["count"]}


def _now(summary: Summary | BatchStatus) -> str:
    """The lines by where they stand now, as a sum that ties; '' where the summary has no now."""
    parts = _present(summary)
    if not parts:
        return ""
    assert sum(total["count"] for total in parts.values()) == summary["received"]["count"]
    terms = " + ".join(f"{total['count']:,} {name}" for name, total in parts.items())
    return f"Now: {terms} = {counted(summary['received']['count'], 'line')}"


def _waits(summary: Summary | BatchStatus) -> str:
    """Words beside the lines that were held."""
    parts = _present(summary)
    if not parts:
        return "they wait; the next batch tries them again"
    count = parts["held"]["count"] if "held" in parts else 0
    return f"by its run; {count:,} of the batch wait{'s' if count == 1 else ''} now"


def _sent_back(back: SentBack) -> str:
    what = "aborted" if back["rule"] == "abort" else "recast"
    why = f" ({back['why']})" if back["why"] else ""
    lines = f"{counted(back['count'], 'line')} of {money(back['sum'])}"
    return f"Cycle {back['cycle']} was {what}{why}: {lines} went back to wait."


def _title(summary: Summary) -> str:
    return f"Payday: batch {summary['batch_id']} of {summary['source']}"


def _description(summary: Summary, flow: _Flow) -> str:
    states = "; ".join(f"{s} {_exact(summary[s])}" for s in ("cleared", "held", "refused"))
    again = f" Presented again: {_exact(flow.again['received'])}." if flow.again else ""
    return (
        f"Value date {summary['value_date']}, cycle {summary['cycle']}. "
        f"Received {_exact(summary['received'])}: {states}.{again} "
        f"Cleared money went to {counted(flow.receivers, 'receiver')}. "
        f"{_words(summary).moves.partition(';')[0]}: {summary['settlement']['settled']:,} ₫ of"
        f" {summary['settlement']['gross']:,} ₫. {_now(summary)}"
    )


def _share(part: int, whole: int) -> str:
    """A percentage with one decimal, rounded down so that only all is 100.0 %."""
    tenths = part * 1000 // whole if whole else 0
    return f"{tenths // 10}.{tenths % 10} %"


def _exact(both: Total) -> str:
    return f"{counted(both['count'], 'line')}, {both['sum']:,} ₫"
