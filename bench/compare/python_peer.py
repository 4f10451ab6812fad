"""The job in plain Python: dicts and one loop. Files are read and written by pyarrow."""

from __future__ import annotations

import platform
import re
import unicodedata
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from .job import (
    CLEARING_COLUMNS,
    DUPLICATE,
    ISO_CODES,
    NO_CODE,
    NOT_GIVEN,
    PAID_BEFORE,
    SENTENCES,
    STATUS_COLUMNS,
    STATUSES,
    Answer,
    Job,
    Peer,
    engine_columns,
    engine_name_keys,
    fold_slowly,
    name_differs,
)
from .later import Later

STRANGER = (0, None, None, 0, 0)


def fold(text: str) -> str | None:
    """The canonical form of a name; None where it is unusable. Nearly all names are ASCII once
    they are decomposed and their marks are dropped."""
    if len(text) <= 140 and text.isprintable():
        form = unicodedata.normalize("NFD", text).replace("đ", "d").replace("Đ", "D")
        if form.isascii() or not OTHER_LETTERS.search(form):
            return " ".join(form.encode("ascii", "ignore").decode().upper().split()) or None
    return fold_slowly(text) or None


OTHER_LETTERS = re.compile("[^\x00-\x7f\u0300-\u034e\u0350-\u036f]")


class Names(dict[str, str | None]):
    """Canonical forms, each computed once."""

    def __missing__(self, text: str) -> str | None:
        self[text] = folded = fold(text)
        return folded


