"""Package: what is handed out is built, installed where nothing else is, and runs a payday.

    python tests/package/run.py           source distribution and wheel, lowest and newest versions,
                                          on every supported Python that is here
    python tests/package/run.py --short   the wheel made of the source distribution, lowest
                                          versions, this Python, a payday of a tenth

Run by a Python that has setuptools and Cython. Everything happens in a scratch folder.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOWEST = ROOT / "constraints-lowest.txt"
PYTHONS = ("3.11", "3.12", "3.13")
LEFT_OUT = shutil.ignore_patterns(
    ".*", "build", "demo", "dist", "*.egg-info", "*.so", "__pycache__"
)
PIP = ("-m", "pip", "--disable-pip-version-check", "-q")
TENTH = (
    (" 20000 ", " 2000 "),
    (" 15000 ", " 1500 "),
    ('": 15000', '": 1500'),
    ('": 15001', '": 1501'),
)
"""Numbers of the README, and those of a short payday."""


def sources() -> set[str]:
    """What the core is built from, and what it reads at run time."""
    folder = ROOT / "src/switch"
    found = [
        path
        for kind in ("*.py", "*.pyx", "*.pxd", "*.pyi", "data/*.csv", "data/*.toml")
        for path in folder.rglob(kind)
    ]
    return {path.relative_to(ROOT).as_posix() for path in found} | {"src/switch/py.typed"}


def distributions(scratch: Path, short: bool) -> tuple[Path, Path]:
    """The source distribution, and the wheel that is built from it alone."""
    copy, made = scratch / "copy", scratch / "made"
    shutil.copytree(ROOT, copy, ignore=LEFT_OUT)
    call(sys.executable, "setup.py", "-q", "sdist", "-d", made, cwd=copy)
    (source,) = made.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    lacking = sources() - held
    assert not lacking, f"the source distribution lacks {sorted(lacking)}"
    assert not any(
        name.endswith((".so", ".c")) for name in held if name.startswith(("src", "build"))
    )
    how = ["--no-build-isolation"] if short else []
    call(
        sys.executable, *PIP, "wheel", "--no-deps", *how, "-w", made, source,
        **({"SWITCH_BUILD": "quick"} if short else {}),
    )  # fmt: skip
    (wheel,) = made.glob("*.whl")
    return source, wheel


def payday(short: bool) -> Iterator[tuple[str, int]]:
    """(command, exit code) of the README's lines in a shell; `# exit N` says which but zero."""
    text = (ROOT / "README.md").read_text("utf-8")
    for block in re.findall(r"^```sh\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        for line in block.replace("\\\n", " ").splitlines():
            for old, new in TENTH if short else ():
                line = line.replace(old, new)
            command, _, comment = line.partition("#")
            if command.strip() and not command.startswith(("make ", "pip ")):
                said = re.search(r"exit (\d+)", comment)
                yield command.strip(), int(said[1]) if said else 0


def proven(python: str, what: Path, versions: str, scratch: Path, short: bool) -> None:
    """Install a distribution in a fresh environment, and run the payday there."""
    name = f"{python} {what.suffix} {versions}"
    place = scratch / name.replace(" ", "-").replace("/", "-")
    call(python, "-m", "venv", place / "venv")
    bound = ["-c", str(LOWEST)] if versions == "lowest" else []
    wanted = f"payment-switch[sign] @ {what.as_uri()}"
    call(place / "venv/bin/python", *PIP, "install", *bound, wanted)
    path = f"{place / 'venv/bin'}{os.pathsep}{os.environ['PATH']}"
    for command, code in payday(short):
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=place,
            env=os.environ | {"PATH": path, "PYTHONPATH": "", "LC_ALL": "C.UTF-8"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, f"{name}: {command}: {done.returncode}\n{done.stderr}"
    print(f"{name}: the payday ran", flush=True)
    shutil.rmtree(place)


def found(version: str) -> str | None:
    """The interpreter of a version, where there is one that starts: a version manager's stand-in
    has the name of one also where that version is not in use."""
    name = shutil.which(f"python{version}")
    if name is None:
        return None
    asked = [name, "-c", "import sys; print(sys.executable)"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def call(*words: object, cwd: Path | None = None, **more: str) -> None:
    subprocess.run([str(w) for w in words], cwd=cwd, env=os.environ | more, check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--short", action="store_true")
    short = parser.parse_args().short
    with tempfile.TemporaryDirectory(prefix="switch-package-") as folder:
        scratch = Path(folder)
        source, wheel = distributions(scratch, short)
        if short:
            proven(sys.executable, wheel, "lowest", scratch, short)
            return
        for version in PYTHONS:
            python = found(version)
            if python is None:
                print(f"no python{version} here", flush=True)
                continue
            own = f"{sys.version_info[0]}.{sys.version_info[1]}" == version
            for what in (source, wheel) if own else (source,):
                for versions in ("lowest", "newest"):
                    proven(python, what, versions, scratch, short)


if __name__ == "__main__":
    main()
