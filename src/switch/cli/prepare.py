"""Commands that prepare what a payday takes: a dossier beside a table, templates of tables."""

from __future__ import annotations

from pathlib import Path

import click

from switch.cli.context import GIVEN_PATH, Context, shared, strict_option
from switch.cli.voice import tell
from switch.errors import UsageError, counted


@click.command()
@click.argument("table", metavar="TABLE", type=click.Path(path_type=Path))
@click.option("--source", required=True, metavar="NAME", help="Who pays, such as VSS.")
@click.option("--batch-id", required=True, metavar="ID", help="Name of the batch, never used yet.")
@click.option("--value-date", required=True, metavar="DATE", help="Day on which money is due.")
@click.option("--force", is_flag=True, help="Replace a dossier that is there.")
@strict_option
@shared
def dossier(
    context: Context,
    table: Path,
    source: str,
    batch_id: str,
    value_date: str,
    force: bool,
    strict_columns: bool,
) -> None:
    """Write the dossier of TABLE beside it. Count, sum and digest are computed."""
    from switch.clearing.dossiers import write_dossier

    made = write_dossier(
        table,
        source=source,
        batch_id=batch_id,
        value_date=value_date,
        strict_columns=strict_columns,
        force=force,
    )
    context.warn(made["warnings"], table=str(table))

    def show() -> None:
        tell(f"{made['file']}: {counted(made['count'], 'line')}, {made['sum']:,} dong")
        tell(f"next: switch rehearse HOME {table}")

    context.say(made, show)


@click.command()
@click.argument("kind", metavar="[KIND]", required=False)
@click.option(
    "--form",
    type=click.Choice(["arrow", "json-schema"]),
    help="Print the Arrow schema, or the JSON Schema of rows.",
)
@click.option(
    "--out", type=GIVEN_PATH, metavar="FILE", help="An empty table: .csv, .parquet or .arrow."
)
@shared
def schema(context: Context, kind: str | None, form: str | None, out: Path | None) -> None:
    """Show the columns of a KIND of table, or write an empty one. Without KIND: all kinds."""
    from switch.cli.grid import Shown, grid_of
    from switch.registry import templates

    if kind is None:
        if form or out:
            raise UsageError(f"name a kind: {', '.join(templates.KINDS)}")
        kinds = {name: table.name for name, table in templates.KINDS.items()}

        def show_kinds() -> None:
            for name, text in kinds.items():
                tell(f"{name:14} {text}")

        context.say({"kinds": kinds}, show_kinds)
        return
    empty = templates.table_template(kind)
    rows = [
        {
            "column": column.name,
            "type": str(empty.schema.field(column.name).type),
            "optional": column.nullable,
            "reads": column.kind.value,
        }
        for column in templates.table_of(kind).columns
    ]
    document: dict[str, object] = {
        "kind": kind,
        "columns": rows,
        "arrow": empty.schema.to_string(),
        "json_schema": templates.json_schema(kind),
    }
    if out is not None:
        document["file"] = str(templates.write_template(kind, out))

    def show() -> None:
        if out is not None:
            tell(f"{out}: {counted(len(rows), 'column')}, no row")
        elif form == "arrow":
            click.echo(document["arrow"])
        elif form == "json-schema":
            import json

            click.echo(json.dumps(document["json_schema"], indent=1))
        else:
            columns = (
                Shown("column", "column"),
                Shown("type", "type"),
                Shown("may be absent", "optional"),
                Shown("written as", "reads", 0, False),
            )
            context.console().print(grid_of(f"Columns of {kind}", columns, rows))

    context.say(document, show)


COMMANDS = (dossier, schema)
