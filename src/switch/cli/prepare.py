"""Commands that prepare what a payday takes: a dossier beside a table, templates of tables, schemas
of answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from switch.cli.context import GIVEN_PATH, Context, shared, strict_option
from switch.cli.voice import tell
from switch.errors import UsageError, counted

if TYPE_CHECKING:
    from switch.documents import AnswerShown, ColumnShown, Forms, Kinds, Template


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
@click.option("--answer", metavar="COMMAND", help="The JSON Schema of what it prints with --json.")
@click.option("--answers", is_flag=True, help="All commands that print a document.")
@shared
def schema(
    context: Context,
    kind: str | None,
    form: str | None,
    out: Path | None,
    answer: str | None,
    answers: bool,
) -> None:
    """Show the columns of a KIND of table, or write an empty one. Without KIND: all kinds. With
    --answer the document of a command."""
    from switch.registry import templates

    if answer is not None or answers:
        if kind or form or out or (answer is not None and answers):
            raise UsageError("give one of KIND, --answer and --answers")
        _say_answers(context) if answer is None else _say_answer(context, answer)
        return
    if kind is None:
        if form or out:
            raise UsageError(f"name a kind: {', '.join(templates.KINDS)}")
        kinds: Kinds = {"kinds": {name: table.name for name, table in templates.KINDS.items()}}
        context.say(kinds, lambda: _tell_names(kinds["kinds"]))
        return
    _say_template(context, kind, form, out)


def _tell_names(names: Mapping[str, str]) -> None:
    for name, text in names.items():
        tell(f"{name:14} {text}".rstrip())


def _say_answers(context: Context) -> None:
    from switch.documents import ANSWERS

    found: Forms = {"answers": {command: [*forms] for command, forms in ANSWERS.items()}}
    names = {name: " ".join(forms).strip() for name, forms in found["answers"].items()}
    context.say(found, lambda: _tell_names(names))


def _say_answer(context: Context, command: str) -> None:
    from switch.documents import answer_schema

    found: AnswerShown = {"answer": command, "json_schema": answer_schema(command)}
    context.say(found, lambda: click.echo(json.dumps(found["json_schema"], indent=1)))


def _say_template(context: Context, kind: str, form: str | None, out: Path | None) -> None:
    from switch.cli.grid import Shown, grid_of
    from switch.registry import templates

    empty = templates.table_template(kind)
    rows: list[ColumnShown] = [
        {
            "column": column.name,
            "type": str(empty.schema.field(column.name).type),
            "optional": column.nullable,
            "reads": column.kind.value,
        }
        for column in templates.table_of(kind).columns
    ]
    document: Template = {
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
