"""The slow twin of screening, by the name that tests know it by: `sim.auditor.screening`."""

from __future__ import annotations

from switch.sim.auditor.screening import (
    Answer,
    Row,
    account_that_counts,
    account_valid,
    answers,
    citizen_id,
    entitlement,
    holds_on,
    id_well_formed,
    is_account,
    limit_of,
    name_key,
    name_unusable,
    period_number,
    registers_of,
)

__all__ = [
    "Answer",
    "Row",
    "account_that_counts",
    "account_valid",
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
