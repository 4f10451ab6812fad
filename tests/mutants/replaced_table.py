"""Mutants of replaced ids: the mistake, the file, the text, its change, and the test."""

from __future__ import annotations

_PAIRS = "registry/replaced.py"
_REGISTER = "registry/register.py"
_KERNEL = "clearing/kernel.py"
_TEST = "registry/test_replaced.py::test_replaced__"
_WRONG = _TEST + "wrong_pairs_are_refused_with_row_and_column"
_ACCOUNTS = _TEST + "accounts_of_the_old_id_count_behind_those_of_the_new"
_SELF = _TEST + "nobody_comes_to_represent_themself"
_PAID = _TEST + "who_was_paid_by_one_id_is_not_paid_by_the_other"

REPLACED = [
    (
        "paid bits of an old id are forgotten",
        _KERNEL,
        "paid_bits.join(pairs, *replaced)",
        "pass",
        _PAID,
    ),
    (
        "paid bits are joined the other way round",
        "home/paid_bits.py",
        "bits[0::2][rows >> 6], (rows & 63)",
        "bits[0::2][others >> 6], (others & 63)",
        _PAID,
    ),
    (
        "a line for an old id is judged by the old record",
        _KERNEL,
        "lines.person_id = now",
        "pass",
        _TEST + "who_died_with_the_new_id_is_stopped_by_the_old",
    ),
    (
        "a chain ends behind its first step",
        _PAIRS,
        "last[goes_on] = last[place[goes_on]]",
        "break",
        _TEST + "chains_end_at_the_last_id",
    ),
    (
        "an id may be replaced by two others",
        _PAIRS,
        "other |= by != by[first][which]",
        "pass",
        _WRONG,
    ),
    (
        "a pair of before gets another end",
        _PAIRS,
        "is_there & (known[place] != by)",
        "is_there & False",
        _WRONG,
    ),
    ("nobody asks whether the new id is known", _PAIRS, "if lacks.any():", "if False:", _WRONG),
    (
        "accounts of the old id stand before those of the new",
        _REGISTER,
        'behind = most[joined["row"]] + joined["priority"]',
        'behind = 0 * most[joined["row"]] + 1',
        _ACCOUNTS,
    ),
    (
        "the old id's account takes the place of the new one's",
        _REGISTER,
        "np.concatenate([joined, self.accounts])",
        "np.concatenate([self.accounts, joined])",
        _ACCOUNTS,
    ),
    (
        "a representative of before comes to represent themself",
        _REGISTER,
        "(self.replaced.of(whose) != last[of])",
        "(last[of] == last[of])",
        _SELF,
    ),
    (
        "accounts that come later for an old id stay with it",
        _REGISTER,
        "self.table.rows(self.replaced.of(ids), rows, True)",
        "self.table.rows(ids, rows, True)",
        _ACCOUNTS,
    ),
    (
        "a whole register forgets its pairs",
        _REGISTER,
        "parts[replaced.NAME] = self.replaced.pairs",
        "pass",
        _TEST + "pairs_outlive_a_register_that_is_loaded_anew",
    ),
    (
        "a representative is judged by the old id",
        "registry/representatives.py",
        "np.unique(self._chain.replaced.of(ids), return_inverse=True)",
        "np.unique(ids, return_inverse=True)",
        _TEST + "a_representative_is_judged_by_the_id_of_now",
    ),
    (
        "verify takes both ids for two persons",
        "proof/replaced.py",
        "return np.concatenate([rows, self.old[np.isin(self.now, rows)]])",
        "return rows",
        _TEST + "verify_finds_who_was_paid_by_both_ids",
    ),
    (
        "a timeline has the lines of the present id alone",
        "registry/load_registers.py",
        "for one in (now, *chain.replaced.olds_of(now))]",
        "for one in (now,)]",
        _TEST + "a_persons_lines_are_told_by_either_id",
    ),
    (
        "the population database is asked for the old id",
        "registry/identities.py",
        "np.unique(self._known.of(ids[chosen]), return_index=True)",
        "np.unique(ids[chosen], return_index=True)",
        _TEST + "the_population_database_is_asked_for_the_new_id",
    ),
    (
        "a device of the person's old id is another person's",
        "registry/claims.py",
        "mine = rows_of_person(visit.chain, visit.person_id)",
        "mine = [visit.row]",
        _TEST + "self_service_knows_the_person_by_either_id",
    ),
]
