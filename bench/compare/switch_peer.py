"""The engine in the same forms: its core for columns in memory, a run for files."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import switch
from switch.clearing.intake import Intake, read_dossier
from switch.clearing.kernel import next_accounts_of
from switch.clearing.next_accounts import Found
from switch.cli.bench import core_of
from switch.engine import Engine, init
from switch.files.columns import Texts
from switch.files.formats import CHUNK_ROWS
from switch.files.tables import open_table
from switch.registry.register import name_keys
from switch.schema import PAYMENT

from .job import Answer, Job, Peer, encode, read_answer


def account_texts(words: Any, heap: Any, given: Any) -> Any:
    """pa.StringArray of account words; `account.pxd` says what a word is."""
    refers, in_table = words >> np.uint64(63) == 1, words >> np.uint64(62) == 3
    lengths = np.where(refers, 0, words >> np.uint64(57)).astype(np.int64)
    digits = pa.array(words & np.uint64((1 << 57) - 1)).cast(pa.string())
    texts = np.empty(len(words), object)
    for length in np.unique(lengths[~refers]).tolist():
        here = np.flatnonzero(lengths == length)
        texts[here] = pc.utf8_lpad(digits.take(pa.array(here)), length, "0").to_pylist()
    for i in np.flatnonzero(refers).tolist():
        at = int(words[i] & np.uint64((1 << 62) - 1))
        if in_table[i]:
            texts[i] = given[at].as_py()
        else:
            texts[i] = bytes(heap[at + 1 : at + 1 + heap[at]]).decode()
    return pa.array(texts, pa.string())


def make_home(job: Job, home: Path) -> None:
    """A home with the nation's registers and no batch."""
    with init(
        home, participants=job.folder / "participants.csv", debtors=job.folder / "debtors.csv"
    ) as engine:
        engine.register(
            population=job.path("population"),
            accounts=job.path("accounts"),
            paid_history=job.path("paid"),
        )


def copy_home(home: Path, to: Path) -> None:
    """A home of its own for one run: what never changes is linked, the catalog is copied."""

    def copy(source: str, target: str) -> None:
        if "registers" in Path(source).parts:
            os.link(source, target)
        else:
            shutil.copy2(source, target)

    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(home, to, copy_function=copy)


class ToolPeer(Peer):
    name = "switch"

    def __init__(self, job: Job, threads: int) -> None:
        super().__init__(job, threads)
        self.home = job.folder / "home"
        self.work: Path | None = None
        self.engine: Engine | None = None
        self.core: Any = None
        self.batch: Any = None
        self.form = "files"
        self.arrow = job.folder / "ipc" / "payday.arrow"

    @staticmethod
    def version() -> str:
        return switch.__version__

    def load_register(self, form: str) -> None:
        if not self.home.exists():
            aside = self.home.with_name(f"home.{os.getpid()}")
            make_home(self.job, aside)
            aside.rename(self.home)
        if form == "ipc":
            self._write_arrow()
        if form in ("memory", "names"):
            self.open(self.home.with_name(f"home.{os.getpid()}.work"))

    def _write_arrow(self) -> None:
        """The payment table as an Arrow IPC file, with a dossier of its own; made once."""
        dossier = self.arrow.with_name("payday.dossier.json")
        if dossier.exists():
            return
        self.arrow.parent.mkdir(exist_ok=True)
        table = pq.read_table(self.job.path("payday")).unify_dictionaries()
        with pa.ipc.new_file(self.arrow, table.schema) as writer:
            writer.write_table(table, max_chunksize=CHUNK_ROWS)
        with self.arrow.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        dossier.write_text(json.dumps({**self.job.dossier, "sha256": sha256}), "utf-8")

    def open(self, work: Path) -> None:
        self.close()
        copy_home(self.home, work)
        self.work, self.engine = work, Engine(work)
        self.engine.open_register()

    def load_lines(self, form: str) -> None:
        assert self.engine is not None
        table = self.job.path("payday")
        reader = open_table(table, PAYMENT)
        intake = Intake(self.engine.directory)
        self.chunks = list(intake.lines(reader, read_dossier(table), CHUNK_ROWS))
        self.names: list[Any] = []
        if form == "names":
            names = pq.read_table(table, columns=["person_name"])["person_name"]
            index, values = encode(names)
            self.names = [Texts(values, index)]
            for chunk in self.chunks:
                chunk.name_key = None

    def prepare(self, form: str, out: Path) -> None:
        if form in ("files", "ipc"):
            self.form = form
            self.open(out / "home")
        else:
            if self.core is not None:
                self.core.close()
            assert self.engine is not None
            self.core = core_of(self.engine, self.job.value_date, self.threads)
            engine = self.engine
            home = engine.home, engine.directory, engine.open_register()
            self.next = next_accounts_of(*home, self.job.value_date)
            self.result: list[Any] = []

    def screen(self, form: str) -> None:
        core = self.core
        if form == "names":
            keys, _, bad = name_keys(self.names[0])
            assert bad < 0
        at = 0
        for c in self.chunks:
            key = c.name_key if form == "memory" else keys[at : at + len(c)]
            found = core.screen(c.amount, c.person_id, key, c.benefit, c.debtor, c.agent)
            self.next.choose(c, Found(*found), np.empty(0, np.intp))
            reason, row, participant, account = found
            core.post(reason, row, c.benefit, c.month, c.debtor, participant, c.amount)
            self.result.append((reason, participant, account))
            at += len(c)

    def run_files(self, out: Path) -> None:
        assert self.engine is not None
        table = self.job.path("payday") if self.form == "files" else self.arrow
        form = "parquet" if self.form == "files" else "arrow"
        self.batch = self.engine.run(table, threads=self.threads, out=out, form=form)

    def answer(self, *, cleared: bool) -> Answer:
        reasons = np.concatenate([reason for reason, _, _ in self.result])
        of_cleared = None
        if cleared:
            assert self.engine is not None
            heap = self.engine.open_register().heap
            texts, participants = [], []
            for chunk, (reason, participant, account) in zip(self.chunks, self.result, strict=True):
                live = reason == 0
                given = None if chunk.account is None else chunk.account.values
                texts.append(account_texts(account[live], heap, given))
                participants.append(participant[live])
            of_cleared = (
                np.concatenate(participants),
                pa.chunked_array(texts).combine_chunks(),
            )
        return self.job.answer(reasons, self.core.pair_sum, self.core.pair_count, of_cleared)

    def read_files(self, out: Path) -> tuple[Answer, str]:
        folder = out / self.job.dossier["batch_id"]
        cycle = out / "cycles" / self.job.cycle
        (status,) = folder.glob("status.*")
        return read_answer(status, folder / "clearing", cycle / "positions.parquet")

    def cold_command(self, home: Path, out: Path) -> list[str]:
        return [
            sys.executable,
            "-m",
            "switch",
            "run",
            str(home),
            str(self.job.path("payday")),
            "--out",
            str(out),
            "--threads",
            str(self.threads),
            "--quiet",
        ]

    def close(self) -> None:
        if self.engine is not None:
            self.engine.close()
            self.engine = None
        if self.work is not None:
            shutil.rmtree(self.work, ignore_errors=True)
            self.work = None
