"""Coverage-guided fuzzing of every reader, with atheris.

    python tests/fuzz/run.py --seconds 600 [--targets csv dossier ...] [--corpus build/fuzz]

Each target runs in processes of its own, for a decoder that aborts takes its process with it: the
file is kept, and another process goes on. What was found is tried once more in a fresh process, and
stands in CORPUS/TARGET/found; what is ours to answer for goes into tests/fuzz/cases/TARGET with its
repair, and tests/house/test_fuzz.py reads it ever after. Exit code 1: something was found.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
HANG_SECONDS = 20
INPUT_BYTES_MAX = 1 << 16
MEMORY_MIB = 3000
DIED = re.compile(
    r"(?:^|\n)(\w[\w.]*(?:Error|Exception|Changed)\b[^\n]*)|Fatal Python error: ([^\n]*)"
)
EXECUTIONS = re.compile(r"^(?:#(\d+)\t|stat::number_of_executed_units:\s*(\d+))", re.MULTILINE)


def child(target: str, corpus: Path, found: Path, work: Path, seconds: int) -> None:
    """Fuzz in this process until the time is over or something is found. It never returns, so the
    folder of its home is the caller's to remove."""
    import atheris

    with atheris.instrument_imports(include=["switch"]):
        import targets

        from switch.files import airlock, airlock_child

    through_child = airlock._send

    def send(request: bytes, file: int) -> int:
        if json.loads(request)["form"] != "csv":
            return through_child(request, file)
        reply = os.memfd_create("answer")
        ours = os.dup(reply)
        airlock_child._answer(json.loads(request), file, reply)
        os.lseek(ours, 0, os.SEEK_SET)
        return ours

    # Text is decoded here, so that the fuzzer sees the branches. Of Parquet and Arrow it would see
    # none, and they are what kills a process: they keep their child.
    airlock_child._limit = lambda memory: None
    airlock._send = send
    bench = targets.Bench(work, target)
    # The bytes stay: libFuzzer writes them before the process goes.
    words = [sys.argv[0], f"-artifact_prefix={found}/", f"-max_total_time={seconds}"]
    words += [f"-timeout={HANG_SECONDS}", f"-rss_limit_mb={MEMORY_MIB}"]
    words += [f"-max_len={INPUT_BYTES_MAX}", f"-dict={HERE / 'words.dict'}"]
    words += ["-print_final_stats=1", str(corpus)]
    atheris.Setup(words, lambda data: targets.feed(target, bench, data))
    atheris.Fuzz()


def replay(target: str, path: Path) -> str:
    """How one file ends in a fresh process; '' where it is read or refused as it should be."""
    command = [sys.executable, "-X", "faulthandler", str(HERE / "run.py"), "--replay", target]
    try:
        done = subprocess.run(
            [*command, str(path)],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=5 * HANG_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"no end after {5 * HANG_SECONDS} s"
    if done.returncode == 0:
        return ""
    said = [a or b for a, b in DIED.findall(done.stderr)]
    frames = re.findall(r'File "[^"]*/(\w+/\w+\.py)", line (\d+)', done.stderr)
    # faulthandler shows the innermost frame first, a traceback last.
    frame = frames[0 if done.returncode < 0 else -1] if frames else ("?", "?")
    words = said[-1] if said else done.stderr[-300:]
    return f"exit {done.returncode}, {words} at {':'.join(frame)}"


def fuzz(target: str, seconds: int, folder: Path) -> tuple[int, int, dict[str, list[Path]]]:
    """(executions, processes that ended early, files by how they end) of one target."""
    import targets

    corpus, found = folder / target / "corpus", folder / target / "found"
    for path in (corpus, found):
        path.mkdir(parents=True, exist_ok=True)
    made = folder / target / "seeds"
    made.mkdir(exist_ok=True)
    known = HERE / "cases" / target
    seeds = targets.TARGETS[target].seeds(made)
    seeds += [path.read_bytes() for path in (known.iterdir() if known.is_dir() else ())]
    for data in seeds:
        (corpus / targets.case_name(data)).write_bytes(data)
    shutil.rmtree(made)
    executions = stopped = 0
    end = time.monotonic() + seconds
    while (left := int(end - time.monotonic())) > 0:
        command = [sys.executable, str(HERE / "run.py"), "--child", target, str(corpus), str(found)]
        log = folder / target / "log"
        with (
            targets.work_folder() as work,
            log.open("w", encoding="utf-8") as out,
            contextlib.suppress(subprocess.TimeoutExpired),
        ):
            subprocess.run(
                [*command, work, str(left)],
                stdout=out,
                stderr=subprocess.STDOUT,
                timeout=left + 60,
                check=False,
                cwd=folder / target,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path[1:])},
            )
        numbers = EXECUTIONS.findall(log.read_text("utf-8", "replace"))
        executions += max((int(a or b) for a, b in numbers), default=0)
        if end - time.monotonic() > 5:
            stopped += 1
    ends: dict[str, list[Path]] = {}
    for path in sorted(found.iterdir()):
        how = replay(target, path)
        if how:
            ends.setdefault(how, []).append(path)
    return executions, stopped, ends


def main() -> None:
    if "--child" in sys.argv:
        target, corpus, found, work, seconds = sys.argv[2:7]
        child(target, Path(corpus), Path(found), Path(work), int(seconds))
        return
    sys.path[:0] = [str(HERE)]
    import targets

    if "--replay" in sys.argv:
        with targets.work_folder() as work:
            targets.feed(
                sys.argv[2], targets.Bench(Path(work), sys.argv[2]), Path(sys.argv[3]).read_bytes()
            )
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=600, help="for each target")
    parser.add_argument("--targets", nargs="*", default=list(targets.TARGETS))
    parser.add_argument("--corpus", type=Path, default=HERE.parents[1] / "build/fuzz")
    options = parser.parse_args()
    try:
        import atheris  # noqa: F401
    except ImportError as error:
        raise SystemExit(f"NOT FUZZED: atheris is not installed ({error})") from error
    bad = 0
    for target in options.targets:
        executions, stopped, ends = fuzz(target, options.seconds, options.corpus.resolve())
        print(f"{target:14} {executions:9,} executions, {stopped} early ends", flush=True)
        for how, paths in ends.items():
            bad += 1
            print(f"    {len(paths)} x {how}: {paths[0]}", flush=True)
    raise SystemExit(bad > 0)


if __name__ == "__main__":
    main()
