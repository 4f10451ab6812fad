"""What the comparison shows: one table, one picture, one page."""

from __future__ import annotations

import sys
from itertools import groupby
from pathlib import Path
from typing import Any

COLORS = {
    "switch": "#c2410c",
    "numpy": "#2563eb",
    "polars": "#0891b2",
    "duckdb": "#a16207",
    "pandas": "#7c3aed",
    "python": "#64748b",
    "light": "#9ca3af",
}
TITLES = {
    "memory": "columns in memory, name keys given",
    "names": "columns in memory, names as text",
    "files": "Parquet to Parquet, register open",
    "ipc": "the engine Arrow IPC to Arrow IPC, peers Parquet",
    "cold": "a fresh process, files to files",
}
NO_PEER = ("switch", "light")
GIB = 1 << 30


def ratios(entries: list[dict[str, Any]]) -> dict[tuple[Any, ...], dict[str, Any]]:
    """By (lines, threads, form): the engine against the best peer, in time and in peak memory."""
    out = {}
    for key, group in groups(entries):
        by_tool = {e["tool"]: e for e in group}
        peers = [e for e in group if e["tool"] not in NO_PEER]
        ours = by_tool.get("switch")
        if ours is None or not peers:
            continue
        best = min(peers, key=lambda e: e["wall"])
        least = min(peers, key=lambda e: e["peak"])
        out[key] = {
            "best": best["tool"],
            "faster": best["wall"] / ours["wall"],
            "cheaper": min(peers, key=lambda e: e["cpu"])["cpu"] / ours["cpu"],
            "of_best_peak": ours["peak"] / best["peak"],
            "least": least["tool"],
            "of_least_peak": ours["peak"] / least["peak"],
            "of_light": by_tool["light"]["wall"] / ours["wall"] if "light" in by_tool else None,
        }
    return out


def groups(entries: list[dict[str, Any]]) -> Any:
    """((lines, threads, form), entries) in the order in which they come."""
    for key, group in groupby(entries, lambda e: (e["lines"], e["threads"], e["form"])):
        yield key, list(group)


def rows_of(group: list[dict[str, Any]]) -> list[list[str]]:
    """Cells of a table, fastest first."""
    ours = next((e for e in group if e["tool"] == "switch"), None)
    rows = []
    for e in sorted(group, key=lambda e: e["wall"]):
        behind = e["wall"] / ours["wall"] if ours else None
        rows.append(
            [
                e["tool"],
                f"{e['lines_per_second'] / 1e6:.2f}",
                f"{1e9 * e['wall'] / e['lines']:.0f}",
                f"{e['wall']:.3f} ({e['wall_min']:.3f}-{e['wall_max']:.3f})",
                f"{e['cpu']:.3f}",
                f"{e['peak'] / GIB:.2f}",
                f"{e['grown'] / GIB:.2f}" if e["form"] != "cold" else "",
                f"{behind:.2f}" if behind else "",
            ]
        )
    return rows


HEADS = [
    "tool",
    "M lines/s",
    "ns/line",
    "wall s, median (min-max)",
    "CPU s",
    "peak GiB",
    "grown by GiB",
    "wall : switch",
]


def print_table(entries: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="The same job, the same answer", title_justify="left")
    for i, head in enumerate(HEADS):
        table.add_column(head, justify="left" if i == 0 else "right")
    for (lines, threads, form), group in groups(entries):
        table.add_section()
        table.add_row(
            f"[bold]{form}[/bold]",
            f"{lines:,}",
            f"{threads} thr.",
            TITLES[form],
            *[""] * (len(HEADS) - 4),
        )
        for row in rows_of(group):
            table.add_row(*row, style="bold" if row[0] == "switch" else None)
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(table)
    for (lines, threads, form), r in ratios(entries).items():
        light = f"; {r['of_light']:.0%} of the bare loop's speed" if r["of_light"] else ""
        console.print(
            f"{form}, {lines:,} lines, {threads} thread(s): switch is {r['faster']:.2f} times the "
            f"best peer ({r['best']}; by CPU time {r['cheaper']:.2f}), at {r['of_best_peak']:.2f} "
            f"of its peak memory{light}"
        )
    for e in entries:
        if "measures" in e:
            m = e["measures"]
            console.print(
                f"light, {e['lines']:,} lines: read {m['read_gb_s']:.1f} GB/s, "
                f"memcpy {m['memcpy_gb_s']:.1f} GB/s, {m['probe_m_s']:.0f} M probes/s"
            )


