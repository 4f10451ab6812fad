"""Files of a home in a store: there before their commit, fetched where they are missing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from answering import switch_verify
from scene import (
    account,
    accounts_table,
    answers,
    command,
    line,
    make_home,
    pay,
    person,
    run,
)

import switch
from switch.engine import Engine
from switch.errors import EnvironmentFailed, UsageError, VerificationFailed
from switch.home import objects
from switch.home.objects import Objects
from switch.home.rows import FileRow
from switch.home.store import Home

PEOPLE = [1, 2, 3]


@pytest.fixture(params=["file", "s3"])
def address(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """An empty store: a folder, and a bucket of a server that speaks as S3 does."""
    if request.param == "file":
        yield f"file://{tmp_path / 'store'}"
        return
    if find_spec("moto") is None:
        pytest.skip("no moto here, whose server speaks as S3 does")
    from moto.server import ThreadedMotoServer

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "one")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "two")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    at = (
        f"endpoint_override={host}%3A{port}&scheme=http&region=us-east-1&allow_bucket_creation=true"
    )
    from pyarrow import fs

    fs.FileSystem.from_uri(f"s3://bucket?{at}")[0].create_dir("bucket")
    yield f"s3://bucket/homes?{at}"
    server.stop()


def home_of(tmp_path: Path, address: str) -> Path:
    people = [person(n) for n in PEOPLE]
    return make_home(tmp_path / "home", people, [account(n) for n in PEOPLE], files=address)


def moved(home: Path, to: Path) -> Path:
    """The home on another machine, which has nothing of its folders."""
    to.mkdir()
    for path in home.iterdir():
        if path.is_file():
            shutil.copy2(path, to / path.name)
    return to


def files_of(home: Path) -> dict[str, bytes]:
    with Home(home, writing=False) as opened:
        return {f.path: (home / f.path).read_bytes() for f in opened.catalog.files()}


def test_store__gives_a_home_back_whose_folders_are_gone(tmp_path: Path, address: str) -> None:
    home = home_of(tmp_path, address)
    pay(home, [line(1), line(2)], "A")
    with switch.open(home) as engine:
        engine.register(accounts=accounts_table([account(3)]))
    there = moved(home, tmp_path / "there")
    assert files_of(there) == files_of(home)
    assert answers(pay(there, [line(1), line(3)], "B")) == [("RJCT", "AM05"), ("ACSC", None)]
    with switch.open(there) as engine:
        assert not engine.home.quarantined
        assert switch_verify(engine)


def test_store__has_the_files_of_each_commit_before_it(
    tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that fails stops a commit; what it was given before is in nobody's way."""
    home = home_of(tmp_path, address)
    put, done = Objects._put, []

    def late(self: Objects, *given: object) -> None:
        done.append(given)
        if len(done) == 3:
            raise OSError("the network is gone")
        put(self, *given)

    with Home(home, writing=False) as opened:
        before = opened.catalog.heads()
    monkeypatch.setattr(Objects, "_put", late)
    with pytest.raises(EnvironmentFailed, match=r"the store of files .*the network is gone"):
        pay(home, [line(1)], "A")
    monkeypatch.setattr(Objects, "_put", put)
    with Home(home, writing=False) as opened:
        assert opened.catalog.heads() == before
    assert answers(pay(home, [line(1)], "A")) == [("ACSC", None)]
    there = moved(home, tmp_path / "there")
    assert files_of(there) == files_of(home)
    assert switch.verify(there)


def test_store__beside_a_reader_of_another_machine(tmp_path: Path, address: str) -> None:
    """Each time it looks it has the files of the last commit; here both share the catalog."""
    home = home_of(tmp_path, address)
    pay(home, [line(1)], "A")
    there = moved(home, tmp_path / "there")
    (there / "catalog.sqlite").unlink()
    (there / "catalog.sqlite").symlink_to(home / "catalog.sqlite")
    with Engine(there, mode="r") as reader:
        assert len(reader.batches()) == 1
        batch = pay(home, [line(2)], "B")
        shutil.copy2(home / "checkpoint", there / "checkpoint")
        assert len(reader.batches()) == 2
        mine = there / "batches" / batch.folder.name / "manifest.json"
        assert mine.read_bytes() == (batch.folder / "manifest.json").read_bytes()


