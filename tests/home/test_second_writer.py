"""A second writer: nothing is committed on a history other than the one it was computed from.

The lock keeps two writers apart where the file system, and whoever forks a process, obey it. Here
they do not.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from answering import CALENDAR, back, home_of, said, write
from scene import (
    BANK,
    BANK_ACCOUNT,
    PARTICIPANTS,
    account,
    accounts_table,
    command,
    line,
    make_home,
    payment_table,
    person,
    run,
    tree_digest,
    write_table,
)

import switch
from switch.engine import Engine
from switch.errors import EnvironmentFailed, HomeLocked, HomeMoved, UsageError
from switch.home import catalog, store
from switch.proof.repair import scrub
from switch.registry.load_registers import Opened


@pytest.fixture
def unlocked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks that exclude nobody, as those of some network file systems between hosts."""
    monkeypatch.setattr(fcntl, "flock", lambda *_: None)


def rest(home: Path) -> dict[str, str]:
    """All bytes of a home, and the names of its folders."""
    folders = {str(path): "" for path in home.rglob("*") if path.is_dir()}
    return tree_digest(home) | folders


def settle_one(engine: Engine, folder: Path) -> None:
    engine.settle("20261125-1", at="2026-11-25T12:00:00")


COMMITS: dict[str, Callable[[Engine, Path], Any]] = {
    "run": lambda engine, _: run(engine, [line(3, period=202612)], "NEW"),
    "register": lambda engine, _: engine.register(accounts=accounts_table([account(3)])),
    "directory": lambda engine, _: engine.change_directory(settings=engine.settings),
    "balances": lambda engine, _: engine.change_directory(
        balances=switch_table([{"participant": BANK, "balance": 5}])
    ),
    "close a cycle": lambda engine, _: engine.settle("20261125-2", close_only=True),
    "settle": settle_one,
    "abort": lambda engine, _: engine.settle("20261125-1", abort="why"),
    "reconcile": lambda engine, folder: engine.reconcile(
        write(folder / "late", [said(2)]), at="2026-11-25"
    ),
    "write back": lambda engine, _: engine.write_back(at="2026-11-25"),
    "reissue": lambda engine, _: engine.reissue(at="2026-11-25"),
    "close": lambda engine, _: engine.close_day("2026-11-25"),
}


def switch_table(rows: list[dict[str, Any]]) -> Any:
    import pyarrow as pa

    return pa.Table.from_pylist(rows)


def stage(path: Path, what: str) -> Path:
    """A home in which each of COMMITS has something to do."""
    calendar = what in ("close a cycle", "settle", "abort")
    home = home_of(path / "h", 4, **({"settings": CALENDAR} if calendar else {}))
    if not calendar:
        with switch.open(home) as engine:
            engine.reconcile(write(path / "early", [back(1)]), at="2026-11-25")
    return home


@pytest.mark.usefixtures("unlocked")
@pytest.mark.parametrize("what", COMMITS)
def test_commit__on_old_history_is_refused_and_nothing_moves(what: str, tmp_path: Path) -> None:
    home = stage(tmp_path, what)
    first, second = switch.open(home), switch.open(home)
    second.change_directory(settings=second.settings)
    second.close()
    before = rest(home)
    with pytest.raises(HomeMoved, match="written by another process since it was opened here"):
        COMMITS[what](first, tmp_path)
    assert rest(home) == before, "nothing moved, and the draft is gone"
    with pytest.raises(HomeMoved):
        COMMITS[what](first, tmp_path)
    first.close()
    with switch.open(home) as engine:
        COMMITS[what](engine, tmp_path)
    assert switch.verify(home)


@pytest.mark.usefixtures("unlocked")
@pytest.mark.parametrize("what", COMMITS)
def test_commit__on_old_events_is_refused_and_nothing_moves(what: str, tmp_path: Path) -> None:
    """Another process wrote no history, but what was done to the home beside it."""
    home = stage(tmp_path, what)
    first, second = switch.open(home), switch.open(home)
    second.home.note("repair", {"repaired": []})
    second.close()
    before = rest(home)
    with pytest.raises(HomeMoved, match="written by another process since it was opened here"):
        COMMITS[what](first, tmp_path)
    assert rest(home) == before
    first.close()
    with switch.open(home) as engine:
        COMMITS[what](engine, tmp_path)
    assert switch.verify(home)


