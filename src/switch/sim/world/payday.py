"""The files of a payday: payment table, dossier, paid history, and the true answers."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from switch import schema
from switch.reason import REASONS_COUNT, RULES
from switch.sim.world import draw
from switch.sim.world.lines import Columns, Lines
from switch.sim.world.nation import Nation
from switch.sim.world.plan import BENEFITS, Order, Plan, months_before

PAYDAY = draw.arrow_schema(
    schema.PAYMENT, codes=draw.CODES, ids=pa.uint64(), without={"end_to_end_id", schema.HOUSEHOLD}
)
TRUTH = pa.schema([("line_no", pa.uint32()), ("status", pa.string()), ("reason", pa.string())])
PAID = draw.arrow_schema(schema.PAID, codes=draw.CODES, ids=pa.uint64())
SOURCE, BATCH_ID = "VSS", "PAYDAY-2026-11"
_PAID_STREAM = 5
_STATUSES = ["ACSC", "PDNG", "RJCT"]
_CODES = sorted({rule.code for rule in RULES.values()})


class Written(NamedTuple):
    """Declarations of the dossier, and the size of the paid history."""

    declared_count: int
    amount_sum: int
    paid_count: int


def _payday_columns(lines: Columns, first: int, order: Order, nation: Nation) -> list[pa.Array]:
    rows = len(lines["amount"])
    named = np.flatnonzero(lines["creditor"])
    agent = np.full(rows, 1 << 14, np.int16)
    agent[named] = lines["participant"][named]
    position = np.zeros(rows, np.int32)
    position[named] = np.arange(len(named))
    accounts = order.directory.account_numbers(lines["creditor"][named], agent[named])
    at = pa.array(position, mask=lines["creditor"] == 0)
    return [
        pa.array(np.arange(first + 1, first + rows + 1, dtype=np.uint32)),
        pa.array(lines["person_id"]),
        nation.names.texts(lines["prefix_at"], lines["given_at"]),
        draw.dictionary(lines["benefit"], order.benefits),
        pa.array(lines["period"]),
        pa.array(lines["amount"]),
        draw.dictionary(lines["debtor"], order.debtors),
        draw.dictionary(agent, order.directory.codes),
        accounts.take(at),
        draw.dictionary(lines["commune"], nation.provinces.communes),
    ]


def truth_columns(reason: NDArray[np.uint8], first: int) -> list[pa.Array]:
    """Columns of TRUTH, by the reason of each line (0: it clears). first: lines before them."""
    status = np.zeros(REASONS_COUNT, np.int16)
    code = np.full(REASONS_COUNT, 1 << 14, np.int16)
    for number, rule in RULES.items():
        status[number] = _STATUSES.index(rule.status)
        code[number] = _CODES.index(rule.code)
    return [
        pa.array(np.arange(first + 1, first + len(reason) + 1, dtype=np.uint32)),
        draw.dictionary(status[reason], _STATUSES),
        draw.dictionary(code[reason], _CODES),
    ]


def write_payday(
    folder: Path, plan: Plan, order: Order, nation: Nation, progress: draw.Progress
) -> Written:
    """Write payday.parquet, truth.parquet and paid.parquet."""
    maker = Lines(plan, order, nation)
    total = 0
    packing = {"line_no": "DELTA_BINARY_PACKED"}
    texts = dict.fromkeys(("person_name", "creditor_account"), "DELTA_LENGTH_BYTE_ARRAY")
    with (
        draw.TableFile(folder / "payday.parquet", PAYDAY, packing | texts) as table,
        draw.TableFile(folder / "truth.parquet", TRUTH, packing) as truth,
    ):
        for number, first, end in draw.chunks(plan.lines):
            lines, reason = maker.chunk(number, first, end)
            total += int(lines["amount"].sum())
            table.write(_payday_columns(lines, first, order, nation))
            truth.write(truth_columns(reason, first))
            progress("payday", end, plan.lines)
    paid = _write_paid(folder / "paid.parquet", maker, progress)
    return Written(plan.lines, total, paid)


def _write_paid(path: Path, maker: Lines, progress: draw.Progress) -> int:
    """The month before for a share of the pairs in an order of their own, then the planted ones."""
    plan, order, nation = maker.plan, maker.order, maker.nation
    again = draw.Shuffle(plan.lines, draw.generator(order.seed, _PAID_STREAM))
    rows = round(order.rates.paid_last_month * plan.lines)
    with draw.TableFile(path, PAID) as file:
        for _, first, end in draw.chunks(rows):
            pair = plan.shuffle.at(again.at(np.arange(first, end, dtype=np.uint64)))
            turn = pair // np.uint64(plan.people)
            person = pair - turn * np.uint64(plan.people)
            period = np.full(end - first, months_before(order.period, 1), np.int32)
            file.write(
                [
                    pa.array(Nation.unpack(nation.packed[person])[0]),
                    draw.dictionary(order.benefit(person, turn), BENEFITS),
                    pa.array(period),
                ]
            )
            progress("paid", end, rows)
        person_id, benefit, period = map(np.concatenate, zip(*maker.paid_before, strict=True))
        file.write([pa.array(person_id), draw.dictionary(benefit, BENEFITS), pa.array(period)])
        return file.rows


def write_dossier(
    folder: Path,
    written: Written,
    value_date: dt.date,
    named: tuple[str, str, str] = ("payday", SOURCE, BATCH_ID),
) -> None:
    """Write the dossier of a table: what the agency declares about it. named: the file without its
    suffix, the source and the id of the batch."""
    name, source, batch_id = named
    with (folder / f"{name}.parquet").open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    dossier = {
        "source": source,
        "batch_id": batch_id,
        "currency": "VND",
        "count": written.declared_count,
        "sum": str(written.amount_sum),
        "sha256": digest,
        "value_date": value_date.isoformat(),
    }
    text = json.dumps(dossier, ensure_ascii=False, indent=2) + "\n"
    (folder / f"{name}.dossier.json").write_text(text, encoding="utf-8")
