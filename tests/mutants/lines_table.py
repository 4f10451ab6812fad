"""Mutants of single lines and of tables that come again: mistake, file, text, change, test."""

from __future__ import annotations

CANCEL = "settlement/test_cancel.py::test_cancel__"
CANCEL_PROOF = "settlement/test_cancel.py::test_verify__finds_a_cancellation_that_is_wrong"

AGAIN = "clearing/test_again.py::test_run__"

LINES = [
    ("other content, an old id", "clearing/intake.py", "if digest != batch.digest:", "if False:",
     AGAIN + "same_id_with_other_content_is_refused"),
    ("rows from memory known by a file alone", "clearing/payday.py",
     "known.digest.startswith(OF_A_FILE)", "reader.sha256",
     "files/test_frames.py::test_run__a_file_of_rows_that_came_from_memory_is_known_again"),
    ("a cancelled line stays in the queue", "settlement/cancel.py",
     "table.filter(pc.invert(_among(table, chosen)))", "table",
     CANCEL + "no_later_run_pays_it_and_the_entitlement_is_free"),
    ("a line that does not wait is cancelled with others", "settlement/cancel.py",
     "        if line not in there:", "        if not there:",
     CANCEL + "only_what_waits"),
    ("the same cancellation twice", "settlement/cancel.py",
     "if stored := _stored(home, chosen, by, why):", "if stored := None:",
     CANCEL + "same_again_records_nothing"),
    ("a cancelled line keeps its budget", "settlement/budgets.py",
     "    for key, amount in summed(cancelled_lines(home)).items():",
     "    for key, amount in ():",
     CANCEL + "releases_its_part_of_the_budget"),
    ("the queue before a cancellation is read", "home/history.py",
     "folders = [one.folder for one in queues(home) if one.after == last]",
     "folders = [one.folder for one in recasts(home) if one.after == last]",
     CANCEL + "a_line_waits_no_more_and_is_refused_for_one_reason"),
    ("a cancelled line is shown as held", "present.py",
     "for sums in (self.cancelled, self.refused):", "for sums in (self.cancelled,):",
     CANCEL + "a_line_waits_no_more_and_is_refused_for_one_reason"),
    ("any queue after a cancellation is proven", "proof/cancellations.py",
     "queue.filter(stays).equals(left)", "len(left) <= len(queue)",
     CANCEL_PROOF),
]  # fmt: skip