@pytest.mark.usefixtures("unlocked")
def test_commit__of_two_engines_that_race_one_is_refused(tmp_path: Path) -> None:
    """Both computed the same lines from one history; the second comes to its commit when the
    first's is done."""
    home = home_of(tmp_path / "h", 4)
    first, second = switch.open(home), switch.open(home)
    commit = first.home.commit
    lines = [line(n, period=202612) for n in range(1, 5)]

    def late(**values: Any) -> None:
        run(second, lines, "SECOND")
        commit(**values)

    first.home.commit = late  # type: ignore[method-assign]
    with pytest.raises(HomeMoved) as refused:
        run(first, lines, "FIRST")
    assert refused.value.exit_code == HomeLocked.exit_code == 4
    first.close(), second.close()
    assert sorted(path.name for path in (home / "batches").iterdir()) == ["000001", "000002"]
    assert switch.verify(home)
    with switch.open(home) as engine:
        assert run(engine, lines, "FIRST").summary["cleared"]["count"] == 0, "paid once"


@pytest.mark.usefixtures("unlocked")
def test_commit__a_draft_that_another_put_aside_is_not_missed(tmp_path: Path) -> None:
    """Who opens a home puts aside what no commit names, and says so: what is drafted then fails."""
    home = home_of(tmp_path / "h", 4)
    first = switch.open(home)
    commit = first.home.commit

    def late(**values: Any) -> None:
        switch.open(home).close()
        commit(**values)

    first.home.commit = late  # type: ignore[method-assign]
    with pytest.raises((HomeMoved, EnvironmentFailed)):
        run(first, [line(3, period=202612)], "NEW")
    first.close()
    assert not (home / "batches" / "000002").exists()
    assert switch.verify(home)


@pytest.mark.usefixtures("unlocked")
def test_open__what_it_would_put_aside_may_have_been_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = home_of(tmp_path / "h", 4)
    first = switch.open(home)
    recover = store.Home._recover

    def slowly(self: Any) -> None:
        monkeypatch.setattr(store.Home, "_recover", recover)
        (home / "batches" / "left").mkdir()
        run(first, [line(3, period=202612)], "NEW")
        recover(self)

    monkeypatch.setattr(store.Home, "_recover", slowly)
    with pytest.raises(HomeMoved):
        switch.open(home)
    first.close()
    assert (home / "batches" / "000002").exists()
    assert (home / "batches" / "left").exists()
    with switch.open(home) as engine:
        assert engine.home.quarantined == ["batches-left"]
    assert switch.verify(home)


@pytest.mark.usefixtures("unlocked")
def test_checkpoint__tells_of_one_catalog_whoever_writes_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = home_of(tmp_path / "h", 4)
    first, real = switch.open(home), catalog.digest_of

    def digest_of(path: Path) -> str:
        found = real(path)
        if path.name == store.CATALOG:
            monkeypatch.setattr(catalog, "digest_of", real)
            with switch.open(home) as second:
                run(second, [line(4, period=202612)], "SECOND")
        return found

    monkeypatch.setattr(catalog, "digest_of", digest_of)
    run(first, [line(3, period=202612)], "FIRST")
    first.close()
    assert len(switch.verify(home)) > 10


@pytest.mark.usefixtures("unlocked")
def test_scrub__repairs_nothing_unseen_where_history_moves(tmp_path: Path) -> None:
    home = home_of(tmp_path / "h", 4)
    copy = shutil.copytree(home, tmp_path / "copy")
    held = home / "batches" / "000001" / "lines.parquet"
    held.write_bytes(held.read_bytes()[:-1])
    note = store.Home.note

    def late(self: Any, *values: Any) -> None:
        with switch.open(home) as engine:
            engine.change_directory(settings=engine.settings)
        note(self, *values)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store.Home, "note", late)
        with pytest.raises(HomeMoved):
            scrub(home, copy)
    assert switch.verify(home)


