"""The dossier: what differs, cannot be read or is not there refuses the table that it declares."""

from __future__ import annotations

import codecs
import contextlib
import gzip
import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bad_tables import COLUMNS, TOTAL, good_table, with_text
from scene import (
    FORMATS,
    VALUE_DATE,
    answers,
    command,
    line,
    pay,
    payment_table,
    reasons,
    run,
    tree_digest,
    write_file,
    write_table,
)

import switch
from switch.clearing.intake import Declared, Intake
from switch.errors import InputRefused
from switch.files.tables import open_table
from switch.schema import PAYMENT

# --- the dossier ----------------------------------------------------------------------------------

DOSSIERS: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("count", {"count": 4}, "CONTROL_COUNT"),
    ("count as text", {"count": "2"}, "CONTROL_COUNT"),
    ("count of none", {"count": 0}, "CONTROL_COUNT"),
    ("negative count", {"count": -3}, "CONTROL_COUNT"),
    ("count beyond any table", {"count": 10**18}, "ROW_LIMIT"),
    ("sum", {"sum": "7"}, "CONTROL_SUM"),
    ("sum as number", {"sum": 5}, "CONTROL_SUM"),
    ("negative sum", {"sum": "-6"}, "CONTROL_SUM"),
    ("sum beyond 64 bits", {"sum": str(2**63)}, "TOTAL_RANGE"),
    ("sum with a fraction", {"sum": "6.0"}, "DOSSIER_INVALID"),
    ("sum with blanks", {"sum": " 6"}, "DOSSIER_INVALID"),
    ("sum in other digits", {"sum": "\uff16"}, "DOSSIER_INVALID"),
    ("sum as real", {"sum": 6.5}, "DOSSIER_INVALID"),
    ("sum as truth", {"sum": True}, "DOSSIER_INVALID"),
    ("other digest", {"sha256": "0" * 64}, "FILE_HASH"),
    ("short digest", {"sha256": "0" * 63}, "DOSSIER_INVALID"),
    ("digest in capitals", {"sha256": "A" * 64}, "DOSSIER_INVALID"),
    ("currency", {"currency": "USD"}, "CURRENCY"),
    ("no value date", {"value_date": ""}, "DOSSIER_INVALID"),
    ("impossible date", {"value_date": "2026-02-31"}, "DOSSIER_INVALID"),
    ("date of another order", {"value_date": "25/11/2026"}, "DOSSIER_INVALID"),
    ("no source", {"source": ""}, "NAME_UNSAFE"),
    ("long source", {"source": "x" * 65}, "NAME_UNSAFE"),
    ("source with a line break", {"source": "a\nb"}, "NAME_UNSAFE"),
    ("source as number", {"source": 5}, "DOSSIER_INVALID"),
    *(
        (f"lacks {name}", {name: None}, "DOSSIER_INVALID")
        for name in ("source", "batch_id", "currency", "count", "sum", "sha256", "value_date")
    ),
)  # fmt: skip


@pytest.mark.parametrize("form", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("changes", "rule"), [case[1:] for case in DOSSIERS], ids=[case[0] for case in DOSSIERS]
)
def test_dossier__that_differs_refuses_the_table(
    changes: dict[str, Any], rule: str, form: str, village: Path, tmp_path: Path
) -> None:
    path = write_table(good_table(), tmp_path / "t", form, **changes)
    before = tree_digest(village)
    said = command("--json", "run", village, path)
    assert said.code == 3, said
    error = said.document["error"]
    assert error["rule"] == rule
    assert error["file"] in (str(path), str(tmp_path / "t.dossier.json"))
    assert tree_digest(village) == before


