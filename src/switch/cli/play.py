"""Commands to play with: an invented nation, its receivers, the demo, and the pace of a machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from switch.cli.context import (
    GIVEN_PATH,
    Context,
    home_argument,
    listed,
    out_option,
    shared,
)
from switch.cli.context import generate as make_nation
from switch.cli.voice import tell
from switch.errors import counted

if TYPE_CHECKING:
    from switch.documents import Generated

DEMO_PEOPLE, DEMO_LINES, DEMO_SEED = 200_000, 150_000, 2026


@click.command()
@home_argument
@click.option("--batch", "batch_id", metavar="ID", help="Default: the last one.")
@out_option
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, metavar="S")
@click.option("--plain", is_flag=True, help="All credit, or send back; no answer is wrong.")
@shared
def exchange(
    context: Context, home: Path, batch_id: str | None, out: Path | None, seed: int, plain: bool
) -> None:
    """Let simulated receivers answer a batch: DIR/ID/answers."""
    from switch.sim.exchange import exchange as answer

    done = answer(home, batch_id, out=out, seed=seed, plain=plain)
    context.say(
        done,
        lambda: tell(
            f"{done['folder']}: {counted(done['confirmations'], 'confirmation')} and"
            f" {counted(done['returns'], 'return')} for {counted(done['lines'], 'line')}"
            f" ({listed(done['fates'])}){_resolved(done['resolutions'])}"
        ),
    )


def _resolved(answers: int) -> str:
    return f", and {counted(answers, 'answer')} to recalls" if answers else ""


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--people", type=click.IntRange(1), required=True, metavar="N")
@click.option("--lines", type=click.IntRange(1), required=True, metavar="N")
@click.option("--seed", type=click.IntRange(0), required=True, metavar="S")
@click.option("--households", is_flag=True, help="A gift to all of them, too: one credit each.")
@shared
def generate(
    context: Context, folder: Path, people: int, lines: int, seed: int, households: bool
) -> None:
    """Simulate a nation and its payday into DIR. Directory, registers, payment table, dossier, and
    the true answer to every line."""
    made = make_nation(context, folder, people, lines, seed, households=households)
    document: Generated = {
        "folder": str(folder),
        "people": people,
        "count": lines,
        "sum": made.declared_sum,
    }
    context.say(
        document,
        lambda: tell(
            f"{folder}: {counted(people, 'person', 'people')}, {counted(lines, 'line')},"
            f" {made.declared_sum:,} dong"
        ),
    )


@click.command()
@click.option(
    "--dir",
    "folder",
    type=GIVEN_PATH,
    default=Path("demo"),
    show_default=True,
    help="Where the demo's files go; what an earlier demo left there is replaced.",
)
@click.option("--people", type=click.IntRange(1), default=DEMO_PEOPLE, show_default=True)
@click.option("--lines", type=click.IntRange(1), default=DEMO_LINES, show_default=True)
@click.option("--seed", type=click.IntRange(0), default=DEMO_SEED, show_default=True)
@shared
def demo(context: Context, folder: Path, people: int, lines: int, seed: int) -> None:
    """Run one payday of a small nation. It is simulated, run through the native core, run again,
    proven and drawn."""
    from switch.cli.demo import run_demo

    run_demo(context, folder, people, lines, seed)


@click.command()
@click.option("--lines", type=click.IntRange(1), default=1_000_000, show_default=True, metavar="N")
@click.option("--threads", type=click.IntRange(1, 256), default=1, show_default=True, metavar="N")
@click.option("--repeat", type=click.IntRange(1), default=3, show_default=True, metavar="N")
@shared
def bench(context: Context, lines: int, threads: int, repeat: int) -> None:
    """Measure the pace of this machine. On a simulated nation: the core alone, and files to
    files."""
    from switch.cli.bench import run_bench

    found = run_bench(context, lines, threads, repeat)

    def show() -> None:
        for text, figure in (("core", found["core"]), ("files to files", found["files_to_files"])):
            tell(f"{text:15} {figure['lines_per_second']:>13,} lines/s   digest {figure['digest']}")

    context.say(found, show)


COMMANDS = (exchange, generate, demo, bench)
