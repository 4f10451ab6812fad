"""A payday from tables in memory: what a program gives, and what it gets back.

    python examples/developer.py HOME

Tables are Arrow, Polars or pandas, or files; answers are Arrow tables, and money is whole dong.
"""

import datetime
import sys
from pathlib import Path

import pyarrow as pa

import switch

IDS = ["001150000017", "001150000018", "001150000019"]
BORN = datetime.date(1950, 9, 2)


def opened(home: Path) -> switch.Engine:
    """A new home with two institutions, one payer's account, three people and two accounts."""
    engine = switch.init(
        home,
        participants=pa.table(
            {
                "participant": ["KBNN", "970436"],
                "kind": ["treasury", "bank"],
                "status": ["active", "active"],
            }
        ),
        debtors=pa.table({"debtor_account": ["3713"], "debtor_agent": ["KBNN"]}),
    )
    engine.register(
        population=pa.table(
            {
                "person_id": IDS,
                "name": ["Hoà Thị An", "Lê Văn Bình", "Trần Thị Chi"],
                "birth_date": [BORN] * 3,
                "status": ["alive", "alive", "deceased"],
            }
        ),
        accounts=pa.table(
            {
                "person_id": [IDS[0], IDS[2]],
                "participant": ["970436"] * 2,
                "account": ["0011001", "0011003"],
                "kind": ["bank"] * 2,
                "priority": [1, 1],
            }
        ),
    )
    return engine


def pensions() -> pa.Table:
    """Three pensions of one month: one for an account, one for none, one for a person who died."""
    return pa.table(
        {
            "line_no": [1, 2, 3],
            "person_id": IDS,
            "person_name": ["HOA THI AN", "LE VAN BINH", "TRAN THI CHI"],
            "benefit": ["PENS"] * 3,
            "period": ["2026-11"] * 3,
            "amount": [3_500_000, 2_750_000, 4_100_000],
            "debtor_account": ["3713"] * 3,
        }
    )


def pay(engine: switch.Engine) -> switch.Batch:
    """Run the table with what its sender declares of it."""
    day = datetime.date(2026, 11, 25)
    return engine.run(
        pensions(), source="VSS", batch_id="PENS", value_date=day, count=3, sum=10_350_000
    )


def main(home: Path) -> None:
    with opened(home) as engine:
        batch = pay(engine)
        for row in batch.status.select(["line_no", "status", "reason_detail"]).to_pylist():
            print(row)
        print(batch.positions.select(["participant", "net"]).to_pylist())
        print(engine.held())
        print("paid again:", not pay(engine).replayed)
    print(len(switch.verify(home)), "checks hold")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
