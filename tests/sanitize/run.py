"""The tests on a core built under AddressSanitizer and UndefinedBehaviorSanitizer.

    python tests/sanitize/run.py [ARGUMENTS OF PYTEST]      default: tests but for SWEEPS

Without arguments each room of tests has a run of its own, and each file of tests/whole: workers
slow down for as long as they live (see malloc_context_size below), so that they are to be young.

The package is copied into build/sanitize and built there (SWITCH_BUILD=sanitize in setup.py), so
that the release build stays as it is. Python takes its memory from malloc and Arrow from the
system, for both would hide single objects in pools of their own. Before the tests two planted
mistakes prove that the sanitizers see what happens in the core.

What is left out, and why:
- Leaks (detect_leaks=0): CPython frees neither interned texts nor modules at exit, and Arrow keeps
  its pools. Kernels own no memory but `native.pages`, which has a test.
- The deeper callers of who took and freed memory (malloc_context_size=3): Python's are so many that
  a worker comes to do little but look for stacks that it knows, and slows down for as long as it
  lives. What is reported is the same, and so is the stack of the access itself.
- Requests for more memory than there is (allocator_may_return_null=1): Arrow makes them for a file
  that lies about its sizes, and must be answered as it is elsewhere, by a refusal.
- The code of CPython, numpy and pyarrow itself: they are not built with sanitizers. What they do
  with memory of ours is seen where it is malloc's, for its borders are guarded.
- The sweeps of tests/crash: some two thousand forks of a process that takes half a gigabyte here,
  about the order of file operations in Python. The rest of tests/crash runs.
- stubtest and commands that tests start with a path of their own: they take the build in place.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build/sanitize"
LIBRARIES = ("libasan.so", "libubsan.so", "libstdc++.so.6")
"""The runtimes come before everything else; libasan needs to find C++ exceptions at its start."""

SWEEPS = (
    "every_call",
    "every_other",
    "every_fourth",
    "calls_may_fail",
    "unsynced",
    "many_processes",
)
"""Words in the names of tests that are left out."""

NO_TESTS = 5
"""What pytest returns for a part whose tests are all left out."""

CANARIES = {
    "heap-buffer-overflow": """
import numpy as np
from switch.native import ledger
books = ledger.Ledger(1, 1, *(np.zeros(n, np.int64) for n in (1, 1, 1, 1)))
books.use(0, np.zeros(200, np.uint64))
zero = np.zeros(1, np.uint16)
books.post(np.zeros(1, np.uint8), np.full(1, 6400, np.uint32), zero, zero, zero, zero, zero,
           np.ones(1, np.int64), 0)
""",
    "signed integer overflow": """
import numpy as np
from switch.native import ledger
words = [np.zeros(n, np.int64) for n in (1, 1, 1, 1)]
words[1][0] = 2**63 - 1
books = ledger.Ledger(1, 1, *words)
books.use(0, np.zeros(2, np.uint64))
zero = np.zeros(1, np.uint16)
books.post(np.zeros(1, np.uint8), np.zeros(1, np.uint32), zero, zero, zero, zero, zero,
           np.ones(1, np.int64), 0)
""",
}
"""Mistakes of a caller that the kernels do not look for; each must end in the report it names."""


def runtimes() -> list[str]:
    """Paths of LIBRARIES, or the reason why there is no run."""
    found = []
    for name in LIBRARIES:
        path = subprocess.run(
            ["gcc", f"-print-file-name={name}"], capture_output=True, text=True, check=True
        ).stdout.strip()
        if not Path(path).is_absolute():
            raise SystemExit(f"SANITIZERS NOT RUN: gcc has no {name} here")
        found.append(str(Path(path).resolve()))
    return found


def build() -> None:
    """The package with its sources, built in build/sanitize."""
    shutil.rmtree(BUILD, ignore_errors=True)
    shutil.copytree(
        ROOT / "src", BUILD / "src", ignore=shutil.ignore_patterns("*.so", "__pycache__")
    )
    for name in ("setup.py", "pyproject.toml", "README.md"):
        shutil.copy2(ROOT / name, BUILD / name)
    made = subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", "--inplace"],
        cwd=BUILD,
        env=os.environ | {"SWITCH_BUILD": "sanitize"},
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        raise SystemExit(f"SANITIZERS NOT RUN: the build fails:\n{made.stderr[-2000:]}")


def environment(libraries: list[str]) -> dict[str, str]:
    """What a process under the sanitizers needs."""
    return os.environ | {
        "LD_PRELOAD": " ".join(libraries),
        "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1:allocator_may_return_null=1"
        ":malloc_context_size=3",
        "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
        "PYTHONMALLOC": "malloc",
        "ARROW_DEFAULT_MEMORY_POOL": "system",
        "PYTHONPATH": str(BUILD / "src"),
    }


def require_canaries(known: dict[str, str]) -> None:
    """Planted mistakes are seen."""
    for report, code in CANARIES.items():
        done = subprocess.run(
            [sys.executable, "-c", code], env=known, capture_output=True, text=True, check=False
        )
        if done.returncode == 0 or report not in done.stderr:
            raise SystemExit(f"a planted {report} is not seen: {done.stderr[-2000:]}")
        print(f"a planted {report} is seen", flush=True)


def parts() -> list[str]:
    """Rooms of tests with tests in them, and each file of the largest, tests/whole."""
    tests = ROOT / "tests"
    rooms = sorted({path.parent for path in tests.rglob("test_*.py")})
    files = sorted((tests / "whole").glob("test_*.py"))
    split = [room for room in rooms if room != tests / "whole"] + files
    return [str(path.relative_to(ROOT)) for path in split]


def run(command: list[str], known: dict[str, str]) -> int:
    """The return code of one run of tests."""
    return subprocess.run(command, cwd=ROOT, env=known, check=False).returncode


def main() -> None:
    if shutil.which("gcc") is None:
        raise SystemExit("SANITIZERS NOT RUN: there is no gcc")
    known = environment(runtimes())
    build()
    require_canaries(known)
    # Everything takes three times as long here.
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--timeout=1800"]
    if sys.argv[1:]:
        raise SystemExit(run([*command, *sys.argv[1:]], known))
    print(f"left out: tests with {', '.join(SWEEPS)} in their names", flush=True)
    command += ["-k", " and ".join(f"not {word}" for word in SWEEPS), "-n", "2"]
    failed = []
    for part in parts():
        print(f"tests of {part}", flush=True)
        if run([*command, part], known) not in {0, NO_TESTS}:
            failed.append(part)
    raise SystemExit(f"FAILED: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
