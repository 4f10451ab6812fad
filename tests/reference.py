"""The slow twin of screening, by the name that tests know it by: `sim.auditor.screening`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable

from switch.schema import CLEARING_LIMIT
from switch.sim.auditor.screening import (
    Answer,
    Registers,
    Row,
    account_valid,
    accounts_in_order,
    answers,
    by_person,
    citizen_id,
    entitlement,
    holds_on,
    id_well_formed,
    is_account,
    limit_of,
    name_key,
    name_unusable,
    period_number,
)

__all__ = [
    "Answer",
    "Row",
    "account_valid",
    "accounts_in_order",
    "answers",
    "citizen_id",
    "entitlement",
    "holds_on",
    "id_well_formed",
    "is_account",
    "limit_of",
    "name_key",
    "name_unusable",
    "period_number",
    "registers_of",
]


def registers_of(
    population: Iterable[Row],
    accounts: Iterable[Row],
    participants: Iterable[Row],
    debtors: Iterable[Row],
    benefits: Collection[str],
    value_date: dt.date,
    clearing_limit: int = CLEARING_LIMIT,
) -> Registers:
    """Registers from whole tables."""
    return Registers(
        people={citizen_id(person["person_id"]): person for person in population},
        accounts=by_person(accounts),
        participants={p["participant"]: p for p in participants},
        debtors={d["debtor_account"] for d in debtors},
        benefits=benefits,
        value_date=value_date,
        clearing_limit=clearing_limit,
    )