def draw(entries: list[dict[str, Any]], path: Path) -> None:
    """path.svg and path.png: lines/s by tool and form; cost per line against table size."""
    try:
        import matplotlib
    except ImportError:
        print("no picture: matplotlib is not installed", file=sys.stderr)
        return
    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "switch"
    from matplotlib import pyplot as plt

    threads = max((e["threads"] for e in entries), key=lambda t: _weight(entries, t))
    shown = [e for e in entries if e["threads"] == threads]
    forms = [f for f in TITLES if any(e["form"] == f for e in shown)]
    figure = plt.figure(figsize=(11, 1.2 + 1.55 * max(len(forms), 2)), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1.05))
    axes = left.subplots(len(forms), 1, squeeze=False)[:, 0]
    for axis, form in zip(axes, forms, strict=True):
        _bars(axis, [e for e in shown if e["form"] == form], form)
    axes[-1].set_xlabel("million lines a second")
    _costs(right.subplots(), shown)
    figure.suptitle(f"The same job in different tools, {threads} thread(s)", x=0.01, ha="left")
    figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})
    figure.savefig(path.with_suffix(".png"), dpi=130)
    plt.close(figure)


def _weight(entries: list[dict[str, Any]], threads: int) -> tuple[int, int]:
    of_threads = [e for e in entries if e["threads"] == threads]
    return max(e["lines"] for e in of_threads), len(of_threads)


def _bars(axis: Any, entries: list[dict[str, Any]], form: str) -> None:
    """The largest table at which the engine was measured with a peer."""
    sizes = {e["lines"] for e in entries if e["tool"] not in NO_PEER} or {
        e["lines"] for e in entries
    }
    bars = sorted(
        (e for e in entries if e["lines"] == max(sizes)), key=lambda e: e["lines_per_second"]
    )
    rates = [e["lines_per_second"] / 1e6 for e in bars]
    axis.barh(range(len(bars)), rates, color=[COLORS[e["tool"]] for e in bars], height=0.75)
    axis.set_yticks(range(len(bars)), [e["tool"] for e in bars], fontsize=8)
    for place, rate in enumerate(rates):
        axis.text(
            rate, place, f" {rate:.2g}" if rate < 10 else f" {rate:.0f}", va="center", fontsize=7
        )
    axis.set_xlim(0, max(rates) * 1.12)
    axis.tick_params(axis="x", labelsize=7)
    axis.spines[["top", "right"]].set_visible(False)
    axis.set_title(f"{TITLES[form]} - {max(sizes):,} lines", fontsize=9, loc="left")


