"""Personal data: ten thousand canaries go through everything, and none sings in logs, errors,
tracebacks, temporary files, or in any file but those that are there to name people."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import scene
from scene import account, command, line, pay, payment_table, person, write_dossier, write_table

import switch
from switch.cli.context import LOG_FIELDS, allowed_fields
from switch.files.columns import shown
from switch.report import sheet
from switch.sim.lives.tables import PAYMENT

COUNT = 10_000
SYLLABLES = (
    "Quỷnh",
    "Thoại",
    "Khuyết",
    "Nghĩnh",
    "Vượng",
    "Trạch",
    "Hoẵng",
    "Ngoằn",
    "Xuyến",
    "Bừng",
)


def canary_id(n: int) -> str:
    return f"001{770_000_000 + 7 * n:09d}"


def canary_name(n: int) -> str:
    return " ".join(SYLLABLES[int(digit)] for digit in f"{n:04d}")


def canary_account(n: int) -> str:
    return f"88{900_000_000_000 + 13 * n}"


CANARIES = [
    text for n in range(COUNT) for text in (canary_id(n), canary_name(n), canary_account(n))
]
FOLDED = [scene_name.upper() for scene_name in SYLLABLES]
PATTERN = re.compile(rb"001\d{9}|88\d{12}|" + b"|".join(s.encode() for s in (*SYLLABLES, *FOLDED)))
"""Finds any canary by its shape: ids, accounts and each part of a name. `singing` makes sure."""
KNOWN = {text.encode() for text in CANARIES}
SYLLABLE_BYTES = {s.encode() for s in (*SYLLABLES, *FOLDED)}


def singing(content: bytes) -> list[bytes]:
    """Canaries in some bytes."""
    return [hit for hit in PATTERN.findall(content) if hit in KNOWN | SYLLABLE_BYTES]


NAMING = re.compile(
    r"(.*/)?clearing/[^/]+\.(parquet|arrow)|(.*/)?(held|cleared)\.parquet|registers/.*|.*/\.draft.*"
    r"|[^/]+/shared\.csv"
)
"""Files of a home that are there to name people: what receivers get, lines that wait, registers."""


class Cage:
    """Runs commands, and keeps all that they say and leave in temporary files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        self.said: list[tuple[str, bytes]] = []

    def run(self, *args: object, code: int, python: str = "") -> None:
        """A command in this process; with python, a program of its own."""
        if python:
            done = subprocess.run(
                [sys.executable, "-c", python, *map(str, args)],
                capture_output=True,
                text=True,
                env=os.environ | {"PYTHONPATH": str(Path(switch.__file__).parents[1])},
                check=False,
            )
            said = scene.Said(done.returncode, done.stdout, done.stderr)
        else:
            said = scene.command(*args)
        shown_args = " ".join(str(a).replace(str(self.folder), "") for a in args)
        assert said.code == code, (shown_args, said.out[-500:], said.err[-2000:])
        self.said.append((shown_args, (said.out + said.err).encode()))


@pytest.fixture
def cage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cage:
    made = Cage(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(made.temporary))
    monkeypatch.setenv("TMPDIR", str(made.temporary))
    return made


def canary_line(n: int, **changes: Any) -> dict[str, Any]:
    return line(n, person_id=canary_id(n), person_name=canary_name(n)) | changes


def canary_person(n: int, **changes: Any) -> dict[str, Any]:
    return person(n, person_id=canary_id(n), name=canary_name(n)) | changes


def canary_holding(n: int, **changes: Any) -> dict[str, Any]:
    return account(n, person_id=canary_id(n), account=canary_account(n)) | changes


def lines_of_all_kinds() -> list[dict[str, Any]]:
    """Lines that clear, wait and are refused for every reason that a value can give."""
    rows = [canary_line(n) for n in range(COUNT)]
    for n, changes in enumerate(
        [
            {"amount": 0},
            {"amount": 10**12},
            {"benefit": canary_name(3)},
            {"debtor_account": canary_account(4)},
            {"person_id": "88" + canary_id(5)[2:]},
            {"person_name": canary_name(6) * 9},
            {"person_id": "001999999999"},
            {"person_name": canary_name(7)},
            {"creditor_agent": canary_account(9), "creditor_account": canary_account(9)},
            {"creditor_agent": scene.CLOSED_BANK, "creditor_account": canary_account(10)},
            {"creditor_agent": scene.SMALL_BANK, "creditor_account": "1", "amount": 10**8},
            {"commune": canary_id(12), "end_to_end_id": canary_id(12)},
            {"creditor_agent": scene.BANK, "creditor_account": canary_account(14)},
        ]
    ):
        rows[n] |= changes
    return [*rows, canary_line(20), canary_line(21)]


