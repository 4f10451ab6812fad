"""Bugs in limits of a month, planted in the engine for its auditor to find."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from switch.clearing import sent_before
from switch.clearing.account_sums import AccountSums
from switch.clearing.months import Months


def _nothing_was_sent_before(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sent_before.SentBefore, "of", lambda *_: iter(()))


def _what_came_back_counts_as_sent(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sent_before.SentBefore, "_gone", lambda _: {})


def _an_account_takes_its_limit_once_a_chunk(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(AccountSums, "stop", lambda sums, slots: sums.sums.__setitem__(slots, 0))


def _lines_that_are_screened_again_are_judged_anew(patch: pytest.MonkeyPatch) -> None:
    hold = Months.hold

    def anew(months: Any, *columns: Any, again: bool) -> None:
        hold(months, *columns, again=False)

    patch.setattr(Months, "hold", anew)


def _a_full_account_holds_the_line_though_another_takes_it(patch: pytest.MonkeyPatch) -> None:
    settle = Months._settle

    def stubborn(months: Any, found: Any, at: Any, entries: Any, over: Any, passed: Any) -> Any:
        entries.verdict[np.isin(entries.line, np.flatnonzero(over[1]))] = 23
        return settle(months, found, at, entries, over, passed)

    patch.setattr(Months, "_settle", stubborn)


PLANTED = [
    _nothing_was_sent_before,
    _what_came_back_counts_as_sent,
    _an_account_takes_its_limit_once_a_chunk,
    _lines_that_are_screened_again_are_judged_anew,
    _a_full_account_holds_the_line_though_another_takes_it,
]
