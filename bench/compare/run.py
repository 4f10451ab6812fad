"""Runs the comparison: every tool, the same files, interleaved, one table and one picture.

    python -m bench.compare.run --lines 1000000 --threads 1 --repeat 5 --forms memory,files,cold

Repetitions of the tools take turns, so that a slow hour of the machine hits all alike. Answers must
agree to the bit, or the run fails. Results of earlier runs on other sizes stay in results.json and
in the picture; a new run replaces its own.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ("switch", "numpy", "polars", "duckdb", "pandas", "python", "light")
FORMS = ("memory", "names", "files", "ipc", "cold")
PYTHON_LINES_MAX = 1_000_000
DETAIL_LINES_MAX = 2_000_000
SEED = 11
GIB = 1 << 30
BYTES_PER_LINE = {
    "switch": 350,
    "numpy": 600,
    "polars": 900,
    "duckdb": 800,
    "pandas": 700,
    "python": 3200,
    "light": 400,
}
"""Expected peak of a worker before one was seen, besides 0.3 GiB; lines as many as people."""


class Disagreement(Exception):
    """Two tools gave different answers: no time of theirs means anything."""


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lines", type=int, nargs="+", default=[1_000_000])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--forms", default="memory,names,files,ipc,cold")
    parser.add_argument("--tools", default=",".join(TOOLS))
    parser.add_argument(
        "--data",
        type=Path,
        default=ROOT / "build" / "compare" / "data",
        help="where nations stand, DIR/<lines>; made where missing",
    )
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "compare")
    parser.add_argument("--docs", type=Path, help="write benchmarks.md and its picture there")
    parser.add_argument("--memory-gib", type=float, default=16.0)
    parser.add_argument(
        "--evict", action="store_true", help="form cold: drop the inputs from the page cache first"
    )
    parser.add_argument("--quick", action="store_true", help="100,000 lines, one repetition")
    parser.add_argument("--report", action="store_true", help="measure nothing, only write again")
    args = parser.parse_args()
    if args.docs and not args.docs.is_dir():
        parser.error(f"--docs {args.docs} is no folder: make it, or name the one that is meant")
    if args.quick:
        args.lines, args.repeat = [100_000], 1
    args.forms = args.forms.split(",")
    args.tools = args.tools.split(",")
    unknown = {*args.forms} - {*FORMS} | {*args.tools} - {*TOOLS}
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    return args


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def environment(threads: int) -> dict[str, str]:
    """The child's: our packages, and as many threads as everybody has."""
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH", "")])
    names = (
        "POLARS_MAX_THREADS",
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
    )
    return {**os.environ, "PYTHONPATH": path, **dict.fromkeys(names, str(threads))}


def worker_command(tool: str, form: str, data: Path, threads: int, *more: str) -> list[str]:
    return [
        sys.executable,
        "-m",
        "bench.compare.worker",
        "--tool",
        tool,
        "--form",
        form,
        "--data",
        str(data),
        "--threads",
        str(threads),
        *more,
    ]


def call(command: list[str], threads: int) -> str:
    """What a helper process says; its complaints are ours."""
    done = subprocess.run(
        command, cwd=ROOT, env=environment(threads), stdout=subprocess.PIPE, text=True, check=True
    )
    return done.stdout


def nation(root: Path, lines: int) -> Path:
    """A folder with the files of `switch generate` and the engine's home, made once."""
    folder = root / str(lines)
    if not (folder / "payday.dossier.json").exists():
        say(f"generating {lines:,} lines and people in {folder}")
        folder.mkdir(parents=True, exist_ok=True)
        # No line is for a month before: of people who died since, the other tools know no months.
        made = "rates=switch.sim.world.nation.DEFAULT_RATES._replace(arrears=0.0)"
        words = f"{str(folder)!r}, {lines}, {lines}, {SEED}, {made}"
        call([sys.executable, "-c", f"import switch.sim.world.nation; switch.generate({words})"], 2)
    home = folder / "home"
    sources = [*(ROOT / "src" / "switch").glob("*.py"), *(ROOT / "src" / "switch").glob("*.so")]
    if home.exists() and home.stat().st_mtime < max(s.stat().st_mtime for s in sources):
        shutil.rmtree(home)  # another engine made it
    if not home.exists():
        say("loading the engine's home")
        call(worker_command("switch", "home", folder, 2), 2)
    return folder


