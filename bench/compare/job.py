"""The job that every tool does, what it is given, and what its answer is.

Given are the files of `switch generate`; the answer is, for every line, the number of its Reason
(0: cleared), the receiver and account of cleared lines, and positions by participant. Its forms:

    memory  lines stand in memory as the columns that the engine's own core takes (codes of benefit,
            debtor account and agent looked up, 64-bit name keys computed), the register stands in
            memory in whatever form serves the tool best; from there to reasons, receivers, accounts
            and positions in memory
    names   the same, but names come as text (dictionary-encoded) and are normalised in the clock
    files   payday.parquet to status.parquet, clearing/<participant>.parquet and positions.parquet,
            all columns of the contract, zstd level 1; the register stands in memory
    cold    the same in a fresh process, registers read from disk too: from Parquet, or from HOME
    ipc     as files, but the engine reads and writes Arrow IPC; peers Parquet, as in files

Who was paid before is PAID_BEFORE; of the other living lines of an entitlement the first in table
order takes it, and later ones are DUPLICATE_IN_TABLE.
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import hashlib
import json
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc
import pyarrow.parquet as pq

from switch.reason import PASSED_OVER, REASONS_COUNT, RULES, Reason, status_of
from switch.registry.directory import Directory, read_directory
from switch.schema import CLEARING_LIMIT, NO_CODE, NOT_GIVEN
from switch.settlement.netting import positions

FORMS = ("memory", "names", "files", "cold", "ipc")
BATCH_SEQ = 1
EPOCH = datetime.date(1970, 1, 1)
SENTENCES = ["", *(RULES[Reason(n)].sentence for n in range(1, REASONS_COUNT))]
ISO_CODES = [None, *(RULES[Reason(n)].code for n in range(1, REASONS_COUNT))]
STATUSES = [status_of(n) for n in range(REASONS_COUNT)]
NO_PERSON = 0xFFFF_FFFF
DUPLICATE, PAID_BEFORE = int(Reason.DUPLICATE_IN_TABLE), int(Reason.PAID_BEFORE)


class Answer(NamedTuple):
    """What a tool answers, in one canonical form."""

    reasons: Any
    """uint8[lines], in table order"""
    positions: list[tuple[str, int, int, int, int]]
    """(participant, credit count and sum, debit count and sum), on-us lines left out; by code"""
    cleared: tuple[Any, Any] | None = None
    """Of cleared lines in table order: uint16 directory index, account texts (Arrow)."""


def digest(answer: Answer) -> str:
    """SHA-256 over reason numbers in table order and positions."""
    assert answer.reasons.dtype == np.uint8
    whole = hashlib.sha256(np.ascontiguousarray(answer.reasons))
    rows = [[p[0], *map(int, p[1:])] for p in answer.positions]
    whole.update(json.dumps(rows).encode())
    return whole.hexdigest()


def detail_digest(answer: Answer) -> str:
    """SHA-256 over receivers and accounts of cleared lines."""
    if answer.cleared is None:
        return ""
    participant, account = answer.cleared
    whole = hashlib.sha256(np.ascontiguousarray(participant, "<u2"))
    _hash_texts(whole, pa.chunked_array([account]).combine_chunks())
    return whole.hexdigest()


def counts(reasons: Any) -> dict[str, int]:
    """Lines by name of their reason."""
    by_number = np.bincount(reasons, minlength=REASONS_COUNT)
    return {Reason(n).name: int(c) for n, c in enumerate(by_number) if c}


@dataclass(frozen=True)
class Job:
    """The files of one nation, and the tens of rows that everybody reads the same way."""

    folder: Path

    def path(self, name: str) -> Path:
        return self.folder / f"{name}.parquet"

    @cached_property
    def dossier(self) -> dict[str, Any]:
        return json.loads((self.folder / "payday.dossier.json").read_text("utf-8"))

    @cached_property
    def lines(self) -> int:
        return int(self.dossier["count"])

    @cached_property
    def value_date(self) -> datetime.date:
        return datetime.date.fromisoformat(self.dossier["value_date"])

    @cached_property
    def value_day(self) -> int:
        return (self.value_date - EPOCH).days

    @cached_property
    def directory(self) -> Directory:
        return read_directory(self.folder / "participants.csv", self.folder / "debtors.csv")

    @cached_property
    def participants(self) -> list[str]:
        return [p.participant for p in self.directory.participants]

    @cached_property
    def benefits(self) -> list[str]:
        return [p.benefit for p in self.directory.programmes]

    @cached_property
    def purposes(self) -> list[str]:
        return [p.purpose for p in self.directory.programmes]

    @cached_property
    def debtors(self) -> list[str]:
        return [d.debtor_account for d in self.directory.debtors]

    @cached_property
    def debtor_agent(self) -> Any:
        """uint16[debtors]: participant index."""
        return self.directory.lookups().debtor_agent[:-1]

    @cached_property
    def suspended(self) -> Any:
        """bool[participants]"""
        return self.directory.lookups().suspended.astype(bool)

    @cached_property
    def amount_max(self) -> Any:
        """int64[participants], 2**63-1 where there is no limit"""
        return self.directory.lookups().amount_max

    @property
    def clearing_limit(self) -> int:
        return CLEARING_LIMIT

    @cached_property
    def cycle(self) -> str:
        return f"{self.value_date:%Y%m%d}-{BATCH_SEQ:06d}"

    @cached_property
    def transfer_prefix(self) -> str:
        return f"{self.cycle}-"

    def positions_of(self, pair_sum: Any, pair_count: Any) -> list[Any]:
        """netting.positions of sums by (debtor agent, receiver)."""
        return positions(self.directory, pair_sum, pair_count)

    def answer(self, reasons: Any, pair_sum: Any, pair_count: Any, cleared: Any = None) -> Answer:
        rows = self.positions_of(pair_sum, pair_count)
        return Answer(
            reasons,
            [
                (p.participant, p.credit_count, p.credit_sum, p.debit_count, p.debit_sum)
                for p in rows
            ],
            cleared,
        )

    def write_positions(self, path: Path, pair_sum: Any, pair_count: Any) -> None:
        """positions.parquet, tens of rows: the engine's own writer, for everyone."""
        from switch.files.file_schemas import positions_table
        from switch.files.segment import write_table

        write_table(path, positions_table(self.positions_of(pair_sum, pair_count)))

    def pair_matrix(self, debtor_agent: Any, participant: Any, values: Any) -> Any:
        """int64[participants, participants] of grouped values."""
        out = np.zeros((len(self.participants),) * 2, np.int64)
        out[np.asarray(debtor_agent), np.asarray(participant)] = np.asarray(values)
        return out