def test_store__that_lost_a_file_is_named(tmp_path: Path, address: str) -> None:
    home = home_of(tmp_path, address)
    batch = pay(home, [line(1)], "A")
    objects = Objects(address)
    with Home(home, writing=False) as opened:
        row = opened.catalog.file(f"batches/{batch.folder.name}/manifest.json")
    assert row is not None
    objects._files.delete_file(objects._name(row.sha256))
    there = moved(home, tmp_path / "there")
    with pytest.raises(VerificationFailed, match=r"manifest.json is gone, and the store"):
        Home(there, writing=False)
    with objects._files.open_output_stream(objects._name(row.sha256)) as stream:
        stream.write(b"x" * row.bytes)
    with pytest.raises(VerificationFailed, match="is not as it was committed"):
        Home(there, writing=False)
    assert not (there / row.path).exists()
    assert switch.verify(home)


def test_init__refuses_what_is_no_store(tmp_path: Path) -> None:
    for address, what in (
        ("s3://key:secret@bucket/x", "has no key in it"),
        ("nothing://x", "is no store of files"),
        ("x", "is no store of files"),
    ):
        with pytest.raises(UsageError, match=what) as refused:
            make_home(tmp_path / "home", [person(1)], [account(1)], files=address)
        assert "secret@" not in str(refused.value)
        assert not (tmp_path / "home").exists()


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_init__tries_the_store(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir(mode=0o500)
    with pytest.raises(EnvironmentFailed, match="the store of files"):
        make_home(tmp_path / "h", [person(1)], [account(1)], files=f"file://{tmp_path}/store")


def test_home__without_a_store_never_asks_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Objects, "__init__", lambda *_: pytest.fail("a store was asked for"))
    home = make_home(tmp_path / "home", [person(1)], [account(1)])
    with switch.open(home) as engine:
        run(engine, [line(1)])


# --- killed at each call that writes --------------------------------------------------------------

CALLS = ("_put", "_get")


def struck(home: Path, act: Callable[[Path], object], name: str, number: int, when: str) -> bool:
    """Do something in a process that is killed at a call to the store: before it, in the middle of
    what it writes, or behind it. True where it came to so many calls."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1] != 0
    count, call = 0, getattr(Objects, name)

    def die(*given: object) -> None:
        nonlocal count
        count += 1
        if count == number and when == "before":
            os._exit(9)
        if count == number and when == "within":
            HALF[name](*given)
            os._exit(9)
        call(*given)
        if count == number:
            os._exit(9)

    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Objects, name, die)
            patch.setattr(objects, "TOGETHER", 1)
            act(home)
    finally:
        os._exit(0)


def half_put(self: Objects, path: Path, file: FileRow) -> None:
    """Leave what an upload that was cut off leaves: a part of the bytes, under another name."""
    name = self._made(self._name(file.sha256) + ".0000")
    with self._files.open_output_stream(name) as sink:
        sink.write(path.read_bytes()[: file.bytes // 2])


def half_get(self: Objects, home: Path, file: FileRow) -> None:
    """Leave what is there before the file has its name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "rename", lambda *_: os._exit(9))
        GET(self, home, file)


GET = Objects._get
HALF = {"_put": half_put, "_get": half_get}


def paid(home: Path) -> None:
    pay(home, [line(1), line(2), line(1)], "A")


def registered(home: Path) -> None:
    with switch.open(home) as engine:
        engine.register(accounts=accounts_table([account(3)]))


def opened(home: Path) -> None:
    switch.open(home).close()


