"""Two sides with planted breaks of every class, and the truth about every record.

    python -m bench.reconcile.generator DIR --records 1000000 --seed 1

Writes lines.parquet, answers.parquet (columns of a record, docs/reconciliation.md), totals.parquet
(participant, amount: what is declared) and truth.parquet (side, row, verdict: of every record that
is not simply matched). All from the seed; every class has PLANTED records in a thousand, at least
three. Public domain: use it for any reconciler.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

PLANTED = 1
"""Cases of each kind in a thousand lines."""
PARTICIPANTS = 64
DRIFTING = 3
"""Participants whose declared total is wrong, and who have no other break."""
CALM = 8
"""Participants without any planted case: the drifting ones are among them."""
DAY_US = 86_400_000_000
VALUE_DAY = 20_782
"""2026-11-25; reconciled five days later, AS_OF."""
AS_OF = VALUE_DAY + 5
FEES = (1100, 2200, 3300, 5500, 11000)

KINDS = (
    "missing_answer", "missing_line", "amount", "fee", "fee_alone", "currency", "duplicate_answer",
    "duplicate_line", "status", "timing", "typo_e2e", "typo_account", "no_id", "split_id",
    "split_account", "aggregate", "ambiguous", "return_unmatched", "pending",
)  # fmt: skip


class _Side:
    """Columns of a side under construction; rows are appended in any order."""

    def __init__(self) -> None:
        self.parts: list[dict[str, Any]] = []

    def add(self, verdict: str, **columns: Any) -> None:
        rows = len(columns["amount"])
        self.parts.append({**columns, "verdict": np.full(rows, verdict, object)})

    def column(self, name: str, fill: Any, dtype: Any) -> Any:
        return np.concatenate(
            [
                np.asarray(part[name], dtype)
                if name in part
                else np.full(len(part["amount"]), fill, dtype)
                for part in self.parts
            ]
        )


def transfer_ids(number: Any, batch: int = 1) -> Any:
    return np.array([f"20261125-{batch:06d}-{n:010d}" for n in number.tolist()], object)


def generate(folder: Path, records: int, seed: int) -> None:
    """Write the files; records: lines, and about as many answers."""
    rng = np.random.default_rng(seed)
    each = max(3, records * PLANTED // 1000)
    number = np.arange(1, records + 1)
    kind = np.zeros(records, np.int64)
    participant = rng.integers(0, PARTICIPANTS, records)
    busy = np.flatnonzero(participant >= CALM)
    planted = rng.choice(busy, each * len(KINDS), replace=False)
    kind[planted] = np.repeat(np.arange(1, len(KINDS) + 1), each)
    lines, answers = _Side(), _Side()
    amount = rng.integers(100, 50_000, records) * 1000
    account = 10**11 + rng.permutation(records)
    at = np.full(records, VALUE_DAY * DAY_US)
    said_at = at + rng.integers(8, 16, records) * (DAY_US // 24)

    def of(name: str) -> dict[str, Any]:
        """Lines of a kind, all columns right."""
        i = np.flatnonzero(kind == (KINDS.index(name) + 1 if name else 0))
        return {
            "transfer_id": transfer_ids(number[i]),
            "end_to_end_id": np.array([f"E2E{n:09d}" for n in number[i].tolist()], object),
            "participant": np.array([f"{970400 + p}" for p in participant[i].tolist()], object),
            "account": account[i].astype(str).astype(object),
            "amount": amount[i],
            "at": at[i],
            "said_at": said_at[i],
        }

    def answer(base: dict[str, Any], verdict: str, **changed: Any) -> None:
        row = {k: v for k, v in base.items() if k not in ("said_at", "end_to_end_id")}
        row["at"] = base["said_at"]
        row["status"] = np.full(len(base["amount"]), "ACCC", object)
        answers.add(verdict, **{**row, **changed})

    def line(base: dict[str, Any], verdict: str, **changed: Any) -> None:
        row = {k: v for k, v in base.items() if k != "said_at"}
        lines.add(verdict, **{**row, **changed})

    def stranger(base: dict[str, Any], batch: int) -> Any:
        return transfer_ids(np.array([int(t[-10:]) for t in base["transfer_id"]]), batch)

    _plant(of, line, answer, stranger, rng)
    left, right = _table(lines, rng), _table(answers, rng)
    folder.mkdir(parents=True, exist_ok=True)
    truth = []
    for side, name in ((left, "lines"), (right, "answers")):
        verdict = side["verdict"]
        columns = side.drop(["verdict"])
        pq.write_table(columns, folder / f"{name}.parquet", compression="zstd",
                       compression_level=1, row_group_size=1 << 17)  # fmt: skip
        row = np.flatnonzero(np.asarray(verdict) != "MATCHED")
        truth.append(
            pa.table({"side": pa.repeat(name, len(row)), "row": row, "verdict": verdict.take(row)})
        )
    names, index = np.unique(np.asarray(left["participant"]), return_inverse=True)
    sums = np.zeros(len(names), np.int64)
    np.add.at(sums, index, np.asarray(left["amount"]))
    drifting = rng.choice(CALM, DRIFTING, replace=False)
    sums[drifting] += rng.integers(1, 100, DRIFTING)
    pq.write_table(pa.table({"participant": names, "amount": sums}), folder / "totals.parquet")
    truth.append(
        pa.table(
            {"side": pa.repeat("totals", DRIFTING), "row": np.sort(drifting),
             "verdict": pa.repeat("TOTAL_DRIFT", DRIFTING)}
        )
    )  # fmt: skip
    pq.write_table(pa.concat_tables(truth), folder / "truth.parquet")


def _plant(of: Any, line: Any, answer: Any, stranger: Any, rng: Any) -> None:
    """Every kind: what the lines say, what the answers say, and how each ends."""
    none = None
    for name, verdict, change in (
        ("", "MATCHED", lambda b: {}),
        ("amount", "AMOUNT", lambda b: {"amount": b["amount"] + 7}),
        ("fee", "FEE", lambda b: {"amount": b["amount"] - rng.choice(FEES, len(b["amount"]))}),
        ("currency", "CURRENCY", lambda b: {"currency": _all(b, "USD")}),
        ("status", "STATUS", lambda b: {"status": _all(b, "RJCT"), "at": b["said_at"] + DAY_US}),
        ("timing", "TIMING", lambda b: {"at": b["said_at"] + 3 * DAY_US}),
        ("typo_account", "REFERENCE", lambda b: {"transfer_id": stranger(b, 900_001)}),
        ("no_id", "MATCHED", lambda b: {"transfer_id": _all(b, none)}),
        ("typo_e2e", "REFERENCE", lambda b: {
            "transfer_id": stranger(b, 900_002), "end_to_end_id": b["end_to_end_id"],
            "account": _all(b, none)}),
    ):  # fmt: skip
        base = of(name)
        line(base, verdict)
        answer(base, verdict, **change(base))
    line(of("missing_answer"), "MISSING")
    base = of("pending")
    line(base, "PENDING", at=base["at"] + 5 * DAY_US)
    for name, verdict, changed in (
        ("missing_line", "MISSING", {}),
        ("return_unmatched", "RETURN_UNMATCHED", {"status": "RTRN"}),
    ):
        base = of(name)
        answer(base, verdict, transfer_id=stranger(base, 900_003),
               **{k: _all(base, v) for k, v in changed.items()})  # fmt: skip
    base = of("fee_alone")
    fees = -rng.choice(FEES, len(base["amount"]))
    answer(base, "FEE", amount=fees, transfer_id=_all(base, none), status=_all(base, none))
    for name in ("duplicate_answer", "duplicate_line"):
        base = of(name)
        line(base, "MATCHED")
        answer(base, "MATCHED")
        if name == "duplicate_answer":
            answer(base, "DUPLICATE", at=base["said_at"] + DAY_US // 24)
        else:
            line(base, "DUPLICATE", account=_all(base, "1"))
    for name in ("split_id", "split_account"):
        base = of(name)
        line(base, "SPLIT")
        part = base["amount"] // 3
        for k, share in enumerate((part, base["amount"] - part)):
            changed = {} if name == "split_id" else {"transfer_id": stranger(base, 910_001 + k)}
            answer(base, "SPLIT", amount=share, **changed)
    base = of("aggregate")
    line(base, "SPLIT")
    line(base, "SPLIT", transfer_id=stranger(base, 2), amount=base["amount"] + 1000,
         end_to_end_id=_all(base, none))  # fmt: skip
    answer(base, "SPLIT", transfer_id=_all(base, none), amount=2 * base["amount"] + 1000)
    base = of("ambiguous")
    line(base, "AMBIGUOUS")
    line(base, "AMBIGUOUS", transfer_id=stranger(base, 3), end_to_end_id=_all(base, none))
    answer(base, "AMBIGUOUS", transfer_id=_all(base, none))


def _all(base: dict[str, Any], value: Any) -> Any:
    return np.full(len(base["amount"]), value, object)


def _table(side: _Side, rng: Any) -> Any:
    """A side in any order of rows."""
    order = rng.permutation(sum(len(part["amount"]) for part in side.parts))
    columns: dict[str, Any] = {}
    for name in ("transfer_id", "end_to_end_id", "participant", "account", "currency", "status"):
        columns[name] = pa.array(side.column(name, None, object)[order], pa.string())
    for name in ("amount", "at"):
        columns[name] = side.column(name, 0, np.int64)[order]
    columns["verdict"] = pa.array(side.column("verdict", None, object)[order], pa.string())
    return pa.table(columns)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    generate(args.folder, args.records, args.seed)


if __name__ == "__main__":
    main()
