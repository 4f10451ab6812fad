"""Undone: what a recast took out of its cycle, proven from the answers of the cycle's batches.

Floor 4, below the proof. A recast is committed with its own files; here its lines are found again
in what the batches answered, with the defaulters alone known, and everything that was posted and
told of them is added up anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from switch import sums
from switch.evidence import Check, compare
from switch.recasting import REVERSAL, Recast
from switch.segment import segment_at
from switch.store import Home

Line = dict[str, Any]


def checks(home: Home, recast: Recast) -> Iterator[Check]:
    """All that is proven of one recast but its effect on who was paid, who waits and positions."""
    subject = f"recast {recast.number}"
    (detail,) = (
        found
        for row in home.rows("SELECT detail FROM audit WHERE kind = 'settlement'")
        if (found := msgspec.json.decode(row["detail"]))["cycle"] == recast.cycle
    )
    answer = detail["answer"]
    settled_by = {
        row["participant"]: row["settled_by"]
        for row in home.rows("SELECT * FROM positions WHERE cycle = ?", recast.cycle)
    }
    cleared = list(_cleared(home, recast.cycle, settled_by))
    gone = [line for line in cleared if settled_by[line["debtor_agent"]] in answer["short"]]
    gone.sort(key=lambda line: (line["batch"], line["line_no"]))
    told = pq.read_table(home.path / recast.folder / "lines.parquet").to_pylist()
    yield Check("recast lines", subject, "" if gone == told else "are not those of defaulters")
    posted: dict[tuple[str, str], int] = {}
    for step, debit, credit, amount in detail["postings"]:
        if step == REVERSAL:
            posted[debit, credit] = posted.get((debit, credit), 0) + amount
    yield compare("recast postings", subject, _reversed(gone, settled_by), posted)
    yield compare("recast answer", subject, _told(cleared, gone, settled_by), _said(answer))
    yield compare("recall lists", subject, _by_receiver(gone), _lists(home.path / recast.folder))


def _cleared(home: Home, cycle: str, settled_by: dict[str, str]) -> Iterator[Line]:
    """Lines that cleared in a cycle and move something between settlement accounts."""
    for batch in home.rows("SELECT seq FROM batches WHERE cycle = ? ORDER BY seq", cycle):
        folder = home.folder("batches", batch["seq"])
        parts: list[tuple[Path, Path | None]] = [
            (segment_at(folder, "status"), folder / "lines.parquet")
        ]
        if (folder / "represented.parquet").exists():
            parts.append((folder / "represented.parquet", None))
        for status_file, lines_file in parts:
            for status, lines in sums.row_groups(status_file, lines_file):
                alive = pa.array(np.asarray(lines["reason_number"]) == 0)
                names = ("line_no", "transfer_id", "participant")
                answers = status.select(names).filter(alive).to_pylist()
                own = ("debtor_agent", "row", "benefit", "period", "amount")
                inner = lines.select(own).filter(alive).to_pylist()
                batches = (
                    [batch["seq"]] * len(inner)
                    if lines_file
                    else status["batch"].filter(alive).to_pylist()
                )
                for number, left, right in zip(batches, answers, inner, strict=True):
                    line = {"batch": number, "cleared_in": batch["seq"], **left, **right}
                    payer, payee = line["debtor_agent"], line["participant"]
                    if settled_by.get(payer, payer) != settled_by.get(payee, payee):
                        yield line


def _reversed(gone: list[Line], settled_by: dict[str, str]) -> dict[tuple[str, str], int]:
    found: dict[tuple[str, str], int] = {}
    for line in gone:
        payer, payee = settled_by[line["debtor_agent"]], settled_by[line["participant"]]
        for pair in (
            (f"N.POSITION[{payee}]", f"N.POSITION[{payer}]"),
            (f"T.PAYABLE[{line['cleared_in']:06d}]", f"T.EXPENSE[{line['benefit']}]"),
        ):
            found[pair] = found.get(pair, 0) + line["amount"]
    return found


def _told(cleared: list[Line], gone: list[Line], settled_by: dict[str, str]) -> dict[str, Any]:
    """What the answer must say of those whom the defaulters were to pay."""
    before: dict[str, int] = {}
    vanished: dict[str, int] = {}
    loss: dict[str, int] = {}
    for lines, sides in ((cleared, (before,)), (gone, (loss,))):
        for line in lines:
            for code, sign in ((line["debtor_agent"], -1), (line["participant"], 1)):
                payer = settled_by[code]
                sides[0][payer] = sides[0].get(payer, 0) + sign * line["amount"]
    for line in gone:
        payee = settled_by[line["participant"]]
        vanished[payee] = vanished.get(payee, 0) + line["amount"]
    turned = [c for c, net in before.items() if net >= 0 > net - loss.get(c, 0)]
    return {"vanished": vanished, "turned_payer": sorted(turned)}


def _said(answer: dict[str, Any]) -> dict[str, Any]:
    vanished = {code: int(sum_) for code, sum_ in answer["vanished"].items()}
    return {"vanished": vanished, "turned_payer": answer["turned_payer"]}


def _by_receiver(gone: list[Line]) -> dict[str, list[tuple[str, int]]]:
    found: dict[str, list[tuple[str, int]]] = {}
    for line in gone:
        found.setdefault(line["participant"], []).append((line["transfer_id"], line["amount"]))
    return found


def _lists(folder: Path) -> dict[str, list[tuple[str, int]]]:
    found = {}
    for path in (folder / "recall").iterdir():
        rows = pq.read_table(path).to_pylist()
        found[path.stem] = [(row["transfer_id"], row["amount"]) for row in rows]
    return found
