"""Parquet files of our own making, in memory."""

from __future__ import annotations

import io
import itertools

import pyarrow as pa

from switch.files.parquet_writer import Writer

CODE = pa.dictionary(pa.int32(), pa.string())


def written(columns, styles=(), groups=1):
    """The bytes of a file of columns by name; nullable but for numbers."""
    schema = pa.schema(
        [pa.field(n, c.type, nullable=not pa.types.is_integer(c.type)) for n, c in columns.items()]
    )
    out = io.BytesIO()
    writer = Writer(out.write, schema, dict(styles))
    rows = len(next(iter(columns.values())))
    cuts = [rows * i // groups for i in range(groups + 1)]
    for start, end in itertools.pairwise(cuts):
        writer.write_group([column.slice(start, end - start) for column in columns.values()])
    writer.close()
    return out.getvalue()
