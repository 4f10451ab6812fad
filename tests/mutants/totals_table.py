"""Mutants of totals by a column of the table: mistake, file, text, change, test."""

from __future__ import annotations

_TEST = "open_items/test_totals.py::test_totals__"
_TWIN = _TEST + "are_those_of_the_timelines_of_all_lines"

TOTALS = [
    ("totals of another file", "open_items/totals.py",
     "or named.digest == mine:", "or True:",
     _TEST + "refuse_another_file_and_say_which_is_meant"),
    ("totals of other rows from memory", "open_items/totals.py",
     'if digest is not None and row.digest not in', 'if None is not None and row.digest not in',
     _TEST + "know_rows_from_memory_in_any_form"),
    ("a line is known by its place", "open_items/totals.py",
     'line = columns["line_no"].astype(np.int64) - 1',
     'line = np.arange(len(columns["line_no"]))',
     _TEST + "know_a_line_by_its_number_and_not_by_its_place"),
    ("lines without a key count to another", "open_items/totals.py",
     "index = np.where(column.index < 0, len(found), column.index)",
     "index = np.where(column.index < 0, 0, column.index)",
     _TEST + "take_any_other_column_of_texts"),
    ("halves of amounts lose their sign", "open_items/totals.py",
     "high, low = amount >> 32, amount & _LOW", "high, low = abs(amount) >> 32, amount & _LOW",
     _TEST + "of_amounts_beyond_64_bits"),
    ("totals of a state are not held against its sums", "open_items/totals.py",
     "        _require_same(row, state, mine, now[state])", "        pass",
     _TEST + "add_up_in_each_state_alone"),
    ("the participant of the first answer counts", "present.py",
     "for later in here.rows[seq:]:", "for later in ():",
     _TWIN),
    ("a recalled line is refused by its receiver", "present.py",
     'left = "recalled" if folder.kind == RECALL else "refused"', 'left = "refused"',
     _TWIN),
    ("a line that waited is where it first was", "present.py",
     'run_of[np.asarray(moved["line_no"]) - 1] = np.where(cleared, row.seq, -1)', "pass",
     _TWIN),
    ("ids of people are keys", "open_items/totals.py",
     "if is_own and any(map(_is_person, found)):", "if False:",
     _TEST + "take_any_other_column_of_texts"),
]  # fmt: skip
