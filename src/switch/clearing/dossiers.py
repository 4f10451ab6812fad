"""Dossiers: made beside a table, with all that can be computed from it."""

from __future__ import annotations

import datetime
from pathlib import Path

import msgspec

from switch.arguments import checked
from switch.clearing.intake import FIELDS, Declared, as_date, dossier_path, read_dossier
from switch.clearing.line_numbers import LineNumbers
from switch.errors import CopyFailed, UsageError
from switch.files.disk import landing, require_outside
from switch.files.given import regular_file
from switch.files.tables import open_table
from switch.results import Dossier
from switch.schema import PAYMENT

_LOW = 0xFFFF_FFFF


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
    count = total = 0
    line_no = []
    for chunk in reader.chunks():
        amount = chunk["amount"]
        count += len(amount)
        line_no.append(chunk["line_no"])
        # In two halves, none of whose sums leaves 64 bits.
        total += (int((amount >> 32).sum()) << 32) + int((amount & _LOW).sum())
    declared = Declared(source, batch_id, day, count, total, reader.sha256 or "").check(str(table))
    numbers = LineNumbers(count)
    for some in line_no:
        numbers.take(some, str(table))
    told: Dossier = {
        "source": source,
        "batch_id": batch_id,
        "currency": declared.currency,
        "count": count,
        "sum": total,
        "sha256": declared.sha256,
        "value_date": day.isoformat(),
        "file": str(path),
        "warnings": list(reader.warnings),
    }
    content = {name: value for name, value in told.items() if name in FIELDS}
    try:
        with landing(path.parent, path.name) as file:
            file.write(msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n")
    except CopyFailed as error:  # Of nothing that is committed.
        raise error.cause from error
    assert read_dossier(table) == declared, "the dossier is not what was declared"
    return told
