"""Sets of records that are held against each other, as rows of few columns."""

from __future__ import annotations

import datetime
from typing import Any

import hypothesis.strategies as st
import msgspec
import pyarrow as pa

from switch import reconcile as rec
from switch.reconcile.match.records import day_us
from switch.reconcile.match.rules import Pass, Rules, Verdict, default_rules

DAY = datetime.date(2026, 11, 25)
DUE = datetime.date(2027, 1, 5)
RULES = default_rules()


def transfer(number: int, batch: int = 1) -> str:
    return f"20261125-{batch:06d}-{number:010d}"


def side(rows: list[dict[str, Any]]) -> rec.Records:
    """Records of rows: amount, and any other column of RECORD; `day` counts from DAY."""
    full = [
        {
            **dict.fromkeys(rec.RECORD.names),
            **{k: v for k, v in row.items() if k != "day"},
            "at": day_us(DAY) + row.get("day", 0) * 86_400_000_000,
        }
        for row in rows
    ]
    return rec.records(pa.Table.from_pylist(full, schema=rec.RECORD))


def rules_of(*passes: Pass, **changes: Any) -> Rules:
    return msgspec.structs.replace(RULES, **({"passes": passes} if passes else {}), **changes)


def compare(
    left: list[dict[str, Any]], right: list[dict[str, Any]], rules: Rules = RULES, **more: Any
) -> rec.Outcome:
    return rec.reconcile(side(left), {"confirmations": side(right)}, DUE, rules=rules, **more)


def names(verdicts: Any) -> list[str]:
    return [Verdict(int(v)).name for v in verdicts]


def both(outcome: rec.Outcome) -> tuple[list[str], list[str]]:
    return names(outcome.verdict), names(outcome.sets["confirmations"].right_verdict)


def money(amounts: list[int], **more: Any) -> list[dict[str, Any]]:
    return [
        {"record_id": f"{i:04d}", "account": "1", "amount": amount, **more}
        for i, amount in enumerate(amounts)
    ]


def line(number: int, amount: int = 1_000_000, **more: Any) -> dict[str, Any]:
    return {
        "transfer_id": transfer(number),
        "end_to_end_id": f"E{number}",
        "participant": "970436",
        "account": f"{10**9 + number}",
        "amount": amount,
        **more,
    }


RECORDS = st.lists(
    st.builds(
        lambda number, amount, day, account, typo, e2e, said, who, own: {
            "transfer_id": None if typo == 1 else transfer(number + 90 * (typo == 2)),
            "record_id": own,
            "end_to_end_id": f"E{number}" if e2e else None,
            "participant": who,
            "account": f"{account}",
            "amount": amount,
            "day": day,
            "status": said if said != "USD" else None,
            "currency": said if said == "USD" else None,
        },
        st.integers(1, 6),
        st.sampled_from([1, 2, 3, 5, 100, 1100, 1200]),
        st.integers(0, 3),
        st.integers(1, 3),
        st.sampled_from([0, 0, 0, 1, 2]),
        st.booleans(),
        st.sampled_from([None, None, None, "ACCC", "RJCT", "RTRN", "USD"]),
        st.sampled_from(["970436"] * 5 + ["970415", None]),
        st.sampled_from([None, None, "A", "B"]),
    ),
    max_size=7,
)
