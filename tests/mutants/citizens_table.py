"""Mutants of self-service: the mistake, the file, the text, its change, and the test."""

from __future__ import annotations

CITIZEN = "registry/test_citizens.py::test_citizen__"
USED = CITIZEN + "a_used_code_and_one_before_it_are_refused"
HOLDER = CITIZEN + "only_the_holder_registers_an_account_and_the_code_is_used"
SIXTH = CITIZEN + "a_sixth_try_is_locked_out_for_300_seconds"
WINDOW = CITIZEN + "a_code_lives_for_its_half_minute_and_the_next"
DEVICE = CITIZEN + "a_device_is_of_one_person_and_a_new_one_takes_its_place"
FIRST = CITIZEN + "holder_registers_an_account_and_runs_use_it"
FORGED = "proof/test_self_service.py::test_verify__finds_a_record_that_breaks_a_rule"

CITIZENS = [
    ("a code of a minute ago is taken", "registry/passwords.py",
     "STEPS_LATE = 1", "STEPS_LATE = 2", WINDOW),
    ("a code of the half minute before is not taken", "registry/passwords.py",
     "STEPS_LATE = 1", "STEPS_LATE = 0", WINDOW),
    ("a secret that a group may read", "registry/passwords.py", "0o077", "0o007",
     CITIZEN + "secret_that_others_may_read_is_refused"),
    ("each binding has the seed of the one before", "registry/claims.py",
     "self.person_id, self.text, number", "self.person_id, self.text",
     "registry/test_citizens.py::test_bind__the_same_again_records_nothing_and_writes_the_"
     "address_again"),
    ("six wrong codes", "registry/self_service.py", "= 5, 300", "= 6, 300", SIXTH),
    ("a lock that ends a second early", "registry/self_service.py", "= 5, 300", "= 5, 299", SIXTH),
    ("a lock that ends late", "registry/self_service.py",
     "micros_of(at) < self.locked_until", "micros_of(at) <= self.locked_until", SIXTH),
    ("a refused try is not recorded", "registry/claims.py",
     "        self.home.commit(at=self.at, kind=CITIZEN, detail=said, changes=[])\n", "", SIXTH),
    ("wrong codes are counted over right ones", "registry/self_service.py",
     "self.step, self.wrong = said.step, 0", "self.step = said.step",
     CITIZEN + "a_right_code_begins_the_count_anew"),
    ("a new device lifts the lock", "registry/self_service.py",
     "self.by, self.bound_at, self.step = said.by, at, -1",
     "self.by, self.bound_at, self.step, self.locked_until = said.by, at, -1, 0",
     CITIZEN + "a_new_device_lifts_no_lock"),
    ("an older code than the last is taken", "registry/claims.py",
     "if step <= person.step:", "if step == person.step:", USED),
    ("the code of a claim is not recorded", "registry/claims.py",
     "why={CITIZEN: msgspec.to_builtins(recorded)},", "why={},", USED),
    ("any device will do", "registry/claims.py",
     "if person.device != visit.device:", "if False:",
     CITIZEN + "another_device_is_refused_even_with_the_right_code"),
    ("a device of somebody else is bound", "registry/claims.py",
     "if visit.known.holders.get(visit.device, visit.row) != visit.row:", "if False:", DEVICE),
    ("a device stays with who had it", "registry/self_service.py",
     "            self.holders.pop(person.device, None)\n", "", DEVICE),
    ("a code that was right is not used by a refusal", "registry/claims.py",
     'visit.refuse("HOLDER_OTHER", step)', 'visit.refuse("HOLDER_OTHER")', HOLDER),
    ("one's own account is another's", "registry/holdings.py",
     'entries["row"] == who.row', "False", HOLDER),
    ("accounts of texts of one length are one", "registry/holdings.py",
     "same = register.heap[starts + np.uint64(place)] == byte",
     "same = (register.heap[starts + np.uint64(place)] == byte) | (place > 0)", HOLDER),
    ("a change alters a certified table", "registry/claims.py",
     "max([today, *map(_next, dates)])", "today",
     CITIZEN + "a_change_does_not_alter_a_certified_table"),
    ("the account before ends a day late", "registry/claims.py",
     "last=new.first - 1", "last=new.first", FIRST),
    ("a new account is beside the one before", "registry/claims.py",
     "min(last + 1, PRIORITY_MAX)", "max(last, 1)",
     CITIZEN + "another_account_stands_behind_those_before"),
    ("the time of a person runs back", "registry/claims.py",
     "if self.person.last_at and is_before", "if False and is_before",
     CITIZEN + "time_of_a_person_does_not_run_back"),
    ("a code of any time is proven", "proof/self_service.py",
     "if step not in (now, now - 1):", "if False:", FORGED),
    ("a used code is proven", "proof/self_service.py",
     'if is_used != (rule == "CODE_USED"):', "if False:", FORGED),
    ("any lock is proven", "proof/self_service.py",
     'if locked or rule == "LOCKED":', "if False:",
     "proof/test_self_service.py::test_verify__finds_a_lock_that_ended_too_early"),
    ("an account in the register of any kind is proven", "proof/self_service.py",
     "if key in first and first[key] !=", "if key not in kept and first[key] !=", FORGED),
    ("what one said before is not looked at", "proof/self_service.py",
     "if mine and is_before(at, mine[-1][0]):", "if False:",
     "proof/test_self_service.py::test_verify__finds_a_record_before_its_time"),
]  # fmt: skip
