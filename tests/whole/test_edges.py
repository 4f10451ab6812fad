"""Where a good day never goes: every branch of the modules that money passes through has a case.

`make coverage` holds those modules at 100 % of their branches; what the other tests leave stands
here, by module.
"""

from __future__ import annotations

import datetime as dt
import errno
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scene import (
    BANK,
    account,
    accounts_table,
    change_catalog,
    entitlement,
    line,
    make_home,
    paid_table,
    pay,
    payment_table,
    people_table,
    person,
    reasons,
    run,
    tree_digest,
    write_file,
)

import switch
from switch.clearing import clearing_files, intake
from switch.errors import (
    EnvironmentFailed,
    InputRefused,
    SwitchError,
    UsageError,
    VerificationFailed,
)
from switch.files import airlock, segment, tables
from switch.files.tables import Source, TableReader, open_table
from switch.home import paid_bits, signing, store
from switch.home.chain import Chain
from switch.home.store import Home
from switch.schema import PAID, PAYMENT, Column, Kind, Table

LINES = [line(n) for n in range(1, 10)]


def refused(act: Callable[[], Any]) -> InputRefused:
    with pytest.raises(InputRefused) as caught:
        act()
    return caught.value


# --- batch: tables in -----------------------------------------------------------------------------


def chunks(table: Any, rows: int = 100) -> list[Any]:
    return list(open_table(table, PAYMENT).chunks(rows))


def test_batch__more_rows_than_a_table_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "LINES_MAX", 2)
    history = paid_table([entitlement(n) for n in range(1, 4)])
    assert refused(lambda: list(open_table(history, PAID).chunks(1))).rule == "ROW_LIMIT"
    assert len(list(open_table(history[:2], PAID).chunks(1))) == 2


def test_batch__what_the_machine_fails_at_is_no_bad_file() -> None:
    def batches() -> Iterator[Any]:
        raise OSError(errno.EIO, "Input/output error")
        yield

    reader = TableReader(PAYMENT, Source("t", payment_table(LINES).schema, batches))
    with pytest.raises(OSError, match="Input/output error") as caught:
        list(reader.chunks())
    assert not isinstance(caught.value, SwitchError)


def test_batch__null_in_a_dictionary_with_an_index_beyond_it() -> None:
    table = payment_table(LINES[:2])
    coded = pa.DictionaryArray.from_arrays(
        pa.array([0, 7], pa.int32()), pa.array(["PENS", None]), safe=False
    )
    at = table.schema.names.index("benefit")
    fault = refused(lambda: chunks(table.set_column(at, "benefit", coded)))
    assert (fault.rule, fault.row, fault.column) == ("ARROW_INVALID", 1, "benefit")


def test_batch__a_time_is_read_as_microseconds_of_utc() -> None:
    """A time without a zone is Vietnam's, seven hours ahead."""
    table = Table("instants", (Column("booked_at", Kind.INSTANT),))
    for kind in (pa.timestamp("s", "Asia/Ho_Chi_Minh"), pa.timestamp("ns"), pa.timestamp("us")):
        instants = pa.table(
            {
                "booked_at": pa.array([7_000_000_000], pa.int64())
                .cast(pa.timestamp("us"))
                .cast(kind)
                if kind.tz is None
                else pa.array([7000], kind)
            }
        )
        ((chunk),) = open_table(instants, table).chunks()
        ahead = 0 if kind.tz else 7 * 3_600_000_000
        assert chunk["booked_at"].tolist() == [7_000_000_000 - ahead]
    finer = pa.table({"booked_at": pa.array([1], pa.timestamp("ns"))})
    assert refused(lambda: list(open_table(finer, table).chunks())).rule == "TIME_INVALID"


def test_batch__a_record_batch_is_a_table_and_a_list_is_none() -> None:
    (record_batch,) = payment_table(LINES).to_batches()
    assert len(chunks(record_batch)[0]["amount"]) == 9
    assert refused(lambda: open_table(LINES, PAYMENT)).rule == "TYPE"


def test_batch__a_file_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_file(payment_table(LINES), tmp_path / "t", "csv")

    def fail(*_: Any, **__: Any) -> Any:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", fail)
    with pytest.raises(EnvironmentFailed, match="Permission denied"):
        open_table(path, PAYMENT)


