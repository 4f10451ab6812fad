"""Commands of fees to the state: agencies, their bills, and payments of citizens' banks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from switch.cli.context import (
    GIVEN_PATH,
    Context,
    home_argument,
    parse_time,
    said_options,
    shared,
    wait_option,
)
from switch.cli.voice import tell, tell_next
from switch.cli.writing import writer
from switch.errors import UsageError, counted

if TYPE_CHECKING:
    from switch.fees import WhenNoted
    from switch.results import Total
    from switch.settlement.fee_standing import FeePayment, FeesStanding
    from switch.settlement.fees import FeesTaken

PARTS = (
    *("bills", "bills paid", "bills cleared", "bills settled", "bills waiting"),
    *("bills withdrawn", "bills refunded"),
)

ROWS_SHOWN = 20
"""Payments of a list on a screen. JSON and files have all."""

bank_option = click.option(
    "--bank", default="", metavar="CODE", help="The payer's bank, where several gave the id."
)


@click.command()
@home_argument
@click.argument("table", type=GIVEN_PATH, required=False)
@said_options
@wait_option
@shared
def agencies(
    context: Context,
    home: Path,
    table: Path | None,
    at: str | None,
    leap: bool,
    correct: str | None,
) -> None:
    """Show the agencies that take fees, or replace them by TABLE."""
    from switch.engine import Engine

    warnings: list[str] = []
    if table is None:
        with Engine(home, mode="r") as engine:
            found = engine.fees.agencies()
    else:
        with writer(context, home) as engine:
            found = engine.fees.load_agencies(
                table, at=parse_time(at) or "", warn=warnings.append, correct=correct, leap=leap
            )
    context.warn(warnings)

    def show() -> None:
        for one in found["agencies"]:
            late = ", not late" if one["late"] == "refused" else ""
            tell(f"{one['agency']}: {one['name']}, {one['participant']} {one['account']}{late}")
        tell(counted(len(found["agencies"]), "agency", "agencies"))
        if found["new"]:
            tell_next("bills", home, "TABLE")

    context.say(found, show)


@click.command()
@home_argument
@click.argument("table", type=GIVEN_PATH)
@said_options
@wait_option
@shared
def bills(
    context: Context, home: Path, table: Path, at: str | None, leap: bool, correct: str | None
) -> None:
    """Load bills of agencies: what citizens owe them."""
    warnings: list[str] = []
    with writer(context, home) as engine:
        loaded = engine.fees.load_bills(
            table, at=parse_time(at) or "", warn=warnings.append, correct=correct, leap=leap
        )
    context.warn(warnings)

    def show() -> None:
        tell(f"new bills: {loaded['count']:,}, {loaded['sum']:,} dong")
        if loaded["known"]:
            tell(f"bills known before: {loaded['known']:,}")
        tell_next("fees", home, "PAYMENTS")

    context.say(loaded, show)


@click.command()
@home_argument
@click.argument("table", type=GIVEN_PATH, required=False)
@click.option("--again", is_flag=True, help="Let payments that wait enter the next cycle.")
@click.option("--payment", metavar="ID", help="One payment, as it stands now.")
@click.option("--withdraw", metavar="ID", help="Give up a payment that waits, or its refund.")
@bank_option
@click.option("--by", metavar="NAME", help="Who withdraws it, for good.")
@click.option("--why", metavar="WORDS", help="The reason, for good.")
@click.option(
    "--state",
    multiple=True,
    metavar="STATE",
    help="List payments: CLEARED, SETTLED, WAITING or WITHDRAWN.",
)
@click.option("--cycle", default="", metavar="ID", help="List the payments of a cycle.")
@click.option(
    "--out", type=GIVEN_PATH, metavar="PATH", help="Folder of answers [HOME/out]; file of a list."
)
@said_options
@wait_option
@shared
def fees(
    context: Context,
    home: Path,
    table: Path | None,
    again: bool,
    payment: str | None,
    withdraw: str | None,
    bank: str,
    by: str | None,
    why: str | None,
    state: tuple[str, ...],
    cycle: str,
    out: Path | None,
    at: str | None,
    leap: bool,
    correct: str | None,
) -> None:
    """Take payments of fees (TABLE) of citizens' banks; or show fees by agency."""
    lists = bool(state or cycle)
    if (table is not None) + again + (payment is not None) + (withdraw is not None) + lists > 1:
        raise UsageError("give one of TABLE, --again, --payment, --withdraw, --state or --cycle")
    if lists:
        _list(context, home, state, cycle, out)
        return
    if (by is not None or why is not None) and withdraw is None:
        raise UsageError("--by and --why go with --withdraw")
    if bank and payment is None and withdraw is None:
        raise UsageError("--bank goes with --payment or --withdraw")
    warnings: list[str] = []
    when: WhenNoted = {"at": parse_time(at) or "", "leap": leap, "correct": correct}
    when["warn"] = warnings.append
    if withdraw is not None:
        if by is None or why is None:
            raise UsageError("say who withdraws it, and why: --by NAME --why WORDS")
        _withdraw(context, home, (withdraw, bank, by, why), when)
        return
    if table is None and not again:
        _show(context, home, payment, bank)
        return
    with writer(context, home) as engine:
        if table is None:
            taken = engine.fees.take_waiting(out=out, **when)
        else:
            taken = engine.fees.take(table, out=out, **when)
    context.warn(warnings)
    context.say(taken, lambda: _tell_taken(taken, home, out))