class ToolPeer(Peer):
    name = "python"
    lines_max = 1_000_000

    def __init__(self, job: Job, threads: int) -> None:
        super().__init__(job, threads)
        self.names = Names()

    @staticmethod
    def version() -> str:
        return platform.python_version()

    def load_register(self, form: str) -> None:
        job = self.job
        day = job.value_day
        index = {code: i for i, code in enumerate(job.participants)}
        best: dict[int, tuple[Any, ...]] = {}
        columns = ("person_id", "priority", "valid_from", "participant", "account", "valid_to")
        for person, priority, begins, participant, account, ends in _rows(
            job.path("accounts"), columns
        ):
            begins = -(2**31) if begins is None else begins
            if begins <= day and (ends is None or day <= ends):
                rank = (priority, begins, participant, account)
                known = best.get(person)
                if known is None or rank < known:
                    best[person] = rank
        self.later = Later(job)
        self.people: dict[int, tuple[Any, ...]] = {}
        columns = ("person_id", "status", "status_since")
        names = pq.read_table(job.path("population"), columns=["name"])["name"]
        keys: list[Any]
        if form == "memory":
            keys = engine_name_keys(names).tolist()
        else:
            keys = [self.names[name] for name in names.to_pylist()]
        life_of = {"alive": 0, "deceased": 8, "missing": 9, "revoked": 9}
        rows = _rows(job.path("population"), columns)
        for key, (person, status, since) in zip(keys, rows, strict=True):
            life = life_of[status] if since is None or since <= day else 0
            account = best.get(person)
            if account is None:
                self.people[person] = (life, key, None, NOT_GIVEN, True)
            else:
                code = index.get(account[2], NO_CODE)
                self.people[person] = (life, key, account[3], code, True)
        del best
        benefits = {code: i for i, code in enumerate(job.benefits)}
        self.paid = {
            (person, benefits[benefit], _month(period))
            for person, benefit, period in _rows(
                job.path("paid"), ("person_id", "benefit", "period")
            )
            if benefit in benefits
        }

    def load_lines(self, form: str) -> None:
        columns = engine_columns(self.job, keys=form == "memory")
        self.accounts = columns["account_texts"]
        if form == "memory":
            names = columns["name_key"].tolist()
        else:
            texts = columns["name_texts"].to_pylist()
            names = [texts[i] for i in columns["name_index"].tolist()]
        listed = ("person_id", "amount", "benefit", "debtor", "agent", "month")
        self.lines = [columns[n].tolist() for n in listed] + [names]

    def prepare(self, form: str, out: Path) -> None:
        # What earlier repetitions learned of names is forgotten, or they would be free.
        self.names = Names()

    def screen(self, form: str) -> None:
        *columns, names = self.lines
        if form == "names":
            fold_ = self.names
            names = [fold_[name] for name in names]
        self._screen(*columns, names)

    def _screen(
        self,
        ids: Any,
        amounts: Any,
        benefits: Any,
        debtors: Any,
        agents: Any,
        months: Any,
        names: Any,
    ) -> None:
        job = self.job
        limit, people, paid = job.clearing_limit, self.people.get, self.paid
        suspended, amount_max = job.suspended.tolist(), job.amount_max.tolist()
        debtor_agent = job.debtor_agent.tolist()
        taken: set[tuple[int, int, int]] = set()
        pairs: dict[tuple[int, int], list[int]] = defaultdict(lambda: [0, 0])
        reasons = bytearray(len(ids))
        receivers: list[int] = []
        accounts: list[Any] = []
        self.went: dict[int, str] = {}
        rows = zip(ids, amounts, benefits, debtors, agents, months, names, strict=True)
        for i, (person_id, amount, benefit, debtor, agent, month, name) in enumerate(rows):
            participant = NO_CODE
            account: Any = None
            if amount <= 0:
                reason = 1
            elif amount > limit:
                reason = 2
            elif benefit == NO_CODE:
                reason = 3
            elif debtor == NO_CODE:
                reason = 4
            elif person_id >= 10**12:
                reason = 5
            elif not name:
                reason = 6
            else:
                life, key, account, own, known = people(person_id, STRANGER)
                if not known:
                    reason = 7
                elif life:
                    reason = life
                elif key != name:
                    reason = 10
                else:
                    if agent != NOT_GIVEN:
                        own, account = agent, i
                    elif own != NOT_GIVEN and (
                        own == NO_CODE or suspended[own] or amount > amount_max[own]
                    ):
                        chosen = self.later.choose(person_id, amount)
                        if chosen is not None:
                            own, account, self.went[i] = chosen
                    if own == NOT_GIVEN:
                        reason = 11
                    elif own == NO_CODE:
                        reason = 12
                    elif suspended[own]:
                        reason, participant = 13, own
                    elif amount > amount_max[own]:
                        reason, participant = 14, own
                    else:
                        participant = own
                        entitlement = (person_id, benefit, month)
                        if entitlement in paid:
                            reason = PAID_BEFORE
                        elif entitlement in taken:
                            reason = DUPLICATE
                        else:
                            taken.add(entitlement)
                            reason = 0
                            pair = pairs[debtor_agent[debtor], own]
                            pair[0] += 1
                            pair[1] += amount
            reasons[i] = reason
            receivers.append(participant)
            accounts.append(account)
        self.result = reasons, receivers, accounts, pairs

    def _matrices(self) -> tuple[Any, Any]:
        pairs = self.result[3]
        agent, participant = zip(*pairs, strict=True) if pairs else ((), ())
        agent, participant = np.array(agent, int), np.array(participant, int)
        count, total = (np.array([p[k] for p in pairs.values()], np.int64) for k in (0, 1))
        pair_count = self.job.pair_matrix(agent, participant, count)
        return self.job.pair_matrix(agent, participant, total), pair_count

    def run_files(self, out: Path) -> None:
        job = self.job
        columns = (
            "person_id",
            "amount",
            "benefit",
            "debtor_account",
            "creditor_agent",
            "period",
            "person_name",
            "line_no",
            "creditor_account",
        )
        table = pq.read_table(job.path("payday"), columns=list(columns), use_threads=False)
        ids, amounts, benefit, debtor, agent, period, names, line_no, own = (
            table[n].to_pylist() for n in columns
        )
        index = [
            {code: i for i, code in enumerate(values)}
            for values in (job.benefits, job.debtors, job.participants)
        ]
        benefits = [index[0].get(v, NO_CODE) for v in benefit]
        debtors = [index[1].get(v, NO_CODE) for v in debtor]
        agents = [NOT_GIVEN if v is None else index[2].get(v, NO_CODE) for v in agent]
        fold_ = self.names
        folded = [fold_[name] for name in names]
        months = [_month(p) for p in period]
        self._screen(ids, amounts, benefits, debtors, agents, months, folded)
        reasons, receivers, accounts, _ = self.result
        pair_sum, pair_count = self._matrices()
        job.write_positions(out / "positions.parquet", pair_sum, pair_count)
        prefix = job.transfer_prefix
        transfer = [
            f"{prefix}{n:010d}" if r == 0 else None for n, r in zip(line_no, reasons, strict=True)
        ]
        details = [SENTENCES[r] or None for r in reasons]
        for i, reason in enumerate(reasons):
            if reason == 10:
                details[i] = name_differs(folded[i], self.people[ids[i]][1] or "")
            elif reason == 0:
                details[i] = self.went.get(i)
        codes = [*job.participants, *[None] * (NO_CODE + 1 - len(job.participants))]
        status = (
            line_no,
            [STATUSES[r] for r in reasons],
            [ISO_CODES[r] for r in reasons],
            details,
            transfer,
            [codes[p] for p in receivers],
            [None if r else job.cycle for r in reasons],
        )
        kinds = [pa.uint32(), *[pa.string()] * 6]
        _write(out / "status.parquet", STATUS_COLUMNS, status, kinds)
        (out / "clearing").mkdir()
        by_receiver: dict[int, list[int]] = defaultdict(list)
        for i, (reason, receiver) in enumerate(zip(reasons, receivers, strict=True)):
            if reason == 0:
                by_receiver[receiver].append(i)
        text = pa.string()
        kinds = [text, text, text, text, pa.int64(), text, pa.int32(), text]
        for receiver, lines in by_receiver.items():
            rows = [
                [transfer[i] for i in lines],
                [None] * len(lines),
                [own[i] if agent[i] is not None else accounts[i] for i in lines],
                [names[i] for i in lines],
                [amounts[i] for i in lines],
                [job.purposes[benefits[i]] for i in lines],
                [period[i] for i in lines],
                [debtor[i] for i in lines],
            ]
            path = out / "clearing" / f"{job.participants[receiver]}.parquet"
            _write(path, CLEARING_COLUMNS, rows, kinds)

    def answer(self, *, cleared: bool) -> Answer:
        reasons, receivers, accounts, _ = self.result
        pair_sum, pair_count = self._matrices()
        of_cleared = None
        if cleared:
            live = [i for i, reason in enumerate(reasons) if reason == 0]
            own = self.accounts.to_pylist()
            texts = [own[a] if isinstance(a := accounts[i], int) else a for i in live]
            of_cleared = (
                np.array([receivers[i] for i in live], np.uint16),
                pa.array(texts, pa.string()),
            )
        return self.job.answer(
            np.frombuffer(bytes(reasons), np.uint8), pair_sum, pair_count, of_cleared
        )


def _month(period: int) -> int:
    return (period // 100 - 1900) * 12 + period % 100 - 1


def _rows(path: Path, columns: tuple[str, ...]) -> Any:
    """Rows as tuples, a batch at a time; dates as days since 1970-01-01."""
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(1 << 17, columns=list(columns)):
            lists = []
            for name in columns:
                column = batch.column(name)
                if pa.types.is_date32(column.type):
                    column = column.cast(pa.int32())
                lists.append(column.to_pylist())
            yield from zip(*lists, strict=True)


def _write(path: Path, names: tuple[str, ...], columns: Any, kinds: list[Any]) -> None:
    arrays = [pa.array(column, kind) for column, kind in zip(columns, kinds, strict=True)]
    pq.write_table(
        pa.Table.from_arrays(arrays, names=list(names)),
        path,
        compression="zstd",
        compression_level=1,
        write_statistics=False,
    )
