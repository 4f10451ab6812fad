"""A Spark cluster on loopback: a master and its workers, each a process of its own, as in life."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil

START_SECONDS = 120
LOOPBACK = "127.0.0.1"


def missing() -> str:
    """Name of what a cluster needs and this machine lacks; '' where it has all."""
    return "" if shutil.which("java") and find_spec("pyspark") else "Java or pyspark"


class Standalone:
    """Master and workers of Spark's own manager, each worker with one core and one executor."""

    def __init__(self, folder: Path, workers: int, memory: str = "1g") -> None:
        import pyspark

        self._class = Path(pyspark.__file__).parent / "bin" / "spark-class"
        self._folder = folder
        port = _free_port()
        self.url = f"spark://{LOOPBACK}:{port}"
        where = ["--host", LOOPBACK, "--port", str(port), "--webui-port", "0"]
        self._started: list[subprocess.Popen[bytes]] = []
        self._started.append(self._start("master.Master", *where))
        self._await(lambda: self._said("New state: ALIVE"))
        for number in range(workers):
            own = folder / f"worker-{number}"
            own.mkdir(parents=True)
            words = ["--host", LOOPBACK, "--cores", "1", "--memory", memory, "--work-dir", str(own)]
            self._started.append(
                self._start("worker.Worker", *words, "--webui-port", "0", self.url)
            )
        self._await(lambda: self._said("Registering worker") == workers)

    def close(self) -> None:
        for process in self._started:
            for child in _children(process.pid):
                _kill(child.pid)
            _kill(process.pid)
            process.wait(60)

    def kill_worker(self) -> None:
        """Kill a worker and its executor, and all that this started."""
        worker = self._started.pop()
        below = _children(worker.pid)
        _kill(worker.pid)
        for child in below:
            _kill(child.pid)
        worker.wait(60)

    def executors(self) -> list[int]:
        """Numbers of the processes that are executors now."""
        return [
            child.pid
            for process in self._started[1:]
            for child in _children(process.pid)
            if "CoarseGrainedExecutorBackend" in " ".join(_words(child))
        ]

    def _start(self, name: str, *words: str) -> subprocess.Popen[bytes]:
        log = (self._folder / f"{name}-{len(self._started)}.log").open("wb")
        env = os.environ | {"SPARK_NO_DAEMONIZE": "1", "SPARK_LOCAL_IP": LOOPBACK}
        return subprocess.Popen(
            [str(self._class), f"org.apache.spark.deploy.{name}", *words],
            stdout=log,
            stderr=log,
            env=env | {"PYSPARK_PYTHON": sys.executable},
        )

    def _said(self, words: str) -> int:
        """Times that the master said something."""
        return (self._folder / "master.Master-0.log").read_text().count(words)

    def _await(self, holds: Callable[[], object]) -> None:
        end = time.monotonic() + START_SECONDS
        while not holds():
            if time.monotonic() > end:
                self.close()
                raise TimeoutError("the cluster did not start")
            time.sleep(0.1)


@contextlib.contextmanager
def session(master: str, **settings: str) -> Iterator[Any]:
    """A session of a cluster, whose executors find this package."""
    from switch.spark.cluster import session_of

    found = session_of(master, {"spark.ui.enabled": "false", **settings})
    found.sparkContext.setLogLevel("OFF")
    try:
        yield found
    finally:
        found.stop()


def _free_port() -> int:
    with socket.socket() as one:
        one.bind((LOOPBACK, 0))
        port: int = one.getsockname()[1]
    return port


def _children(number: int) -> list[psutil.Process]:
    try:
        return psutil.Process(number).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


def _kill(number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(number, signal.SIGKILL)
