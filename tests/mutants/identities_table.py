"""Mutants of answers of the population database: the mistake, the file, the text, its change, and
the test."""

from __future__ import annotations

ASKS = "registry/test_identities.py::test_identify__"
TAKES = "registry/test_identities.py::test_identified__"
PROOF = "registry/test_identities.py::test_verify__finds_"
WRONG = TAKES + "what_is_no_answer_is_refused_and_changes_nothing"
SUMS = PROOF + "an_answer_that_does_not_add_up"

IDENTITIES = [
    ("who is late is asked for no more", "registry/identities.py",
     "return self.status in (UNKNOWN, LATE)", "return self.status == UNKNOWN",
     ASKS + "asks_for_whom_the_register_does_not_hold_an_answer_of"),
    ("lines that wait ask for nobody", "registry/identities.py",
     "if (queue := queue_of(home)) is not None:", "if False and (queue := queue_of(home)):",
     TAKES + "who_is_late_waits_and_is_asked_for_again"),
    ("any request is one of the home", "registry/identities.py",
     "if not is_one or _id_of(secret, first[1], first[2], list(rows)) != first[0]:", "if False:",
     TAKES + "a_request_that_is_none_of_the_home_is_refused"),
    ("what the register was told since is undone", "registry/identities.py",
     "if _mark(secret, int(asked.ids[place]), was) != asked.held[place]:", "if False:",
     TAKES + "what_the_register_was_told_since_stands"),
    ("an answer to any request is taken", "registry/identities.py",
     "if number != asked.id:", "if False:", WRONG),
    ("a person is answered for twice", "registry/identities.py",
     "if place in found:", "if False:", WRONG),
    ("somebody dies tomorrow", "registry/identities.py",
     " or one.died > today:", ":", WRONG),
    ("the name of who matches is another", "registry/identities.py",
     "if one.name is not None and (one.word not in NAMED or", "if one.name is not None and (",
     WRONG),
    ("a request is answered in other words", "registry/identities.py",
     'if before[1]["answer"] != digest:', "if False:",
     TAKES + "same_answer_twice_changes_nothing_and_is_told_so"),
    ("silence makes the dead late", "registry/identities.py",
     'return was.status in (UNKNOWN, "alive")', "return was.status != LATE",
     TAKES + "late_makes_nobody_payable"),
    ("the name of the population database is not kept", "registry/identities.py",
     "names = [one.name or name for", "names = [name or one.name for",
     TAKES + "each_answer_acts_on_lines_as_its_row_says"),
    ("a day of an earlier record counts", "registry/identities.py",
     "since.get(row, DAY_MIN) if word & int(HAS_SINCE) else DAY_MIN", "since.get(row, DAY_MIN)",
     TAKES + "a_day_of_an_earlier_record_is_none"),
    ("a request may be answered twice", "proof/identities.py",
     'if said["request"] in before else ""', 'if False else ""',
     PROOF + "a_request_that_was_answered_twice"),
    ("any count of answers is proven", "proof/identities.py",
     'sum(answers.values()) != said["asked"]', "not answers", SUMS),
    ("anybody may leave by an answer", "proof/identities.py",
     'if detail.get("unknown", 0) != changed.get("NOT_FOUND", 0):', "if False:", SUMS),
    ("a delta may have any people", "proof/identities.py",
     'return "" if found == wanted else', 'return "" if found else',
     PROOF + "a_delta_with_other_people_than_were_answered_for"),
]  # fmt: skip