class Worker:
    """One tool in one form, alive between repetitions as long as memory allows."""

    def __init__(self, tool: str, form: str, folder: Path, lines: int, threads: int) -> None:
        self.tool, self.form, self.folder, self.threads = tool, form, folder, threads
        self.lines = lines
        self.expected = BYTES_PER_LINE[tool] * lines + 0.3 * GIB
        self.missing = ""
        self.version = ""
        self.load = 0.0
        self.repetitions: list[dict[str, Any]] = []
        self._process: subprocess.Popen[str] | None = None

    @property
    def alive(self) -> bool:
        return self._process is not None

    def start(self) -> None:
        more = ["--detail"] if self.lines <= DETAIL_LINES_MAX else []
        self._process = subprocess.Popen(
            worker_command(
                self.tool,
                self.form,
                self.folder,
                self.threads,
                "--out",
                str(self.folder / "work"),
                *more,
            ),
            cwd=ROOT,
            env=environment(self.threads),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        said = self._hear()
        if "missing" in said:
            self.missing = said["missing"]
            self.stop()
            return
        self.version, self.load = said["version"], said["load"]
        self.expected = max(said["peak"], said["rss"] * 1.2)

    def go(self) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        done = self._hear()
        self.expected = max(self.expected, done["peak"])
        self.repetitions.append(done)

    def _hear(self) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            self._process = None
            raise RuntimeError(f"{self.tool} ({self.form}) ended with exit code {code}")
        said: dict[str, Any] = json.loads(line)
        return said

    def stop(self) -> None:
        if self._process is not None:
            self._process.communicate("")
            self._process = None


def measure_warm(workers: list[Worker], repeat: int, budget: float) -> None:
    """Repetitions in turns; each round begins with another tool."""
    try:
        for turn in range(repeat):
            shift = turn % max(len(workers), 1)
            for worker in workers[shift:] + workers[:shift]:
                if worker.missing:
                    continue
                if not worker.alive:
                    others = sorted((w for w in workers if w.alive), key=lambda w: -w.expected)
                    while others and sum(w.expected for w in others) + worker.expected > budget:
                        others.pop(0).stop()
                    worker.start()
                    if worker.missing:
                        say(f"  {worker.tool}: left out, {worker.missing}")
                        continue
                worker.go()
                done = worker.repetitions[-1]
                say(f"  {worker.form:7} {worker.tool:7} {done['wall']:9.3f} s")
    finally:
        for worker in workers:
            worker.stop()


def measure_cold(workers: list[Worker], repeat: int, *, evict: bool) -> None:
    """A fresh process each time; its whole life is on the clock."""
    for turn in range(repeat):
        shift = turn % max(len(workers), 1)
        for worker in workers[shift:] + workers[:shift]:
            if worker.missing:
                continue
            work = Path(tempfile.mkdtemp(prefix="cold-", dir=worker.folder / "work"))
            try:
                cold_once(worker, work, evict=evict)
            finally:
                shutil.rmtree(work, ignore_errors=True)
            done = worker.repetitions[-1]
            say(f"  {worker.form:7} {worker.tool:7} {done['wall']:9.3f} s")


def cold_once(worker: Worker, work: Path, *, evict: bool) -> None:
    out = work / "out"
    out.mkdir()
    if worker.tool == "switch":
        home = work / "home"
        copy_home(worker.folder / "home", home)
        table = worker.folder / "payday.parquet"
        command = [
            sys.executable,
            "-m",
            "switch",
            "--quiet",
            "run",
            str(home),
            str(table),
            "--out",
            str(out),
            "--threads",
            str(worker.threads),
        ]
    else:
        command = worker_command(
            worker.tool, "cold", worker.folder, worker.threads, "--once", "--out", str(out)
        )
    if evict:
        evict_files([*worker.folder.glob("*.parquet"), *work.rglob("*")])
    begun = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment(worker.threads), stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{worker.tool} (cold) ended with exit code {process.returncode}")
    said = call(
        worker_command(worker.tool, "check", worker.folder, worker.threads, "--out", str(out)), 2
    )
    checked = json.loads(said)
    worker.version = checked.pop("version")
    unit = 1 if sys.platform == "darwin" else 1024
    worker.repetitions.append(
        {
            "wall": wall,
            "cpu": usage.ru_utime + usage.ru_stime,
            "peak": usage.ru_maxrss * unit,
            "base": 0,
            **checked,
        }
    )


def copy_home(home: Path, to: Path) -> None:
    """A home of its own: registers never change and are linked, the rest is copied."""

    def copy(source: str, target: str) -> None:
        if "registers" in Path(source).relative_to(home).parts:
            os.link(source, target)
        else:
            shutil.copy2(source, target)

    shutil.copytree(home, to, copy_function=copy)


def evict_files(paths: list[Path]) -> None:
    """Drop files from the page cache, where the system lets us."""
    if not hasattr(os, "posix_fadvise"):
        return
    for path in paths:
        if path.is_file():
            handle = os.open(path, os.O_RDONLY)
            try:
                os.fsync(handle)
                os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(handle)


def require_agreement(workers: list[Worker], known: dict[str, str]) -> None:
    """Every repetition of every tool has one answer. known: digests of this nation so far."""
    for worker in workers:
        for done in worker.repetitions:
            for kind in ("digest", "detail"):
                value = done.get(kind, "")
                if not value:
                    continue
                key = kind if kind == "digest" else f"{kind} {_same_detail(worker.form)}"
                holder = f"{worker.tool} ({worker.form})"
                first = known.setdefault(key, f"{value} {holder}")
                if first.partition(" ")[0] != value:
                    raise Disagreement(
                        f"{holder} answers {kind} {value[:16]}, {first.partition(' ')[2]} "
                        f"answered {first[:16]}; counts {done.get('counts')}"
                    )


def _same_detail(form: str) -> str:
    return "files" if form in ("files", "cold", "ipc") else "memory"


def measure(args: argparse.Namespace, lines: int) -> list[dict[str, Any]]:
    """All forms and tools at one size."""
    folder = nation(args.data, lines)
    (folder / "work").mkdir(exist_ok=True)
    known: dict[str, str] = {}
    entries = []
    for form in args.forms:
        workers = []
        for tool in args.tools:
            if tool == "light" and form != "memory":
                continue
            worker = Worker(tool, form, folder, lines, args.threads)
            if tool == "python" and lines > PYTHON_LINES_MAX:
                say(f"  python: left out above {PYTHON_LINES_MAX:,} lines")
            elif worker.expected > args.memory_gib * GIB:
                say(f"  {tool}: left out, may need {worker.expected / GIB:.0f} GiB")
            else:
                workers.append(worker)
        say(f"{lines:,} lines, {form}, {args.threads} thread(s)")
        if form == "cold":
            measure_cold(workers, args.repeat, evict=args.evict)
        else:
            measure_warm(workers, args.repeat, args.memory_gib * GIB)
        require_agreement(workers, known)
        entries += [entry_of(w, lines, args) for w in workers if w.repetitions]
    return entries


def entry_of(worker: Worker, lines: int, args: argparse.Namespace) -> dict[str, Any]:
    """Medians of one tool in one form."""
    done = worker.repetitions
    wall = statistics.median(d["wall"] for d in done)
    entry = {
        "lines": lines,
        "form": worker.form,
        "tool": worker.tool,
        "threads": args.threads,
        "version": worker.version,
        "repetitions": len(done),
        "load": worker.load,
        "evicted": bool(args.evict and worker.form == "cold"),
        "wall": wall,
        "wall_min": min(d["wall"] for d in done),
        "wall_max": max(d["wall"] for d in done),
        "cpu": statistics.median(d["cpu"] for d in done),
        "peak": max(d["peak"] for d in done),
        "grown": max(d["peak"] - d["base"] for d in done),
        "lines_per_second": lines / wall,
        "digest": done[-1].get("digest", ""),
        "counts": done[-1].get("counts", {}),
    }
    if "measures" in done[-1]:
        names = done[-1]["measures"]
        entry["measures"] = {n: statistics.median(d["measures"][n] for d in done) for n in names}
    return entry


def machine() -> dict[str, Any]:
    model = platform.processor() or platform.machine()
    memory = 0
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (OSError, ValueError):
        pass
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "memory_gib": round(memory / GIB, 1),
        "kernel": f"{platform.system()} {platform.release().partition('-')[0]}",
        "python": platform.python_version(),
        "load_average": [round(x, 2) for x in os.getloadavg()],
        "measured_on": datetime.date.today().isoformat(),
    }


