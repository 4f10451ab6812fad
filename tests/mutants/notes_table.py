"""Mutants of notes about breaks: the mistake, the file, the text, its change, and the test."""

from __future__ import annotations

NOTES = [
    ("an acceptance never ends", "open_items/breaks.py",
     "(s.accepted == mark for s, mark", "(s.accepted is not None for s, mark",
     "reconcile/test_break_notes.py::test_accepted__ends_where_the_break_is_another"),
    ("an accepted break is counted", "open_items/breaks.py",
     "if not noted or noted.get(", "if True or noted.get(",
     "reconcile/test_break_notes.py::test_accepted__is_no_open_critical_break_of_a_day"),
    ("a break is accepted without a word", "reconcile/break_notes.py",
     "if note.accepted is not None and not note.note:", "if False:",
     "reconcile/test_break_notes.py::test_note__without_its_words_is_refused"),
    ("the same note twice", "reconcile/break_notes.py",
     "if stored := said_before(marks, note, before):", 'if stored := "":',
     "reconcile/test_break_notes.py::test_note__same_again_records_nothing"),
    ("a note of any break is proven", "proof/notes.py",
     "if (name, *mark) not in open_then]", "if not open_then]",
     "reconcile/test_break_notes.py::test_verify__finds_a_note_of_what_was_not_open"),
    ("a note is of breaks that come later", "proof/notes.py",
     "and seqs[read] < record.seq:", ":",
     "reconcile/test_break_notes.py::test_verify__finds_a_note_of_what_was_not_open_yet"),
]  # fmt: skip
