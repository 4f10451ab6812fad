"""Mutants of features that have a table of their own, all in its form."""

from __future__ import annotations

from accounts_table import NEXT_ACCOUNTS
from alarms_table import ALARMS
from arrears_table import ARREARS
from citizens_table import CITIZENS
from control_table import CONTROL
from deltas_table import DELTAS
from exclusive_table import EXCLUSIVE
from fees_table import FEES
from households_table import HOUSEHOLDS
from identities_table import IDENTITIES
from lines_table import LINES
from months_table import MONTHS
from notes_table import NOTES
from objects_table import OBJECTS
from oversight_table import OVERSIGHT
from partition_table import PARTITION
from persons_table import PERSONS
from postgres_table import POSTGRES
from replaced_table import REPLACED
from representatives_table import REPRESENTATIVES
from serve_table import SERVE
from totals_table import TOTALS

FEATURES = (
    *DELTAS,
    *NOTES,
    *ALARMS,
    *LINES,
    *CONTROL,
    *EXCLUSIVE,
    *PERSONS,
    *CITIZENS,
    *IDENTITIES,
    *FEES,
    *HOUSEHOLDS,
    *NEXT_ACCOUNTS,
    *REPRESENTATIVES,
    *REPLACED,
    *TOTALS,
    *ARREARS,
    *MONTHS,
    *OVERSIGHT,
    *SERVE,
    *PARTITION,
    *OBJECTS,
    *POSTGRES,
)
"""(mistake, file, text, its change, test) of each."""
