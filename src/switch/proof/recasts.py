"""Recasts proven: what one took out of its cycle, from the answers of the cycle's batches.

A recast is committed with its own files; here its lines are found again in what the batches
answered, with the defaulters alone known (of an aborted cycle, with nothing known), and everything
that was posted and told of them is added up anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from switch.files.file_schemas import WENT_BACK
from switch.files.segment import read_table
from switch.home.history import ABORTED, Recast
from switch.home.store import Home
from switch.outcomes import Check
from switch.proof import line_sums
from switch.proof.chains import compare
from switch.proof.credits import as_told, cut
from switch.proof.line_sums import summed
from switch.settlement import accounts
from switch.settlement.accounts import REVERSAL

_ANSWERED = ("line_no", "transfer_id", "participant")
_INNER = ("debtor_agent", "row", "benefit", "period", "amount")


class Paid(NamedTuple):
    """A payment of a fee, between participants and those that settle for them."""

    agency: str
    debtor_agent: str
    participant: str
    payer: str
    payee: str
    amount: int
    back: bool = False
    """It is the refund of one: the agency's bank is the debtor agent."""


Fees = Sequence[Paid]


def checks(home: Home, recast: Recast, entered: Fees, left: Fees) -> Iterator[Check]:
    """All that is proven of one recast but its effect on who was paid, who waits and positions.
    entered, left: fees of its cycle, and those that left it."""
    subject = f"recast {recast.number}"
    (detail,) = (
        found
        for record in home.catalog.audit.records("settlement")
        if (found := msgspec.json.decode(record.detail))["cycle"] == recast.cycle
    )
    answer = detail["answer"]
    settled_by = home.catalog.agents(recast.cycle)
    told = read_table(home.path / recast.folder / "lines.parquet")
    gone = _gone(home, recast.cycle, settled_by, None if recast.aborted else answer["short"])
    if gone is None:
        yield Check("recast lines", subject, "no batch is of its cycle")
        return
    same = gone.select(told.schema.names).cast(told.schema).equals(told)
    yield Check("recast lines", subject, "" if same else "are not those of defaulters")
    yield from endings(home, subject, detail, told, entered, left)
    if fault := cut(home, told):
        yield Check("whole credits", subject, fault)
    handed = _lists(home.path / recast.folder)
    yield compare("recall lists", subject, _recalled(as_told(home, told)), handed)


def endings(
    home: Home, subject: str, detail: dict[str, Any], lines: Any, entered: Fees, left: Fees
) -> Iterator[Check]:
    """All that was posted and told when lines and fees left a cycle. lines: a table of WENT_BACK,
    None where fees alone did; entered, left: as of `checks`."""
    cycle, answer = detail["cycle"], detail["answer"]
    settled_by = home.catalog.agents(cycle)
    told = WENT_BACK.empty_table() if lines is None else lines
    posted: dict[tuple[str, str], int] = {}
    for step, debit, credit, amount in detail["postings"]:
        if step == REVERSAL:
            posted[debit, credit] = posted.get((debit, credit), 0) + amount
    found = _reversed(told, settled_by)
    for (debit, credit), amount in of_fees(left).items():
        found[credit, debit] = found.get((credit, debit), 0) + amount
    yield compare("recast postings", subject, found, posted)
    before = _nets(home, cycle)
    for paid in entered:
        before[paid.payer] = before.get(paid.payer, 0) - paid.amount
        before[paid.payee] = before.get(paid.payee, 0) + paid.amount
    vanished: dict[str, int] = {}
    after = dict(before)
    fees = ((p.payer, p.payee, p.amount) for p in left if p.payer != p.payee)
    for payer, payee, amount in (*_by_settlement(told, settled_by), *fees):
        vanished[payee] = vanished.get(payee, 0) + amount
        after[payer] += amount
        after[payee] -= amount
    if answer["state"] == ABORTED:
        stays = {code: net for code, net in after.items() if net}
        yield compare("aborted cycle is empty", subject, {}, stays | _left(home, cycle))
    else:
        turned = sorted(code for code, net in before.items() if net >= 0 > after[code])
        said = {code: int(sum_) for code, sum_ in answer["vanished"].items()}
        yield compare(
            "recast answer", subject, [vanished, turned], [said, sorted(answer["turned_payer"])]
        )


def of_fees(rows: Fees) -> dict[tuple[str, str], int]:
    """Money that fees move by their postings (P13), by debit and credit."""
    found: dict[tuple[str, str], int] = {}
    for paid in rows:
        books = accounts.customers_at(paid.debtor_agent), accounts.fees(paid.agency)
        if paid.back:
            books = accounts.fees(paid.agency), accounts.customers_at(paid.participant)
        pairs = [books]
        if paid.payer != paid.payee:
            pairs.append((accounts.position(paid.payer), accounts.position(paid.payee)))
        for pair in pairs:
            found[pair] = found.get(pair, 0) + paid.amount
    return found


