"""A file of every kind that comes from outside, and the command that reads it."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import scene
from scene import (
    PARTICIPANTS,
    account,
    accounts_table,
    line,
    paid_table,
    payment_table,
    people_table,
    person,
    write_table,
)


def tables(folder: Path) -> dict[str, Path]:
    """A file of every kind that comes from outside."""
    return {
        "table": write_table(payment_table([line(1), line(2)]), folder / "table.parquet"),
        "csv": write_table(payment_table([line(1), line(2)]), folder / "pay.csv", "csv"),
        "arrow": write_table(payment_table([line(1), line(2)]), folder / "ipc.arrow", "arrow"),
        "population": scene.write_file(people_table([person(1)]), folder / "people", "parquet"),
        "accounts": scene.write_file(accounts_table([account(1)]), folder / "accounts", "arrow"),
        "paid": scene.write_file(paid_table([scene.entitlement(1)]), folder / "paid", "parquet"),
        "participants": scene.write_file(
            pa.Table.from_pylist(list(PARTICIPANTS)), folder / "participants", "parquet"
        ),
    }


DOORS = {
    "table": ("run", "{home}", "{file}"),
    "csv": ("run", "{home}", "{file}"),
    "arrow": ("run", "{home}", "{file}"),
    "population": ("register", "{home}", "--population", "{file}"),
    "accounts": ("register", "{home}", "--accounts", "{file}"),
    "paid": ("register", "{home}", "--paid", "{file}"),
    "participants": ("directory", "{home}", "--participants", "{file}"),
}