@pytest.mark.parametrize(
    "content",
    [b"", b"x", b"[]", b"{", b"null", b'{"source": "\xff"}', b"\xff\xfe{\x00}\x00", b"[" * 5000],
)
def test_dossier__that_cannot_be_read_refuses_the_table(
    content: bytes, village: Path, tmp_path: Path
) -> None:
    path = write_table(good_table(), tmp_path / "t")
    (tmp_path / "t.dossier.json").write_bytes(content)
    before = tree_digest(village)
    said = command("--json", "run", village, path)
    assert (said.code, said.document["error"]["rule"]) == (3, "DOSSIER_INVALID")
    assert tree_digest(village) == before


@pytest.mark.parametrize("case", ["missing", "too large", "link"])
def test_dossier__is_a_file_beside_the_table(case: str, village: Path, tmp_path: Path) -> None:
    path = write_table(good_table(), tmp_path / "t")
    dossier = tmp_path / "t.dossier.json"
    if case == "missing":
        dossier.unlink()
    elif case == "too large":
        dossier.write_bytes(dossier.read_bytes() + b" " * (1 << 20))
    else:
        dossier.rename(tmp_path / "other")
        dossier.symlink_to(tmp_path / "other")
    before = tree_digest(village)
    said = command("--json", "run", village, path)
    rule = {"missing": "DOSSIER_MISSING", "too large": "SIZE_LIMIT", "link": "NOT_REGULAR"}[case]
    assert (said.code, said.document["error"]["rule"]) == (3, rule)
    assert tree_digest(village) == before


def test_dossier__of_a_table_that_is_not_there(village: Path, tmp_path: Path) -> None:
    """Whoever mistyped the table's name is not sent to look for its dossier."""
    said = command("--json", "run", village, tmp_path / "t")
    error = said.document["error"]
    assert (said.code, error["rule"], error["file"]) == (3, "FILE_MISSING", str(tmp_path / "t"))


def test_dossier__may_begin_with_a_byte_order_mark(village: Path, tmp_path: Path) -> None:
    path = write_table(good_table(), tmp_path / "t")
    dossier = tmp_path / "t.dossier.json"
    dossier.write_bytes(codecs.BOM_UTF8 + dossier.read_bytes())
    assert command("run", village, path).code == 0


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        (lambda t: t.replace(",", ";"), "separated by semicolons"),
        (lambda t: t.replace(",", "\t"), "separated by tabs"),
        (lambda t: t.encode("utf-16-le"), "is UTF-16"),
        (lambda t: b"PK\x03\x04" + t.encode(), "is a spreadsheet"),
        (lambda t: gzip.compress(t.encode()), "is compressed"),
    ],
)
def test_csv__what_people_send_in_its_place_is_named(
    change: Callable[[str], str | bytes], hint: str, tmp_path: Path
) -> None:
    with pytest.raises(InputRefused, match=hint):
        open_table(with_text(change)(tmp_path), PAYMENT)


def test_dossier__may_say_more_than_is_asked(village: Path, tmp_path: Path) -> None:
    path = write_table(good_table(), tmp_path / "t", signatures=[{"by": "x"}], count="3", sum=6)
    with switch.open(village) as engine:
        assert reasons(engine.run(path)) == [None] * 3


@pytest.mark.parametrize("given", ["count", "sum", "batch_id", "source", "value_date"])
def test_dossier__given_as_arguments_is_given_whole(given: str, village: Path) -> None:
    with switch.open(village) as engine, pytest.raises(switch.UsageError):
        run(engine, [line(1)], **{given: None})


@pytest.mark.parametrize(("count", "total"), [(2, 6), (4, 6), (3, 5), (3, 7)])
@pytest.mark.parametrize("chunk_rows", [1, 2, 1000])
def test_dossier__control_totals_given_as_arguments_are_proven(
    count: int, total: int, chunk_rows: int, village: Path
) -> None:
    before = tree_digest(village)
    for table in (good_table(), good_table().to_reader()):
        with pytest.raises(InputRefused, match="CONTROL_"), switch.open(village) as engine:
            engine.run(
                table,
                source="VSS",
                batch_id="B",
                value_date=VALUE_DATE,
                count=count,
                sum=total,
                chunk_rows=chunk_rows,
            )
    assert tree_digest(village) == before


