"""The slow twin of screening, by the name that tests know it by: it lives in `switch.sim.judge`."""

from __future__ import annotations

from switch.sim.auditor.screening import (
    Answer,
    Row,
    account_that_counts,
    account_valid,
    citizen_id,
    entitlement,
    holds_on,
    id_well_formed,
    is_account,
    limit_of,
    name_key,
    name_unusable,
    period_number,
    screen,
)

__all__ = [
    "Answer",
    "Row",
    "account_that_counts",
    "account_valid",
    "citizen_id",
    "entitlement",
    "holds_on",
    "id_well_formed",
    "is_account",
    "limit_of",
    "name_key",
    "name_unusable",
    "period_number",
    "screen",
]