def engine_columns(job: Job, *, keys: bool) -> dict[str, Any]:
    """The lines as the engine's intake hands them to its core, whole columns: what every tool is
    given in the forms memory (keys) and names.

    person_id u64, amount i64, benefit u16, debtor u16, agent u16 (NO_CODE unknown; agent NOT_GIVEN
    where the line names none), month u16; with keys name_key u64 (0 unusable), else name_index i32
    and name_texts (pa.StringArray, distinct); account_texts: the lines' own accounts (Arrow).
    """
    from switch.clearing.intake import Intake, read_dossier
    from switch.files.formats import CHUNK_ROWS
    from switch.files.tables import open_table
    from switch.schema import PAYMENT

    table = job.path("payday")
    names = ("person_id", "amount", "benefit", "debtor", "agent", "month", "name_key")
    kinds = (np.uint64, np.int64, *(np.uint16,) * 4, np.uint64)
    out: dict[str, Any] = {
        n: np.empty(job.lines, k)
        for n, k in zip(names, kinds, strict=True)
        if keys or n != "name_key"
    }
    intake = Intake(job.directory)
    at = 0
    accounts = []
    for chunk in intake.lines(open_table(table, PAYMENT), read_dossier(table), CHUNK_ROWS):
        end = at + len(chunk)
        for name, column in out.items():
            value = getattr(chunk, name)
            column[at:end] = NOT_GIVEN if value is None else value
        if chunk.account is None:
            accounts.append(pa.nulls(len(chunk), pa.string()))
        else:
            accounts.append(chunk.account.rows())
        at = end
    out["account_texts"] = pa.chunked_array(accounts, pa.string())
    if not keys:
        names = pq.read_table(table, columns=["person_name"])["person_name"]
        out["name_index"], out["name_texts"] = encode(names)
    return out