def _costs(axis: Any, entries: list[dict[str, Any]]) -> None:
    ends = []
    for form, style in (("memory", "-"), ("files", "--")):
        for tool, color in COLORS.items():
            points = sorted(
                (e["lines"], 1e9 * e["wall"] / e["lines"])
                for e in entries
                if e["tool"] == tool and e["form"] == form
            )
            if points:
                x, y = zip(*points, strict=True)
                axis.plot(x, y, style, color=color, marker="o", markersize=4, linewidth=1.6)
                ends.append((y[-1], x[-1], tool, color))
    axis.set_xscale("log")
    axis.set_yscale("log")
    low, high = axis.get_ylim()
    # Names stand beside the ends of their lines, moved apart where they would touch.
    last = 0.0
    apart = (high / low) ** (1 / 26)
    for y, x, tool, color in sorted(ends):
        last = max(y, last * apart)
        axis.annotate(tool, (x, y), (x * 1.12, last), fontsize=7, color=color, va="center")
    largest = max((e["lines"] for e in entries), default=10**6)
    axis.set_xlim(5e4, max(2e6, largest * 2.5))
    axis.set_xlabel("lines (as many people)")
    axis.set_ylabel("ns a line")
    axis.grid(True, which="major", linewidth=0.4, alpha=0.5)
    axis.spines[["top", "right"]].set_visible(False)
    axis.set_title(
        "cost of a line against table size: in memory (solid), files (dashed)",
        fontsize=9,
        loc="left",
    )


PAGE = """# Benchmarks

Written by `python -m bench.compare.run --docs docs`; the next run writes it again. What the job is
and how each tool does it stands in `bench/compare/`: job.py defines it, one file a tool does it.
Every figure is the median of repetitions in which the tools took turns, in one run on one machine,
with the same number of threads; figures of different sections are from different minutes and are
not to be divided. All tools gave the same answer to the bit: reason of every line, positions, and
in the forms with files every column of every file.

![lines a second by tool, and cost of a line against table size](benchmarks.svg)

## Machine and versions

{machine}

{versions}

## The engine against the best peer

{ratios}

{tables}

{light}
{nation}{kept}## What is left out

- **memory, names**: reading and decoding files, looking codes up, and making the register ready,
  for everyone. The register stands in whatever form serves a tool best: hash tables of people in
  numpy and pandas and who was paid are made with it; DuckDB and Polars have no hash table that
  outlives a query and build theirs in the clock. In *memory* the 64-bit name keys of lines are
  given to everyone.
- Every tool has as many cores as threads. The engine decodes files of others in a child, whose work
  is in the wall time and not in its CPU time.
- **files**: opening the register. The engine besides checks the table's SHA-256, control totals,
  line numbers and UTF-8, writes what `verify` recomputes from (lines, held lines, paid bits),
  hashes and syncs every file, commits, and copies the answer to the out folder; peers do none of
  that, and none could be restarted after a crash. Inputs are in the page cache.
- **cold**: the same; the engine opens its HOME, peers read and prepare registers from Parquet. The
  page cache is warm{evicted}.
- **ipc**: peers read and write Parquet here as in *files*; their Arrow roads are not measured.
- Names are normalised by one function in numpy (job.py) for all peers, once per distinct spelling;
  it is faster than what DuckDB, Polars and Arrow offer for it.
- The bare loop (light.c) reads and writes the same memory and decides nothing; it is no peer.
- Plain Python runs up to 1,000,000 lines. Memory is the resident peak of the process; `grown by` is
  that above what was loaded before. Clearing files are Parquet, not ISO 20022.
"""


TIMELINE = "A citizen's timeline"
"""Title of the section of `python -m bench.timeline`, which is written by hand."""

NATION = """## A nation's payday

The engine alone, each step a process of its own, sizes measured one after the other in one run
with {threads} threads; load average at the end {load:.1f}. To repeat it, with 24 GiB of memory and
40 GB of disk:

    python -m bench.compare.national --lines {sizes} --data DIR --docs docs

{table}

"""


def nation_section(paydays: list[dict[str, Any]]) -> str:
    """The table of a nation's payday: empty where none was measured."""
    if not paydays:
        return ""
    lines = [
        "| lines and people | step | wall s | CPU s | wall ns a line | CPU ns a line | peak GiB |",
        "|---:|---|---:|---:|---:|---:|---:|",
    ]
    for payday in paydays:
        count = payday["lines"]
        for name, used in payday["steps"].items():
            peak = f"{used['peak'] / GIB:.2f}" if used["peak"] else ""
            lines.append(
                f"| {count:,} | {name} | {used['wall']:.1f} | {used['cpu']:.1f} "
                f"| {1e9 * used['wall'] / count:.0f} | {1e9 * used['cpu'] / count:.0f} | {peak} |"
            )
    return NATION.format(
        threads=paydays[0]["threads"],
        load=paydays[-1]["load"],
        sizes=" ".join(str(p["lines"]) for p in paydays),
        table="\n".join(lines),
    )