def bad_tables(folder: Path) -> list[Path]:
    """Tables that are refused, with canaries in every wrong place."""
    made: list[Path] = []
    names = list(PAYMENT.names)
    good = [list(map(str, ({"line_no": n} | canary_line(n)).values())) for n in range(1, 4)]
    good = [["" if cell == "None" else cell for cell in row] for row in good]

    def put(rows: list[list[str]], *, raw: bytes = b"", **changes: Any) -> None:
        path = folder / f"bad{len(made)}.csv"
        text = "".join(",".join(row) + "\n" for row in rows).encode()
        path.write_bytes(raw or text)
        write_dossier(path, 3, 3_000_006, **({"batch_id": f"BAD{len(made)}"} | changes))
        made.append(path)

    for column in range(len(names)):
        for value in (
            canary_id(1),
            canary_name(1),
            canary_account(1),
            f'"{canary_name(2)}',
            "\x00",
        ):
            rows = [row.copy() for row in good]
            rows[1][column] = value
            put([names, *rows], sum="1")
    put(good)
    put([[canary_name(1), canary_name(1), *names[2:]], *good])
    put([[*names, canary_name(5)], *[[*row, canary_id(1)] for row in good]], sum="5")
    put([names, good[0][:-1], *good[1:]])
    put([], raw=("\ufeff" + canary_name(3)).encode("utf-16"))
    put([], raw=canary_id(3).encode() * 100)
    put([names, *good], sha256="0" * 64)
    put([names, *good], value_date=canary_id(3))
    put([names, *good], count=canary_name(3))
    table = payment_table([canary_line(n) for n in range(1, 400)])
    for form in ("parquet", "arrow", "stream"):
        whole = scene.write_file(table, folder / f"whole.{form}", form).read_bytes()
        for at in range(40, len(whole), len(whole) // 6):
            changed = bytearray(whole)
            changed[at : at + 3] = b"\xff\x81\x07"
            put([], raw=bytes(changed), sum="7")
    wrong = table.set_column(5, "amount", pa.array([canary_name(1)] * table.num_rows))
    path = scene.write_file(wrong, folder / "wrong.parquet", "parquet")
    write_dossier(path, table.num_rows, 0)
    return [*made, path]


TRACEBACK = """
import sys, switch.clearing.batch_writer, switch.cli.main
def fail(self, chunk):
    lines = chunk.lines
    names = lines.name.rows().to_pylist()
    accounts = lines.person_id.tolist()
    raise RuntimeError(f"{names} {accounts}")
switch.clearing.batch_writer.BatchWriter.own = fail
sys.argv = ["switch", *sys.argv[1:]]
switch.cli.main.main()
"""


def test_privacy__no_canary_sings(cage: Cage) -> None:
    folder, home = cage.folder, cage.folder / "home"
    people = [canary_person(n) for n in range(COUNT)]
    people[8] |= {"status": "deceased"}
    holdings = [canary_holding(n) for n in range(COUNT) if n != 30]
    rows = scene.pa.Table.from_pylist
    import pyarrow.parquet as pq

    files = {
        "participants": rows(list(scene.PARTICIPANTS)),
        "debtors": rows(list(scene.DEBTORS)),
        "population": scene.people_table(people),
        "accounts": scene.accounts_table(holdings),
        "paid": scene.paid_table([scene.entitlement(1, person_id=canary_id(11))]),
    }
    for name, table in files.items():
        pq.write_table(table, folder / name)
    given = [f for name in ("participants", "debtors") for f in (f"--{name}", folder / name)]
    cage.run("init", home, *given, code=0)
    registers = ("population", "accounts", "paid")
    loaded = [f for name in registers for f in (f"--{name}", folder / name)]
    cage.run("register", home, *loaded, code=0)
    pay_table = write_table(payment_table(lines_of_all_kinds()), folder / "pay.parquet")
    cage.run("run", home, pay_table, code=70, python=TRACEBACK)
    for path in bad_tables(folder):
        cage.run("run", home, path, "--json", code=3)
        cage.run("run", home, path, "--strict-columns", code=3)
    for name in registers:
        for bad in ("population", "accounts", "paid", "pay.parquet"):
            if bad != name and (name, bad) != ("paid", "pay.parquet"):
                cage.run("register", home, f"--{name}", folder / bad, code=3)
    # Pairs that end nowhere, in a circle and in themselves: a refusal shows neither id.
    for n, ends in enumerate((COUNT, 1, 2)):
        ids = {"person_id": [canary_id(2), canary_id(1)]}
        pair = pa.table(ids | {"replaced_by": [canary_id(1), canary_id(ends)]})
        path = scene.write_file(pair, folder / f"pairs{n}", "parquet")
        cage.run("register", home, "--replaced", path, code=3)
    for n, row in enumerate(
        (canary_person(1, status=canary_name(1)), canary_person(1, person_id="1" + canary_id(1)))
    ):
        path = scene.write_file(scene.people_table([row]), folder / f"person{n}", "parquet")
        cage.run("register", home, "--population", path, code=3)
    cage.run("run", home, pay_table, code=0)
    cage.run("run", home, pay_table, "--json", code=0)
    copy = shutil.copytree(home, folder / "copy")
    cage.run("status", home, code=0)
    cage.run("status", home, "--batch", "B", code=0)
    for number in (1, 5, 8, 31, 10_001):
        cage.run("status", home, "--line", f"B:{number}", code=0)
    cage.run("report", home, "--csv", code=0)
    cage.run("shared", home, code=0)
    cage.run("--json", "shared", home, code=0)
    for name in ("breaks", "held", "returned", "cycles", "balances", "doctor"):
        cage.run(name, home, code=0)
        cage.run("--json", name, home, code=0)
    for name in ("positions", "audit"):
        cage.run(name, home, code=0)
        cage.run("--json", name, home, code=0)
    for text in ("B:1", canary_id(1)[4:], canary_id(1)[:9], "7700000"):
        cage.run("find", home, text, code=0)
        cage.run("--json", "find", home, text, code=0)
    said = ("--by", "An", "--why", "it does not answer")
    cage.run("participant", home, scene.BANK, "--suspend", *said, code=0)
    cage.run("participant", home, scene.BANK, "--enable", *said, code=0)
    assert singing((home / "out" / "B" / "shared.csv").read_bytes()), "two canaries share one"
    cage.run("verify", home, code=0)
    cage.run("replay", home, "B", pay_table, code=0)
    (home / "batches/000001/status.parquet").write_bytes(b"x")
    cage.run("verify", home, code=5)
    cage.run("scrub", home, "--copy", copy, code=0)
    (home / "batches/000001/held.parquet").write_bytes(b"x")
    cage.run("run", home, write_table(payment_table([line(1)]), folder / "n", batch_id="N"), code=5)
    cage.run("scrub", home, "--copy", copy, code=0)

    leaks = {said: sorted(set(singing(content)))[:3] for said, content in cage.said}
    assert {said: found for said, found in leaks.items() if found} == {}
    assert len(cage.said) > 150
    left = [p for p in cage.temporary.rglob("*") if p.is_file()]
    assert left == [], "temporary files"
    named = {}
    for path in home.rglob("*"):
        name = path.relative_to(home).as_posix().removeprefix("out/")
        if path.is_file() and not NAMING.fullmatch(name) and singing(path.read_bytes()):
            named[name] = sorted(set(singing(path.read_bytes())))[:3]
    # A benefit or an account that pays is no person; the table's own columns are not kept here.
    assert named == {}


def test_privacy__the_canaries_would_be_heard() -> None:
    """The search itself finds an id, an account and a name wherever they stand."""
    assert singing(f'error: "{canary_id(5)}"'.encode()) == [canary_id(5).encode()]
    assert singing(b"x" + canary_account(9_999).encode()) == [canary_account(9_999).encode()]
    assert len(singing(canary_name(1234).upper().encode())) == 4
    assert not singing(b"001000000001 882222222222 Nguyen")
    assert len(KNOWN) == 3 * COUNT


def test_privacy__a_person_is_a_keyed_token_in_answers_about_people(village: Path) -> None:
    pay(village, [line(1)])
    said = scene.command("--json", "status", village, "--person", scene.person_id(1))
    assert scene.person_id(1) not in said.out + said.err
    assert re.fullmatch("[0-9a-f]{16}", said.document["person"])


def test_logs__hold_fields_of_the_list_alone(capsys: pytest.CaptureFixture[str]) -> None:
    from switch.cli.context import Context

    Context().log.info("batch committed", batch_id="B", person_id="001000000001", name="An")
    said = json.loads(capsys.readouterr().err)
    assert said["batch_id"] == "B"
    assert set(said) <= LOG_FIELDS
    assert "001000000001" not in str(said)
    assert allowed_fields(None, "", {"account": "1", "event": "x"}) == {"event": "x"}


def test_logs__every_field_that_the_code_gives_is_on_the_list() -> None:
    """Nothing that somebody wants to see is dropped without being noticed."""
    import ast

    given = set()
    for path in Path(switch.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and isinstance(node.func.value, ast.Attribute)
                and node.func.value.attr == "log"
            ):
                given |= {keyword.arg for keyword in node.keywords if keyword.arg}
    assert given
    assert given <= LOG_FIELDS


@pytest.mark.parametrize("name", ["amount", "Amount", "note", "PERSON_ID"])
def test_messages__show_names_of_columns(name: str) -> None:
    assert shown(name) == name


@pytest.mark.parametrize("name", ["001000000001", "Nguyễn Văn An", "NGUYEN VAN AN", "a1", "=x", ""])
def test_messages__show_no_header_that_may_be_a_person(name: str) -> None:
    assert shown(name) == "(not a usual name)"


def test_process__leaves_no_core(village: Path) -> None:
    code = (
        "import resource, sys, switch.cli.main, atexit\n"
        "atexit.register(lambda: print(resource.getrlimit(resource.RLIMIT_CORE)[0]))\n"
        f"sys.argv = ['switch', 'status', {str(village)!r}, '--quiet']\nswitch.cli.main.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(switch.__file__).parents[1])},
    )
    assert done.stdout.strip() == "0", done.stderr


FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "＝cmd", "=HYPERLINK(1)"]