def test_batch__without_a_process_to_read_it_no_file_is_bad(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_file(payment_table(LINES), tmp_path / "t.parquet", "parquet")

    def fail(*_: Any) -> Any:
        raise EnvironmentFailed("no process for reading files")

    monkeypatch.setattr(airlock, "ask", fail)
    with pytest.raises(EnvironmentFailed, match=r"^no process for reading files$"):
        open_table(path, PAYMENT)


# --- intake: totals and names ---------------------------------------------------------------------


@pytest.mark.parametrize("value", [dt.datetime(2026, 11, 25, 8), "2026-11-31", "25.11.2026"])
def test_intake__what_is_no_value_date(value: Any, village: Path) -> None:
    with pytest.raises(UsageError, match="date"):
        pay(village, LINES, value_date=value)


def coded_names(values: pa.Array, index: list[int]) -> pa.Table:
    table = payment_table([line(n + 1) for n in range(len(index))])
    names = pa.DictionaryArray.from_arrays(pa.array(index, pa.int32()), values)
    return table.set_column(table.schema.names.index("person_name"), "person_name", names)


def test_intake__names_of_one_dictionary_are_keyed_once(
    village: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyed = []
    real = intake.name_keys

    def name_keys(*args: Any, **options: Any) -> Any:
        keyed.append(args)
        return real(*args, **options)

    monkeypatch.setattr(intake, "name_keys", name_keys)
    table = coded_names(pa.array(["Nguyễn Văn An", "Lê Thị Ý"]), [0, 1, 0, 0])
    assert reasons(pay(village, table, chunk_rows=1, threads=1)) == [None, "BE01", None, None]
    assert len(keyed) == 1


@pytest.mark.parametrize(("index", "row"), [([0, 1, 0], 2), ([0, 0, 0], 1)])
def test_intake__a_dictionary_with_a_name_that_is_not_utf8(
    index: list[int], row: int, village: Path
) -> None:
    values = pa.array([b"An", b"\xff"], pa.binary()).view(pa.string())
    fault = refused(lambda: pay(village, coded_names(values, index)))
    assert (fault.rule, fault.row, fault.column) == ("ENCODING", row, "person_name")


# --- engine ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["971001", "999999"])
def test_engine__a_balance_of_who_has_no_settlement_account(tmp_path: Path, code: str) -> None:
    balances = pa.table({"participant": [BANK, code], "balance": [1, 1]})
    fault = refused(lambda: make_home(tmp_path / "h", balances=balances))
    assert (fault.rule, fault.row) == ("DIRECTORY_INVALID", 2)
    assert not (tmp_path / "h").exists()


@pytest.mark.parametrize("how", [{"chunk_rows": 0}, {"chunk_rows": 1 << 21}, {"threads": 0}])
def test_engine__odd_chunks_and_threads(village: Path, how: dict[str, int]) -> None:
    with pytest.raises(UsageError, match=next(iter(how))):
        pay(village, LINES, **how)


def test_engine__progress_of_a_register_is_told(village: Path) -> None:
    said: list[tuple[str, int, int]] = []
    history = pa.concat_tables(
        [paid_table([entitlement(n) for n in part]) for part in ((1, 2), (3,), (2, 4))]
    )
    with switch.open(village) as engine:
        counts = engine.register(paid_history=history, progress=lambda *words: said.append(words))
        assert reasons(run(engine, LINES)) == ["AM05"] * 4 + [None] * 5
    assert counts == {"paid": 5}
    assert [done for _, done, _ in said] == [2, 3, 5]
    assert {whole for _, _, whole in said} == {5}


def test_engine__history_of_people_who_come_later_in_it(village: Path) -> None:
    """Rows are given while the history is read, so bits of its keys grow on the way."""
    strangers = [entitlement(n) for n in range(100, 300)]
    with switch.open(village) as engine:
        engine.register(
            paid_history=pa.concat_tables(
                [paid_table([entitlement(1)]), paid_table(strangers), paid_table([entitlement(2)])]
            )
        )
        engine.register(
            population=people_table([person(250)]), accounts=accounts_table([account(250)])
        )
        assert reasons(run(engine, [line(n) for n in (1, 2, 3, 250)])) == [
            "AM05", "AM05", None, "AM05",
        ]  # fmt: skip


# --- road, paid bits ------------------------------------------------------------------------------


def test_road__a_table_of_too_many_entitlements_is_refused(village: Path) -> None:
    """4,097 (benefit, period): one more than the ledger takes."""
    benefits = ("PENS", "SASS", "MERT", "UNEM", "SICK", "MATE", "ONCE", "GIFT")
    lines = [
        line(1, benefit=benefit, period=year * 100 + month)
        for benefit in benefits
        for year in range(1950, 1993)
        for month in range(1, 13)
    ]
    before = tree_digest(village)
    fault = refused(lambda: pay(village, lines[:4097]))
    assert fault.rule == "PERIOD_LIMIT"
    assert tree_digest(village) == before


def test_paid__no_rows_mark_nothing() -> None:
    bits = paid_bits.pairs(100)
    paid_bits.mark(bits, np.array([], np.uint32))
    assert not bits.any()
    paid_bits.mark(bits, np.array([0, 63, 64, 99], np.uint32))
    assert [int(words).bit_count() for words in bits] == [2, 0, 2, 0]


def test_paid__a_row_beyond_the_bits_is_our_mistake() -> None:
    with pytest.raises(AssertionError):
        paid_bits.mark(paid_bits.pairs(64), np.array([64], np.uint32))


@pytest.mark.parametrize("content", [b"", b"SWPAID01", b"SWPAID99" + bytes(8), None])
def test_paid__a_damaged_file_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "x.bits"
    paid_bits.write(path, np.arange(5, dtype=np.uint64))
    assert list(paid_bits.read(path)) == [0, 1, 2, 3, 4]
    path.write_bytes(path.read_bytes()[:-3] if content is None else content)
    with pytest.raises(VerificationFailed, match=r"x\.bits"):
        paid_bits.read(path)


# --- segments, clearing files ---------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [[9], [1] * 9, [4, 4, 1], [3, 6], [8, 1]])
def test_segment__row_groups_are_cut_at_fixed_rows(tmp_path: Path, sizes: list[int]) -> None:
    path = tmp_path / "s.parquet"
    schema = pa.schema([pa.field("n", pa.int64(), nullable=False)])
    made = segment.Segment(path, schema, {}, group_rows=4)
    done = 0
    for size in sizes:
        made.append({"n": pa.array(range(done, done + size), pa.int64())})
        done += size
    digest, size = made.close()
    groups = segment.Groups(path)
    assert [groups.read(i).num_rows for i in range(len(groups))] == [4, 4, 1]
    assert segment.read_segment(path)["n"].to_pylist() == list(range(9))
    assert (digest, size) == (segment.digest_of(path), path.stat().st_size)


def test_segment__without_the_hint_to_the_disk_the_bytes_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = bytes(range(256)) * (segment.BEGIN_BYTES // 256)
    for name in ("with", "without"):
        file = segment.HashingFile(tmp_path / name)
        assert file.write(data) == len(data)
        file.close()
        monkeypatch.setattr(segment, "_sync_file_range", None)
    assert (tmp_path / "with").read_bytes() == (tmp_path / "without").read_bytes() == data


def test_segment__a_failed_write_loses_the_file(tmp_path: Path) -> None:
    class Full:
        def write(self, data: Any) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    file = segment.HashingFile(tmp_path / "f")
    assert (file.readable(), file.writable(), file.seekable(), file.tell()) == (
        False, True, False, 0,
    )  # fmt: skip
    assert file.write(b"12345") == 5
    file._file.close()
    file._file = Full()  # type: ignore[assignment]
    with pytest.raises(OSError, match="No space"):
        file.write(b"678")
    assert file.abandoned
    assert file.write(b"678") == 3, "what Arrow still holds goes nowhere"
    assert (file.tell(), (tmp_path / "f").read_bytes()) == (5, b"12345")


@pytest.mark.parametrize("rows", [3, 4])
def test_dispatch__many_lines_of_one_receiver_are_several_groups(
    village: Path, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    monkeypatch.setattr(clearing_files, "GROUP_ROWS", rows)
    done = pay(village, LINES, chunk_rows=3)
    file = pq.ParquetFile(done.folder / "clearing" / f"{BANK}.parquet")
    assert file.num_row_groups == 3
    assert file.read()["amount"].to_pylist() == [row["amount"] for row in LINES]


def test_dispatch__long_accounts_of_the_table_find_room(village: Path) -> None:
    """More text than is set aside for accounts: it is tried again with more room."""
    texts = [chr(64 + n) * 34 for n in range(1, 10)]
    given = [line(n, creditor_agent=BANK, creditor_account=texts[n - 1]) for n in range(1, 10)]
    done = pay(village, given)
    sent = pq.read_table(done.folder / "clearing" / f"{BANK}.parquet")
    assert sent["creditor_account"].to_pylist() == texts


def test_dispatch__a_text_longer_than_all_that_is_set_aside(
    village: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As held lines may have them.
    monkeypatch.setattr(tables.columns, "require_short", lambda *_: None)
    given = {"creditor_agent": BANK, "creditor_account": "1"}
    texts = ["a", "b" * 1_000_000, "c"]
    done = pay(village, [line(n, **given, end_to_end_id=text) for n, text in enumerate(texts, 1)])
    sent = pq.read_table(done.folder / "clearing" / f"{BANK}.parquet")
    assert sent["end_to_end_id"].to_pylist() == texts
    assert switch.verify(village)


def test_dispatch__long_texts_of_many_lines_find_room_whatever_the_chunks(
    village_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables.columns, "require_short", lambda *_: None)
    to_one = {"creditor_agent": BANK, "creditor_account": "1"}
    given = [line(n, **to_one, end_to_end_id=f"{n}" * 400_000) for n in range(1, 10)]
    files = set()
    for chunk_rows in (1, 4, 9):
        home = shutil.copytree(village_home, tmp_path / f"{chunk_rows}")
        path = pay(home, given, chunk_rows=chunk_rows).folder / "clearing" / f"{BANK}.parquet"
        sent = pq.read_table(path)["end_to_end_id"].to_pylist()
        assert sent == [row["end_to_end_id"] for row in given]
        files.add(path.read_bytes())
    assert len(files) == 1


# --- the store ------------------------------------------------------------------------------------


def test_store__a_home_of_another_format(village: Path) -> None:
    change_catalog(village, "UPDATE meta SET value = '99' WHERE name = 'format'")
    with pytest.raises(UsageError, match="format 99"):
        switch.open(village)


def test_store__a_checkpoint_that_cannot_be_mended(
    village: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = (village / "checkpoint").read_bytes()
    pay(village, [line(1)])
    (village / "checkpoint").write_bytes(old)

    def fail(*_: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(store, "write_checkpoint", fail)
        with pytest.raises(EnvironmentFailed, match="Read-only"):
            switch.open(village)
    with switch.open(village) as engine:
        assert engine.home.catalog.next_batch() == 2
    assert (village / "checkpoint").read_bytes() != old


def test_store__a_checkpoint_in_other_words_is_not_the_homes(village: Path) -> None:
    path = village / "checkpoint"
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(VerificationFailed, match="checkpoint is not as it was written"):
        switch.verify(village)


def test_store__a_first_signature_that_a_crash_cut_is_written_again(tmp_path: Path) -> None:
    home = make_home(tmp_path / "h", signing_key=signing.new_key())
    path = home / "checkpoints.signed"
    whole = path.read_bytes()
    path.write_bytes(whole[:20])
    switch.open(home).close()
    assert path.read_bytes() == whole
    assert switch.verify(home)


def test_store__a_lock_that_cannot_be_opened(village: Path) -> None:
    (village / "lock").unlink()
    (village / "lock").mkdir()
    with pytest.raises(EnvironmentFailed, match="lock"):
        switch.open(village)


def test_store__more_room_than_there_is(village: Path) -> None:
    with Home(village, writing=True) as home:
        home.require_room(1)
        with pytest.raises(EnvironmentFailed, match="about 4,611,686,018,427,387,904 are needed"):
            home.require_room(1 << 62)


def test_store__after_a_commit_that_was_broken_off(
    village: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with switch.open(village) as engine:
        monkeypatch.setattr(Chain, "append", fail)
        for words in ("Input/output error", "stands on the disk alone"):
            with pytest.raises(EnvironmentFailed, match=words):
                run(engine, [line(1)])
            monkeypatch.undo()


def test_store__a_wrong_question_to_the_catalog_is_our_mistake(village: Path) -> None:
    with Home(village, writing=False) as home, pytest.raises(sqlite3.OperationalError):
        home.catalog._query("SELECT nothing FROM nowhere")


def test_store__a_failure_with_its_remedy_stays_as_it_is(tmp_path: Path) -> None:
    error = EnvironmentFailed("the disk is full: make room")
    assert store.environment(error, tmp_path) is error


def test_store__a_full_disk_is_told_of_folders_that_could_not_be_made(tmp_path: Path) -> None:
    error = OSError(errno.ENOSPC, "No space left on device")
    said = store.environment(error, tmp_path / "out" / "cycles" / "1")
    assert "bytes free" in str(said)
