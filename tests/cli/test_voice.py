"""What is said never changes what is done: streams that fail, encodings, names of others."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from scene import asked, command, line, payment_table, tree_digest, write_table

import switch
from switch.cli import voice

STREAMS = ("full", "closed", "unread", "read-only")
ENCODINGS: tuple[dict[str, str], ...] = (
    {"LC_ALL": "C"},
    {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    {"PYTHONIOENCODING": "ascii"},
    {"PYTHONIOENCODING": "latin-1"},
    {"PYTHONIOENCODING": "utf-16"},
    {"PYTHONIOENCODING": "ascii:strict", "PYTHONUNBUFFERED": "1"},
)


DRIVER = """
import json, sys
from switch.cli import main as cli
calls, codes, path = json.loads(sys.argv[1]), [], sys.argv[2]
for call in calls:
    sys.argv = ["switch", *call]
    try:
        cli.main()
    except SystemExit as stop:
        codes.append(stop.code)
with open(path, "w") as sink:
    sink.write(json.dumps(codes))
"""
"""Commands one after the other in one process, which starts once; codes go to a file."""


def spoken(
    calls: list[tuple[object, ...]], tmp_path: Path, stream: str = "", **environment: str
) -> tuple[list[int], bytes]:
    """Exit codes of commands whose streams are of a kind ('' for such as are read, 'full' for both,
    'full,' for stdout alone), and what stands on stdout and stderr."""
    kinds = stream.split(",") if "," in stream else [stream, stream]

    def spoil() -> None:
        for handle, kind in zip((1, 2), kinds, strict=True):
            if kind == "full":
                os.dup2(os.open("/dev/full", os.O_WRONLY), handle)
            elif kind == "closed":
                os.close(handle)
            elif kind == "unread":
                out, into = os.pipe()
                os.close(out)
                os.dup2(into, handle)
            elif kind == "read-only":
                os.dup2(os.open(os.devnull, os.O_RDONLY), handle)

    texts = [list(map(str, call)) for call in calls]
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, json.dumps(texts), str(tmp_path / "codes")],
        capture_output=True,
        preexec_fn=spoil,
        env=os.environ | {"PYTHONPATH": str(Path(switch.__file__).parents[1])} | environment,
    )
    assert done.returncode == 0, done.stderr
    return json.loads((tmp_path / "codes").read_bytes()), done.stdout + done.stderr


@pytest.fixture
def tables(tmp_path: Path) -> list[Path]:
    """Two good tables and one that is refused."""
    made = [
        write_table(payment_table([line(n)]), tmp_path / f"Bảng {n}.parquet", batch_id=f"B{n}")
        for n in (1, 2)
    ]
    return [*made, write_table(payment_table([line(3)]), tmp_path / "bad.parquet", sum="7")]


@pytest.mark.parametrize("stream", [*(f"{kind}," for kind in STREAMS), *STREAMS, ",full"])
def test_run__does_all_tables_whatever_can_be_said(
    stream: str, village: Path, tables: list[Path], tmp_path: Path
) -> None:
    """The right value: both tables are paid and the exit code is 0, whoever listens."""
    codes, said = spoken([("run", village, *tables[:2])], tmp_path, stream)
    assert codes == [0]
    with switch.Engine(village) as engine:
        rows = asked(engine.home, "SELECT batch_id FROM batches ORDER BY seq")
    assert [row["batch_id"] for row in rows] == ["B1", "B2"]
    told = stream.endswith(",") and stream != "closed,"
    assert (b"stdout could not be written" in said) is told
    assert len(switch.verify(village)) > 10


def calls_of(home: Path, tables: list[Path]) -> dict[tuple[object, ...], int]:
    """Every command, with its exit code."""
    nation = ("--people", 5, "--lines", 5, "--seed", 1)
    files = ("--participants", tables[0], "--debtors", tables[0])
    return {
        ("--version",): 0,
        ("run", "-h"): 0,
        ("run",): 2,
        ("nothing\x1b[2J",): 2,
        ("status", home / "x"): 2,
        ("run", home, tables[2]): 3,
        ("rehearse", home, tables[0]): 0,
        ("run", home, "--fail-on-refused", *tables[:2]): 0,
        ("status", home): 0,
        ("status", home, "--batch", "B1"): 0,
        ("status", home, "--line", "B1:1"): 0,
        ("status", home, "--batch", "X"): 2,
        ("report", home, "--csv"): 0,
        ("exchange", home): 0,
        ("directory", home): 0,
        ("settle", home): 2,
        ("reconcile", home): 0,
        ("dispose", home, "--write-back", "--yes"): 0,
        ("close", home, "--at", "2026-12-01"): 0,
        ("register", home): 2,
        ("init", home, *files): 3,
        ("replay", home, "B1", tables[0]): 0,
        ("verify", home): 0,
        ("scrub", home, "--copy", home.with_name("copy")): 0,
        ("verify", home.with_name("damaged")): 5,
        ("generate", home.with_name("g"), *nation): 0,
        ("demo", "--dir", home.with_name("d"), *nation): 0,
    }


@pytest.mark.parametrize(
    ("stream", "environment"),
    [*((stream, {}) for stream in ("", *STREAMS)), *(("", each) for each in ENCODINGS)],
    ids=str,
)
def test_command__exit_code_is_of_what_was_done(
    stream: str,
    environment: dict[str, str],
    village: Path,
    tables: list[Path],
    tmp_path: Path,
) -> None:
    """No stream and no encoding changes what any command says by its exit code."""
    shutil.copytree(village, village.with_name("copy"))
    damaged = shutil.copytree(village, village.with_name("damaged"))
    (damaged / "checkpoint").write_text("x")
    calls = calls_of(village, tables)
    as_json = {("--json", *call): code for call, code in list(calls.items())[6:12]}
    codes, said = spoken([*calls, *as_json], tmp_path, stream, **environment)
    wanted = calls | as_json
    assert dict(zip(wanted, codes, strict=True)) == wanted
    assert b"Traceback" not in said
    assert len(switch.verify(village)) > 10


@pytest.mark.parametrize("environment", ENCODINGS, ids=str)
def test_json__is_one_sound_document_in_any_encoding(
    environment: dict[str, str], village: Path, tables: list[Path], tmp_path: Path
) -> None:
    codes, said = spoken([("--json", "rehearse", village, *tables)], tmp_path, **environment)
    text = said.decode("utf-16" if "16" in str(environment) else "utf-8")
    assert codes == [3]
    assert json.loads(text)["tables"][0]["table"] == str(tables[0])


def test_names__are_the_same_in_every_locale(
    village: Path, tables: list[Path], tmp_path: Path
) -> None:
    """Names of files are UTF-8, whatever the locale would make of them."""
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    for number, environment in enumerate(({}, locale)):
        home = shutil.copytree(village, tmp_path / f"home {number}")
        out = tmp_path / f"Bản sao {number}"
        done = subprocess.run(
            [*(sys.executable, "-m", "switch", "run"), home, tables[0], "--out", out],
            env=os.environ | {"PYTHONPATH": str(Path(switch.__file__).parents[1])} | environment,
            capture_output=True,
        )
        assert done.returncode == 0, done.stderr
        assert (out / "B1" / "status.parquet").is_file()
    one, other = (tree_digest(tmp_path / f"home {n}" / "batches" / "000001") for n in (0, 1))
    assert one == other


def test_streams__that_are_closed_lend_their_number_to_no_file(village: Path) -> None:
    """A library that prints to handle 2 would print into the catalog."""
    done = subprocess.run(
        [
            *(sys.executable, "-c"),
            "import os\nfrom switch.cli import voice\nfor h in (0, 1, 2): os.close(h)\n"
            "with voice.kept():\n    h = os.open('/dev/null', 0)\n    os._exit(h)",
        ],
        env=os.environ | {"PYTHONPATH": str(Path(switch.__file__).parents[1])},
    )
    assert done.returncode == 3


def test_sink__waits_where_others_do_not() -> None:
    out, into = os.pipe()
    os.set_blocking(into, False)
    child = os.fork()
    if child == 0:
        os.close(into)
        size = 0
        while block := os.read(out, 1 << 16):
            size += len(block)
        os._exit(0 if size == 1 << 20 else 1)
    sink = voice.Sink(into)
    assert (sink.write(bytes(1 << 20)), sink.lost) == (1 << 20, "")
    assert not sink.isatty()
    os.close(into)
    assert os.waitpid(child, 0)[1] == 0


NASTY = "a\x1b[2Jb\nc\u202ed\u3164"


@pytest.fixture
def nasty(tmp_path: Path) -> Path:
    folder = tmp_path / NASTY
    folder.mkdir()
    return folder


SITTING = """
import json, os, sys
from switch.cli import main as cli
for call in open(int(sys.argv[1])):
    sys.argv = ["switch", *json.loads(call)]
    try:
        cli.main()
    except SystemExit:
        pass
    os.write(1, b"\\x1e")