def _left(home: Home, cycle: str) -> dict[str, int]:
    """Money that all postings of a cycle, taken together, left on any account of any book."""
    found: dict[str, int] = {}
    for (debit, credit), amount in home.catalog.pair_sums(cycle).items():
        found[debit] = found.get(debit, 0) - amount
        found[credit] = found.get(credit, 0) + amount
    return {account: amount for account, amount in found.items() if amount}


def _gone(
    home: Home, cycle: str, settled_by: dict[str, str], defaulters: dict[str, str] | None
) -> Any:
    """Lines of defaulters that cleared in a cycle and moved something between settlement accounts,
    or all that cleared in it; oldest first, None where there are none."""
    agents = pa.array(
        [code for code, settler in settled_by.items() if settler in (defaulters or {})], pa.string()
    )
    settlers = pa.array(list(settled_by.values()), pa.string())
    codes = pa.array(list(settled_by), pa.string())
    parts = []
    for batch in home.catalog.batches(cycle=cycle):
        for status, lines in line_sums.answers(home.folder("batches", batch.seq)):
            columns = {name: status[name] for name in _ANSWERED}
            columns |= {name: lines[name] for name in _INNER}
            for name in ("participant", "debtor_agent", "benefit"):
                columns[name] = columns[name].cast(pa.string())
            seq = pa.array(np.full(len(status), batch.seq, np.uint32))
            columns["cleared_in"] = seq
            columns["batch"] = status["batch"] if "batch" in status.schema.names else seq
            cleared = pa.array(np.asarray(lines["reason_number"]) == 0)
            if defaulters is None:
                parts.append(pa.table(columns).filter(cleared))
                continue
            owes = pc.is_in(columns["debtor_agent"], value_set=agents).combine_chunks()
            table = pa.table(columns).filter(pc.and_(cleared, owes))
            payer, payee = (
                settlers.take(pc.index_in(table[side], value_set=codes).combine_chunks())
                for side in ("debtor_agent", "participant")
            )
            # A receiver without a position shares its payer's settlement account, or is it.
            moves = pc.fill_null(pc.not_equal(payer, payee), False)
            parts.append(table.filter(moves))
    if not parts:
        return None
    return pa.concat_tables(parts).sort_by([("batch", "ascending"), ("line_no", "ascending")])


def _nets(home: Home, cycle: str) -> dict[str, int]:
    """Nets of the cycle as its batches left it, by settlement participant."""
    folders = (home.folder("batches", batch.seq) for batch in home.catalog.batches(cycle=cycle))
    return line_sums.nets([row for f in folders for row in line_sums.positions(f)])


def _by_settlement(lines: Any, settled_by: dict[str, str]) -> Iterator[tuple[str, str, int]]:
    for row in summed(lines, ["debtor_agent", "participant"]):
        # Who has no position has on-us lines alone, which move nothing; nor do those within one
        # settlement account.
        payer, payee = (settled_by.get(row[side]) for side in ("debtor_agent", "participant"))
        if payer != payee:
            yield str(payer), str(payee), row["amount_sum"]


def _reversed(lines: Any, settled_by: dict[str, str]) -> dict[tuple[str, str], int]:
    """Postings that must stand: by pair (P3), on-us (P12), and by batch and programme (P1)."""
    found: dict[tuple[str, str], int] = {}
    for payer, payee, amount in _by_settlement(lines, settled_by):
        pair = accounts.position(payee), accounts.position(payer)
        found[pair] = found.get(pair, 0) + amount
    for row in summed(lines, ["debtor_agent", "participant"]):
        if (code := row["debtor_agent"]) == row["participant"]:
            found[accounts.customers_at(code), accounts.treasury_at(code)] = row["amount_sum"]
    for row in summed(lines, ["cleared_in", "benefit"]):
        pair = accounts.payable(row["cleared_in"]), accounts.expense(row["benefit"])
        found[pair] = row["amount_sum"]
    return found


def _recalled(lines: Any) -> dict[str, Any]:
    names = pc.unique(lines["participant"]).to_pylist()
    parts = {name: lines.filter(pc.equal(lines["participant"], name)) for name in names}
    return {
        name: part.select(["transfer_id", "amount"]).to_pydict() for name, part in parts.items()
    }


def _lists(folder: Path) -> dict[str, Any]:
    return {path.stem: read_table(path).to_pydict() for path in (folder / "recall").iterdir()}
