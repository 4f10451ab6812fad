"""Files that people name: what is hashed is what is decoded, whoever writes meanwhile; a small file
is a plain file within its limit, at every door."""

from __future__ import annotations

import contextlib
import datetime as dt
import errno
import fcntl
import hashlib
import mmap
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scene
from doors import DOORS, tables
from scene import FORMATS, command, line, payment_table, write_table

import switch
from switch.errors import EnvironmentFailed, InputRefused
from switch.files import airlock, given
from switch.files import tables as tables_in
from switch.proof.replay import replay
from switch.reconcile import take_in
from switch.schema import PAYMENT

OURS, THEIRS = b"AAAAAAAAAAAA", b"BBBBBBBBBBBB"
SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
PLACES = ("memory", "disk")
"""Where a copy can stand."""


@contextlib.contextmanager
def mapped(path: Path) -> Iterator[mmap.mmap]:
    """A writer who has the pages of the file, already dirty: what it writes leaves no trace."""
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as page:
        page[:1] = page[:1]
        yield page


def one_line(path: Path, form: str) -> Path:
    """A table of one line to OURS, which stands in its bytes as it is."""
    table = payment_table([line(1, creditor_agent=scene.BANK, creditor_account=OURS.decode())])
    if form == "parquet":
        pq.write_table(
            table, path, compression="none", use_dictionary=False, write_statistics=False
        )
        scene.write_dossier(path, 1, table["amount"][0].as_py())
    else:
        write_table(table, path, form)
    assert path.read_bytes().count(OURS) == 1
    return path


@pytest.fixture
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "disk":
        monkeypatch.setattr(given, "IN_MEMORY_BYTES_MAX", 0)
    return str(request.param)