def seen(home: Path) -> tuple[str, dict[str, bytes]]:
    """The last link of the history, and all files; a crash stands in the chain of events."""
    with Home(home, writing=False) as found:
        return found.catalog.heads().link, files_of(home)


@pytest.mark.parametrize("act", [paid, registered, opened])
@pytest.mark.parametrize("when", ["before", "within", "behind"])
def test_store__killed_at_each_call_ends_as_if_nothing_was(
    tmp_path: Path, act: Callable[[Path], None], when: str
) -> None:
    """Nothing lost, nothing in part, nothing twice: run again, it has what an undisturbed twin has,
    and so has a machine that takes all of it from the store."""
    made, twin, name = tmp_path / "made", tmp_path / "twin", CALLS[act is opened]
    address = f"file://{tmp_path / 'store'}"
    people = [person(n) for n in PEOPLE]
    make_home(made, people, [account(n) for n in PEOPLE], files=address)
    shutil.copytree(made, twin)
    store = shutil.copytree(tmp_path / "store", tmp_path / "before")
    act(twin)
    if act is opened:
        made = moved(made, tmp_path / "bare")
    every = 1 if os.environ.get("CLUSTER") else 5
    struck_at = 0
    for number in range(1, 200, every):
        shutil.rmtree(tmp_path / "store")
        shutil.copytree(store, tmp_path / "store")
        home = shutil.copytree(made, tmp_path / f"home-{number}")
        if not struck(home, act, name, number, when):
            break
        struck_at += 1
        before = seen(home)[0] if name == "_put" else None
        if before != seen(twin)[0]:
            act(home)
        assert seen(home) == seen(twin)
        assert seen(moved(home, tmp_path / f"there-{number}")) == seen(twin)
        assert switch.verify(home)
    assert struck_at > 1


def test_store__that_got_a_part_of_a_file_gets_it_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of a folder has its name when it is whole: a crash of the machine may leave one of the
    right length, and other bytes."""
    home = home_of(tmp_path, f"file://{tmp_path / 'store'}")
    monkeypatch.setattr(objects, "sync_file", lambda _: os._exit(9))
    child = os.fork()
    if not child:
        pay(home, [line(1)], "A")
        os._exit(0)
    assert os.waitpid(child, 0)[1] != 0
    names = [path.name for path in (tmp_path / "store").rglob("*") if path.is_file()]
    with Home(home, writing=False) as found:
        whole = {file.sha256 for file in found.catalog.files()}
    assert {name for name in names if "." not in name} == whole
    assert any("." in name for name in names)


def test_home__with_a_store_has_a_format_of_its_own(tmp_path: Path) -> None:
    plain = make_home(tmp_path / "plain", [person(1)], [account(1)])
    stored = home_of(tmp_path, f"file://{tmp_path / 'store'}")
    found = []
    for home in (plain, stored):
        with Home(home, writing=False) as one:
            found.append(one.catalog.meta("format"))
    assert found == ["3", "11"]


def test_command__makes_a_home_with_a_store(tmp_path: Path) -> None:
    nation = tmp_path / "nation"
    assert command("generate", nation, "--people", 20, "--lines", 10, "--seed", 1).code == 0
    tables = ["--participants", nation / "participants.csv", "--debtors", nation / "debtors.csv"]
    said = command("init", tmp_path / "h", *tables, "--files", f"file://{tmp_path}/store")
    assert said.code == 0, said.err
    registers = [f"--{n}={nation / n}.parquet" for n in ("population", "accounts")]
    assert command("register", tmp_path / "h", *registers).code == 0
    assert command("run", tmp_path / "h", nation / "payday.parquet").code == 0
    there = moved(tmp_path / "h", tmp_path / "there")
    assert command("verify", there).code == 0
    refused = command("init", tmp_path / "x", *tables, "--files", "nothing://there")
    assert (refused.code, "is no store of files" in refused.err) == (2, True)
