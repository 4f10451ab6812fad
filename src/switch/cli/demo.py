"""The demo: a small nation, one payday through the native core, and what happened."""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path

import click

from switch.cli.context import Context, Progress, generate
from switch.cli.tables import print_batch
from switch.cli.voice import tell
from switch.documents import Demonstrated
from switch.engine import init
from switch.errors import UsageError
from switch.files.disk import require_outside


def run_demo(context: Context, folder: Path, people: int, lines: int, seed: int) -> None:
    """All of it, step by step; what an earlier demo left in folder is replaced."""
    require_outside(folder)
    mark = folder / ".switch-demo"
    if folder.exists() and any(folder.iterdir()):
        if not mark.exists():
            raise UsageError(f"{folder} holds other things: give another --dir")
        shutil.rmtree(folder)
    nation, home = folder / "nation", folder / "home"
    folder.mkdir(parents=True, exist_ok=True)
    mark.touch()

    def step(text: str) -> None:
        if not (context.json or context.quiet):
            tell("")
            tell(text, bold=True)

    step(f"1  A nation of {people:,} people and a payday of {lines:,} lines  ({nation})")
    generate(context, nation, people, lines, seed)
    step(f"2  A home with its directory and registers  ({home})")
    with init(
        home, participants=nation / "participants.csv", debtors=nation / "debtors.csv"
    ) as engine:
        with Progress(context) as progress:
            engine.register(
                population=nation / "population.parquet",
                accounts=nation / "accounts.parquet",
                paid_history=nation / "paid.parquet",
                progress=progress,
            )
        step("3  The payday: screened, routed, cleared, netted, settled, committed")
        began = time.monotonic()
        with Progress(context) as progress:
            batch = engine.run(
                nation / "payday.parquet", threads=os.cpu_count() or 1, progress=progress
            )
        seconds = time.monotonic() - began
        if not (context.json or context.quiet):
            print_batch(context.console(), batch.summary, seconds=seconds)
        step("4  The same table once more: nothing is paid twice")
        again = engine.run(nation / "payday.parquet")
        assert again.replayed
        if not (context.json or context.quiet):
            tell("   answered from what was stored; no money moved")
        step("5  Every invariant recomputed from the files alone")
        checks = engine.verify()
        picture = engine.report(batch).picture
    document: Demonstrated = {
        "batch": batch.summary,
        "checks": len(checks),
        "picture": str(picture),
    }

    def show() -> None:
        tell(f"   {len(checks)} checks, all hold")
        step(f"The picture of the payday: {picture}")
        if sys.stdout.isatty() and (
            os.environ.get("DISPLAY") or sys.platform in ("darwin", "win32")
        ):
            click.launch(str(picture))

    context.say(document, show)