def encode(column: Any) -> tuple[Any, Any]:
    """(int32 index, distinct texts) of a chunked text column without nulls; the whole text may be
    longer than one Arrow array holds."""
    encoded = column.dictionary_encode().unify_dictionaries()
    index = np.concatenate([np.asarray(chunk.indices) for chunk in encoded.chunks])
    return index, encoded.chunk(0).dictionary


def engine_name_keys(names: Any) -> Any:
    """uint64 name keys of a chunked text column, by the engine: 0 where a name is unusable."""
    from switch.files.columns import Texts
    from switch.registry.register import name_keys

    parts = [name_keys(Texts(part, None))[0] for part in names.chunks]
    return np.concatenate(parts) if parts else np.empty(0, np.uint64)


# --- names --------------------------------------------------------------------------------------

_ODD, _DROPPED = 0, 0x80
_FOLD_SIZE = 0x2000


def _fold_table() -> Any:
    """uint8 by code point: the capital letter that it folds to, _DROPPED, or _ODD for all that
    needs more than this table."""
    table = np.full(_FOLD_SIZE, _ODD, np.uint8)
    for point in range(0x80, _FOLD_SIZE):
        if unicodedata.category(chr(point)) in ("Cc", "Cf", "Zl", "Zp") or chr(point).isspace():
            continue
        folded = fold_slowly(chr(point))
        if not folded:
            table[point] = _DROPPED
        elif len(folded) == 1 and folded.isascii():
            table[point] = ord(folded)
    return table


def fold_names(names: Any) -> tuple[Any, Any]:
    """Names (pa.StringArray) in their canonical form, and which are unusable (bool). By a table
    over the bytes, a name with rare letters through Python: several times faster than Arrow's,
    DuckDB's or Polars' functions for normal forms and patterns, so everybody is given it.
    """
    count = len(names)
    _, offsets, data = names.buffers()
    offsets = np.frombuffer(offsets, np.int32)[names.offset :][: count + 1]
    raw = np.frombuffer(data or b"", np.uint8)[offsets[0] : offsets[-1]]
    offsets = offsets - offsets[0]
    text = _UPPER[raw]
    lead = np.flatnonzero(raw >= 0xC0)
    first = raw[lead].astype(np.int32)
    second = raw[np.minimum(lead + 1, len(raw) - 1)].astype(np.int32) & 0x3F
    third = raw[np.minimum(lead + 2, len(raw) - 1)].astype(np.int32) & 0x3F
    two = ((first & 0x1F) << 6) | second
    three = ((first & 0x0F) << 12) | (second << 6) | third
    point = np.where(first < 0xE0, two, np.where(first < 0xF0, three, _FOLD_SIZE))
    folded = _fold_table_of().take(point, mode="clip")
    folded[point >= _FOLD_SIZE] = _ODD
    text[lead] = folded
    # Continuation bytes stand above 0x80, as does the mark of what is dropped.
    kept = text < 0x80
    at = _positions(kept, offsets)
    text = text[kept]
    stays = text != 32
    stays[:-1] |= stays[1:]
    # A blank stays before a letter of the same name; those before the first letter go.
    ends = at[1:][at[1:] > at[:-1]] - 1
    stays[ends] &= text[ends] != 32
    place = at[:-1][at[1:] > at[:-1]]
    while len(place := place[(place < len(text))]) and len(place := place[text[place] == 32]):
        stays[place] = False
        place = place + 1
    at = _positions(stays, at)
    canonical = pa.StringArray.from_buffers(count, pa.py_buffer(at), pa.py_buffer(text[stays]))
    odd = np.concatenate([lead[folded == _ODD], np.flatnonzero((raw < 32) | (raw == 127))])
    bad = np.asarray(pc.utf8_length(names)) > 140
    if len(odd):
        rows = np.unique(np.searchsorted(offsets, odd, side="right") - 1)
        mask = np.zeros(count, bool)
        mask[rows] = True
        slow = [fold_slowly(names[int(row)].as_py()) for row in rows]
        canonical = pc.replace_with_mask(canonical, pa.array(mask), pa.array(slow, pa.string()))
    bad |= np.asarray(pc.binary_length(canonical)) == 0
    return canonical, bad