def test_command__a_home_that_moved_is_exit_4(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = home_of(tmp_path / "h", 4)
    table = write_table(payment_table([line(3)]), tmp_path / "t.parquet", batch_id="NEW")
    monkeypatch.setattr(fcntl, "flock", lambda *_: None)
    opened = Opened.of

    def late(*given: Any, **how: Any) -> Any:
        with switch.open(home) as second:
            second.change_directory(settings=second.settings)
        return opened(*given, **how)

    monkeypatch.setattr(Opened, "of", late)
    told = command("run", home, table, "--json")
    assert (told.code, told.document["error"]["rule"]) == (4, "HomeMoved")


# --- forked processes -----------------------------------------------------------------------------


def forked(act: Callable[[], Any]) -> str:
    """The name of the error that `act` raises in a forked child ('' for none)."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover
        try:
            try:
                act()
                name = ""
            except BaseException as error:
                name = f"{type(error).__name__}: {error}"
            os.write(writer, name.encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        text = answer.read()
    os.waitpid(child, 0)
    return text


FIRST = [*map(line, (1, 2, 3)), line(4, debtor_account=BANK_ACCOUNT)]
METHODS: dict[str, Callable[[Engine, Path], Any]] = COMMITS | {
    "open_register": lambda engine, _: engine.open_register(),
    "line": lambda engine, _: engine.line("A", 1),
    "export": lambda engine, folder: engine.export("A", folder / "copies"),
    "run again": lambda engine, _: run(engine, FIRST, "A"),
}


@pytest.mark.parametrize("what", METHODS)
def test_engine__refuses_every_method_in_a_forked_process(what: str, tmp_path: Path) -> None:
    home = stage(tmp_path, what)
    with switch.open(home) as engine:
        before = rest(home)
        told = forked(lambda: METHODS[what](engine, tmp_path))
        assert told.startswith("UsageError")
        assert "in another process" in told
        assert rest(home) == before
        METHODS[what](engine, tmp_path)
    assert switch.verify(home)


def test_engine__two_forked_children_and_their_parent_pay_once(tmp_path: Path) -> None:
    home = make_home(
        tmp_path / "h", map(person, range(1, 10)), map(account, range(1, 10)), (), PARTICIPANTS
    )
    with switch.open(home) as engine:
        told = [forked(partial(run, engine, [line(1), line(2)], name)) for name in ("B", "C")]
        assert all(text.startswith("UsageError") for text in told)
        assert run(engine, [line(1), line(2)], "P").summary["cleared"]["count"] == 2
    assert switch.verify(home)


def is_locked(home: Path) -> bool:
    program = (
        "import sys, switch\n"
        "try: switch.open(sys.argv[1]).close()\n"
        "except switch.HomeLocked: sys.exit(4)\n"
    )
    return subprocess.run([sys.executable, "-c", program, str(home)], check=False).returncode == 4


def test_close__in_a_forked_process_leaves_the_lock_to_its_parent(tmp_path: Path) -> None:
    home = home_of(tmp_path / "h", 4)
    with switch.open(home) as engine:
        assert forked(engine.close) == ""
        assert is_locked(home)
        run(engine, [line(3, period=202612)], "NEW")
    assert switch.verify(home)
    assert not is_locked(home)


def test_close__gives_the_lock_back_though_a_forked_process_lives(tmp_path: Path) -> None:
    home = home_of(tmp_path / "h", 4)
    engine = switch.open(home)
    child = os.fork()
    if child == 0:  # pragma: no cover
        signal.pause()
        os._exit(0)
    try:
        assert is_locked(home)
        engine.close()
        assert not is_locked(home)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_run__a_child_forked_in_the_middle_takes_no_draft_away(tmp_path: Path) -> None:
    home = home_of(tmp_path / "h", 4)

    def progress(*_: Any) -> None:
        child = os.fork()
        if child == 0:  # pragma: no cover
            raise SystemExit(0)
        os.waitpid(child, 0)

    parent = os.getpid()
    with switch.open(home) as engine:
        try:
            run(engine, [line(3, period=202612)], "NEW", threads=1, progress=progress)
        finally:
            if os.getpid() != parent:  # pragma: no cover
                os._exit(0)
    assert switch.verify(home)


def test_open__the_usage_error_names_the_home(tmp_path: Path) -> None:
    home = home_of(tmp_path / "h", 4)
    with store.Home(home, writing=False) as reader:
        told = forked(lambda: reader.catalog)
    assert told.startswith(UsageError.__name__)
    assert str(home) in told


def test_home__of_another_process_is_left_alone(tmp_path: Path) -> None:
    """The same without a fork: what is another process's is neither used nor tidied up."""
    home = home_of(tmp_path / "h", 4)
    engine = switch.open(home)
    own = engine.home._process
    with engine.home.draft("batches") as draft:
        engine.home._process = own + 1
    assert draft.exists()
    draft.rmdir()
    with pytest.raises(UsageError, match="in another process"):
        engine.home.catalog.heads()
    engine.close()
    assert is_locked(home)
    engine.home._process = own
    engine.home.close()
    assert not is_locked(home)