def _tell_taken(taken: FeesTaken, home: Path, out: Path | None) -> None:
    if not taken["new"]:
        tell("nothing is paid twice: the file was taken before, and this is its answer")
    tell(f"payments taken: {_said(taken['taken'])}")
    if taken["known"]["count"]:
        tell(f"payments taken before: {_said(taken['known'])}")
    tell(f"payments refused: {_said(taken['refused'])}")
    for why in taken["reasons"]:
        tell(f"  {why['reason']} {why['sentence']}: {_said(why)}")
    for word, total in (("again", taken["again"]), ("waiting", taken["waiting"])):
        if total["count"]:
            tell(f"payments {word}: {_said(total)}")
    if taken["cycle"]:
        tell(f"cycle: {taken['cycle']}")
    if taken["number"]:
        tell_next("fees", home, files=[(out or home / "out") / taken["file"]])


def _withdraw(
    context: Context, home: Path, said: tuple[str, str, str, str], when: WhenNoted
) -> None:
    """Withdraw a payment. said: its id, its bank, by whom and why."""
    payment_id, bank, by, why = said
    with writer(context, home) as engine:
        done = engine.fees.withdraw(payment_id, bank=bank, by=by, why=why, **when)

    def show() -> None:
        what = "the refund is withdrawn" if done["refund"] else "withdrawn, its bill is open"
        words = f"{done['payment_id']}: {what}; {done['amount']:,} dong stay at"
        tell(f"{words} {'the agency' if done['refund'] else done['participant']}")

    context.say(done, show)


def _list(
    context: Context, home: Path, state: tuple[str, ...], cycle: str, out: Path | None
) -> None:
    """List payments by their state, or of a cycle."""
    from switch.engine import Engine

    with Engine(home, mode="r") as engine:
        found = engine.fees.listed(state=state, cycle=cycle, out=out)

    def show() -> None:
        for one in found["rows"][:ROWS_SHOWN] if out is None else ():
            bill = f"{one['agency']} {one['bill_ref']}, {one['amount']:,} dong"
            refund = "refund, " if one["kind"] == "refund" else ""
            words = f"{one['participant']} {one['payment_id']}: {refund}{one['state']}"
            tell(f"{words}, cycle {one['cycle']}; {bill}")
        tell(f"payments: {_said({'count': found['count'], 'sum': found['sum']})}")
        if out is None and found["count"] > ROWS_SHOWN:
            tell(f"{ROWS_SHOWN} of them are shown: all with --out FILE or --json")
        if found["file"]:
            tell(f"files: {found['file']}")

    context.say(found, show)