def kept_section(path: Path, title: str) -> str:
    """A section of the page as it stands there: another benchmark measured it. Empty where there is
    none."""
    text = path.read_text("utf-8") if path.exists() else ""
    _, found, rest = text.partition(f"## {title}\n")
    return found + rest.partition("\n## ")[0] + "\n" if found else ""


def write_page(
    where: dict[str, Any],
    entries: list[dict[str, Any]],
    path: Path,
    paydays: list[dict[str, Any]] | None = None,
) -> None:
    """docs/benchmarks.md from results; paydays: what national.py measured."""
    versions = {e["tool"]: e["version"] for e in entries}
    machine = (
        f"{where['cpu']}, {where['cores']} cores, {where['memory_gib']} GiB; {where['kernel']}; "
        f"Python {where['python']}; load average {where['load_average'][0]} when the run began; "
        f"{where['measured_on']}."
    )
    if where["load_average"][0] > 1:
        machine += " The machine was busy with other work: CPU time says more than wall time."
    listed = "; ".join(
        f"{tool} {versions[tool]}" for tool in COLORS if versions.get(tool) and tool != "light"
    )
    lines = [
        "| form | lines | threads | times the best peer | by CPU time | peak memory : its "
        "| of the bare loop |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for (count, threads, form), r in ratios(entries).items():
        light = f"{r['of_light']:.0%}" if r["of_light"] else ""
        lines.append(
            f"| {form} | {count:,} | {threads} | {r['faster']:.2f} ({r['best']}) "
            f"| {r['cheaper']:.2f} | {r['of_best_peak']:.2f} | {light} |"
        )
    tables = []
    for (count, threads, form), group in groups(entries):
        tables.append(f"## {TITLES[form]}: {count:,} lines, {threads} thread(s)\n")
        tables.append(f"| {' | '.join(HEADS)} |\n|---|{'---:|' * (len(HEADS) - 1)}")
        tables += [f"| {' | '.join(row)} |" for row in rows_of(group)]
        runs = {e["repetitions"] for e in group}
        tables.append(
            f"\n{min(runs)} repetition(s); digest `{group[0]['digest'][:16]}`.\n"
            if group[0]["digest"]
            else f"\n{min(runs)} repetition(s).\n"
        )
    light = "".join(
        f"At {e['lines']:,} lines with {e['threads']} thread(s) this memory reads "
        f"{e['measures']['read_gb_s']:.1f} GB/s in sequence, copies "
        f"{e['measures']['memcpy_gb_s']:.1f} GB/s and answers {e['measures']['probe_m_s']:.0f} "
        "million random probes a second.\n\n"
        for e in entries
        if "measures" in e
    )
    light += "".join(
        f"At {count:,} lines with {threads} thread(s) the bare loop is "
        f"{r['faster'] / r['of_light']:.1f} times the best peer ({r['best']}) in memory: who "
        "decides and books besides stays below that.\n\n"
        for (count, threads, _), r in ratios(entries).items()
        if r["of_light"]
    )
    evicted = " unless the table says otherwise" if any(e["evicted"] for e in entries) else ""
    path.write_text(
        PAGE.format(
            machine=machine,
            versions=listed + ".",
            ratios="\n".join(lines),
            tables="\n".join(tables).rstrip(),
            evicted=evicted,
            nation=nation_section(paydays or []),
            kept=kept_section(path, TIMELINE),
            light=f"## The speed of light\n\n{light}" if light else "",
        ),
        "utf-8",
    )
