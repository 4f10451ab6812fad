"""Mutants beside the lines: the mistake, the file, the text, its change, and the test."""

from __future__ import annotations

_FINDING = "finding.py"
_PARTICIPANTS = "settlement/participants.py"
_CHAINS = "proof/chains.py"
_TEST = "watch/test_oversight.py::"
_FIND = _TEST + "test_find__"
_TWO_IDS = _FIND + "a_person_of_two_ids_by_a_piece_of_either"
_REFUSES = _TEST + "test_participant__refuses"
_FUNDED = _TEST + "test_participant__is_capped_and_funded"
_FRAGMENT = _TEST + "test_fragment__is_found_wherever_it_stands"
_MORE = _TEST + "test_verify__finds_more_than_a_word_allows"
_WORD = _TEST + "test_verify__finds_a_word_that_is_none"
_POSITIONS = _TEST + "test_positions__"
_RECORDS = _TEST + "test_records__are_the_audit_chain_the_newest_first"
_CUT_OFFS = _TEST + "test_cut_offs__have_every_day_and_what_was_opened"

OVERSIGHT = [
    (
        "what a participant pays is what it receives",
        "open_items/positions.py",
        '"net": credit - debit,',
        '"net": debit - credit,',
        _POSITIONS + "sum_to_zero_and_are_those_of_the_batch",
    ),
    (
        "an open cycle counts as settled",
        "open_items/positions.py",
        "    states = {row.cycle: row.state for row in home.catalog.cycles()}\n",
        '    states = {row.cycle: "SETTLED" for row in home.catalog.cycles()}\n',
        _POSITIONS + "of_an_open_cycle_have_room",
    ),
    (
        "records before the first day are told",
        "open_items/records.py",
        'day_of(row["at"]) >= day_of(since)',
        'day_of(row["at"]) <= day_of(since)',
        _RECORDS,
    ),
    (
        "on whose word a record stands is not told",
        "open_items/records.py",
        'for name in ("said", "table") if',
        'for name in ("table",) if',
        _RECORDS,
    ),
    (
        "a day off is left out of the calendar",
        "open_items/cut_offs.py",
        "        if not slots:\n",
        "        if False:\n",
        _CUT_OFFS,
    ),
    (
        "a cycle that was opened is yet to come",
        "open_items/cut_offs.py",
        "row.state if row else None",
        "None if row else None",
        _CUT_OFFS,
    ),
    (
        "digits in the middle of an id are not found",
        _FINDING,
        "self._left[int(first) :: 10**split] |= 1 << split",
        "self._left[int(first) :: 10**split] |= 1 << 7",
        _FRAGMENT,
    ),
    (
        "digits of one half alone are not found",
        _FINDING,
        "range(HALF_DIGITS - len(digits) + 1)",
        "range(HALF_DIGITS - len(digits))",
        _FRAGMENT,
    ),
    (
        "more of an id is shown than was asked for",
        _FINDING,
        'return "•" * at + digits + rest',
        "return text[:at] + digits + rest",
        _TEST + "test_hidden__shows_the_digits_that_were_asked_for",
    ),
    (
        "lines by an id of before are not found",
        _FINDING,
        "[int(rows[place]), *olds[owners == place].tolist()]",
        "[int(rows[place])]",
        _TWO_IDS,
    ),
    (
        "a person of two ids is two",
        _FINDING,
        "now[is_before] = to[by_old][before[is_before]]",
        "pass",
        _TWO_IDS,
    ),
    (
        "an answer that was cut short says so not",
        _FINDING,
        "                more = True\n",
        "                more = False\n",
        _FIND + "looks_at_so_many_people",
    ),
    (
        "a transfer of another day is the line of today",
        _FINDING,
        'if run.value_date.replace("-", "") == transfer["day"]',
        "if transfer",
        _FIND + "a_transfer_of_another_day_or_beyond_the_last_is_none",
    ),
    (
        "a cap of any size is taken",
        _PARTICIPANTS,
        "not NO_CAP <= cap < MONEY_BOUND",
        "not NO_CAP <= cap",
        _REFUSES,
    ),
    (
        "a participant is changed for no reason",
        _PARTICIPANTS,
        "        if not text:\n",
        "        if False:\n",
        _REFUSES,
    ),
    (
        "what is so already is recorded again",
        _PARTICIPANTS,
        "one.participant not in here.bound or _held_by(home, directory, one) != balance",
        "True",
        _FUNDED,
    ),
    (
        "who settles by another's account is funded",
        _PARTICIPANTS,
        "    if one.settled_by != one.participant:\n        raise",
        "    if False:\n        raise",
        _REFUSES,
    ),
    (
        "on the word of one anything is changed",
        _CHAINS,
        "        if not fields <= _SAID_CHANGES:\n",
        "        if False:\n",
        _MORE,
    ),
    (
        "a word of another participant is proven",
        _CHAINS,
        'if list(changed) == [said.get("participant")] else',
        "if changed else",
        _WORD,
    ),
    (
        "a record without a reason is proven",
        _CHAINS,
        "not 0 < len(text) <= most",
        "not len(text) <= most",
        _WORD,
    ),
]
"""(mistake, file, text, its change, test) of each."""
