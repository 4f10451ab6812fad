"""A typed program: what a developer writes who uses the library, and the types that it has there.

`test_typed_program.py` runs it, and has mypy and pyright judge it in their strict modes. Each
`assert_type` fails there where a public result is other than it says, or is `Any`.
"""

import datetime
import sys
from fractions import Fraction
from pathlib import Path
from typing import Literal, assert_type

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

import switch
from switch import reconcile as rec
from switch import status
from switch.outcomes import Check, Report, Rows
from switch.outlook import HomeStatus
from switch.rehearsal import rehearse
from switch.results import (
    BatchRow,
    BatchStatus,
    CycleAnswer,
    DaySigned,
    Disposed,
    LineHistory,
    LineState,
    PersonHistory,
    ProgrammeBudget,
    ReasonTotal,
    Rehearsal,
    Summary,
    TakenIn,
    Total,
)
from switch.settlement.liquidity.by_value import ByValue
from switch.settlement.liquidity.clearing_vector import Clearing
from switch.settlement.liquidity.fewest_transfers import Transfers
from switch.settlement.liquidity.in_order import InOrder
from switch.settlement.liquidity.loss import Recast
from switch.settlement.netting import Netting
from switch.sim.world.generate import Generated

DAY = datetime.date(2026, 11, 25)
BORN = datetime.date(1950, 9, 2)


def registers(engine: switch.Engine) -> dict[str, int]:
    """Two persons, of whom one has an account."""
    people = pa.table(
        {
            "person_id": ["001150000017", "001150000018"],
            "name": ["Hoà Thị An", "Lê Văn Bình"],
            "birth_date": [BORN, BORN],
            "status": ["alive", "alive"],
        }
    )
    accounts = pa.table(
        {
            "person_id": ["001150000017"],
            "participant": ["970436"],
            "account": ["0011001"],
            "kind": ["bank"],
            "priority": [1],
        }
    )
    return engine.register(population=people, accounts=accounts)


def payday(folder: Path) -> None:
    """A home, a payday, what is told of it, and the end of its day."""
    participants = pa.table(
        {"participant": ["KBNN", "970436"], "kind": ["treasury", "bank"], "status": ["active"] * 2}
    )
    debtors = pa.table({"debtor_account": ["3713"], "debtor_agent": ["KBNN"]})
    settings = switch.Settings(cutoffs=("16:00",))
    with switch.init(folder, participants=participants, debtors=debtors, settings=settings) as new:
        assert_type(new, switch.Engine)
        assert_type(registers(new), dict[str, int])
    table = pa.table(
        {
            "line_no": [1, 2],
            "person_id": ["001150000017", "001150000018"],
            "person_name": ["Hòa Thị An", "Lê Văn Bình"],
            "benefit": ["PENS", "PENS"],
            "period": ["2026-11", "2026-11"],
            "amount": [3_500_000, 3_500_000],
            "debtor_account": ["3713", "3713"],
        }
    )
    with switch.open(folder) as engine:
        batch = engine.run(
            table, source="VSS", batch_id="PENS", value_date=DAY, count=2, sum=7_000_000
        )
        assert_type(batch, switch.Batch)
        assert_type(batch.status, pa.Table)
        assert_type(batch.positions, pa.Table)
        assert_type(batch.content_digest, str)
        assert_type(batch.folder, Path)
        assert_type(batch.warnings, tuple[str, ...])
        summary = assert_type(batch.summary, Summary)
        assert_type(summary["cleared"], Total)
        assert_type(summary["reasons"], list[ReasonTotal])
        assert_type(summary["settlement"]["nets"], dict[str, int])
        assert (summary["cleared"]["count"], summary["held"]["sum"]) == (1, 3_500_000)

        line = assert_type(engine.line("PENS", 2), LineHistory)
        assert_type(line["states"][-1], LineState)
        assert_type(line["reissue_of"] is None, bool)
        assert line["states"][-1]["reason"] == "AC03"
        assert_type(engine.shared_accounts("PENS"), pa.Table)

        cycles = assert_type(engine.settle(), Rows[CycleAnswer])
        assert_type(cycles[0]["participants"][0]["amount"], int)
        assert cycles[0]["state"] == "SETTLED"

        said = confirmation(folder.parent, engine.line("PENS", 1))
        taken = engine.reconcile(said, at="2026-11-25T17:00:00")
        assert_type(taken, TakenIn)
        assert_type(taken["states"], dict[str, int])
        assert taken["states"]["CREDITED"] == 1
        day = engine.close_day(DAY + datetime.timedelta(1))
        assert_type(day, DaySigned)
        assert_type(day["totals"], dict[str, int])
        assert_type(engine.write_back(), Disposed)
        assert_type(engine.reissue(), Disposed)

        assert_type(status.batches(engine.home), list[BatchRow])
        home = assert_type(engine.status(), HomeStatus)
        assert_type(home.open["held"]["count"], int)
        assert_type(engine.batches(), Rows[BatchRow])
        assert_type(engine.batches().table(), pa.Table)
        assert_type(engine.verify(), Rows[Check])
        assert_type(engine.report("PENS", csv=True), Report)
        assert_type(engine.batch("PENS")["now"]["credited"]["sum"], int)
        assert_type(engine.person("001150000017"), PersonHistory)
        assert_type(status.budgets(engine.home), list[ProgrammeBudget])
        told = assert_type(status.batch(engine.home, "PENS", answered=True), BatchStatus)
        assert_type(told["funding"]["reserve"]["consumed"], int)
        assert "answered" in told
        assert assert_type(told["answered"]["as_of"], str) == "2026-11-26"
        person = assert_type(status.person(engine.home, "001150000017"), PersonHistory)
        assert len(person["lines"]) == 1

    checks = assert_type(switch.verify(folder), list[Check])
    assert_type(checks[0].name, str)
    tried = assert_type(rehearse(folder, []), Rehearsal)
    assert_type(tried["injection"]["at_least"], int)


