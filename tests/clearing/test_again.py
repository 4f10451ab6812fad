"""The same table again pays nothing, and nobody is paid for a month twice."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from home_reads import catalog
from scene import (
    SMALL_BANK,
    account,
    answers,
    command,
    entitlement,
    line,
    make_home,
    pay,
    payment_table,
    person,
    reasons,
    tree_digest,
    write_table,
)

import switch
from switch.errors import InputRefused
from switch.sim.world.generate import Generated

# --- the same again -------------------------------------------------------------------------------


def test_run__same_table_again_pays_nothing(paid_home: Path, nation: Generated) -> None:
    before = tree_digest(paid_home)
    balances = catalog(paid_home, "SELECT * FROM balances")
    with switch.open(paid_home) as engine:
        again = engine.run(nation.payday)
    assert again.replayed
    assert catalog(paid_home, "SELECT * FROM balances") == balances
    assert tree_digest(paid_home) == before


def test_run__same_table_again_writes_the_answer_again(
    home: Path, nation: Generated, tmp_path: Path
) -> None:
    with switch.open(home) as engine:
        engine.run(nation.payday, out=tmp_path / "a")
        engine.run(nation.payday, out=tmp_path / "b")
    assert tree_digest(tmp_path / "a") == tree_digest(tmp_path / "b")
    assert not (home / "out").exists()


def test_run__same_table_in_memory_again_answers_the_same(village: Path) -> None:
    lines = [line(1), line(2), line(1)]
    first = pay(village, lines)
    table = payment_table(lines)
    coded = table.set_column(3, "benefit", table["benefit"].dictionary_encode())
    again = pay(village, coded, chunk_rows=1)
    assert again.replayed
    assert answers(again) == answers(first)
    assert again.summary | {"replayed": False} == first.summary


@pytest.mark.parametrize("column", ["amount", "person_name", "end_to_end_id"])
def test_run__same_id_with_other_content_is_refused(village: Path, column: str) -> None:
    pay(village, [line(1), line(2)])
    before = tree_digest(village)
    other = {"amount": 7, "person_name": "Trần B", "end_to_end_id": "E"}[column]
    with pytest.raises(InputRefused) as refusal:
        pay(village, [line(1), line(2, **{column: other})])
    assert refusal.value.rule == "REFERENCE_REUSED"
    assert tree_digest(village) == before


def test_run__same_id_with_other_file_exits_3(village: Path, tmp_path: Path) -> None:
    assert (
        command(
            "run", "--quiet", village, write_table(payment_table([line(1)]), tmp_path / "a")
        ).code
        == 0
    )
    before = tree_digest(village)
    said = command("--json", "run", village, write_table(payment_table([line(2)]), tmp_path / "b"))
    assert said.code == 3
    assert said.document["error"]["rule"] == "REFERENCE_REUSED"
    assert tree_digest(village) == before


def test_run__same_id_of_another_source_is_another_batch(village: Path, tmp_path: Path) -> None:
    pay(village, [line(1)], out=tmp_path / "out")
    other = pay(village, [line(2)], source="MOLISA", out=tmp_path / "out")
    assert not other.replayed
    assert reasons(other) == [None]
    statuses = sorted(tmp_path.glob("out/*/status.parquet"))
    assert len(statuses) == 2
    for source in ("VSS", "MOLISA"):
        said = command("--json", "status", village, "--batch", f"{source}:B")
        assert said.code == 0, said.err
        assert said.document["source"] == source
        assert command("--json", "status", village, "--line", f"{source}:B:1").code == 0
    assert command("status", village, "--batch", "B").code == 2


def test_run__answers_of_two_batches_never_share_a_folder(village: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    pay(village, [line(1)], "A", out=out)
    pay(village, [line(2)], "A", source="MOLISA", out=out)
    pay(village, [line(3), line(4)], "A.000002", out=out)
    rows = sorted(pq.read_metadata(path).num_rows for path in out.glob("*/status.parquet"))
    assert rows == [1, 1, 2]


def test_run__same_bytes_under_another_id_pay_nothing_twice(
    home: Path, nation: Generated, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.parquet"
    shutil.copyfile(nation.payday, copy)
    dossier = json.loads(nation.dossier.read_text()) | {"batch_id": "AGAIN"}
    (tmp_path / "copy.dossier.json").write_text(json.dumps(dossier))
    with switch.open(home) as engine:
        first, second = engine.run(nation.payday), engine.run(copy)
    assert second.summary["cleared"]["count"] == 0
    for before, after in zip(answers(first), answers(second), strict=True):
        assert after == (("RJCT", "AM05") if before[0] == "ACSC" else before)


def test_run__another_table_is_refused_exactly_what_was_cleared_before(village: Path) -> None:
    pay(village, [line(1), line(2), line(3, benefit="NOPE")])
    lines = [line(2, amount=5), line(3), line(1, period=202612), line(1, benefit="SASS"), line(1)]
    assert reasons(pay(village, lines, "C")) == ["AM05", None, None, None, "AM05"]


def test_run__of_equal_lines_the_first_clears(village: Path) -> None:
    given = {"creditor_agent": SMALL_BANK, "creditor_account": "1"}
    lines = [line(1, amount=0), line(1), line(1), line(1, **given), line(2)]
    assert reasons(pay(village, lines)) == ["AM12", None, "AM05", "AM05", None]


def test_run__paid_history_is_not_paid_again(tmp_path: Path) -> None:
    history = [entitlement(1), entitlement(2, period=202610), entitlement(3, benefit="SASS")]
    home = make_home(
        tmp_path / "h", map(person, range(1, 4)), map(account, range(1, 4)), paid=history
    )
    assert reasons(pay(home, [line(1), line(2), line(3)])) == ["AM05", None, None]
