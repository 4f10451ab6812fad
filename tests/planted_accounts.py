"""Bugs in the choice among several accounts, planted in the engine for its auditor to find."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pytest

from switch.clearing import kernel, next_accounts
from switch.errors import VerificationFailed
from switch.reason import Reason
from switch.registry.directory import Directory


def _the_first_account_alone_is_asked(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(kernel.NextAccounts, "choose", lambda *_: {})


def _the_second_account_is_taken_whatever_its_limit(patch: pytest.MonkeyPatch) -> None:
    judge = next_accounts.Receivers.judge

    def careless(receivers: Any, accounts: Any, amount: Any) -> Any:
        return judge(receivers, accounts, np.ones_like(amount))

    patch.setattr(next_accounts.Receivers, "judge", careless)


def _accounts_that_have_ended_are_taken(patch: pytest.MonkeyPatch) -> None:
    judge = next_accounts.Receivers.judge

    def careless(receivers: Any, accounts: Any, amount: Any) -> Any:
        found = judge(receivers, accounts, amount)
        is_over = (accounts["valid_to"] < receivers.day) & (found == Reason.ACCOUNT_MISSING)
        return np.where(is_over, np.uint8(Reason.NONE), found)

    patch.setattr(next_accounts.Receivers, "judge", careless)


def _what_the_table_names_is_replaced(patch: pytest.MonkeyPatch) -> None:
    choose = kernel.NextAccounts.choose

    def careless(chooser: Any, lines: Any, found: Any) -> Any:
        known = lines.agent
        try:
            lines.agent = None
            return choose(chooser, lines, found)
        except VerificationFailed:
            return {}
        finally:
            lines.agent = known

    patch.setattr(kernel.NextAccounts, "choose", careless)


def _a_code_is_replaced_a_day_early(patch: pytest.MonkeyPatch) -> None:
    index_on = Directory.index_on

    def early(directory: Directory, day: str) -> dict[str, int]:
        tomorrow = dt.date.fromisoformat(day) + dt.timedelta(days=1)
        return index_on(directory, str(tomorrow))

    patch.setattr(Directory, "index_on", early)


def _registers_know_no_new_codes(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Directory, "index_on", lambda directory, day: directory.index())


PLANTED = [
    _the_first_account_alone_is_asked,
    _the_second_account_is_taken_whatever_its_limit,
    _accounts_that_have_ended_are_taken,
    _what_the_table_names_is_replaced,
    _a_code_is_replaced_a_day_early,
    _registers_know_no_new_codes,
]
