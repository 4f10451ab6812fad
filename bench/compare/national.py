"""A nation's payday with the engine alone: generate, register, open, run, verify, each a process.

    python -m bench.compare.national --lines 20000000 107000000 --data DIR --docs docs

Writes wall time, CPU time and peak memory of every step to build/compare/results.json, and the page
of the comparison anew. Sizes of one call are measured in one run, so their cost a line compares.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from . import report
from .run import machine, say

OPEN = """
import sys, time
import switch.engine
begun = time.perf_counter()
with switch.open(sys.argv[1]) as engine:
    engine.open_register()
print(time.perf_counter() - begun)
"""


def step(*command: str) -> dict[str, float]:
    """Run a process; wall and CPU seconds, and the bytes of its resident peak."""
    begun = time.perf_counter()
    process = subprocess.Popen([sys.executable, *command], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: exit {process.returncode}")
    return {
        "wall": time.perf_counter() - begun,
        "cpu": used.ru_utime + used.ru_stime,
        "peak": used.ru_maxrss * 1024,
    }


def payday(folder: Path, lines: int, threads: int) -> dict[str, Any]:
    """All steps at one size; the nation is kept, the home is not."""
    nation, home = folder / f"nation-{lines}", folder / f"home-{lines}"
    go = ("-m", "switch")
    steps = {}
    if not (nation / "truth.parquet").exists():
        shutil.rmtree(nation, ignore_errors=True)
        count = str(lines)
        size = ("--people", count, "--lines", count)
        steps["generate"] = step(*go, "generate", str(nation), *size, "--seed", "9", "--quiet")
    shutil.rmtree(home, ignore_errors=True)
    named = [f"--{name}={nation / f'{name}.csv'}" for name in ("participants", "debtors")]
    step(*go, "init", str(home), *named, "--quiet")
    registers = [
        f"--{name}={nation / f'{name}.parquet'}" for name in ("population", "accounts", "paid")
    ]
    steps["register"] = step(*go, "register", str(home), *registers, "--quiet")
    opened = subprocess.run(
        [sys.executable, "-c", OPEN, str(home)], capture_output=True, text=True, check=True
    )
    steps["open"] = {"wall": float(opened.stdout), "cpu": float(opened.stdout), "peak": 0}
    table = str(nation / "payday.parquet")
    steps["run"] = step(*go, "run", str(home), table, "--threads", str(threads), "--quiet")
    steps["verify"] = step(*go, "verify", str(home), "--quiet")
    shutil.rmtree(home)
    return {"lines": lines, "threads": threads, "steps": steps, "load": os.getloadavg()[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--lines", type=int, nargs="+", default=[20_000_000, 107_000_000])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--data", type=Path, default=Path("build/compare/nations"))
    parser.add_argument("--out", type=Path, default=Path("build/compare"))
    parser.add_argument("--docs", type=Path)
    args = parser.parse_args()
    if args.docs and not args.docs.is_dir():
        parser.error(f"--docs {args.docs} is no folder: make it, or name the one that is meant")
    args.out.mkdir(parents=True, exist_ok=True)
    args.data.mkdir(parents=True, exist_ok=True)
    results = args.out / "results.json"
    known = {"machine": machine(), "entries": []}
    if results.exists():
        known = json.loads(results.read_text("utf-8"))
    paydays = []
    for lines in args.lines:
        say(f"{lines:,} people and lines, {args.threads} thread(s)")
        paydays.append(payday(args.data, lines, args.threads))
        for name, used in paydays[-1]["steps"].items():
            say(
                f"  {name:9} {used['wall']:8.1f} s wall {used['cpu']:8.1f} s CPU "
                f"{1e9 * used['wall'] / lines:6.0f} ns a line {used['peak'] / report.GIB:6.2f} GiB"
            )
    known["nation"] = paydays
    results.write_text(json.dumps(known, indent=1), "utf-8")
    if args.docs:
        report.write_page(known["machine"], known["entries"], args.docs / "benchmarks.md", paydays)


if __name__ == "__main__":
    main()