# --- damage ---------------------------------------------------------------------------------------


def take_in(path: Path, directory: Any) -> None:
    """Read a table to its end and prove its control totals, without its digest."""
    declared = Declared("VSS", "B", VALUE_DATE, 3, TOTAL)
    for _ in Intake(directory).lines(open_table(path, PAYMENT), declared, 1000):
        pass


@pytest.mark.parametrize("form", FORMATS)
def test_damage__file_cut_at_any_length_is_refused(
    form: str, village: Path, tmp_path: Path
) -> None:
    # The amount stands last, so that in CSV no cut leaves the totals as they were.
    table = good_table().select([*(c for c in COLUMNS if c != "amount"), "amount"])
    path = write_file(table, tmp_path / "t", form)
    content = path.read_bytes()
    if form == "csv":
        content = content.rstrip(b"\n")
    with switch.open(village) as engine:
        directory = engine.directory
    path.write_bytes(content)
    take_in(path, directory)
    for length in range(0, len(content), 1 + len(content) // 900):
        path.write_bytes(content[:length])
        with pytest.raises(InputRefused):
            take_in(path, directory)


FLIP = """
import sys
from pathlib import Path
import switch
home, path = Path(sys.argv[1]), Path(sys.argv[2])
content = path.read_bytes()
with switch.open(home) as engine:
    for at in range(0, len(content), 2):
        changed = bytearray(content)
        changed[at] ^= 1 << at // 2 % 8
        path.write_bytes(changed)
        try:
            engine.run(path)
        except switch.InputRefused:
            continue
        raise SystemExit(f"byte {at} was accepted")
print("done")
"""


@pytest.mark.parametrize("form", FORMATS)
def test_damage__any_flipped_bit_is_refused(form: str, village: Path, tmp_path: Path) -> None:
    """In a process of its own, for a damaged file may end the process that decodes it."""
    path = write_table(good_table(), tmp_path / "t", form)
    before = tree_digest(village)
    source = str(Path(switch.__file__).resolve().parents[1])
    done = subprocess.run(
        [sys.executable, "-c", FLIP, str(village), str(path)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": source},
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr[-2000:]
    assert tree_digest(village) == before


@pytest.mark.parametrize("form", ["parquet", "arrow", "stream"])
def test_damage__without_a_digest_is_refused_or_read_but_no_other_error(
    form: str, village: Path, tmp_path: Path
) -> None:
    """Damage to the data part; that to a Parquet footer may end the process, which is why digests
    are judged first."""
    path = write_file(good_table(), tmp_path / "t", form)
    content = path.read_bytes()
    with switch.open(village) as engine:
        directory = engine.directory
    end = len(content)
    if form == "parquet":
        end -= 8 + struct.unpack("<i", content[-8:-4])[0]
    for at in range(0, end, 3):
        changed = bytearray(content)
        changed[at] ^= 1 << at * 5 % 8
        path.write_bytes(changed)
        with contextlib.suppress(InputRefused):
            take_in(path, directory)


def test_bad_inputs__answers_are_whole_or_not_there(village: Path, tmp_path: Path) -> None:
    """A refusal late in the table leaves neither an answer nor a draft."""
    lines = [line(n % 9 + 1, period=190001 + n // 9 * 100) for n in range(2000)]
    path = write_table(payment_table(lines), tmp_path / "t", sum="1")
    before = tree_digest(village)
    said = command("--json", "run", village, path)
    assert (said.code, said.document["error"]["rule"]) == (3, "CONTROL_SUM")
    assert tree_digest(village) == before
    assert not list((village / "batches").iterdir())
    assert json.loads(said.out)["error"]["exit_code"] == 3
    assert answers(pay(village, [line(1)])) == [("ACSC", None)]
