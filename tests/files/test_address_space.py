"""Limits of address space: a command goes on below one, or says at once that it cannot."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from scene import line, make_home, pay, payment_table, person, write_table

import switch
from switch.cli.context import ADDRESS_BYTES_MIN, require_address_space
from switch.errors import EnvironmentFailed, of_the_machine

pytestmark = pytest.mark.skipif(
    "LD_PRELOAD" in os.environ, reason="a sanitizer maps more address space than any limit leaves"
)
SECONDS = 120
"""Far above what any of them takes: a command that hangs is ended."""


def below(kilobytes: int, *args: object) -> int:
    """The exit code of a command in a process with a limit of address space."""
    bytes_ = kilobytes << 10

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (bytes_, bytes_))

    source = str(Path(switch.__file__).resolve().parents[1])
    return subprocess.run(
        [sys.executable, "-m", "switch", *map(str, args)],
        preexec_fn=limit,
        capture_output=True,
        env={"PYTHONPATH": source},
        timeout=SECONDS,
        check=False,
    ).returncode


@pytest.mark.parametrize("name", ["run", "reconcile", "verify"])
def test_address_space__below_what_a_command_needs_is_told_at_once(
    tmp_path: Path, name: str
) -> None:
    """Libraries that got none ended the process, hung, or failed with no word of memory."""
    home = make_home(tmp_path / "home", [person(1), person(2)])
    pay(home, [line(1)])
    table = write_table(payment_table([line(2)]), tmp_path / "C.parquet", batch_id="C")
    words = {"run": (home, table), "reconcile": (home,), "verify": (home,)}[name]
    for kilobytes in (800_000, 1_000_000, (ADDRESS_BYTES_MIN >> 10) - 1):
        assert below(kilobytes, name, *words) == 6
    assert below(ADDRESS_BYTES_MIN >> 10, name, *words) in (0, 6)


def test_address_space__without_a_limit_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    for limit in (resource.RLIM_INFINITY, ADDRESS_BYTES_MIN):
        monkeypatch.setattr(resource, "getrlimit", lambda _, limit=limit: (limit, limit))
        require_address_space()
    monkeypatch.setattr(resource, "getrlimit", lambda _: (ADDRESS_BYTES_MIN - 1,) * 2)
    with pytest.raises(EnvironmentFailed, match="ulimit -v"):
        require_address_space()


@pytest.mark.parametrize(
    ("error", "is_the_machine_s"),
    [
        (pa.ArrowException("Resource temporarily unavailable"), True),
        (pa.ArrowException("something else"), False),
        (pa.ArrowInvalid("memory"), False),
        (ImportError("x.so: failed to map segment from shared object"), True),
        (ImportError("no such module"), False),
        (MemoryError(), True),
        (ValueError("memory"), False),
    ],
)
def test_address_space__that_a_library_lacks_is_the_machine_s(
    error: Exception, is_the_machine_s: bool
) -> None:
    assert (of_the_machine(error) is not None) == is_the_machine_s