@pytest.mark.parametrize("place", PLACES, indirect=True)
@pytest.mark.parametrize("form", FORMATS)
def test_given__what_a_writer_does_between_decode_and_hash_is_not_paid(
    form: str, place: str, village: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child is shown another account, which is gone again before the file is hashed."""
    path = one_line(tmp_path / "t", form)
    begin = airlock.ask
    with mapped(path) as page:
        at = page.find(OURS)

        def ask(*args: Any) -> airlock.Answer:
            page[at : at + 12] = THEIRS
            answer = begin(*args)
            answer.stream.peek()
            page[at : at + 12] = OURS
            return answer

        monkeypatch.setattr(airlock, "ask", ask)
        # Refused where the system wrote the page meanwhile, which gives the file a new time.
        with switch.open(village) as engine, contextlib.suppress(InputRefused):
            done = engine.run(path)
            (paid,) = (done.folder / "clearing").iterdir()
            assert pq.read_table(paid)["creditor_account"].to_pylist() == [OURS.decode()]
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            assert done.summary["digest"] == f"sha256:{digest}"


@pytest.mark.parametrize("place", PLACES, indirect=True)
@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_given__the_digest_is_that_of_what_was_decoded_while_another_writes(
    form: str, place: str, tmp_path: Path
) -> None:
    path = one_line(tmp_path / "t", form)
    content = path.read_bytes()
    over = threading.Event()
    with mapped(path) as page:
        at = content.find(OURS)

        def write() -> None:
            while not over.is_set():
                page[at : at + 12] = THEIRS
                page[at : at + 12] = OURS

        writer = threading.Thread(target=write)
        writer.start()
        try:
            for _ in range(100):
                with contextlib.suppress(InputRefused):
                    reader = tables_in.open_table(path, PAYMENT, room=tmp_path)
                    (chunk,) = reader.chunks()
                    (read,) = chunk["creditor_account"].rows().to_pylist()
                    assert len(read) == 12
                    held = content.replace(OURS, read.encode())
                    assert hashlib.sha256(held).hexdigest() == reader.sha256
        finally:
            over.set()
            writer.join()


@pytest.mark.parametrize("door", [*DOORS, "answers"])
def test_given__every_door_hands_over_a_sealed_copy(
    door: str, village: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seals, begin = [], airlock.ask

    def ask(file: int, *args: Any) -> airlock.Answer:
        seals.append(fcntl.fcntl(file, fcntl.F_GET_SEALS))
        with pytest.raises(OSError, match="not permitted"):
            os.pwrite(file, b"x", 0)
        return begin(file, *args)

    monkeypatch.setattr(airlock, "ask", ask)
    if door == "answers":
        schema = pa.schema(
            [(name, pa.string()) for name in ("transfer_id", "participant", "status")]
            + [("amount", pa.int64()), ("booked_at", pa.timestamp("us"))]
        )
        scene.pay(village, [line(1)])
        file = tmp_path / "answers.parquet"
        pq.write_table(schema.empty_table(), file)
        call = ["reconcile", str(village), str(file), "--kind", "confirmations"]
    else:
        file = tables(tmp_path)[door]
        call = [part.format(home=village, file=file) for part in DOORS[door]]
    said = command(*call)
    assert said.code in (0, 1), said
    assert seals
    assert set(seals) == {SEALS}


def test_given__a_replay_is_of_the_bytes_that_were_run(
    village: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = one_line(tmp_path / "t", "csv")
    with switch.open(village) as engine:
        engine.run(path)
    assert len(replay(village, "B", path)) > 3
    content = path.read_bytes()
    once = given.blocks

    def blocks(file: int) -> Iterator[memoryview]:
        yield from once(file)
        if path.read_bytes() == content:
            path.write_bytes(content.replace(OURS, THEIRS))

    monkeypatch.setattr("switch.proof.replay.given.blocks", blocks)
    with pytest.raises(InputRefused, match="FILE_HASH"):
        replay(village, "B", path)


@pytest.mark.parametrize("form", ["parquet", "arrow", "csv"])
def test_given__a_column_whose_name_is_no_text_is_refused(
    form: str, village: Path, tmp_path: Path
) -> None:
    table = payment_table([line(1)])
    table = table.append_column("zzzz", pa.array([1]))
    path = write_table(table, tmp_path / "t", form)
    if form == "parquet":  # Without a second copy of the names, in Arrow's form.
        pq.write_table(table, path, store_schema=False)
    path.write_bytes(path.read_bytes().replace(b"zzzz", b"z\xffz\xff"))
    with switch.open(village) as engine, pytest.raises(InputRefused) as refused:
        engine.run(path, source="VSS", batch_id="B", value_date="2026-11-25", count=1, sum=1)
    assert refused.value.rule in ("ENCODING", "PARQUET_BAD")


@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), "no room left"])
def test_given__a_disk_that_fails_while_it_is_read_is_said(
    error: OSError | str, village: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = one_line(tmp_path / "t", "parquet")

    def blocks(_: int) -> Iterator[memoryview]:
        raise EnvironmentFailed(error) if isinstance(error, str) else error
        yield

    with switch.open(village) as engine:
        monkeypatch.setattr(tables_in.given, "blocks", blocks)
        with pytest.raises(EnvironmentFailed, match=str(getattr(error, "strerror", error))):
            engine.run(path)


# --- small files, and many rows -------------------------------------------------------------------


def odd_file(kind: str, folder: Path) -> Path:
    """What is no small file, under the name of one."""
    path = folder / "odd"
    if kind == "device":
        return Path("/dev/zero")
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "sparse":
        with path.open("wb") as file:
            file.truncate(1 << 40)
    elif kind == "linked":
        path.symlink_to("/dev/zero")
    return path


ODD = ("device", "pipe", "folder", "sparse", "linked", "missing")
NEW = ("init", "{new}", "--participants", "{list}", "--debtors", "{list}")
SMALL = {
    "--config": ("run", "{home}", "{table}", "--config", "{odd}"),
    "--rules": ("reconcile", "{home}", "{table}", "--rules", "{odd}"),
    "--public-key": ("verify", "{home}", "--checkpoint", "{kept}", "--public-key", "{odd}"),
    "--checkpoint": ("verify", "{home}", "--checkpoint", "{odd}", "--public-key", "{key}"),
    "--key": (*NEW, "--key", "{odd}"),
    "--signing-key": (*NEW, "--signing-key", "{odd}"),
    "dossier": ("run", "{home}", "{table}"),
}
"""Every command and option that takes a small file."""


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("door", SMALL)
def test_given__a_small_file_is_a_plain_one_within_its_limit(
    door: str, kind: str, village: Path, tmp_path: Path
) -> None:
    scene.pay(village, [line(1)])
    before = scene.tree_digest(village)
    odd = odd_file(kind, tmp_path)
    table = one_line(tmp_path / "t.csv", "csv")
    if door == "dossier":
        dossier = tmp_path / "t.dossier.json"
        dossier.unlink()
        if kind in ("device", "linked"):
            dossier.symlink_to("/dev/zero")
        elif kind != "missing":
            odd.rename(dossier)
    names = {"home": village, "odd": odd, "new": tmp_path / "new", "list": table, "table": table}
    names |= {"kept": table, "key": table}
    said = command(*(part.format(**names) for part in SMALL[door]))
    assert said.code in (2, 3), said
    named = tmp_path / "t.dossier.json" if door == "dossier" else odd
    assert str(named) in said.err
    assert scene.tree_digest(village) == before
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("size", [0, 1, 99, 100, 101, 1000])
def test_given__a_small_file_is_read_to_its_limit(size: int, tmp_path: Path) -> None:
    path, link = tmp_path / "file", tmp_path / "link"
    path.write_bytes(b"x" * size)
    link.symlink_to(path)
    if size <= 100:
        assert given.read_small(link, 100) == b"x" * size
        return
    with pytest.raises(InputRefused, match="SIZE_LIMIT"):
        given.read_small(link, 100)


@pytest.mark.parametrize("call", ["open", "fstat"])
def test_given__what_becomes_of_a_small_file_is_told(call: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    if call == "open":
        with (
            mock.patch.object(os, "open", side_effect=OSError(errno.EIO, "I/O error")),
            pytest.raises(EnvironmentFailed, match="cannot be read"),
        ):
            given.read_small(path)
        return
    folder = os.stat(tmp_path)
    with (
        mock.patch.object(os, "fstat", return_value=folder),
        pytest.raises(InputRefused, match="NOT_REGULAR"),
    ):
        given.read_small(path)


def test_given__a_small_file_on_a_bad_disk_is_told(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFailed, match="cannot be read"):
        given.read_small(Path("/proc/self/mem"))


def many_rows(path: Path, rows: int, form: str) -> Path:
    """Confirmations that are all the same: a few bytes in Parquet, whatever their number."""
    one = {
        "transfer_id": "x",
        "participant": scene.BANK,
        "status": "ACCC",
        "creditor_account": "1",
        "amount": 1,
        "booked_at": dt.datetime(2026, 11, 25, 3),
    }
    table = pa.Table.from_pylist([one]).take(pa.array(np.zeros(rows, np.int32)))
    if form == "parquet":
        pq.write_table(table, path, compression="zstd")
    else:
        with pa.ipc.new_file(str(path), table.schema) as writer:
            writer.write_table(table)
    return path


@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_given__answers_are_no_more_than_what_was_sent_leaves_room_for(
    form: str, village: Path, tmp_path: Path
) -> None:
    scene.pay(village, [line(1), line(2)])
    most = take_in.ROWS_FREE + 2 * take_in.ROWS_TIMES_LINES
    before = scene.tree_digest(village)
    with switch.open(village) as engine:
        for files in (
            [many_rows(tmp_path / "one", most + 1, form)],
            [many_rows(tmp_path / "half", most, form), many_rows(tmp_path / "more", 1, form)],
        ):
            with pytest.raises(InputRefused, match="ROW_LIMIT"):
                engine.reconcile(*files, kind="confirmations", at="2026-11-26")
            assert scene.tree_digest(village) == before
        answer = engine.reconcile(tmp_path / "half", kind="confirmations", at="2026-11-26")
    assert answer["read"]["confirmations"] == most


# --- the copy -------------------------------------------------------------------------------------


def copied(path: Path, room: Path | None = None, size: int | None = None) -> bytes:
    with (
        given.opened(path) as (file, status),
        given.sealed(path, file, status.st_size if size is None else size, room) as copy,
    ):
        return b"".join(map(bytes, given.blocks(copy)))


@pytest.mark.parametrize("place", PLACES, indirect=True)
@pytest.mark.parametrize("room", [True, False])
@pytest.mark.parametrize("lacking", ["", "memfd_create", "O_TMPFILE", "sendfile"])
def test_given__a_copy_is_the_file_wherever_it_stands(
    place: str, room: bool, lacking: str, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(os.urandom((3 << 20) + 17))
    folder = tmp_path / "room"
    folder.mkdir()
    with contextlib.ExitStack() as without:
        if lacking == "sendfile":
            fault = OSError(errno.EINVAL, "it sends to sockets alone")
            without.enter_context(mock.patch.object(os, "sendfile", side_effect=fault))
        elif lacking:
            without.enter_context(mock.patch.object(os, lacking))
            delattr(os, lacking)
        assert copied(path, folder if room else None) == path.read_bytes()
    assert not list(folder.iterdir())


@pytest.mark.parametrize("place", PLACES, indirect=True)
@pytest.mark.parametrize("lacking", ["", "sendfile"])
def test_given__a_file_that_became_shorter_is_refused(
    place: str, lacking: str, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 10)
    fault = OSError(errno.EINVAL, "it sends to sockets alone")
    patched = mock.patch.object(os, "sendfile", side_effect=fault)
    with patched if lacking else contextlib.nullcontext(), pytest.raises(InputRefused) as refused:
        copied(path, size=11)
    assert refused.value.rule == "CHANGED_DURING_READ"


@pytest.mark.parametrize(
    ("call", "number", "said"),
    [
        ("sendfile", errno.ENOSPC, "no room to copy"),
        ("sendfile", errno.EIO, "cannot be read"),
        ("memfd_create", errno.EMFILE, ""),
        ("open", errno.EACCES, "cannot be read"),
    ],
)
def test_given__a_machine_that_fails_is_told(
    call: str, number: int, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    with mock.patch.object(os, call, side_effect=OSError(number, os.strerror(number))):
        if not said:
            assert copied(path, tmp_path) == b"content"  # On disk, where memory has no handle.
            return
        with pytest.raises(EnvironmentFailed, match=said):
            copied(path)


def test_given__no_room_for_a_long_copy_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(given, "IN_MEMORY_BYTES_MAX", 0)
    path = tmp_path / "file"
    path.write_bytes(b"content")
    with pytest.raises(EnvironmentFailed, match="no room to copy"):
        copied(path, tmp_path / "nowhere")


@pytest.mark.parametrize("number", [errno.ELOOP, errno.ENXIO])
def test_given__what_takes_the_place_of_a_file_is_not_opened(number: int, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    with (
        mock.patch.object(os, "open", side_effect=OSError(number, "it is a link by now")),
        pytest.raises(InputRefused, match="NOT_REGULAR"),
        given.opened(path),
    ):
        pass
    other = tmp_path / "other"
    other.write_bytes(b"other")
    begin = os.open

    def swapped(name: Any, *args: Any, **options: Any) -> int:
        return begin(other if name == path else name, *args, **options)

    with (
        mock.patch.object(os, "open", swapped),
        pytest.raises(InputRefused, match="CHANGED_DURING_READ"),
        given.opened(path),
    ):
        pass
