"""Dossiers: made beside a table, with all that can be computed from it."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
from pathlib import Path

import msgspec
import numpy as np

from switch.arguments import checked
from switch.clearing.intake import FIELDS, Declared, as_date, dossier_path, exact_sum, read_dossier
from switch.clearing.line_numbers import LineNumbers
from switch.clearing.parts import PARTS, Parts
from switch.errors import InputRefused, UsageError
from switch.files.disk import land, require_outside
from switch.files.given import opened, regular_file
from switch.files.tables import TableReader, open_table
from switch.results import Dossier, DossierFacts
from switch.schema import PARTS_MAX, PAYMENT


@checked
def write_dossier(
    table: str | Path,
    *,
    source: str,
    batch_id: str,
    value_date: datetime.date | str,
    strict_columns: bool = False,
    force: bool = False,
) -> Dossier:
    """Declare a payment table: write NAME.dossier.json beside it, and return what it says. Count,
    sum and digest are computed; the whole table is read for it, by the rules of `run`.

    source, batch_id: names of 1 to 64 of A-Z a-z 0-9 . _ -, not beginning with a dot. value_date:
    a date or yyyy-mm-dd. strict_columns: unknown columns are refused. force: a dossier that is
    there is replaced. Raises InputRefused for a table or a name that `run` would refuse, UsageError
    where a dossier is there.
    """
    if not isinstance(table, str | Path):
        raise UsageError("a dossier stands beside a file: give the path of the table")
    table, day = Path(table), as_date(value_date)
    regular_file(table)
    path = require_outside(dossier_path(table).absolute())
    if path.exists() and not force:
        raise UsageError(f"{path} is there already: give --force (force=True) to replace it")
    # Names are judged first: a long table need not be read for a wrong one.
    for name, text in (("source", source), ("batch_id", batch_id)):
        if not isinstance(text, str):
            raise UsageError(f"{name} {text!r} is no text")
    Declared(source, batch_id, day, 1, 0).check("dossier").require_new("dossier")
    reader = open_table(table, PAYMENT, strict_columns=strict_columns)
    warnings: list[str] = []
    declared = _declared(reader, Declared(source, batch_id, day, 1, 0), warnings).check(str(table))
    told: Dossier = {
        "source": source,
        "batch_id": batch_id,
        "currency": declared.currency,
        "count": declared.count,
        "sum": declared.sum,
        "sha256": declared.sha256,
        "value_date": day.isoformat(),
        "programmes": None if declared.programmes is None else dict(declared.programmes),
        "debtors": None if declared.debtors is None else dict(declared.debtors),
        "file": str(path),
        "warnings": [*reader.warnings, *warnings],
    }
    content = {
        name: value
        for name, value in told.items()
        if name in (*FIELDS, *PARTS) and value is not None
    }
    land(path, msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n")
    assert read_dossier(table) == declared, "the dossier is not what was declared"
    return told


def _declared(reader: TableReader, named: Declared, warnings: list[str]) -> Declared:
    """Everything that can be computed of a table, under its names. Raises InputRefused for line
    numbers that are none."""
    count = total = 0
    parts = Parts()
    line_no = []
    for chunk in reader.chunks():
        amount = np.ascontiguousarray(chunk["amount"])
        parts.take(chunk)
        count += len(amount)
        line_no.append(chunk["line_no"])
        total += exact_sum(amount)
    numbers = LineNumbers(count)
    for some in line_no:
        numbers.take(some, reader.name)
    sums = {name: _few(name, parts.sums(name), warnings) for name in PARTS}
    return dataclasses.replace(
        named,
        count=count,
        sum=total,
        sha256=reader.sha256 or "",
        programmes=sums["programmes"],
        debtors=sums["debtors"],
    )


def _few(name: str, sums: dict[str, int], warnings: list[str]) -> dict[str, int] | None:
    """Sums by name, or None and a warning where there are too many to name."""
    if len(sums) <= PARTS_MAX:
        return sums
    warnings.append(
        f"the dossier says nothing of {name}: there are {len(sums):,}, and it may name"
        f" {PARTS_MAX:,}; a home with a policy does not take it"
    )
    return None


def proven_facts(table: str | Path) -> DossierFacts:
    """A table as its dossier declares it, whose file has the digest of it. Raises InputRefused
    where no batch can be declared so, or the file is another one."""
    table = Path(table)
    declared, path = read_dossier(table), str(dossier_path(table))
    declared.require_new(path)
    with opened(table) as (file, _), open(file, "rb", closefd=False) as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if digest != declared.sha256:
        raise InputRefused(
            "FILE_HASH",
            "the file is not the one that its dossier was made for",
            file=str(table),
            remedy="give that file, or write the dossier anew: `switch dossier`",
        )
    if declared.programmes is None or declared.debtors is None:
        raise InputRefused(
            "DOSSIER_INVALID",
            "the dossier does not declare its sums by programme and by debtor account",
            file=path,
            column="debtors" if declared.debtors is None else "programmes",
            remedy="write it anew: `switch dossier TABLE --force`",
        )
    return {
        "source": declared.source,
        "batch_id": declared.batch_id,
        "value_date": declared.value_date.isoformat(),
        "currency": declared.currency,
        "count": declared.count,
        "sum": declared.sum,
        "digest": f"sha256:{declared.sha256}",
        "programmes": dict(declared.programmes),
        "debtors": dict(declared.debtors),
    }
