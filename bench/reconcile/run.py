"""Runs the comparison: every tool, the same files, repetitions in turns, one table.

    python -m bench.reconcile.run --records 1000000 --threads 1 --repeat 5
    python -m bench.reconcile.run --payday 1000000

Each tool lives in a process of its own. Answers must be the same to the last record, and those of
the generator, or the run fails. --payday: clearing files that simulated receivers answer; what they
did (truth.parquet) must be what the breaks say.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FORMS = ("memory", "files")


def worker(args: argparse.Namespace) -> None:
    """One tool in one form: for each line on stdin the job once, and one JSON line about it."""
    from bench.compare.worker import limit_threads, memory, reset_peak

    limit_threads(args.threads)
    from .job import Job, counts, digest, peer_of

    try:
        import pyarrow as pa

        pa.set_cpu_count(args.threads)
        peer: Any = peer_of(args.worker, Job(args.data), args.threads)
    except ImportError as error:
        print(json.dumps({"missing": str(error)}), flush=True)
        return
    if args.form == "memory":
        peer.load()
    print(json.dumps({"version": peer.version()}), flush=True)
    for _ in sys.stdin:
        reset_peak()
        cpu, wall = time.process_time(), time.perf_counter()
        answer = peer.solve()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        done = {"wall": wall, "cpu": cpu, "peak": memory()["peak"]}
        print(json.dumps({**done, "digest": digest(answer), "counts": counts(answer)}), flush=True)


class Tool:
    """A worker process and what it said."""

    def __init__(self, name: str, form: str, data: Path, threads: int) -> None:
        self.name, self.form = name, form
        self.done: list[dict[str, Any]] = []
        path = os.pathsep.join([str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH", "")])
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "bench.reconcile.run", "--worker", name,
             "--form", form, "--data", str(data), "--threads", str(threads)],
            cwd=ROOT, env={**os.environ, "PYTHONPATH": path}, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.first = self._hear()

    def go(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        self.done.append(self._hear())

    def _hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ({self.form}) ended with {self._process.wait()}")
        said: dict[str, Any] = json.loads(line)
        return said

    def stop(self) -> None:
        self._process.communicate("")


def measure(data: Path, form: str, args: argparse.Namespace) -> list[dict[str, Any]]:
    """All tools in one form, in turns."""
    tools = [Tool(name, form, data, args.threads) for name in args.tools.split(",")]
    tools = [tool for tool in tools if "missing" not in tool.first]
    try:
        for turn in range(args.repeat):
            shift = turn % len(tools)
            for tool in tools[shift:] + tools[:shift]:
                tool.go()
                print(f"  {form:7} {tool.name:7} {tool.done[-1]['wall']:8.3f} s", file=sys.stderr)
    finally:
        for tool in tools:
            tool.stop()
    digests = {done["digest"] for tool in tools for done in tool.done}
    if len(digests) != 1:
        said = {tool.name: tool.done[-1]["counts"] for tool in tools}
        raise SystemExit(f"the tools disagree: {json.dumps(said, indent=1)}")
    return [
        {
            "tool": tool.name,
            "version": tool.first["version"],
            "form": form,
            "threads": args.threads,
            "repetitions": args.repeat,
            "digest": tool.done[0]["digest"],
            "counts": tool.done[0]["counts"],
            "peak": max(done["peak"] for done in tool.done),
            **{
                name: statistics.median(done[name] for done in tool.done)
                for name in ("wall", "cpu")
            },
        }
        for tool in tools
    ]


def table(results: list[dict[str, Any]], records: int) -> str:
    """One Markdown table a form; ratios are to the engine."""
    out = []
    for form in FORMS:
        rows = [r for r in results if r["form"] == form]
        own = next((r for r in rows if r["tool"] == "switch"), None)
        if own is None:
            continue
        out += [
            f"**{form}**, {records:,} lines, {own['threads']} thread(s), medians of"
            f" {own['repetitions']}, digest `{own['digest'][:12]}`",
            "",
            "| tool | M lines/s | wall s | CPU s | peak GiB | wall : switch | CPU : switch |",
            "|---|---:|---:|---:|---:|---:|---:|",
            *(
                f"| {r['tool']} {r['version']} | {records / r['wall'] / 1e6:.2f} | {r['wall']:.3f}"
                f" | {r['cpu']:.3f} | {r['peak'] / 2**30:.2f} | {r['wall'] / own['wall']:.2f}"
                f" | {r['cpu'] / own['cpu']:.2f} |"
                for r in sorted(rows, key=lambda r: r["wall"])
            ),
            "",
        ]
    return "\n".join(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--payday", type=int, metavar="LINES", help="the payday form instead")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--forms", default="memory,files")
    parser.add_argument("--tools", default="switch,polars,duckdb,pandas")
    parser.add_argument("--data", type=Path, default=ROOT / "build" / "reconcile")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--form", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        worker(args)
        return
    from . import generator, job, payday

    records = args.payday or args.records
    data = args.data / f"{'payday' if args.payday else 'sides'}-{records}"
    if args.payday:
        if not (data / "out" / "truth.parquet").exists():
            payday.generate(data, records, seed=1)
        payday.require_truth(data)
    elif not (data / "truth.parquet").exists():
        generator.generate(data, records, seed=1)
    results = []
    for form in args.forms.split(","):
        results += measure(data, form, args)
    if not args.payday:
        known = job.digest(job.truth(job.Job(data)))
        assert {r["digest"] for r in results} == {known}, "the answer is not the truth"
    text = table(results, records)
    stamp = datetime.datetime.now(datetime.UTC).isoformat(timespec="minutes")
    (data / "results.json").write_text(json.dumps({"at": stamp, "results": results}), "utf-8")
    print(text)


if __name__ == "__main__":
    main()
