"""Golden homes of people with several accounts and of people who died, beside those of `story`."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from scene import (
    BANK,
    CLOSED_BANK,
    DEBTORS,
    PARTICIPANTS,
    SMALL_BANK,
    SMALL_LIMIT,
    VALUE_DATE,
    WALLET,
    account,
    accounts_table,
    line,
    participant,
    people_table,
    person,
    person_id,
    write_file,
)


def the_several_home(told: Any) -> None:
    """People with several accounts: the first that can be paid counts, and one that waited goes to
    an account that came later."""
    from story import init, table  # Which has this one among its stories.

    init(told, "several")
    more = [account(n, priority=2, account=f"2{n}") for n in (42, 51)]
    more += [account(54, participant=CLOSED_BANK), account(55, participant=CLOSED_BANK)]
    more += [account(54, participant=SMALL_BANK, priority=2, account="X-54")]
    write_file(accounts_table(more), Path("more.parquet"), "parquet")
    told("several: register more", "register", "several", "--accounts", "more.parquet")
    rows = [line(n, amount=SMALL_LIMIT + n % 2) for n in (41, 42, 51, 54, 55)]
    first = table(Path("several.parquet"), [line(42, period=202610), *rows], "SEVERAL")
    told("several: run", "run", "several", first)
    for number in (1, 3, 4, 5):
        told(f"several: line {number}", "status", "several", "--line", f"SEVERAL:{number}")
    late = [account(55, priority=2, account="255")]
    write_file(accounts_table(late), Path("late.parquet"), "parquet")
    told("several: register late", "register", "several", "--accounts", "late.parquet")
    second = table(Path("later.parquet"), [line(1)], "LATER")
    told("several: run later", "run", "several", second)
    told("several: person", "status", "several", "--person", person_id(55))
    told("several: replay", "replay", "several", "LATER", second)


def the_renamed_home(told: Any) -> None:
    """A participant's code that changes on a day: a table of the day before, and one of the day."""
    from story import init, table

    folder = Path("renamed-directory")
    folder.mkdir()
    rows = [row | {"replaced_by": None, "replaced_from": None} for row in PARTICIPANTS]
    for row in rows:
        if row["participant"] == WALLET:
            row |= {"replaced_by": "971009", "replaced_from": VALUE_DATE}
    rows.append(participant("971009", "wallet", settled_by=BANK))
    pq.write_table(pa.Table.from_pylist(rows), folder / "participants.csv")
    pq.write_table(pa.Table.from_pylist(list(DEBTORS)), folder / "debtors.csv")
    init(told, "renamed", directory="renamed-directory")
    lines = [line(n) for n in (1, 46, 47)]
    day_before = str(VALUE_DATE - dt.timedelta(days=1))
    first = table(Path("renamed-1.parquet"), lines[:2], "BEFORE", value_date=day_before)
    told("renamed: run before", "run", "renamed", first)
    told("renamed: run", "run", "renamed", table(Path("renamed-2.parquet"), lines, "SINCE"))
    told("renamed: line", "status", "renamed", "--line", "SINCE:3")
    told("renamed: directory", "directory", "renamed")


def the_arrears_home(told: Any) -> None:
    """People who died: what they were owed for months before is paid, also what had waited."""
    from story import init, table

    init(told, "arrears")
    rows = [line(n, period=period) for n in (8, 54) for period in (202610, 202611)]
    rows.append(line(8, period=202609, creditor_agent=SMALL_BANK, creditor_account="8-8"))
    rows.append(line(8, period=202609, benefit="SASS", person_name="Lê Văn Bình"))
    first = table(Path("arrears.parquet"), rows, "ARREARS")
    told("arrears: rehearse", "rehearse", "arrears", first)
    told("arrears: run", "run", "arrears", first)
    for number in (1, 2, 5, 6):
        told(f"arrears: line {number}", "status", "arrears", "--line", f"ARREARS:{number}")
    dead = person(54, status="deceased", status_since=dt.date(2026, 11, 20))
    write_file(people_table([dead]), Path("arrears-dead.parquet"), "parquet")
    write_file(accounts_table([account(54)]), Path("arrears-accounts.parquet"), "parquet")
    words = ("--population", "arrears-dead.parquet", "--accounts", "arrears-accounts.parquet")
    told("arrears: register a death", "register", "arrears", *words, "--at", "2026-11-26")
    second = table(Path("arrears-next.parquet"), [line(1)], "NEXT", value_date="2026-11-27")
    told("arrears: run next", "run", "arrears", second)
    for number in (8, 54):
        told(f"arrears: person {number}", "status", "arrears", "--person", person_id(number))
    told("arrears: replay", "replay", "arrears", "NEXT", second)
    told("arrears: totals", "totals", "arrears", first, "--by", "period")