def fold_slowly(text: str) -> str:
    """The canonical form of a name, empty where it is unusable: the rule as the contract has it."""
    if len(text) > 140 or any(unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp") for c in text):
        return ""
    bare = "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))
    return " ".join(bare.replace("đ", "d").replace("Đ", "D").upper().split())


_UPPER = np.arange(256, dtype=np.uint8)
_UPPER[97:123] -= 32
_fold_table_of = functools.cache(_fold_table)


def _positions(kept: Any, at: Any) -> Any:
    """int32: where positions at (0..len) come to lie when only kept elements stay."""
    total = np.zeros(len(kept) + 1, np.int32)
    np.cumsum(kept, out=total[1:])
    return total[at]


def initials(folded: str) -> str:
    """What may be shown of a name: its initials, of at most eight words."""
    words = folded.split(" ")[:8] if folded else []
    return " ".join(f"{w[0] if w[0] < chr(128) else '?'}*" for w in words)


def name_differs(line_name: str, registered: str) -> str:
    """reason_detail of a line whose name differs, both names folded."""
    return (
        f"{SENTENCES[Reason.NAME_DIFFERS]}: table {initials(line_name)}, "
        f"register {initials(registered)}"
    )


# --- files --------------------------------------------------------------------------------------


def _hash_texts(whole: Any, texts: Any) -> None:
    plain = pc.fill_null(texts.cast(pa.large_string()), "\x00")
    offsets = np.frombuffer(plain.buffers()[1], np.int64)[plain.offset :][: len(plain) + 1]
    whole.update(np.diff(offsets))
    if plain.buffers()[2] is not None:
        whole.update(memoryview(plain.buffers()[2])[offsets[0] : offsets[-1]])


STATUS_COLUMNS = (
    "line_no",
    "status",
    "reason",
    "reason_detail",
    "transfer_id",
    "participant",
    "cycle",
)
CLEARING_COLUMNS = (
    "transfer_id",
    "end_to_end_id",
    "creditor_account",
    "creditor_name",
    "amount",
    "purpose",
    "period",
    "debtor_account",
)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[list[str], Any]]:
    """(column names, batches) of a Parquet or Arrow IPC file."""
    if path.suffix == ".arrow":
        with pa.ipc.open_file(path) as file:
            count = file.num_record_batches
            yield file.schema.names, (file.get_batch(i) for i in range(count))
    else:
        with pq.ParquetFile(path) as file:
            yield file.schema_arrow.names, file.iter_batches(1 << 17)


def _hash_file(path: Path, columns: tuple[str, ...], see: Any = None) -> str:
    """One hash a column, so that neither row groups nor encodings show in it."""
    hashes = {name: (hashlib.sha256(), hashlib.sha256()) for name in columns}
    with _opened(path) as (names, batches):
        if tuple(names) != columns:
            raise AssertionError(f"{path}: columns {names}")
        for batch in batches:
            for name in columns:
                array = batch.column(name)
                if pa.types.is_dictionary(array.type):
                    array = array.cast(pa.string())
                lengths, data = hashes[name]
                if pa.types.is_integer(array.type):
                    assert array.null_count == 0
                    data.update(np.asarray(array).astype("<i8"))
                    continue
                plain = pc.fill_null(array.cast(pa.large_string()), "\x00")
                offsets = np.frombuffer(plain.buffers()[1], np.int64)
                offsets = offsets[plain.offset :][: len(plain) + 1]
                lengths.update(np.diff(offsets))
                if plain.buffers()[2] is not None:
                    data.update(memoryview(plain.buffers()[2])[offsets[0] : offsets[-1]])
            if see is not None:
                see(batch)
    return "".join(a.hexdigest() + b.hexdigest() for a, b in hashes.values())


