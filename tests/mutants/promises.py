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


RUN = "clearing/test_run.py::test_run__"
AGAIN = "clearing/test_again.py::test_run__"
WAITING = "clearing/test_held_lines.py::test_run__"
JUDGED = "registry/test_registers.py::test_run__"
REGISTER = "registry/test_registers.py::test_register__"
BAD = "clearing/test_bad_inputs.py::test_bad_inputs__"
FORMED = "registry/test_well_formed.py::test_"
NAMES = "native/test_names.py::test_names__"
GIVEN = "files/test_given.py::test_given__"
MATCH = "native/test_match.py::test_match__"
GROUPS = "files/test_row_groups.py::test_"
WRITER = "files/test_parquet.py::test_writer__"
KERNELS = "native/test_kernels.py::test_"
COMMIT = "home/test_commit.py::test_"
COVER = "clearing/test_cover.py::test_cover__"
CYCLES = "settlement/test_cycles.py::test_settle__"
ABORT = "settlement/test_abort.py::test_abort__"
BUDGET = "settlement/test_funding.py::test_budget__"
BACK = "settlement/test_funding_back.py::test_budget__"
QUEUES = "settlement/test_liquidity_scarce.py::test_by_value__"
LARGE = "settlement/test_liquidity.py::test_by_value__decides_payments_that_are_bigger_than_a_lack"
SCARCE = f"{QUEUES}of_few_payments_and_little_money_is_near_the_optimum"
FACTS = "whole/test_facts.py::test_"
SCARCE_EDGE = f"{QUEUES}adds_up_at_the_edge_of_balances_floors_and_amounts"
CALENDAR = "settlement/test_cycles.py::test_calendar__a_time_has_its_cycle"
SYNCED = "home/test_commit.py::test_commit__everything_is_synced_before_it_has_its_name"
SECOND = "home/test_second_writer.py::test_"
SIMULATION = "whole/test_simulation.py::test_"
READERS = "home/test_readers.py::test_reader__"
SHARING = "clearing/test_shared_accounts.py::test_shared__"
SHARING_HELD = "clearing/test_shared_hold.py::test_shared__"
HOLD = "clearing/test_shared_hold.py::test_hold__"