def _show(context: Context, home: Path, payment: str | None, bank: str) -> None:
    """Show what stands: one payment, or all by agency."""
    from switch.engine import Engine

    with Engine(home, mode="r") as engine:
        if payment is not None:
            one = engine.fees.payment(payment, bank)
            context.say(one, lambda: _tell_payment(one))
            return
        found = engine.fees.standing()
    context.say(found, lambda: _tell(found))


def _tell_payment(one: FeePayment) -> None:
    words = f"{one['payment_id']}: {one['state']}, cycle {one['cycle']}"
    bill = f"{one['agency']} {one['bill_ref']}, {one['amount']:,} dong"
    tell(f"{words}; {bill}; receipt {one['receipt']}")
    if one["refund_state"]:
        tell(f"  refunded: {one['refunded']:,} dong, {one['refund_state']}")


def _tell(found: FeesStanding) -> None:
    for one in found["agencies"]:
        tell(f"{one['agency']}: {one['name']}")
        parts = (
            *(one["bills"], one["paid"], one["cleared"], one["settled"], one["waiting"]),
            *(one["withdrawn"], one["refunded"]),
        )
        for word, total in zip(PARTS, parts, strict=True):
            if total["count"]:
                tell(f"  {word}: {_said(total)}")
    tell(counted(len(found["agencies"]), "agency", "agencies"))


def _said(total: Total) -> str:
    return f"{total['count']:,}, {total['sum']:,} dong"


@click.command("match-fees")
@home_argument
@click.argument("agency")
@click.argument("table", type=GIVEN_PATH)
@click.option("--at", required=True, metavar="TIME", help="The day, or a time of it.")
@click.option("--out", type=GIVEN_PATH, metavar="FILE", help="Write the rows: .csv, .parquet.")
@shared
def match_fees(
    context: Context, home: Path, agency: str, table: Path, at: str, out: Path | None
) -> None:
    """Hold an AGENCY's own list of a day (TABLE) against what was taken for it. Nothing is
    recorded."""
    from switch.engine import Engine

    with Engine(home, mode="r") as engine:
        found = engine.fees.match(agency, table, at=parse_time(at) or "", out=out)

    def show() -> None:
        tell(f"taken by the switch: {_said(found['switch'])}")
        tell(f"listed by the agency: {_said(found['agency_list'])}")
        tell(f"  matched: {_said(found['matched'])}")
        tell(f"  missing at the agency: {_said(found['missing_at_agency'])}")
        tell(f"  missing at the switch: {_said(found['missing_at_switch'])}")
        differs = found["differs"]
        tell(f"  of another amount: {differs['count']:,}, {differs['switch']:,} dong here")
        if found["file"]:
            tell(f"files: {found['file']}")

    context.say(found, show)


@click.command()
@home_argument
@click.argument("payment")
@click.option("--by", required=True, metavar="NAME", help="Who says so, for good.")
@click.option("--why", required=True, metavar="WORDS", help="The reason, for good.")
@click.option("--amount", type=int, metavar="DONG", help="Part of it [all of it].")
@bank_option
@click.option("--out", type=GIVEN_PATH, metavar="DIR", help="Folder of requests [HOME/out].")
@said_options
@wait_option
@shared
def refund(
    context: Context,
    home: Path,
    payment: str,
    by: str,
    why: str,
    amount: int | None,
    bank: str,
    out: Path | None,
    at: str | None,
    leap: bool,
    correct: str | None,
) -> None:
    """Give back a PAYMENT of a fee that has settled, through the next cycle, once."""
    warnings: list[str] = []
    with writer(context, home) as engine:
        done = engine.fees.refund(
            payment,
            by=by,
            why=why,
            amount=amount,
            bank=bank,
            at=parse_time(at) or "",
            out=out,
            warn=warnings.append,
            correct=correct,
            leap=leap,
        )
    context.warn(warnings)

    def show() -> None:
        words = f"{done['amount']:,} dong go back to {done['participant']}, cycle {done['cycle']}"
        tell(words if done["new"] else f"it was refunded before: {words}")

    context.say(done, show)


COMMANDS = (agencies, bills, fees, match_fees, refund)