def _reason_in(detail: str | None) -> str:
    """The sentence of a reason; that of none where an account was passed over."""
    return "" if detail is None or detail.startswith(PASSED_OVER) else detail


def read_answer(status: Path, clearing: Path, positions_file: Path) -> tuple[Answer, str]:
    """What files answer, and a digest of all their columns."""
    number = {text: n for n, text in enumerate(SENTENCES) if n} | {"": 0}
    differs = SENTENCES[Reason.NAME_DIFFERS]
    reasons = []

    def see(batch: Any) -> None:
        detail = batch.column("reason_detail")
        if not pa.types.is_dictionary(detail.type):
            detail = detail.dictionary_encode()
        texts = detail.dictionary.to_pylist()
        codes = [number[differs if t.startswith(differs) else t] for t in map(_reason_in, texts)]
        at = np.asarray(pc.fill_null(detail.indices, len(codes)))
        reasons.append(np.array([*codes, 0], np.uint8)[at])

    whole = hashlib.sha256(_hash_file(status, STATUS_COLUMNS, see).encode())
    for path in sorted(clearing.iterdir()):
        whole.update(path.stem.encode() + _hash_file(path, CLEARING_COLUMNS).encode())
    rows = pq.read_table(positions_file).to_pylist()
    whole.update(json.dumps(rows, sort_keys=True).encode())
    listed = [
        (r["participant"], r["credit_count"], r["credit_sum"], r["debit_count"], r["debit_sum"])
        for r in rows
    ]
    return Answer(np.concatenate(reasons), listed), whole.hexdigest()


class Peer:
    """One tool doing the job. What is not `screen` or `run_files` is outside the clock, except
    that the form cold times the whole process."""

    name = ""
    can: tuple[str, ...] = FORMS
    lines_max = 1 << 40

    def __init__(self, job: Job, threads: int) -> None:
        self.job, self.threads = job, threads

    @staticmethod
    def version() -> str:
        raise NotImplementedError

    def load_register(self, form: str) -> None:
        """Registers and paid history into memory; form memory compares 64-bit name keys, the
        others names in their canonical form."""

    def load_lines(self, form: str) -> None:
        """Lines into memory, for the forms memory and names."""

    def prepare(self, form: str, out: Path) -> None:
        """Before each repetition: forget the last one."""

    def screen(self, form: str) -> None:
        """The forms memory and names: lines to an answer that stays in memory."""

    def run_files(self, out: Path) -> None:
        """The form files: payday.parquet to files in out (an empty folder). (The engine's does the
        form ipc too, as `prepare` was told.)"""

    def answer(self, *, cleared: bool) -> Answer:
        """The last screen's answer; with receivers and accounts where cleared."""
        raise NotImplementedError

    def read_files(self, out: Path) -> tuple[Answer, str]:
        return read_answer(out / "status.parquet", out / "clearing", out / "positions.parquet")

    def close(self) -> None:
        pass


def peer_of(tool: str, job: Job, threads: int) -> Peer:
    """The tool's peer; raises ImportError where the tool is not installed."""
    import importlib

    module = importlib.import_module(f"bench.compare.{tool}_peer")
    peer: Peer = module.ToolPeer(job, threads)
    return peer


__all__ = ["NOT_GIVEN", "NO_CODE", "NO_PERSON", "Answer", "Job", "Peer", "digest", "peer_of"]
