"""Commands of a payday: tables are run or rehearsed, cycles settle."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from switch.cli.context import (
    GIVEN_PATH,
    Context,
    Progress,
    home_argument,
    kept_settings,
    out_option,
    parse_time,
    said_options,
    settings_of_run,
    shared,
    strict_option,
    tables_argument,
    threads_option,
    wait_option,
    workers_option,
)
from switch.cli.voice import tell, tell_next
from switch.cli.writing import opened
from switch.errors import CopyFailed, InputRefused, SwitchError, UsageError
from switch.results import Summary

if TYPE_CHECKING:
    from switch.clearing.job import Executor
    from switch.documents import Ran, Settled
    from switch.outlook import OpenCycle
    from switch.results import CycleAnswer


@click.command()
@home_argument
@tables_argument
@out_option
@threads_option
@workers_option
@click.option(
    "--spark",
    metavar="MASTER",
    help="Judge the lines on a cluster of Spark, such as spark://HOST:7077; of Parquet tables.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["parquet", "arrow"]),
    default="parquet",
    show_default=True,
    help="Of the status and clearing files.",
)
@click.option("--fail-on-refused", is_flag=True, help="Exit 1 if lines were refused or held.")
@strict_option
@said_options
@wait_option
@shared
def run(
    context: Context,
    home: Path,
    tables: tuple[Path, ...],
    out: Path | None,
    threads: int | None,
    workers: int,
    spark: str | None,
    form: str,
    fail_on_refused: bool,
    strict_columns: bool,
    leap: bool,
    correct: str | None,
    at: str | None,
) -> None:
    """Clear and settle payment TABLEs. They run in order, and the first refusal stops."""

    context.stands = functools.partial(_stands, home, tables[0])
    config = context.settings()
    done, warnings = context.done, list[str]()
    out = out or (Path(config["out"]) if "out" in config else None)
    threads = threads or config.get("threads") or os.cpu_count() or 1
    executor = _executors(spark, workers)
    with opened(context, home) as engine:
        engine.settings = settings_of_run(context, engine.settings)
        for table in tables:
            context.stands = functools.partial(_stands, home, table)
            began = time.monotonic()
            try:
                with Progress(context) as progress:
                    batch = engine.run(
                        table,
                        out=out,
                        threads=threads,
                        at=parse_time(at),
                        leap=leap,
                        correct=correct,
                        strict_columns=strict_columns,
                        form=form,
                        progress=progress,
                        workers=executor(table),
                    )
            except Exception as error:
                if isinstance(error, CopyFailed):
                    done += error.done
                if done and not context.json:
                    tell(f"{len(done)} of {len(tables)} tables are done", err=True)
                raise
            seconds = time.monotonic() - began
            context.warn(batch.warnings, table=str(table))
            warnings += [f"{table}: {text}" for text in batch.warnings]
            context.log.info(
                "batch answered" if batch.replayed else "batch committed",
                batch_id=batch.batch_id,
                cycle=batch.cycle,
                lines=batch.summary["received"]["count"],
                cleared=batch.summary["cleared"]["count"],
            )
            done.append(batch.summary)
            if not (context.json or context.quiet):
                from switch.cli.tables import print_batch

                print_batch(context.console(), batch.summary, seconds=seconds)
        names = [engine.home.catalog.out_name(b["batch_id"], b["seq"]) for b in done]

    files = [(out or home / "out") / name for name in names]
    told: Ran = {"batches": done, "warnings": warnings}
    context.say(told, lambda: _tell_next(home, done[-1], files))
    if fail_on_refused and any(b["refused"]["count"] or b["held"]["count"] for b in done):
        raise SystemExit(1)


def _executors(spark: str | None, workers: int) -> Callable[[Path], int | Executor]:
    """Executor of the run of each table. Raises UsageError where two are asked for."""
    if spark is None:
        return lambda _: workers
    if workers:
        raise UsageError("give --workers or --spark, not both")
    from switch.spark.cluster import Cluster, frame_of, session_of

    session = session_of(spark)
    return lambda table: Cluster(frame_of(session, table))


def _stands(home: Path, table: Path) -> str:
    """A sentence that says whether a table is paid, whatever the run of it came to."""
    from switch.clearing.intake import declare
    from switch.home.store import Home

    try:
        declared = declare(table, None, None, None, None, None)
        with Home(home, writing=False) as opened:
            row = opened.catalog.batch_of(declared.source, declared.batch_id)
    except (SwitchError, OSError):
        return f"ask `switch status {home}` whether {table} is paid"
    if row is None:
        return f"nothing of {table} is paid, and {home} is as before it"
    return f"{table} is paid, as batch {row.batch_id}: run it again for its answer and copies"


def _tell_next(home: Path, last: Summary, files: list[Path]) -> None:
    """Say where the answers of a run are, and what comes after its last batch."""
    if last["state"] == "CLEARING":
        tell_next("settle", home, "--cycle", last["cycle"], files=files)
    elif last["state"] == "SETTLED":
        tell_next("reconcile", home, "ANSWERS...", files=files)
    else:
        tell_next("status", home, files=files)


@click.command()
@home_argument
@tables_argument
@threads_option
@click.option("--picture", type=GIVEN_PATH, metavar="FILE", help="Draw it (SVG).")
@click.option(
    "--out", type=GIVEN_PATH, metavar="DIR", help="The answers that `run` would give; outside HOME."
)
@click.option("--fail-on-refused", is_flag=True, help="Exit 1 if lines would be refused or held.")
@click.option("--dry", is_flag=True, help="Exit 0 also where a table would be refused.")
@strict_option
@said_options
@shared
def rehearse(
    context: Context,
    home: Path,
    tables: tuple[Path, ...],
    threads: int | None,
    picture: Path | None,
    out: Path | None,
    fail_on_refused: bool,
    dry: bool,
    strict_columns: bool,
    leap: bool,
    correct: str | None,
    at: str | None,
) -> None:
    """Run TABLEs without committing anything: answers, liquidity needed, and what would wait."""
    from switch.files.disk import require_outside
    from switch.rehearsal import rehearse as foretell

    if picture is not None:
        require_outside(picture, home)
    threads = threads or context.settings().get("threads") or os.cpu_count() or 1
    limit = settings_of_run(context, kept_settings(home)).clearing_limit
    told = foretell(
        home,
        tables,
        at=parse_time(at),
        threads=threads,
        clearing_limit=limit,
        strict_columns=strict_columns,
        leap=leap,
        correct=correct,
        out=out,
    )
    for table in told["tables"]:
        context.warn(table.get("warnings", ()), table=table["table"])
    if picture is not None:
        from switch.report.drawing import draw_rehearsal

        draw_rehearsal(told, picture)

    def show() -> None:
        from switch.cli.tables import print_rehearsal

        print_rehearsal(context.console(), told)

    context.say(told, show)
    if dry:
        return
    if any("error" in table for table in told["tables"]):
        # As `run` would, which stops at the first of them.
        raise SystemExit(InputRefused.exit_code)
    if fail_on_refused and any(t["refused"]["count"] or t["held"]["count"] for t in told["tables"]):
        raise SystemExit(1)


def _tell_after_settling(
    home: Path,
    answers: Sequence[CycleAnswer],
    waiting: Sequence[OpenCycle],
    folders: Sequence[Path],
) -> None:
    """Say where the answers of cycles are, and what comes next: funds for one that lacks them, then
    answers to what has settled, then the next cut-off."""
    states = {answer["state"] for answer in answers}
    if any(answer["short"] and answer["state"] == "CLOSED" for answer in answers):
        tell_next("directory", home, "--balances", "FILE", files=folders)
    elif "CLOSED" in states:
        named = next(answer["cycle"] for answer in answers if answer["state"] == "CLOSED")
        tell_next("settle", home, "--cycle", named, files=folders)
    elif "SETTLED" in states:
        tell_next("reconcile", home, "ANSWERS...", files=folders)
    elif waiting:
        tell_next("settle", home, "--cycle", waiting[0]["cycle"], files=folders)
    elif folders:
        tell_next("status", home, files=folders)


@click.command()
@home_argument
@click.option("--cycle", metavar="C", help="One cycle, such as 20261125-1.")
@click.option("--close", "close_only", is_flag=True, help="Only close, and write the request.")
@click.option("--abort", metavar="WHY", help="Give up --cycle: its lines wait again.")
@out_option
@said_options
@wait_option
@shared
def settle(
    context: Context,
    home: Path,
    cycle: str | None,
    close_only: bool,
    abort: str | None,
    out: Path | None,
    leap: bool,
    correct: str | None,
    at: str | None,
) -> None:
    """Close and settle cycles of HOME's calendar. One with --cycle, or all whose cut-off has come
    at --at; without --at all that are not settled, each at its cut-off."""
    from switch.outlook import open_cycles

    warnings: list[str] = []
    with opened(context, home) as engine:
        answers = engine.settle(
            cycle,
            at=parse_time(at),
            out=out,
            close_only=close_only,
            abort=abort,
            leap=leap,
            correct=correct,
            warn=warnings.append,
        )
        told = {answer["cycle"] for answer in answers}
        waiting = [row for row in open_cycles(engine.home) if row["cycle"] not in told]
    context.warn(warnings)

    def show() -> None:
        from switch.cli.tables import print_cycles

        print_cycles(context.console(), answers, waiting)
        folders = [(out or home / "out") / "cycles" / answer["cycle"] for answer in answers]
        _tell_after_settling(home, answers, waiting, folders)

    document: Settled = {"cycles": answers, "waiting": waiting, "warnings": warnings}
    context.say(document, show)


COMMANDS = (run, rehearse, settle)
