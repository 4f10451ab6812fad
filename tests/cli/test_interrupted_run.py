"""Ctrl-C while a command works: no traceback at any moment, and the last line says whether the
table is paid."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from answering import home_of
from scene import line, payment_table, write_table

import switch
from switch import interrupt

PROGRAM = """
import sys
from switch.__main__ import main
sys.argv[0] = "switch"
sys.stdout.write("ready\\n"); sys.stdout.flush()
main()
"""
POINTS = 14


def interrupted(home: Path, table: Path, after: float, again: bool) -> tuple[int, str]:
    """(exit code, stderr) of a run that is interrupted so many seconds after it began; again: it
    is interrupted many times."""
    child = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "run", str(home), str(table), "--threads", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUTF8": "1"},
        start_new_session=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    time.sleep(after)
    for _ in range(5 if again else 1):
        # As a terminal does: all processes of the group.
        os.killpg(child.pid, signal.SIGINT)
        time.sleep(0.003)
    _, err = child.communicate(timeout=60)
    return child.returncode, err


@pytest.fixture(scope="module")
def seconds(tmp_path_factory: pytest.TempPathFactory) -> float:
    """Seconds that a whole run takes on this machine, from where it is ready."""
    path = tmp_path_factory.mktemp("whole")
    table = write_table(payment_table([line(5, period=202612)]), path / "t.parquet", batch_id="T")
    home_of(path / "h", 4)
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "run", str(path / "h"), str(table)],
        capture_output=True,
        check=True,
    )
    assert b"ready" in done.stdout
    return time.monotonic() - began


@pytest.mark.parametrize("point", range(POINTS))
def test_interrupt__says_whether_the_table_is_paid(
    point: int, seconds: float, tmp_path: Path
) -> None:
    home = home_of(tmp_path / "h", 4)
    table = write_table(
        payment_table([line(5, period=202612)]), tmp_path / "t.parquet", batch_id="T"
    )
    code, err = interrupted(home, table, 0.03 + seconds * point / POINTS, again=point % 2 == 1)
    assert "Traceback" not in err
    assert "Exception ignored" not in err
    with switch.open(home, mode="r") as engine:
        is_paid = engine.home.catalog.batch_of("VSS", "T") is not None
    assert code in (0, 130), err
    if code == 130:
        last = err.strip().splitlines()[-1]
        wanted = f"{table} is paid, as batch T" if is_paid else f"nothing of {table} is paid"
        # While modules are imported nothing has begun, and nobody has read of which table it is.
        assert wanted in last or (last == interrupt.TOLD and not is_paid), err
    else:
        assert is_paid
    assert switch.verify(home)


LATE = """
import os, signal, sys
from switch import interrupt
interrupt.begin()
try:
    with interrupt.allowed():
        import slow
        for _ in range(1000):
            slow.time.sleep(0.01)
except KeyboardInterrupt:
    print("module", slow.WHOLE, "interrupted")
"""
SLOW = """
import os, signal, time
os.kill(os.getpid(), signal.SIGINT)
time.sleep(0.1)
import numpy
WHOLE = True
"""


def test_interrupt__waits_until_what_is_imported_is_whole(tmp_path: Path) -> None:
    """An import that breaks off half way cannot be done again: numpy refuses to be loaded twice in
    one process, and then nobody could say whether the table is paid."""
    (tmp_path / "slow.py").write_text(SLOW, "utf-8")
    done = subprocess.run(
        [sys.executable, "-c", LATE], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert (done.stdout, done.stderr) == ("module True interrupted\n", "")
