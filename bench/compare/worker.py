"""One tool in one form, in a process of its own.

    python -m bench.compare.worker --tool T --form F --data DIR --threads N [--detail]

Loads, outside the clock; says {"ready": ...}; then for each line "go" on stdin does the job once
and answers one JSON line: wall and CPU seconds, peak memory, digests, counts by reason. The clock
runs over the job alone: forgetting the last repetition and reading the answer stand outside.

With --once (the form cold) it loads and does the job in one go, files to --out, and exits: the
driver has the clock then. The form home makes the engine's home, the form check reads what files
in --out answer.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tool", required=True)
    parser.add_argument("--form", required=True)
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--detail", action="store_true")
    parser.add_argument("--once", action="store_true")
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def limit_threads(threads: int) -> None:
    """Before any tool is imported: most read this once."""
    for name in (
        "POLARS_MAX_THREADS",
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "NUMEXPR_NUM_THREADS",
        "ARROW_IO_THREADS",
    ):
        os.environ[name] = str(threads)
    # As many cores as threads, for whatever else a tool starts: the engine decodes in a child.
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def reset_peak() -> None:
    """Forget the peak so far (Linux; elsewhere the peak is that of the whole life)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def memory() -> dict[str, int]:
    """Resident bytes now and at most."""
    try:
        fields = dict(
            line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines()
        )
        return {
            "rss": int(fields["VmRSS"].split()[0]) << 10,
            "peak": int(fields["VmHWM"].split()[0]) << 10,
        }
    except (OSError, KeyError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        peak <<= 0 if sys.platform == "darwin" else 10
        return {"rss": peak, "peak": peak}


def repetition(peer: Any, form: str, folder: Path, *, detail: bool) -> dict[str, Any]:
    """One measured repetition."""
    from .job import counts, detail_digest, digest

    out = Path(tempfile.mkdtemp(prefix="rep-", dir=folder))
    try:
        peer.prepare(form, out)
        gc.collect()
        reset_peak()
        base = memory()["rss"]
        cpu, wall = time.process_time(), time.perf_counter()
        if form in ("files", "ipc"):
            peer.run_files(out)
        else:
            peer.screen(form)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        done: dict[str, Any] = {"wall": wall, "cpu": cpu, "base": base, **memory()}
        if peer.name == "light":
            return {**done, "measures": peer.measures()}
        if form in ("files", "ipc"):
            answer, of_files = peer.read_files(out)
            done["detail"] = of_files
        else:
            answer = peer.answer(cleared=detail)
            done["detail"] = detail_digest(answer)
        return {**done, "digest": digest(answer), "counts": counts(answer.reasons)}
    finally:
        shutil.rmtree(out, ignore_errors=True)


def main() -> None:
    args = arguments()
    limit_threads(args.threads)
    from .job import Job, peer_of

    try:
        import pyarrow as pa

        pa.set_cpu_count(args.threads)
        peer = peer_of(args.tool, Job(args.data), args.threads)
    except ImportError as error:
        print(json.dumps({"missing": str(error)}), flush=True)
        return
    if args.form == "home":
        peer.load_register("files")
        return
    if args.form == "check":
        from .job import counts, digest

        answer, detail = peer.read_files(args.out)
        done = {"digest": digest(answer), "detail": detail, "counts": counts(answer.reasons)}
        print(json.dumps({**done, "version": peer.version()}), flush=True)
        return
    if args.once:
        peer.load_register("files")
        peer.run_files(args.out)
        return
    # Only the engine writes Arrow IPC; beside it peers do the form files.
    form = "files" if args.form == "ipc" and args.tool != "switch" else args.form
    begun = time.perf_counter()
    peer.load_register(form)
    if form not in ("files", "ipc"):
        peer.load_lines(form)
    gc.collect()
    loaded = time.perf_counter() - begun
    ready = {"ready": True, "version": peer.version(), "load": loaded, **memory()}
    print(json.dumps(ready), flush=True)
    with tempfile.TemporaryDirectory(prefix="compare-", dir=args.out) as folder:
        for line in sys.stdin:
            if line.strip() != "go":
                break
            done = repetition(peer, form, Path(folder), detail=args.detail)
            print(json.dumps(done), flush=True)
        peer.close()


if __name__ == "__main__":
    main()