@pytest.mark.parametrize("text", FORMULAS)
def test_sheet__formulas_are_defused(text: str) -> None:
    assert sheet.defused(text) == f"'{text}"
    assert sheet.defused(None) == ""
    assert sheet.defused("AM05") == "AM05"


def test_sheet__is_the_status_without_formulas(tmp_path: Path) -> None:
    """A receiver whose code is a formula: the status file has it, the sheet shows it as text."""
    evil = "=1+1"
    participants = [*scene.PARTICIPANTS, scene.participant(evil)]
    home = scene.make_home(
        tmp_path / "home", [person(1), person(2)], [account(1, participant=evil), account(2)],
        participants=participants,
    )  # fmt: skip
    batch = pay(home, [line(1), line(2), line(3)])
    assert batch.status["participant"].to_pylist() == [evil, scene.BANK, None]
    said = scene.command("--json", "report", home, "--csv")
    assert said.code == 0, said
    path = Path(said.document["csv"])
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["participant"] for row in rows] == [f"'{evil}", scene.BANK, ""]
    whole = [
        {k: "" if v is None else str(v) for k, v in r.items()} for r in batch.status.to_pylist()
    ]
    shown = [{name: row[name] for name in whole[0]} for row in rows]
    assert [r | {"participant": ""} for r in shown] == [r | {"participant": ""} for r in whole]
    assert [row["amount"] for row in rows] == ["1000001", "1000002", "1000003"]
    assert [row["now"] for row in rows] == ["settled", "settled", "refused"]
    assert {row["benefit"] for row in rows} == {"PENS"}


@pytest.mark.parametrize("text", ["001000000001,x\n1\n", "001000000001,x\n\xff,y\n"])
def test_messages__of_a_damaged_file_without_a_header_name_nobody(
    text: str, village: Path, tmp_path: Path
) -> None:
    path = tmp_path / "people.csv"
    path.write_bytes(text.encode("latin-1"))
    said = command("--json", "register", village, "--population", path)
    assert said.code == 3
    assert "001000000001" not in said.out + said.err
