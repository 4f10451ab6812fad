"""Where planted bugs were found: the life that a search for one begins with.

A search goes on through the others, so that an entry that is stale makes it slower, never wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from switch.sim.simulate import Failure, live, script_of

FOUND: dict[str, int] = {
    "a_closed_cycle_takes_lines": 310,
    "a_file_is_recorded_twice": 153,
    "a_full_account_holds_the_line_though_another_takes_it": 190,
    "a_group_is_paid_as_one": 48,
    "a_late_refusal_is_in_time": 294,
    "a_refused_line_keeps_its_reserve": 371,
    "a_refused_line_leaves_its_position": 371,
    "a_register_forgets_who_died": 2,
    "a_replay_is_run_again_on_paper": 48,
    "a_return_is_booked_twice": 294,
    "accounts_that_have_ended_are_taken": 190,
    "an_account_takes_its_limit_once_a_chunk": 190,
    "an_act_is_taken_again": 43,
    "an_authority_never_ends": 385,
    "an_old_catalog_is_taken": 1,
    "any_amount_is_clean": 294,
    "any_signature_is_good": 82,
    "anybody_delivers": 88,
    "anybody_signs_twice": 56,
    "benefits_exclude_nothing": 48,
    "budgets_are_not_asked": 193,
    "cover_is_not_asked_for": 52,
    "files_are_not_compared": 43,
    "funds_are_not_asked": 280,
    "held_lines_are_dropped": 308,
    "held_lines_clear_in_their_old_cycle": 48,
    "keys_of_the_first_version_sign": 280,
    "known_bills_are_counted_as_new": 110,
    "late_payments_are_taken": 110,
    "lines_that_are_screened_again_are_judged_anew": 52,
    "nothing_is_ever_overdue": 294,
    "nothing_is_owed_to_the_deceased": 310,
    "nothing_was_sent_before": 152,
    "on_us_lines_enter_positions": 308,
    "one_house_signs_twice": 56,
    "only_the_first_defaulter_is_taken_out": 15,
    "paid_bits_are_forgotten": 308,
    "post_skips_a_line": 308,
    "recasts_leave_entitlements_taken": 310,
    "recasts_leave_positions_open": 310,
    "registers_know_no_new_codes": 52,
    "represented_lines_are_not_sealed": 310,
    "reserves_are_forgotten": 310,
    "runs_need_no_release": 43,
    "some_of_the_history_is_forgotten": 308,
    "sums_above_need_no_more": 280,
    "the_auditor_lets_anybody_sign_twice": 56,
    "the_deceased_represent": 3,
    "the_first_account_alone_is_asked": 48,
    "the_last_day_of_an_authority_is_none_of_it": 2,
    "the_month_of_a_death_is_owed": 310,
    "the_newest_line_is_retried_first": 48,
    "the_parent_folder_is_not_synced": 7,
    "the_population_database_is_asked_by_the_old_id": 64,
    "the_second_account_is_taken_whatever_its_limit": 48,
    "the_value_date_is_a_day_late": 48,
    "wallets_settle_for_themselves": 308,
    "what_is_decided_may_be_decided_again": 294,
    "what_is_held_is_released": 43,
    "what_is_owed_is_not_said": 310,
    "what_is_owed_is_paid_without_a_look_at_the_rest": 200,
    "what_the_table_names_is_replaced": 308,
    "what_waits_is_not_released": 68,
    "what_was_written_back_may_be_paid_again": 294,
    "who_died_on_no_known_day_is_owed_all": 200,
    "who_is_unknown_represents": 2,
}
"""Seeds by name of a bug: of the first life that found it, mostly among the shortest of 400. Bugs
that the first life of their list finds need none."""


def is_found(plant: Callable[[pytest.MonkeyPatch], None], seeds: Iterable[int]) -> bool:
    """True where a life goes other than it must, by a bug that was planted before: that of the
    table, or one of the seeds. What found it is printed (`pytest -rP`) as the table has it."""
    name = plant.__name__.strip("_")
    first = [FOUND[name]] if name in FOUND else []
    for seed in (*first, *(seed for seed in seeds if seed not in first)):
        if isinstance(live(script_of(seed), seed, again=True), Failure):
            print(f'    "{name}": {seed},')
            return True
    return False
