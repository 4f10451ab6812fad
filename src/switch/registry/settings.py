"""Settings: what a home's owner decides on cut-offs, days off, missing funds, budgets, limits and
deadlines.

What a cut-off may be is said here; which cycle takes a line by it, in `settlement/calendar`.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping

import msgspec

from switch.errors import UsageError
from switch.schema import AMOUNT_MAX, CLEARING_LIMIT, YEAR_MAX, YEAR_MIN, is_in_years

RECAST = "recast"
FUNDS_RULES = ("wait", "share", RECAST)
HELD_DAYS_MAX = 36_500
_CUTOFF = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")


class Settings(msgspec.Struct, forbid_unknown_fields=True, repr_omit_defaults=True):
    """Decisions of a home's owner, kept in the catalog with an audit record. A run may be given
    others, which its manifest records."""

    clearing_limit: int = CLEARING_LIMIT
    """Most dong that one line may be of."""
    cutoffs: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    """Local times HH:MM at which the cycles of a business day close. Without them there is no
    calendar: every batch settles in a cycle of its own, at once."""
    holidays: tuple[datetime.date, ...] | msgspec.UnsetType = msgspec.UNSET
    """Days off beside the packaged ones."""
    holidays_only: bool | msgspec.UnsetType = msgspec.UNSET
    """True where `holidays` and `working_days` are all there are; unset: they add."""
    working_days: tuple[datetime.date, ...] | msgspec.UnsetType = msgspec.UNSET
    """Days that count though they are weekends, or packaged as off: Saturdays that are worked."""
    insufficient_funds: str | msgspec.UnsetType = msgspec.UNSET
    """Rule for a cycle whose payer lacks funds, one of FUNDS_RULES; unset: wait."""
    enforce_budgets: bool | msgspec.UnsetType = msgspec.UNSET
    """True where a table beyond the budget of one of its programmes is refused; unset: it is
    not."""
    accounts_shared_max: int | msgspec.UnsetType = msgspec.UNSET
    """Number of persons for whom an account may receive in a batch; lines of more wait. Unset:
    any."""
    held_days: int | msgspec.UnsetType = msgspec.UNSET
    """Days for which a line may wait; after the last of them it can expire. Unset: for ever."""
    held_days_of: dict[str, int] | msgspec.UnsetType = msgspec.UNSET
    """The same for lines of single programmes, by benefit, in place of that; 0: for ever."""
    cash_days: int | msgspec.UnsetType = msgspec.UNSET
    """Days, after that of its cycle, for which a line may be paid over a counter and not proven;
    after the last of them it is asked back. Unset: for ever."""

    @staticmethod
    def of(given: Settings | Mapping[str, object] | None, now: Settings | None = None) -> Settings:
        """Settings as they are given, checked; a mapping by name changes those of now, and leaves
        the others. Raises UsageError for a name or a value that is none."""
        if isinstance(given, Settings):
            return given.check()
        names = Settings.__struct_fields__
        for name in given or ():
            if name not in names:
                known = ", ".join(names)
                raise UsageError(f"settings: unknown {str(name)[:80]!r}; known are {known}")
        return msgspec.structs.replace(now or Settings(), **dict(given or {})).check()

    @property
    def has_deadlines(self) -> bool:
        """Some lines may not wait for ever, or not be without a proof."""
        return bool(self.held_days or self.cash_days or any((self.held_days_of or {}).values()))

    def check(self) -> Settings:
        """Settings as these, with values of their types. Raises UsageError where they are none."""
        try:
            return msgspec.convert(msgspec.to_builtins(self), Settings)._check()._said_in_full()
        except (msgspec.ValidationError, TypeError, OverflowError, RecursionError) as error:
            raise UsageError(f"settings: {error}") from error

    def _check(self) -> Settings:
        # What is given as nothing is taken away, and kept as if it had never been given.
        self.cutoffs = self.cutoffs or msgspec.UNSET
        self.accounts_shared_max = self.accounts_shared_max or msgspec.UNSET
        self.held_days = self.held_days or msgspec.UNSET
        self.held_days_of = dict(sorted((self.held_days_of or {}).items())) or msgspec.UNSET
        self.cash_days = self.cash_days or msgspec.UNSET
        days = {"held_days": self.held_days or 0, "cash_days": self.cash_days or 0}
        days |= {f"held_days_of {name}": most for name, most in (self.held_days_of or {}).items()}
        for where, most_days in days.items():
            if not 0 <= most_days <= HELD_DAYS_MAX:
                raise UsageError(f"{where} is not between 0 and {HELD_DAYS_MAX}; 0 is for ever")
        if self.cutoffs is not msgspec.UNSET:
            times = list(self.cutoffs)
            if times != sorted(set(times)) or not all(map(_CUTOFF.fullmatch, times)):
                raise UsageError("cutoffs are not times HH:MM in ascending order")
        both = set(self.holidays or ()) & set(self.working_days or ())
        if both:
            raise UsageError(f"{min(both)} stands in both holidays and working_days")
        if self.insufficient_funds not in (msgspec.UNSET, *FUNDS_RULES):
            raise UsageError(f"insufficient_funds is none of {', '.join(FUNDS_RULES)}")
        if self.holidays is not msgspec.UNSET and not all(map(is_in_years, self.holidays)):
            raise UsageError(f"holidays are not of {YEAR_MIN} to {YEAR_MAX}")
        most = self.accounts_shared_max
        if most is not msgspec.UNSET and not 0 < most < 2**31:
            raise UsageError("accounts_shared_max is not between 1 and 2147483647; 0 is any")
        if not 0 < self.clearing_limit <= AMOUNT_MAX:
            raise UsageError(f"clearing_limit is not between 1 and {AMOUNT_MAX}")
        return self

    def _said_in_full(self) -> Settings:
        """The same; whether days off add is said, for `stored` reads silence otherwise."""
        if self.holidays is msgspec.UNSET or self.holidays_only is not msgspec.UNSET:
            return self
        return msgspec.structs.replace(self, holidays_only=False)

    @staticmethod
    def stored(kept: dict[str, object]) -> Settings:
        """Settings as a commit kept them. Days off without a word of whether they add were kept
        before they could: they are all there are."""
        if "holidays" in kept:
            kept = {"holidays_only": True, **kept}
        return msgspec.convert(kept, Settings)
