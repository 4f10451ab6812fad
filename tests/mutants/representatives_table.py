"""Mutants of representatives: the mistake, the file, the text, its change, and the test."""

from __future__ import annotations

_RUN = "clearing/test_representatives.py::test_representative__"
_LASTS = _RUN + "receives_as_long_as_the_authority_lasts"
_FILE = "registry/representatives.py"
_CLAIM = "registry/test_representatives.py::test_claim__"
_PROOF = "proof/test_representatives_proof.py::test_verify__finds_representatives_that_are_wrong"

REPRESENTATIVES = [
    (
        "nobody asks whether an authority lasts",
        "clearing/next_accounts.py",
        "verdict[why != Reason.NONE] = why[why != Reason.NONE]",
        "pass",
        _LASTS,
    ),
    (
        "an authority ends a day early",
        _FILE,
        'accounts["valid_to"][acting] < self._day',
        'accounts["valid_to"][acting] <= self._day',
        _LASTS,
    ),
    (
        "one that has not begun is told as one that has ended",
        _FILE,
        'why[acting[accounts["valid_from"][acting] > self._day]] = Reason.NONE',
        "pass",
        _LASTS,
    ),
    (
        "the deceased receive for others",
        _FILE,
        "(status == _DECEASED)]] = AUTHORITY_ENDED",
        "(status == _DECEASED)]] = Reason.NONE",
        _LASTS,
    ),
    (
        "who dies tomorrow is deceased",
        _FILE,
        "status[~self._in_force(found)] = _ALIVE",
        "pass",
        _LASTS,
    ),
    ("who died today lives", _FILE, "<= self._day\n", "< self._day\n", _LASTS),
    (
        "strangers receive for others",
        _FILE,
        "why = np.full(len(now), REPRESENTATIVE_UNSURE, np.uint8)",
        "why = np.zeros(len(now), np.uint8)",
        _LASTS,
    ),
    (
        "people whose account screening took are not looked at",
        "clearing/next_accounts.py",
        "asked[at] = self._represented[found.row[at]]",
        "pass",
        _LASTS,
    ),
    (
        "a line that waits does not say whose authority has ended",
        "clearing/answer_columns.py",
        "if reason[place] in OF_ACCOUNTS]",
        "if silent[place]]",
        _LASTS,
    ),
    (
        "a delta forgets who represents",
        "registry/delta.py",
        "self._part.acting = whose[whose != NOBODY]",
        "self._part.acting = whose[whose != NOBODY][::-1].copy()",
        "registry/test_deltas.py::test_delta__a_chain_reads_as_a_register_that_was_written_whole",
    ),
    (
        "of two representatives of one account the first counts",
        "registry/register.py",
        'np.arange(len(both)), both["account"]',
        '-np.arange(len(both)), both["account"]',
        "registry/test_deltas.py::test_delta__a_chain_reads_as_a_register_that_was_written_whole",
    ),
    (
        "an authority without an end",
        "registry/register.py",
        "until == DAY_MAX",
        "until == DAY_MIN",
        "clearing/test_representatives.py::test_register__a_representative_is_somebody_until_a_day",
    ),
    (
        "an old engine opens a home with representatives",
        "registry/load_registers.py",
        "FORMAT_REPRESENTATIVES if info.representatives else FORMAT_DELTAS",
        "FORMAT_DELTAS",
        "clearing/test_representatives.py::test_register__without_representatives_nothing_is_there_"
        "at_rest",
    ),
    (
        "anybody represents who has a representative",
        "registry/claims.py",
        "for one in held if visit.is_me(one.representative)]\n    if not days",
        "for one in held if one.representative]\n    if not days",
        _CLAIM + "who_is_not_named_is_refused",
    ),
    (
        "an authority that is over registers accounts",
        "registry/claims.py",
        "if max(days) < first:",
        "if False:",
        _CLAIM + "an_authority_that_is_over_is_refused",
    ),
    (
        "the deceased register accounts",
        "registry/claims.py",
        "if life_of(visit.person_id) != Reason.NONE:",
        "if life_of(visit.person_id) < Reason.NONE:",
        _CLAIM + "a_representative_lives",
    ),
    (
        "a representative ends accounts of the person",
        "registry/claims.py",
        "found = [one for one in found if visit.is_me(one.representative)]",
        "pass",
        _CLAIM + "a_representative_ends_their_own_accounts_alone",
    ),
    (
        "a person keeps what was their representative's",
        "registry/holdings.py",
        'counts |= np.isin(entries["row"], who.holder) & (ids != NOBODY)',
        "pass",
        _CLAIM + "a_person_keeps_no_account_of_a_representative_as_their_own",
    ),
    (
        "verify believes any representative",
        "proof/registers.py",
        'if (there["f0"] >= 10**12).any():',
        "if False:",
        _PROOF,
    ),
    (
        "verify asks for no end",
        "proof/registers.py",
        'if (there["f3"] == _OPEN).any():',
        "if False:",
        _PROOF,
    ),
    (
        "an authority outlives the person",
        _FILE,
        '(accounts["valid_to"][acting] < self._day) | died[acting]',
        'accounts["valid_to"][acting] < self._day',
        _RUN + "authority_ends_with_the_person",
    ),
]
