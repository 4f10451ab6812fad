"""The settings of a life, as the engine takes them and as the auditor does."""

from __future__ import annotations

import datetime as dt

import msgspec

from switch.registry.settings import Settings
from switch.sim.auditor.expected import Calendar, Ruled
from switch.sim.lives.operations import Rules
from switch.sim.world.institutions import package_rows


def settings_of(rules: Rules) -> Settings:
    """Settings of the engine."""
    return Settings(
        clearing_limit=rules.clearing_limit,
        cutoffs=rules.cutoffs or msgspec.UNSET,
        holidays=rules.holidays or msgspec.UNSET,
        holidays_only=rules.holidays_only or msgspec.UNSET,
        working_days=rules.working_days or msgspec.UNSET,
        insufficient_funds=rules.rule or msgspec.UNSET,
        enforce_budgets=rules.budgets or msgspec.UNSET,
        accounts_shared_max=rules.shared_max or msgspec.UNSET,
        held_days=rules.held_days or msgspec.UNSET,
        held_days_of=dict(rules.held_days_of) or msgspec.UNSET,
        cash_days=rules.cash_days or msgspec.UNSET,
    )


def ruled(rules: Rules) -> Ruled:
    """Settings of the auditor, which is told the packaged days off and days worked."""
    off, worked = set(rules.holidays), set(rules.working_days)
    if not rules.holidays_only:
        worked |= _packaged("working_days_vn.csv") - off
        off |= _packaged("holidays_vn.csv")
    calendar = Calendar(frozenset(off), frozenset(worked), rules.cutoffs)
    return Ruled(
        calendar if rules.cutoffs else None,
        rules.rule == "recast",
        rules.budgets,
        rules.shared_max,
        rules.clearing_limit,
        rules.held_days,
        rules.held_days_of,
        rules.cash_days,
    )


def _packaged(name: str) -> set[dt.date]:
    return {dt.date.fromisoformat(row["date"]) for row in package_rows(name)}
