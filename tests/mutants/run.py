"""Mutants: one small mistake at a time in the core or in the commit protocol, caught by a test.

    python tests/mutants/run.py               every mutant of table.py; prints `N of N caught`
    python tests/mutants/run.py --only re     those in whose line this regular expression is found
    python tests/mutants/run.py --check       anchors and tests alone, nothing is built

Sources and tests are copied into a scratch folder a worker; nothing in the repository is touched.
There the core is built without optimisation, and all named tests must pass. Then each mutant is
written, the rooms that it concerns are built again, and its test must fail, by an assertion, an
error, a signal or by not coming to an end. Whatever keeps a mutant from being tried (an anchor that
does not stand exactly once, code that does not compile, a test that is not there) stops everything.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from queue import Empty, SimpleQueue

from promises import Mutant
from table import MUTANTS

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("src", "tests", "setup.py", "pyproject.toml", "README.md", "docs", "ARCHITECTURE.md")
TEST_SECONDS = 240
FAILED, TIMED_OUT = 1, 124
NATIVE = (".pyx", ".pxd")


class CannotTry(Exception):
    """A mutant that is none: the table is out of date, or the driver is wrong."""


def mutated(text: str, mutant: Mutant) -> str:
    """The text of the file with the mistake in it."""
    found = text.count(mutant.old)
    if found != 1:
        raise CannotTry(f"{mutant.file}: {mutant.old!r} stands {found} times, not once")
    if mutant.old == mutant.new:
        raise CannotTry(f"{mutant.file}: {mutant.old!r} is no change")
    return text.replace(mutant.old, mutant.new)


def faults_of_table(root: Path = ROOT) -> list[str]:
    """What is wrong with the table: anchors that do not apply, tests that are not there."""
    faults = []
    for mutant in MUTANTS:
        try:
            mutated((root / "src/switch" / mutant.file).read_text("utf-8"), mutant)
        except (CannotTry, OSError) as error:
            faults.append(str(error))
        file, _, name = mutant.test.partition("::")
        path = root / "tests" / file
        function = re.escape(name.partition("[")[0])
        known = path.read_text("utf-8") if path.is_file() else ""
        if not re.search(rf"^def {function}\(", known, re.MULTILINE):
            faults.append(f"{mutant.test}: there is no such test")
    if len(set(MUTANTS)) != len(MUTANTS):
        faults.append("a mutant stands twice")
    return faults


class Workshop:
    """A copy of the project in which mutants are made and unmade."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                ignored = shutil.ignore_patterns("*.so", "*.c.tmp", "__pycache__", "*.svg")
                shutil.copytree(source, folder / name, ignore=ignored)
            else:
                shutil.copy2(source, folder / name)
        self._build()
        self._good = folder / "good"
        for path in self._made():
            target = self._good / path.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target)

    def _made(self) -> list[Path]:
        """What a build makes and a mutant may spoil."""
        return [
            *(self.folder / "src/switch").rglob("*.so"),
            *(self.folder / "build/cython-quick").rglob("*.c"),
        ]

    def _run(self, *command: str, seconds: int) -> tuple[int, str]:
        environment = os.environ | {
            "PYTHONPATH": str(self.folder / "src"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "SWITCH_BUILD": "quick",
        }
        try:
            done = subprocess.run(
                [sys.executable, *command],
                cwd=self.folder,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as late:
            return TIMED_OUT, str(late)
        return done.returncode, done.stdout

    def _build(self) -> None:
        code, said = self._run("setup.py", "-q", "build_ext", "--inplace", seconds=1200)
        if code:
            raise CannotTry(f"the core does not build:\n{said[-2000:]}")

    def test(self, names: Iterable[str], seconds: int) -> tuple[int, str]:
        """Exit code and words of pytest on these tests."""
        options = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--hypothesis-seed=0"]
        options += [f"--timeout={seconds}", "--tb=line"]
        return self._run(
            "-m", "pytest", *options, *(f"tests/{name}" for name in names), seconds=seconds + 30
        )

    def try_out(self, mutant: Mutant) -> str:
        """How the mutant was caught; '' where it lives."""
        path = self.folder / "src/switch" / mutant.file
        text, times = path.read_text("utf-8"), path.stat()
        path.write_text(mutated(text, mutant), "utf-8")
        try:
            if path.suffix in NATIVE:
                self._build()
            code, said = self.test([mutant.test], TEST_SECONDS)
        finally:
            path.write_text(text, "utf-8")
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
            if path.suffix in NATIVE:
                for made in self._good.rglob("*.*"):
                    if made.is_file():
                        shutil.copy2(made, self.folder / made.relative_to(self._good))
        if code == 0:
            return ""
        if code == FAILED:
            return "failed"
        if code == TIMED_OUT or "Timeout" in said:
            return "hung"
        if code < 0 or code >= 128:
            return f"signal {-code if code < 0 else code - 128}"
        raise CannotTry(f"{mutant.file}: pytest ended with {code}:\n{said[-2000:]}")


def work(
    folder: Path, mutants: SimpleQueue[Mutant], outcomes: list[tuple[Mutant, str]], tests: set[str]
) -> None:
    """One worker: its own workshop, the tests of its share unmutated, then mutant by mutant."""
    workshop = Workshop(folder)
    if tests:
        code, said = workshop.test(sorted(tests), 1800)
        if code:
            raise CannotTry(f"tests fail without any mutant:\n{said[-3000:]}")
        print(f"{len(tests)} tests pass without a mutant", flush=True)
    while True:
        try:
            mutant = mutants.get_nowait()
        except Empty:
            return
        began = time.monotonic()
        outcome = workshop.try_out(mutant)
        outcomes.append((mutant, outcome))
        print(
            f"{outcome or 'LIVES':9} {time.monotonic() - began:5.1f} s  {mutant.file:14}"
            f" {mutant.what}  ({mutant.test})",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only", default="", help="mutants in whose line this regular expression is found"
    )
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--check", action="store_true", help="anchors and tests alone")
    options = parser.parse_args()
    faults = faults_of_table()
    if faults:
        raise SystemExit("\n".join(faults))
    chosen = [mutant for mutant in MUTANTS if re.search(options.only, " ".join(mutant))]
    if options.check:
        print(f"{len(chosen)} mutants apply")
        return
    mutants: SimpleQueue[Mutant] = SimpleQueue()
    for mutant in chosen:
        mutants.put(mutant)
    outcomes: list[tuple[Mutant, str]] = []
    errors: list[BaseException] = []
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutants-") as name:

        def one(number: int) -> None:
            # The tests without a mutant are shared out; every workshop is the same.
            tests = sorted({mutant.test for mutant in chosen})[number :: options.jobs]
            try:
                work(Path(name) / str(number), mutants, outcomes, set(tests))
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=one, args=(n,)) for n in range(options.jobs)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if errors:
        raise SystemExit(str(errors[0]) or repr(errors[0]))
    caught = sum(bool(outcome) for _, outcome in outcomes)
    print(f"{caught} of {len(chosen)} caught in {time.monotonic() - began:.0f} s")
    raise SystemExit(caught != len(chosen) or not chosen)


if __name__ == "__main__":
    main()
