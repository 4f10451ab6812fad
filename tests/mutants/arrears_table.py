"""Mutants of arrears: the mistake, the file, the text, its change, and the test."""

from __future__ import annotations

_FILE = "clearing/arrears.py"
_TEST = "clearing/test_arrears.py::test_arrears__"
_MONTHS = _TEST + "months_before_the_death_are_paid"
_BEHIND = _TEST + "are_judged_by_all_rows_behind"
_RULES = _TEST + "batches_of_the_rules_before_are_replayed_by_them"

ARREARS = [
    ("the month of a death is owed", _FILE,
     "lines.month[at] < self._died(", "lines.month[at] <= self._died(", _MONTHS),
    ("months are counted from another year", _FILE,
     "_MONTHS_TO_1970 = (1970 - YEAR_MIN) * 12", "_MONTHS_TO_1970 = (1970 - YEAR_MIN) * 12 - 1",
     _MONTHS),
    ("who died on no known day is taken for the next one", _FILE,
     "month[self._rows[place] != row] = -1", "pass",
     _TEST + "nobody_is_judged_twice_where_nothing_is_owed"),
    ("the last of those with a day is not found", _FILE,
     "len(self._rows) - 1)\n", "max(len(self._rows) - 2, 0))\n", _BEHIND),
    ("a day that counts no more owes something", _FILE,
     "at = at[dated]", "pass", _TEST + "a_day_that_no_longer_counts_owes_nothing"),
    ("an account of the table is that of another line", _FILE,
     "again.account[named] = _IN_TABLE | at[named].astype(np.uint64)", "pass", _BEHIND),
    ("accounts of the register are taken for those of the table", _FILE,
     "named = again.account >= _IN_TABLE", "named = again.account >= np.uint64(0)", _BEHIND),
    ("accounts that the table names are passed over", _FILE,
     "None if lines.agent is None else lines.agent[at],", "None,", _BEHIND),
    ("the dead are judged as the dead again", _FILE,
     'since["day"] = days, _NEVER', 'since["day"] = days, 0', _MONTHS),
    ("a batch does not say that it paid arrears", _FILE,
     "self.has_found |= bool(len(at))", "pass", _RULES),
    ("old batches pay arrears", "clearing/kernel.py",
     "if self._rule_set in PAY_ARREARS:\n", "if True:\n", _RULES),
    ("batches of a later account alone are named by arrears", "clearing/kernel.py",
     "return DEATH_STOPS_ALL if self._next.has_passed else FIRST_ACCOUNT",
     "return self._rule_set if self._next.has_passed else FIRST_ACCOUNT",
     "clearing/test_next_accounts.py::test_next__the_first_account_that_can_be_paid_counts"),
    ("arrears hide which account was passed over", "clearing/kernel.py",
     "ARREARS if words is None else f\"{ARREARS}; {words}\"", "ARREARS", _BEHIND),
    ("a timeline does not say that it is arrears", "reason.py",
     "SAY_MORE = (*PAY_ARREARS, DEATH_STOPS_ALL)", "SAY_MORE = (DEATH_STOPS_ALL,)",
     _TEST + "timelines_say_it"),
]  # fmt: skip