def main() -> None:
    args = parse()
    args.out.mkdir(parents=True, exist_ok=True)
    results = args.out / "results.json"
    kept: list[dict[str, Any]] = []
    paydays: list[dict[str, Any]] = []
    where = machine()
    if results.exists():
        before = json.loads(results.read_text("utf-8"))
        if before["machine"]["cpu"] == where["cpu"]:
            kept, paydays = before["entries"], before.get("nation", [])
        if args.report:
            where = before["machine"]
    entries: list[dict[str, Any]] = []
    if not args.report:
        for lines in args.lines:
            try:
                entries += measure(args, lines)
            except Disagreement as wrong:
                raise SystemExit(f"ANSWERS DIFFER: {wrong}") from wrong
    # A table is of one run: tools that were left out of it do not stay from another.
    key = ("lines", "form", "threads")
    fresh = {tuple(e[k] for k in key) for e in entries}
    whole = [e for e in kept if tuple(e[k] for k in key) not in fresh] + entries
    whole.sort(key=lambda e: (e["lines"], e["threads"], FORMS.index(e["form"]), e["wall"]))
    results.write_text(
        json.dumps({"machine": where, "entries": whole, "nation": paydays}, indent=1), "utf-8"
    )

    from . import report

    report.print_table(entries or whole)
    report.draw(whole, args.out / "benchmarks")
    if args.docs:
        picture = args.out / "benchmarks.svg"
        if picture.exists():
            shutil.copy2(picture, args.docs / picture.name)
        report.write_page(where, whole, args.docs / "benchmarks.md", paydays)


if __name__ == "__main__":
    main()
