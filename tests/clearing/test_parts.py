"""Parts of a sum: exact for any amounts, and held to what a dossier declares."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scene import TREASURY_ACCOUNT, command, line, payment_table, write_file

import switch
from switch.clearing.parts import Parts
from switch.errors import InputRefused
from switch.files.columns import Texts

AMOUNTS = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.integers(0, 2**33),
    st.sampled_from([0, 1, 2**32, 2**33 - 1, 2**33, 2**40, 10**12, -1]),
)
ROWS = st.lists(st.tuples(st.sampled_from([None, 0, 1, 2]), AMOUNTS), max_size=40)


@example([[(0, 2**63 - 1)] * 9])
@given(st.lists(ROWS, max_size=4))
def test_parts__are_exact(chunks: list[list[tuple[int | None, int]]]) -> None:
    names, parts = ["A", "B", "C"], Parts()
    expected: dict[str, int] = {}
    for rows in chunks:
        index = np.array([-1 if i is None else i for i, _ in rows], np.int32)
        texts = Texts(pa.array(names), index)
        amount = np.array([amount for _, amount in rows], np.int64)
        parts.take({"amount": amount, "benefit": texts, "debtor_account": texts})
        for i, part in rows:
            name = "" if i is None else names[i]
            expected[name] = expected.get(name, 0) + max(part, 0)
    assert (
        parts.sums("programmes")
        == parts.sums("debtors")
        == {name: part for name, part in sorted(expected.items()) if part}
    )


@pytest.fixture
def declared(tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    """A table of two programmes, and what its dossier says."""
    path = tmp_path / "table.parquet"
    rows = [line(1), line(2), line(3, benefit="SICK")]
    write_file(payment_table(rows), path, "parquet")
    told = switch.write_dossier(path, source="VSS", batch_id="B", value_date="2026-11-25")
    assert told["programmes"] == {"PENS": 2_000_003, "SICK": 1_000_003}
    assert told["debtors"] == {TREASURY_ACCOUNT: 3_000_006}
    return path, json.loads(path.with_name("table.dossier.json").read_bytes())


@pytest.mark.parametrize(
    "changes",
    [
        {"programmes": {"PENS": 2_000_002, "SICK": 1_000_004}},
        {"programmes": {"PENS": 3_000_006}},
        {"programmes": {"PENS": 2_000_003, "SICK": 1_000_002, "MATE": 1}},
        {"debtors": {"1": 3_000_006}},
    ],
)
def test_run__is_held_to_the_sums_of_its_dossier(
    village: Path, declared: tuple[Path, dict[str, Any]], changes: dict[str, Any]
) -> None:
    path, said = declared
    path.with_name("table.dossier.json").write_text(json.dumps(said | changes))
    with switch.open(village) as engine:
        with pytest.raises(InputRefused, match="CONTROL_PARTS"):
            engine.run(path)
        assert not engine.batches()
        path.with_name("table.dossier.json").write_text(json.dumps(said))
        engine.run(path)


def test_dossier__whose_parts_do_not_add_up_is_refused(
    village: Path, declared: tuple[Path, dict[str, Any]]
) -> None:
    path, said = declared
    path.with_name("table.dossier.json").write_text(json.dumps(said | {"programmes": {"PENS": 1}}))
    told = command("run", village, path, "--json")
    assert (told.code, told.document["error"]["rule"]) == (3, "CONTROL_PARTS")
    said["debtors"] = {"1": "a"}
    path.with_name("table.dossier.json").write_text(json.dumps(said))
    told = command("run", village, path, "--json")
    assert (told.code, told.document["error"]["rule"]) == (3, "DOSSIER_INVALID")
