"""The core alone: screening and posting columns that are in memory, one thread.

Freely, and under caps: every settlement participant has room for a tenth of what the table has it
pay, so that lines wait for cover, and what receipts make room for is released at the end. Left out:
reading, decoding, name keys (given), writing, committing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from switch.clearing.intake import Intake, read_dossier
from switch.cli.bench import core_of
from switch.engine import Engine
from switch.files.formats import CHUNK_ROWS
from switch.files.tables import open_table
from switch.reason import Reason
from switch.schema import PAYMENT

SIZES = [100_000, 1_000_000]


ROOM_SHARE = 10


def limit(core: Any, debits: Any) -> None:
    """Room for a tenth of what each would pay (int64 by directory index, own account each)."""
    count, benefits = len(debits), len(core.benefit_sum)
    settle, capped = np.arange(count, dtype=np.uint16), np.ones(count, np.uint8)
    core.limit(settle, capped, debits // ROOM_SHARE, np.ones(benefits, np.uint8))


@pytest.mark.parametrize("caps", [False, True], ids=["freely", "under-caps"])
@pytest.mark.parametrize("size", SIZES, indirect=True)
def test_bench_core__screen_and_post(
    benchmark: Any,
    nation: Callable[[int], Path],
    home: Callable[[int], Path],
    size: int,
    caps: bool,
) -> None:
    table = nation(size) / "payday.parquet"
    with Engine(home(size)) as engine:
        intake = Intake(engine.directory)
        declared = read_dossier(table)
        reader = open_table(table, PAYMENT)
        chunks = list(intake.lines(reader, declared, CHUNK_ROWS))

        debits: Any = None

        def fresh() -> tuple[tuple[Any], dict[str, Any]]:
            core = core_of(engine, declared.value_date)
            if debits is not None:
                limit(core, debits)
            return (core,), {}

        def clear(core: Any) -> tuple[Any, list[Any]]:
            reasons = []
            for c in chunks:
                reason, row, participant, _ = core.screen(
                    c.amount, c.person_id, c.name_key, c.benefit, c.debtor, c.agent
                )
                core.post(reason, row, c.benefit, c.month, c.debtor, participant, c.amount)
                reasons.append(reason)
            if debits is not None:
                reasons.append(core.release())
            return core, reasons

        if caps:
            core, _ = clear(fresh()[0][0])
            debits = core.pair_sum.sum(axis=1)
        core, reasons = benchmark.pedantic(clear, setup=fresh, rounds=5, warmup_rounds=1)
        digest = hashlib.sha256(np.concatenate(reasons).tobytes() + core.pair_sum.tobytes())
        assert sum(count for count, _ in core.tally()) == size
        if caps:
            assert (reasons[-1] == Reason.COVER_MISSING).any()
    report(benchmark, size, digest.hexdigest())


def report(benchmark: Any, lines: int, digest: str) -> None:
    """Lines per second (median) and the digest of the result, beside pytest-benchmark's table."""
    stats = getattr(benchmark, "stats", None)
    rate = f"{lines / stats.stats.median:,.0f} lines/s" if stats else "not timed"
    print(f"\n{benchmark.name}: {rate}, digest {digest[:16]}")
