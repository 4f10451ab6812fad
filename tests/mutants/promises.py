"""The words of the tables: a mutant, and the beginnings of tests' names that see them."""

from __future__ import annotations

from typing import NamedTuple


class Mutant(NamedTuple):
    file: str
    what: str
    old: str
    new: str
    test: str
    """FILE::TEST below tests/."""


RUN = "test_run.py::test_run__"
REGISTER = "test_run.py::test_register__"
BAD = "test_bad_inputs.py::test_bad_inputs__"
FORMED = "test_well_formed.py::test_"
NAMES = "test_names.py::test_names__"
GIVEN = "test_given.py::test_given__"
MATCH = "test_match.py::test_match__"
GROUPS = "test_row_groups.py::test_"
WRITER = "test_parquet.py::test_writer__"
KERNELS = "test_kernels.py::test_"
COMMIT = "test_commit.py::test_"
COVER = "test_cover.py::test_cover__"
CYCLES = "test_cycles.py::test_settle__"
ABORT = "test_abort.py::test_abort__"
BUDGET = "test_funding.py::test_budget__"
BACK = "test_funding_back.py::test_budget__"
LARGE = "test_liquidity.py::test_by_value__decides_payments_that_are_bigger_than_a_lack"
SCARCE = (
    "test_liquidity_scarce.py::test_by_value__of_few_payments_and_little_money_is_near_the_optimum"
)
FACTS = "test_facts.py::test_"
SCARCE_EDGE = (
    "test_liquidity_scarce.py::test_by_value__adds_up_at_the_edge_of_balances_floors_and_amounts"
)
CALENDAR = "test_cycles.py::test_calendar__a_time_has_its_cycle"
SYNCED = "test_commit.py::test_commit__everything_is_synced_before_it_has_its_name"
SECOND = "test_second_writer.py::test_"
SIMULATION = "test_simulation.py::test_"
SHARING = "test_shared_accounts.py::test_shared__"
SHARING_HELD = "test_shared_hold.py::test_shared__"
HOLD = "test_shared_hold.py::test_hold__"
