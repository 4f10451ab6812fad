"""The speed of light, measured like a tool: light.c on the engine's own table and columns.

It gives no answer, so nothing is compared; what it tells is how far from the memory's own speed the
engine's core is. Lines are shared out to threads in ranges. Needs a C compiler.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from .job import Job, Peer, engine_columns
from .switch_peer import ToolPeer as SwitchPeer

SOURCE = Path(__file__).with_name("light.c")
COPY_BYTES = 1 << 28


def compiler() -> str | None:
    return next((found for name in ("cc", "gcc", "clang") if (found := shutil.which(name))), None)


def compiled() -> Any:
    """The library; raises ImportError where no compiler is at hand."""
    command = compiler()
    if command is None:
        raise ImportError("light: no C compiler")
    digest = hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:16]
    library = Path(tempfile.gettempdir()) / f"switch-light-{os.getuid()}-{digest}.so"
    if not library.exists():
        aside = library.with_suffix(f".{os.getpid()}")
        flags = ["-O3", "-march=native", "-shared", "-fPIC"]
        subprocess.run([command, *flags, "-o", aside, SOURCE], check=True)
        aside.rename(library)
    light = ctypes.CDLL(str(library))
    light.bare.restype = light.read_all.restype = light.probe_all.restype = ctypes.c_uint64
    return light


def _at(array: Any) -> Any:
    return ctypes.c_void_p(array.ctypes.data)


class ToolPeer(Peer):
    name = "light"
    can = ("memory",)

    def __init__(self, job: Job, threads: int) -> None:
        super().__init__(job, threads)
        self.light = compiled()
        self.switch = SwitchPeer(job, threads)
        self.pool = ThreadPoolExecutor(threads)

    @staticmethod
    def version() -> str:
        command = compiler()
        assert command is not None
        said = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
        return said.stdout.splitlines()[0]

    def load_register(self, form: str) -> None:
        self.switch.load_register(form)
        assert self.switch.engine is not None
        self.register = self.switch.engine.open_register()
        self.memory = np.frombuffer(self.register.table.memory(), np.uint8)
        self.capacity = len(self.memory) // 32

    def load_lines(self, form: str) -> None:
        columns = engine_columns(self.job, keys=True)
        del columns["account_texts"]
        self.columns = columns
        n, rows = self.job.lines, self.register.rows
        self.out = {
            "reason": np.zeros(n, np.uint8),
            "row": np.zeros(n, np.uint32),
            "participant": np.zeros(n, np.uint16),
            "account": np.zeros(n, np.uint64),
        }
        # Each thread has bits and pairs of its own: nobody waits, nobody races.
        self.bits = [np.zeros((rows + 63) // 64 + 1, np.uint64) for _ in range(self.threads)]
        self.pairs = [np.zeros(2 << 16, np.int64) for _ in range(self.threads)]
        self.copy = np.ones(COPY_BYTES, np.uint8), np.ones(COPY_BYTES, np.uint8)

    def prepare(self, form: str, out: Path) -> None:
        for bits in self.bits:
            bits[:] = 0

    def _parts(self) -> list[tuple[int, int, int]]:
        step = -(-self.job.lines // self.threads)
        return [(i, i * step, min((i + 1) * step, self.job.lines)) for i in range(self.threads)]

    def screen(self, form: str) -> None:
        names = ("amount", "person_id", "name_key", "benefit", "debtor", "month", "agent")

        def part(which: tuple[int, int, int]) -> int:
            thread, start, end = which
            return int(
                self.light.bare(
                    _at(self.memory),
                    ctypes.c_uint64(self.capacity),
                    ctypes.c_int64(end - start),
                    *(_at(self.columns[n][start:end]) for n in names),
                    *(_at(column[start:end]) for column in self.out.values()),
                    _at(self.bits[thread]),
                    ctypes.c_uint64(self.register.rows),
                    _at(self.pairs[thread]),
                )
            )

        list(self.pool.map(part, self._parts()))

    def measures(self) -> dict[str, float]:
        """GB/s of a sequential read and of memcpy (bytes copied), million random probes/s."""
        out = {}
        ids = self.columns["person_id"]
        source, target = self.copy

        def read(which: tuple[int, int, int]) -> int:
            i, parts = which[0], self.threads
            part = self.memory[i * len(self.memory) // parts : (i + 1) * len(self.memory) // parts]
            return int(self.light.read_all(_at(part), ctypes.c_int64(len(part) // 8)))

        def copy(which: tuple[int, int, int]) -> int:
            i, size = which[0], COPY_BYTES // self.threads
            at = slice(i * size, (i + 1) * size)
            self.light.copy_all(_at(target[at]), _at(source[at]), ctypes.c_int64(size))
            return 0

        def probe(which: tuple[int, int, int]) -> int:
            _, start, end = which
            return int(
                self.light.probe_all(
                    _at(self.memory),
                    ctypes.c_uint64(self.capacity),
                    _at(ids[start:end]),
                    ctypes.c_int64(end - start),
                )
            )

        amounts = (
            ("read_gb_s", read, len(self.memory) / 1e9),
            ("memcpy_gb_s", copy, COPY_BYTES / 1e9),
            ("probe_m_s", probe, self.job.lines / 1e6),
        )
        for name, work, amount in amounts:
            begun = time.perf_counter()
            list(self.pool.map(work, self._parts()))
            out[name] = amount / (time.perf_counter() - begun)
        return out

    def close(self) -> None:
        del self.memory
        self.switch.close()