def confirmation(folder: Path, line: LineHistory) -> Path:
    """A file in which the bank says that it credited a line."""
    sent = assert_type(line["states"][-1]["transfer_id"], str | None)
    path = folder / "confirmations.csv"
    path.write_text(
        "transfer_id,amount,participant,status,booked_at\n"
        f"{sent},{line['amount']},970436,ACCC,2026-11-25T16:30:00Z\n",
        "utf-8",
    )
    return path


def liquidity() -> None:
    """Three banks that owe each other in a ring, and one payment more."""
    queue = switch.PaymentQueue([0, 1, 2, 0], [1, 2, 0, 2], [100, 100, 100, 30], participants=3)
    assert_type(queue.amount, NDArray[np.int64])
    assert_type(queue.sender, NDArray[np.uint16])
    assert_type(queue.pair_sum, NDArray[np.int64])
    in_order = assert_type(switch.settle_in_order(queue, [0, 0, 0]), InOrder)
    assert_type(in_order.kept, NDArray[np.bool_])
    assert_type(in_order.value, int)
    assert_type(switch.settle_by_value(queue, [0, 0, 0]), ByValue)
    assert_type(switch.liquidity_needed(queue), tuple[NDArray[np.int64], NDArray[np.int64]])
    netting = assert_type(switch.netting_of(queue.pair_sum), Netting)
    assert_type(netting.multilateral, int)
    assert_type(switch.fewest_transfers(queue.net()), Transfers)
    assert_type(switch.recast(queue.pair_sum, [0]), Recast)
    assert_type(switch.share_loss(5, [1, 1, 1]), dict[int, int])
    assert_type(switch.share_loss(25, {"A": 1, "B": 1}), dict[str, int])
    owed = [[0, 10], [0, 0]]
    assert_type(switch.clearing_vector(owed, [5, 0]), Clearing[float])
    exact = assert_type(switch.clearing_vector(owed, ["0.1", 0], exact=True), Clearing[Fraction])
    assert_type(exact.payment, list[Fraction])
    assert exact.payment[0] == Fraction(1, 10)


def matching() -> None:
    """Lines that were sent, held against what a bank says of them."""
    hour = datetime.datetime(2026, 11, 25, 9, tzinfo=datetime.UTC)
    ids = [f"20261125-000001-{number:010d}" for number in (1, 2)]
    sent = pa.table({"transfer_id": ids, "creditor_account": ["0011", "0012"], "amount": [5, 7]})
    credited = pa.table(
        {
            "transfer_id": ids[:1],
            "amount": [5],
            "participant": ["970436"],
            "status": ["ACCC"],
            "booked_at": [hour],
        }
    )
    lines = assert_type(rec.clearing_lines(sent, "970436", DAY), rec.Records)
    said = assert_type(rec.confirmations(credited), rec.Records)
    outcome = assert_type(rec.reconcile(lines, {"confirmations": said}, DAY), rec.Outcome)
    assert_type(outcome.verdict, NDArray[np.uint8])
    assert_type(outcome.breaks, pa.Table)
    assert_type(outcome.counts(), dict[str, dict[str, int]])
    assert_type(outcome.sets["confirmations"], rec.Comparison)
    assert_type(rec.explain(outcome, ids[1]), list[str])
    assert_type(rec.fold(outcome.breaks, outcome.breaks, DAY), pa.Table)
    assert_type(rec.default_rules(), rec.Rules)


def refused(folder: Path) -> Literal["refused", "taken"]:
    """A table that is not what it declares."""
    with switch.open(folder) as engine:
        try:
            engine.run(pa.table({"line_no": [1]}), source="VSS", batch_id="X", value_date=DAY)
        except switch.InputRefused as error:
            assert_type(error.rule, str)
            assert_type(error.row, int | None)
            return "refused"
        except switch.UsageError:
            return "refused"
    return "taken"


def world(folder: Path) -> None:
    """A made-up nation of a hundred persons."""
    made = assert_type(switch.generate(folder, people=1000, lines=500, seed=1), Generated)
    assert made


def main(scratch: Path) -> None:
    payday(scratch / "home")
    liquidity()
    matching()
    world(scratch / "world")
    assert refused(scratch / "home") == "refused"
    print("typed")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
