"""Tables on the terminal: what a run did, for a screen or a pipe.

IN: the summary of a batch, as the engine gives it. OUT: lines on a rich console. All money is
exact; where the screen is narrow, words are folded and numbers stay whole (`grid`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, cast

from rich.console import Console
from rich.text import Text

from switch.cli.grid import Grid
from switch.cli.voice import tell
from switch.documents import DirectoryShown
from switch.errors import counted, plain
from switch.home.times import local_text
from switch.outlook import HomeStatus, OpenCycle, OpenLines, lines_in
from switch.reason import HELD, REFUSED, RULES
from switch.results import (
    Answered,
    BatchBudget,
    BatchRow,
    CycleAnswer,
    LineHistory,
    LineTotals,
    Now,
    Outcome,
    ProgrammeBudget,
    ReasonTotal,
    ReceiverTotal,
    Rehearsal,
    SharedSheet,
    Summary,
    Total,
)

RECEIVERS_SHOWN = 10
POSITIONS_SHOWN = 5
"""Net payers, and as many net receivers."""
STATES: dict[Outcome, str] = {
    "received": "",
    "cleared": "green",
    "held": "yellow",
    "refused": "red",
}
NOW = {
    "held": ("held", "yellow"),
    "cleared": ("cleared", "green"),
    "settled": ("settled", "green"),
    "unapplied": ("unanswered", "yellow"),
    "credited": ("credited", "green"),
    "returned": ("returned", "yellow"),
    "written_back": ("written back", ""),
    "reissued": ("reissued", ""),
    "refused": ("refused", "red"),
}
"""Words and colours for where lines stand now."""
GROUPS: dict[Outcome, set[str]] = {
    "held": {RULES[reason].status for reason in HELD},
    "refused": {RULES[reason].status for reason in REFUSED},
}


def print_batch(
    console: Console,
    summary: Summary,
    *,
    seconds: float | None = None,
    now: Now | None = None,
    answered: Answered | None = None,
) -> None:
    """Print the outcome of a batch for people: totals, reasons, receivers, settlement.

    seconds: how long the run took, shown if given; now: where its lines stand; answered: where sent
    lines stand. Nothing is printed but to the console.
    """
    _head(console, summary, seconds)
    _print_sent_back(console, [summary])
    if now is not None:
        console.print(_now(summary, now))
    console.print(_states(summary, summary["currency"], now is not None))
    if summary["reasons"]:
        console.print(_reasons("Held and refused, by reason", summary["reasons"]))
    again = summary["represented"]
    if again is not None:
        console.print(_again(again))
        if again["reasons"]:
            console.print(_reasons("Presented again and not cleared", again["reasons"]))
    if summary["receivers"]:
        console.print(_receivers(summary["receivers"]))
    if summary["settlement"]["nets"]:
        console.print(_nets(summary))
    if answered is not None:
        console.print(_answered(answered))
    console.print()
    _settled(console, summary)


def print_status(console: Console, told: HomeStatus) -> None:
    """Print a row a batch, oldest first, then budgets, what is open, and what to do next."""
    rows = told.batches
    totals = [cast(dict[str, Total], row["now"]) for row in rows]
    shown = [name for name in NOW if any(total[name]["count"] for total in totals)]
    heads = [f"#{NOW[name][0]}" for name in shown]
    table = Grid(
        "Batches as they stand now, oldest first",
        "batch",
        "=value date",
        "state",
        "#lines",
        *heads,
        "#dong received",
    )
    for row, total in zip(rows, totals, strict=True):
        table.add_row(
            plain(called(row, rows)),
            row["value_date"],
            _state(row),
            f"{row['received']['count']:,}",
            *(f"{total[name]['count']:,}" for name in shown),
            f"{row['received']['sum']:,}",
        )
    console.print(table)
    _print_sent_back(console, rows)
    print_budgets(console, told.budgets)
    _print_open(console, told)
    for step in told.next:
        console.print(Text(f"\n{plain(step['why'])}:"))
        console.print(Text(f"    {plain(step['command'])}", "bold"), soft_wrap=True)
    if not told.next:
        console.print(Text("\nNothing is open."))


def called(row: BatchRow | Summary, rows: Sequence[BatchRow | Summary]) -> str:
    """The name by which people ask for a batch: with its source where several use the id."""
    twice = sum(other["batch_id"] == row["batch_id"] for other in rows) > 1
    return f"{row['source']}:{row['batch_id']}" if twice else row["batch_id"]


def _state(row: BatchRow) -> str:
    """State of a batch by where its lines stand now, and what became of cycles where that says
    more. The home calls a batch HELD whose own cycle was aborted, also when its lines have gone
    with another one since."""
    state, now = row["state"], row["now"]
    if state == "HELD" and not now["held"]["count"]:
        state = "CLEARING" if now["cleared"]["count"] else "SETTLED"
    rules = {back["rule"] for back in row["sent_back"]}
    if row["cycle_state"] == "ABORTED" or "abort" in rules:
        return f"{state}, cycle aborted"
    return f"{state}, recast" if rules else state


def _print_sent_back(console: Console, rows: Sequence[BatchRow | Summary]) -> None:
    for row in rows:
        for back in row["sent_back"]:
            what = "aborted" if back["rule"] == "abort" else "recast"
            why = f" ({back['why']})" if back["why"] else ""
            text = (
                f"\n{called(row, rows)}: cycle {back['cycle']} was {what}{why}, and"
                f" {counted(back['count'], 'line')} of {back['sum']:,} dong went back to wait"
            )
            console.print(Text(plain(text.strip()), "yellow"))
        for name, came in (
            ("cancelled", "waited and were cancelled"),
            ("expired", "waited beyond their deadline"),
        ):
            if gone := cast("Total | None", row.get(name)):
                what = f"{counted(gone['count'], 'line')} of {gone['sum']:,} dong"
                text = f"{row['batch_id']}: {what} {came}"
                console.print(Text(plain(text), "yellow"))


def _print_open(console: Console, told: HomeStatus) -> None:
    items = told.open
    table = Grid("Open", "", "#lines", "#dong", "=since", "#days")

    def add(name: str, one: OpenLines) -> None:
        if one["count"]:
            age = f"{one['age_days']:,}"
            table.add_row(name, f"{one['count']:,}", f"{one['sum']:,}", one["since"], age)

    add("held, tried again with every run", items["held"])
    if due := items.get("deadlines"):
        for name, total in (("beyond the deadline", due["past"]), ("near it", due["near"])):
            if total["count"]:
                sums = f"{total['count']:,}", f"{total['sum']:,}"
                table.add_row(f"  of these {name}", *sums, "", "")
    if over := items.get("cash"):
        table.add_row("to be paid over a counter", f"{over['count']:,}", f"{over['sum']:,}", "", "")
    for cycle in items["cycles"]:
        until = local_text(cycle["closes"])
        name = f"in cycle {cycle['cycle']}, {cycle['state']}, cut-off {until}"
        back = cycle["returns"]
        fees = cycle["fees"]
        if cycle["count"] or not (back["count"] or fees["count"]):
            table.add_row(plain(name), f"{cycle['count']:,}", f"{cycle['sum']:,}", "", "")
        if back["count"]:
            name = f"coming back with cycle {cycle['cycle']}, {cycle['state']}, cut-off {until}"
            table.add_row(plain(name), f"{back['count']:,}", f"{back['sum']:,}", "", "")
        if fees["count"]:
            name = f"fees in cycle {cycle['cycle']}, {cycle['state']}, cut-off {until}"
            table.add_row(plain(name), f"{fees['count']:,}", f"{fees['sum']:,}", "", "")
    add("settled, without an answer", items["unanswered"])
    add("returned, without a disposition", items["returned"])
    add("free for a re-issue, not paid again", items["reissued"])
    if "recalls" in items:
        add("recalled, without an answer", items["recalls"])
    breaks = items["breaks"]
    if breaks["count"]:
        kinds = ", ".join(f"{count:,} {name}" for name, count in breaks["severities"].items())
        name = f"{counted(breaks['count'], 'break')}: {kinds}"
        table.add_row(name, "", f"{breaks['value']:,}", breaks["since"], f"{breaks['age_days']:,}")
    days = items["days"]["open"]
    if days:
        table.add_row(f"{counted(len(days), 'day')} not closed", "", "", days[0], "")
    if table:
        console.print(table)


def print_directory(console: Console, content: DirectoryShown) -> None:
    """Print who takes part, with limits where anybody has one, and the settings of the home."""
    rows = cast(list[dict[str, Any]], content["participants"])
    debtors = counted(len(content["debtors"]), "debtor")
    counts = f"{counted(len(rows), 'participant')}, {debtors}"
    known = ("net_debit_cap", "amount_max", "amount_month_max")
    limits = [name for name in known if any(r.get(name) is not None for r in rows)]
    moves = [name for name in ("replaced_by", "replaced_from") if any(r.get(name) for r in rows)]
    names = ("participant", "short_name", "kind", "settled_by", "status", *moves)
    table = Grid(counts, *names, *(f"#{name}" for name in limits))
    for row in rows:
        table.add_row(
            *(Text(plain(row.get(name, ""))) for name in names),
            *("no limit" if row.get(name) is None else f"{row[name]:,}" for name in limits),
        )
    console.print(table)
    console.print()
    for name, value in cast(dict[str, object], content["settings"]).items():
        console.print(Text(f"{name} = {plain(json.dumps(value))}"), soft_wrap=True)


def print_budgets(
    console: Console, budgets: Sequence[ProgrammeBudget] | Sequence[BatchBudget]
) -> None:
    """Print what programmes reserved, used up, released and have left; nothing where there is
    none."""
    rows = [cast(dict[str, int | None], row) for row in budgets]
    if not rows:
        return
    shown = [
        name
        for name in rows[0]
        if name != "programme" and any(row[name] is not None for row in rows)
    ]
    table = Grid("Budgets, in dong", "programme", *(f"#{name}" for name in shown))
    for budget, row in zip(budgets, rows, strict=True):
        cells = (row[name] for name in shown)
        table.add_row(
            Text(plain(budget["programme"])),
            *("no limit" if cell is None else f"{cell:,}" for cell in cells),
        )
    console.print(table)


def print_cycles(
    console: Console, answers: list[CycleAnswer], waiting: Sequence[OpenCycle] = ()
) -> None:
    """Print what became of cycles that were to settle, a line a fact. waiting: those that were not
    to settle yet."""

    def say(text: str) -> None:
        console.print(Text(plain(text)), soft_wrap=True)

    for answer in answers:
        moved = sum(r["amount"] for r in answer["participants"] if r["side"] == "credit")
        say(f"cycle {answer['cycle']}: {answer['state']}, {moved:,} dong moved")
        for code, missing in answer["short"].items():
            say(f"  {code} lacks {missing:,} dong")
        for code, part in answer["shares"].items():
            say(f"  {code} bears {part:,} dong")
        for code, told in answer.get("recalled", {}).items():
            what = f"{counted(told['count'], 'line')} of {told['sum']:,} dong"
            say(f"  {code} is not to credit {what}: see recall/{code}.parquet")
        for code in answer["turned_payer"]:
            say(f"  {code} would now have to pay, and had nothing to pay before")
    for cycle in waiting:
        text = f"cycle {cycle['cycle']} is {cycle['state']} with {lines_in(cycle)}"
        say(f"{text}: its cut-off is {local_text(cycle['closes'])}")
    if not answers and not waiting:
        say("no cycle waits for settlement")


def _head(console: Console, summary: Summary, seconds: float | None) -> None:
    text = Text.assemble(
        (f"Batch {plain(summary['batch_id'])} of {plain(summary['source'])}", "bold"),
        f", cycle {plain(summary['cycle'])}, value date {summary['value_date']}",
    )
    console.print(text)
    if summary.get("replayed"):
        console.print(Text("Answered from what was stored: run before, nothing moves", "yellow"))
    if seconds is not None:
        count = summary["received"]["count"]
        rate = f", {round(count / seconds):,} lines/s" if seconds > 0 else ""
        console.print(Text(f"{counted(count, 'line')} in {seconds:.2f} s{rate}"))


def _now(summary: Summary, now: Now) -> Grid:
    """The lines by where they stand now; all of it ties to the lines received."""
    table = Grid("Now", "", "#lines", f"#money, {summary['currency']}", "#share")
    received, totals = summary["received"], cast(dict[str, Total], now)
    for name, (words, style) in NOW.items():
        total = totals[name]
        if total["count"]:
            share = _share(total["count"], received["count"])
            table.add_row(Text(words, style), f"{total['count']:,}", f"{total['sum']:,}", share)
    table.add_row(Text("received", "bold"), f"{received['count']:,}", f"{received['sum']:,}", "")
    return table


def _states(summary: Summary, currency: str, is_past: bool) -> Grid:
    """Lines by the answer of the run. is_past: they have been shown as they stand now."""
    title = "Received = cleared + held + refused"
    title = f"As its run answered: {title[0].lower()}{title[1:]}" if is_past else title
    table = Grid(title, "", "#lines", f"#money, {currency}", "#share")
    whole = summary["received"]["count"]
    for state, style in STATES.items():
        count, money = summary[state]["count"], summary[state]["sum"]
        table.add_row(
            Text(state, style or "bold"), f"{count:,}", f"{money:,}", _share(count, whole)
        )
    return table


def _reasons(title: str, reasons: list[ReasonTotal]) -> Grid:
    table = Grid(title, "", "code", "why", "#lines", "#money")
    for state, statuses in GROUPS.items():
        for row in reasons:
            if row["status"] in statuses:
                table.add_row(
                    Text(state, STATES[state]),
                    plain(row["reason"]),
                    Text(plain(row["sentence"])),
                    f"{row['count']:,}",
                    f"{row['sum']:,}",
                )
    return table


def _again(again: LineTotals) -> Grid:
    """Lines held before, which were presented again together with this batch."""
    table = Grid("Held before, presented again", "", "#lines", "#money")
    names = ("presented again", "cleared now", "still held", "refused now")
    for (state, style), name in zip(STATES.items(), names, strict=True):
        count, money = again[state]["count"], again[state]["sum"]
        table.add_row(Text(name, style or "bold"), f"{count:,}", f"{money:,}")
    return table


def _answered(answered: Answered) -> Grid:
    """Print the states of lines that were sent."""
    title = f"Sent lines by what was answered, as of {answered['as_of']}"
    table = Grid(title, "", "#lines", "#money")
    for state, mine in answered["lines"].items():
        table.add_row(state, f"{mine['count']:,}", f"{mine['sum']:,}")
    return table


def _receivers(receivers: list[ReceiverTotal]) -> Grid:
    table = Grid("Cleared, by receiver", "receiver", "kind", "#lines", "#money", "#share")
    rows = sorted(receivers, key=lambda row: (-row["sum"], row["participant"]))
    whole = sum(row["sum"] for row in rows)
    for row in rows[:RECEIVERS_SHOWN]:
        table.add_row(
            Text(plain(row["short_name"] or row["participant"])),
            Text(plain(row["kind"]).replace("_", " ")),
            f"{row['count']:,}",
            f"{row['sum']:,}",
            _share(row["sum"], whole),
        )
    rest = rows[RECEIVERS_SHOWN:]
    if rest:
        count, money = (sum(row[key] for row in rest) for key in ("count", "sum"))
        name = Text(f"{len(rest):,} other{'' if len(rest) == 1 else 's'}", "dim")
        table.add_row(name, "", f"{count:,}", f"{money:,}", _share(money, whole))
    return table


def _nets(summary: Summary) -> Grid:
    """Largest net payers first, then largest net receivers, and the rest of each as one row."""
    table = Grid("Net positions at settlement", "account", "name", "#pays", "#receives")
    names = summary.get("names", {})
    nets = sorted(summary["settlement"]["nets"].items(), key=lambda item: (-abs(item[1]), item[0]))
    for sign in (-1, 1):
        side = [(code, abs(net)) for code, net in nets if net * sign > 0]
        for code, net in side[:POSITIONS_SHOWN]:
            row = (f"{net:,}", "") if sign < 0 else ("", f"{net:,}")
            table.add_row(Text(plain(code)), Text(plain(names.get(code) or "")), *row)
        rest = side[POSITIONS_SHOWN:]
        if rest:
            money = f"{sum(net for _, net in rest):,}"
            name = Text(f"{len(rest):,} other{'' if len(rest) == 1 else 's'}", "dim")
            table.add_row(name, "", *((money, "") if sign < 0 else ("", money)))
    return table


def _settled(console: Console, summary: Summary) -> None:
    settled, currency = summary["settlement"], summary["currency"]
    gross, net = settled["gross"], settled["settled"]
    if not gross:
        console.print(Text("No money moves between institutions in this cycle."))
        return
    console.print(
        Text.assemble(
            _became(summary),
            (f"{net:,} {currency}", "bold"),
            f" for {gross:,} {currency} owed between institutions. Netting ratio ",
            (_share(gross - net, gross), "bold"),
            " (what need not move). "
            f"Net payers {settled['payers']:,}, net receivers {settled['receivers']:,}.",
        )
    )


def _became(summary: Summary) -> str:
    """Words for the money that a run netted, by what became of its cycle."""
    rules = {one["rule"] for one in summary["sent_back"] if one["cycle"] == summary["cycle"]}
    if summary["state"] == "HELD" or "abort" in rules:
        return "Not settled, for its cycle was aborted: "
    if rules:
        return "Netted by its run, before its cycle was recast: "
    return "To be settled with its cycle: " if summary["state"] == "CLEARING" else "Settled "


def _share(part: int, whole: int) -> str:
    """A percentage with one decimal, rounded down so that only all is 100.0 %."""
    tenths = part * 1000 // whole if whole else 0
    return f"{tenths // 10}.{tenths % 10} %"


def print_shared(console: Console, found: SharedSheet) -> None:
    """Accounts that receive for several persons, most persons first, and the totals of all."""
    if found["accounts"]:
        heads = ["#persons", "#names", "#same name", "#lines", "#dong"]
        names = ["persons", "names", "same_name", "lines", "sum"]
        if found["held_lines"]:  # As much as 80 columns take; the whole list has the rest.
            heads = ["#persons", "#held", "#same name", "#dong", "#dong held"]
            names = ["persons", "held_persons", "same_name", "sum", "held_sum"]
        title = f"Accounts of several persons in batch {plain(found['batch_id'])}"
        table = Grid(title, "receiver", "account", *heads)
        for row in found["shown"]:
            numbers = (cast(dict[str, int], row)[name] for name in names)
            words = (Text(plain(text)) for text in (row["participant"], row["creditor_account"]))
            table.add_row(*words, *(f"{number:,}" for number in numbers))
        console.print(table)
    tell(
        f"{counted(found['accounts'], 'account')} of several persons:"
        f" {counted(found['lines'], 'line')}, {found['sum']:,} dong;"
        f" {counted(found['same_name'], 'person')} share account and name"
    )
    if found["held_lines"]:
        tell(
            f"wait as their account is full (NOCM): {counted(found['held_lines'], 'line')} of"
            f" {counted(found['held_persons'], 'person')}, {found['held_sum']:,} dong"
        )
    tell(f"whole list: {found['file']}")


def print_lines(lines: list[LineHistory]) -> None:
    """The states of lines, oldest first, and the breaks that are open about them."""
    if not lines:
        tell("no line of this person came in")
    for line in lines:
        tell(
            f"{line['batch_id']}:{line['line_no']}  {line['benefit'] or '-'} {line['period']}"
            f"  {line['amount']:,} dong"
        )
        if old := line["reissue_of"]:
            tell(f"  re-issue of {old['batch_id']}:{old['line_no']}")
        sent = ""
        for state in line["states"]:
            reason = state["reason"] or ""
            tell(f"  {local_text(state['at'])}  {state['status']} {reason:4}  {state['text']}")
            if state["transfer_id"] and state["transfer_id"] + str(state["cycle"]) != sent:
                sent = state["transfer_id"] + str(state["cycle"])
                tell(
                    f"      transfer {state['transfer_id']} to {state['participant']},"
                    f" cycle {state['cycle']}"
                )
        for one in line["breaks"]:
            tell(
                f"  break {one['class']} ({one['rule']}): {one['severity']}, {one['age']}"
                f" {'day' if one['age'] == '1' else 'days'},"
                f" {one['owner']}: {one['action']}"
            )
        for sentence in line["explained"]:
            tell(f"    {sentence}")


def print_rehearsal(console: Console, told: Rehearsal) -> None:
    """Print a rehearsal for people."""

    def say(text: str) -> None:
        console.print(Text(plain(text)), soft_wrap=True)

    for table in told["tables"]:
        if error := table.get("error"):
            say(f"{table['table']}: would be refused, {error['rule']}: {error['what']}")
            say(f"  remedy: {error['remedy']}")
            continue
        counts = ", ".join(f"{table[s]['count']:,} {s}" for s in ("cleared", "held", "refused"))
        if table["replayed"]:
            say(f"{table['batch_id']}: already run, nothing moves; it was {counts}")
            continue
        say(f"{table['batch_id']}: {counts}; cycle {table['cycle']}")
        for row in table["reasons"]:
            say(f"  {row['status']} {row['reason']}  {row['count']:,}  {row['sentence']}")
    for cycle in told["cycles"]:
        title = f"Cycle {cycle['cycle']}: {cycle['state']}"
        rows = cycle["participants"]
        nets = Grid(title, "participant", "#net", "#needs at most", "#cap", "#holds", "#lacks")
        for one in rows:
            called = told["names"].get(one["participant"]) or one["participant"]
            figures = (one["net"], one["needs"], one["cap"], one["holds"], one["lacks"] or None)
            shown = ("-" if figure is None else f"{figure:,}" for figure in figures)
            nets.add_row(Text(plain(called)), *shown)
        console.print(nets)
    console.print()
    waiting, given = told["waiting"], told["injection"]
    say(f"{counted(waiting['count'], 'line')}, {waiting['sum']:,} dong would wait for cover")
    for code, amount in given["given"].items():
        say(f"  they go with {amount:,} dong more at {told['names'].get(code) or code}")
    if given["sum"] > given["at_least"]:
        say(f"  settled at once, {given['at_least']:,} dong would be enough")
    say(f"{told['seconds']:,.1f} seconds on this machine")
