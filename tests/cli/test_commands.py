"""Commands as operators call them: exit codes, documents, refusals, locks."""

from __future__ import annotations

import fcntl
import json
import shutil
from pathlib import Path

import pytest
from home_reads import catalog
from scene import (
    NAME,
    PARTICIPANTS,
    WALLET,
    command,
    line,
    participant,
    pay,
    payment_table,
    person_id,
    process,
    reasons,
    tree_digest,
    write_table,
)

import switch
from switch.errors import HomeLocked

# --- commands -------------------------------------------------------------------------------------


def test_command__fail_on_refused_exits_1(village: Path, tmp_path: Path) -> None:
    fine = write_table(payment_table([line(1)]), tmp_path / "f", batch_id="F")
    poor = write_table(payment_table([line(2), line(2)]), tmp_path / "p", batch_id="P")
    assert command("--quiet", "run", village, fine, "--fail-on-refused").code == 0
    assert command("--quiet", "run", village, poor).code == 0
    assert command("--quiet", "run", village, poor, "--fail-on-refused").code == 1


def test_command__json_is_one_document_wherever_the_option_stands(
    village: Path, tmp_path: Path
) -> None:
    table = write_table(payment_table([line(1)]), tmp_path / "t")
    before = command("--json", "run", village, table)
    after = command("run", village, table, "--json")
    assert before.document["batches"][0]["cleared"]["count"] == 1
    assert after.document["batches"][0] == before.document["batches"][0] | {"replayed": True}
    for answer in (("status", village), ("verify", village), ("directory", village)):
        assert command(*answer, "--json").document
    assert command("--quiet", "status", village) == (0, "", "")


def test_command__works_as_a_process_from_anywhere(village: Path, tmp_path: Path) -> None:
    write_table(payment_table([line(1), line(1)]), tmp_path / "table.parquet")
    said = process("--json", "run", "village", "table.parquet", "--fail-on-refused", cwd=tmp_path)
    assert said.code == 1, said.err
    assert said.document["batches"][0]["refused"]["count"] == 1
    assert (village / "out" / "B" / "status.parquet").is_file()
    said = process("--json", "verify", village)
    assert said.code == 0
    assert all(check["holds"] for check in said.document["checks"])


def test_command__refusal_names_file_row_column_and_remedy(village: Path, tmp_path: Path) -> None:
    table = write_table(payment_table([line(1), line(2, period=202613)]), tmp_path / "t")
    said = command("--json", "run", village, table)
    assert said.code == 3
    error = said.document["error"]
    assert (error["rule"], error["file"], error["row"], error["column"]) == (
        "PERIOD_INVALID",
        str(table),
        2,
        "period",
    )
    assert error["remedy"]


USAGE = {
    "no home": ("status", "nowhere"),
    "no command": ("pay",),
    "no table": ("run", "village"),
    "bad time": ("run", "village", "table", "--at", "yesterday"),
    "bad threads": ("run", "village", "table", "--threads", "0"),
    "two questions": ("status", "village", "--batch", "B", "--line", "B:1"),
    "bad line": ("status", "village", "--line", "B"),
    "unknown batch": ("status", "village", "--batch", "B"),
    "bad person": ("status", "village", "--person", "12"),
    "no configuration": ("run", "village", "table", "--config", "nowhere"),
    "home exists": ("init", "village", "--participants", "p.csv", "--debtors", "d.csv"),
}


@pytest.mark.parametrize("case", USAGE)
def test_command__wrong_call_exits_2(
    case: str, village: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_table(payment_table([line(1)]), tmp_path / "table")
    (tmp_path / "p.csv").write_text("participant,status\n970001,active\n")
    (tmp_path / "d.csv").write_text("debtor_account,debtor_agent\n1,970001\n")
    before = tree_digest(village)
    said = command(*USAGE[case])
    assert said.code == 2
    assert said.out == ""
    assert tree_digest(village) == before


def test_command__at_is_recorded_and_changes_no_other_answer(village: Path, tmp_path: Path) -> None:
    table = write_table(payment_table([line(1)]), tmp_path / "t")
    other = shutil.copytree(village, tmp_path / "other")
    assert command("--quiet", "run", village, table).code == 0
    assert command("--quiet", "run", other, table, "--at", "2026-11-30T08:00:00").code == 0
    assert catalog(village, "SELECT at FROM batches") == [("2026-11-25",)]
    assert catalog(other, "SELECT at FROM batches") == [("2026-11-30T08:00:00",)]
    assert tree_digest(village / "out") == tree_digest(other / "out")


def test_command__status_of_a_person_shows_all_lines_and_no_id(village: Path) -> None:
    pay(village, [line(1), line(2), line(1)], "A")
    pay(village, [line(1, period=202612)], "B")
    said = command("--json", "status", village, "--person", person_id(1))
    assert [(e["batch_id"], e["line_no"], e["period"]) for e in said.document["lines"]] == [
        ("A", 1, "2026-11"),
        ("A", 3, "2026-11"),
        ("B", 1, "2026-12"),
    ]
    assert person_id(1) not in said.out
    assert NAME not in said.out


def test_command__changed_directory_is_audited_and_counts(village: Path, tmp_path: Path) -> None:
    rows = [r for r in PARTICIPANTS if r["participant"] != WALLET] + [participant("970009")]
    path = tmp_path / "participants.csv"
    path.write_text(
        ",".join(rows[0])
        + "\n"
        + "".join(",".join("" if v is None else str(v) for v in r.values()) + "\n" for r in rows)
    )
    assert command("--quiet", "directory", village, "--participants", path).code == 0
    given = [line(1, creditor_agent=code, creditor_account="1") for code in (WALLET, "970009")]
    assert reasons(pay(village, given)) == ["CNOR", None]
    assert ("directory",) in catalog(village, "SELECT kind FROM audit")
    assert switch.verify(village)


@pytest.mark.parametrize("kind", [fcntl.LOCK_EX, fcntl.LOCK_SH])
def test_command__locked_home_exits_4(kind: int, village: Path, tmp_path: Path) -> None:
    table = write_table(payment_table([line(1)]), tmp_path / "t")
    before = tree_digest(village)
    with (village / "lock").open("a") as lock:
        fcntl.flock(lock, kind)
        assert command("run", village, table).code == 4
        assert process("--json", "run", village, table).document["error"]["exit_code"] == 4
        assert command("--quiet", "status", village).code == 0
        with pytest.raises(HomeLocked):
            switch.open(village)
    assert tree_digest(village) == before
    assert command("--quiet", "run", village, table).code == 0


# --- the pace of the machine ---


def test_bench__gives_a_pace_and_a_digest_that_does_not_change() -> None:
    figures = [
        json.loads(command("bench", "--lines", "500", "--repeat", "1", "--json").out)
        for _ in range(2)
    ]
    assert all(f["core"]["lines_per_second"] > 0 for f in figures)
    for name in ("core", "files_to_files"):
        assert figures[0][name]["digest"] == figures[1][name]["digest"]