"""
"""Commands in one process, each as it comes through a pipe, and a sign after what each says."""


@contextlib.contextmanager
def terminal() -> Iterator[Callable[[tuple[object, ...]], str]]:
    """A terminal: what it gets of `switch ARGS`."""
    ours, theirs = pty.openpty()
    asked, calls = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-c", SITTING, str(asked)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        pass_fds=[asked],
        env=os.environ
        | {"PYTHONPATH": str(Path(switch.__file__).parents[1]), "TERM": "dumb", "NO_COLOR": "1"},
    )
    for handle in (theirs, asked):
        os.close(handle)

    def said(args: tuple[object, ...]) -> str:
        os.write(calls, json.dumps([*map(str, args)]).encode() + b"\n")
        text = b""
        while not text.endswith(b"\x1e"):
            text += os.read(ours, 1 << 16)
        return text[:-1].decode()

    yield said
    os.close(calls)
    assert process.wait() == 0
    os.close(ours)


def calls_of_names(folder: Path, village: Path) -> Iterator[tuple[object, ...]]:
    """Every command with a name of others in what it says."""
    home = shutil.copytree(village, folder / "home")
    table = write_table(payment_table([line(1)]), folder / "t.parquet")
    bad = write_table(payment_table([line(2)]), folder / f"{NASTY}.parquet", sum="7")
    gone = folder / "gone"
    kept = shutil.copytree(home, folder / "kept")
    yield "run", home, table, "--out", folder / "out"
    yield "run", home, bad
    yield "rehearse", home, bad
    yield "report", home, "--csv"
    yield "exchange", home
    yield "reconcile", home, gone
    yield "replay", home, "B", table
    yield "verify", home
    yield "scrub", home, "--copy", kept
    yield "status", home, "--batch", NASTY
    yield "status", home, "--line", f"{NASTY}:1"
    yield "settle", home, "--cycle", NASTY
    yield "close", home, "--at", NASTY
    yield "dispose", home, f"{NASTY}:1", "--reissue", "--yes"
    yield "dispose", home, NASTY, "--reissue", "--yes"
    yield "register", home, "--population", gone
    yield "register", home, "--accounts", table, "--strict-columns"
    yield "directory", home, "--participants", gone
    yield "init", gone, "--participants", gone, "--debtors", gone
    yield "init", home, "--participants", gone, "--debtors", gone
    yield "status", gone
    yield "--config", gone, "run", home, table
    yield (NASTY,)
    yield "run", f"--{NASTY}"
    yield "generate", folder / "world", "--people", 5, "--lines", 5, "--seed", 1
    yield "demo", "--dir", folder
    yield "run", folder, table
    Path(home / "checkpoint").write_text("x")
    yield "verify", home
    yield "run", home, table


def test_terminal__gets_no_escape_codes_of_names(nasty: Path, village: Path) -> None:
    asked = said = 0
    with terminal() as on_a_terminal:
        for args in calls_of_names(nasty, village):
            told = on_a_terminal(args)
            for text in (told, *command(*args)[1:], *command("--json", *args)[1:]):
                assert "\x1b[2J" not in text, args
                assert "\u202e" not in text, args
                rows = text.splitlines()
                assert not any(row.startswith(("c\\u202e", "c\u202e")) for row in rows)
            asked += 1
            said += bool(told.strip())
    assert asked > 25
    assert said == asked
