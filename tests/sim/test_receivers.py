"""Simulated receivers: a payday of an invented nation goes out and comes back, and every break is a
fault that they were told to make."""

from __future__ import annotations

import datetime
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import switch
from switch import reconcile as rec
from switch.errors import InputRefused, UsageError
from switch.files.file_schemas import CLEARING
from switch.reconcile.match.rules import Verdict
from switch.sim.receivers.behaviour import PAYDAY, Fate, Manner, Rates, payday, varied
from switch.sim.receivers.exchange import exchange

DAY = datetime.date(2026, 11, 25)
LATER = datetime.date(2026, 12, 31)
KINDS = {"970436": "bank", "971025": "wallet", "971005": "mobile_money"}
WILD = Rates(*[0.06] * len(PAYDAY))
ENDS = {
    Fate.SILENT: ("MISSING", None),
    Fate.BROKEN: ("MISSING", None),
    Fate.LATE: ("TIMING", "TIMING"),
    Fate.OUTAGE: ("TIMING", "TIMING"),
    Fate.AMOUNT: ("AMOUNT", "AMOUNT"),
    Fate.REFUSED_LATE: ("STATUS", "STATUS"),
    Fate.TWICE: (None, "DUPLICATE"),
    Fate.STRAY: (None, "MISSING"),
}


def clear(folder: Path, lines: int, group_rows: int = 500) -> Path:
    """Clearing files of the three receivers."""
    folder.mkdir()
    for code in KINDS:
        number = np.arange(1, lines + 1) * 3 + list(KINDS).index(code)
        rng = np.random.default_rng(lines)
        table = pa.table(
            [
                pa.array([f"20261125-000007-{n:010d}" for n in number.tolist()]),
                pa.nulls(lines, pa.string()),
                pa.array(number + 10**9).cast(pa.string()),
                pa.repeat("LE VAN BINH", lines),
                pa.array(rng.integers(1, 120, lines) * 100_000),
                pa.repeat("PENS", lines).dictionary_encode(),
                pa.repeat(pa.scalar(202611, pa.int32()), lines),
                pa.repeat("3713", lines).dictionary_encode(),
            ],
            schema=CLEARING,
        )
        pq.write_table(table, folder / f"{code}.parquet", row_group_size=group_rows)
    return folder


def come_back(clearing: Path, answers: Path) -> rec.Outcome:
    """Reconcile everything that can be read."""
    lines, said, back = rec.Records([]), rec.Records([]), rec.Records([])
    for path in sorted(clearing.iterdir()):
        lines += rec.clearing_lines(path, path.stem, DAY)
        try:
            said += rec.confirmations(answers / "confirmations" / path.name)
        except InputRefused:
            continue
        finally:
            back += rec.returns(answers / "returns" / path.name)
    return rec.reconcile(lines, {"confirmations": said, "returns": back}, LATER, threads=2)


def breaks(side: Any) -> list[tuple[str, str]]:
    at = np.flatnonzero(side.verdict >= Verdict.MISSING)
    ids = side.column("transfer_id").take(pa.array(at)).to_pylist()
    return sorted((i, Verdict(int(v)).name) for i, v in zip(ids, side.verdict[at], strict=True))


def faults(answers: Path, place: int) -> list[tuple[str, str]]:
    truth = pq.read_table(answers / "truth.parquet")
    told = zip(truth["transfer_id"].to_pylist(), truth["fate"].to_pylist(), strict=True)
    ends = [(transfer, ENDS.get(Fate[fate], (None, None))[place]) for transfer, fate in told]
    return sorted((transfer, verdict) for transfer, verdict in ends if verdict)


@pytest.mark.parametrize("trouble", ["none", "broken", "outage"])
def test_receivers__breaks_are_the_injected_faults(tmp_path: Path, trouble: str) -> None:
    clearing = clear(tmp_path / "clearing", 2_000)
    behaviour = {code: Manner(WILD) for code in KINDS}
    behaviour["971025"] = Manner(
        WILD, broken=trouble == "broken", back_after=3 if trouble == "outage" else 0
    )
    done = exchange(clearing, tmp_path / "out", KINDS, behaviour, 5, DAY)
    found = come_back(clearing, tmp_path / "out")
    said = found.sets["confirmations"]
    assert breaks(said.left) == faults(tmp_path / "out", 0)
    assert breaks(said.right) == faults(tmp_path / "out", 1)
    assert breaks(found.sets["returns"].left) == []
    assert done.lines == 6_000
    wanted = {"none": set(), "broken": {"BROKEN"}, "outage": {"OUTAGE"}}[trouble]
    drawn = {fate.name for fate in Fate if fate < Fate.LIMIT}
    assert set(done.fates) == drawn | wanted


def test_receivers__fates_do_not_depend_on_the_cut_of_files(tmp_path: Path) -> None:
    behaviour = varied(KINDS, 3)
    tables = []
    for rows in (7, 2_000):
        folder = tmp_path / str(rows)
        clearing = clear(tmp_path / f"c{rows}", 900, rows)
        exchange(clearing, folder, KINDS, behaviour, 3, DAY)
        tables.append(
            [
                pq.read_table(folder / name).sort_by("transfer_id").to_pylist()
                for name in ("truth.parquet", "returns/970436.parquet")
            ]
        )
    assert tables[0] == tables[1]
    other = tmp_path / "other"
    exchange(tmp_path / "c7", other, KINDS, behaviour, 4, DAY)
    assert pq.read_table(other / "truth.parquet").num_rows != len(tables[0][0]) or (
        pq.read_table(other / "truth.parquet").sort_by("transfer_id").to_pylist() != tables[0][0]
    )


def test_receivers__a_wallet_refuses_more_than_it_may_take(tmp_path: Path) -> None:
    clearing = clear(tmp_path / "clearing", 300)
    nothing = Rates(*[0.0] * len(PAYDAY))
    behaviour = {code: Manner(nothing, 10_000_000 * (code == "971005")) for code in KINDS}
    done = exchange(clearing, tmp_path / "out", KINDS, behaviour, 1, DAY)
    amounts = pq.read_table(clearing / "971005.parquet")["amount"].to_numpy()
    assert done.fates == {
        "CREDITED": 900 - (amounts > 10_000_000).sum(),
        "LIMIT": (amounts > 10_000_000).sum(),
    }
    said = pq.read_table(tmp_path / "out" / "confirmations" / "971005.parquet")
    refused = said.filter(pc.equal(said["status"].cast(pa.string()), "RJCT"))
    assert set(refused["reason"].to_pylist()) == {"AM02"}
    assert come_back(clearing, tmp_path / "out").breaks.num_rows == 0


def test_receivers__their_books_say_what_the_lines_say(tmp_path: Path) -> None:
    clearing = clear(tmp_path / "clearing", 2_000)
    exchange(clearing, tmp_path / "out", KINDS, {c: Manner(WILD) for c in KINDS}, 9, DAY)
    books = pq.read_table(tmp_path / "out" / "books.parquet").to_pylist()
    truth = pq.read_table(tmp_path / "out" / "truth.parquet")
    fate = dict(zip(truth["transfer_id"].to_pylist(), truth["fate"].to_pylist(), strict=True))
    for code, kind in KINDS.items():
        lines = pq.read_table(clearing / f"{code}.parquet")
        by: Counter[str] = Counter()
        for transfer, amount in zip(
            lines["transfer_id"].to_pylist(), lines["amount"].to_pylist(), strict=True
        ):
            by[fate.get(transfer, "CREDITED")] += amount
        balance: Counter[str] = Counter()
        for row in books:
            if row["participant"] == code:
                balance[row["debit"]] -= row["amount"]
                balance[row["credit"]] += row["amount"]
        assert sum(balance.values()) == 0
        asset, owed = ("B.NOSTRO", "B.INWARD") if kind == "bank" else ("W.SAFEGUARD", "W.INWARD")
        total = sum(by.values())
        assert -balance[f"{asset}[{code}]"] == total - by["REFUSED"] - by["RETURNED"]
        confirmed = pq.read_table(
            tmp_path / "out" / "confirmations" / f"{code}.parquet"
        ).to_pylist()
        said = {
            row["transfer_id"]: row["amount"]
            for row in confirmed
            if row["status"] == "ACCC" and "-999999-" not in row["transfer_id"]
        }
        held = balance[f"{'B.CUSTOMER' if kind == 'bank' else 'W.EMONEY'}[{code}]"]
        assert held == sum(said.values())
        over = sum(said.values()) - sum(
            a for f, a in by.items() if f in ("CREDITED", "LATE", "TWICE", "AMOUNT")
        )
        # What was credited too much is missing from what is still owed to customers.
        assert balance[f"{owed}[{code}]"] == by["SILENT"] + by["REFUSED_LATE"] - over


def test_receivers__varied_behaviour_covers_troubles() -> None:
    kinds = {f"{970400 + i}": "bank" for i in range(300)}
    manners = varied(kinds, 2).values()
    assert any(m.broken for m in manners)
    assert any(m.back_after for m in manners)
    assert not any(m.broken and m.back_after for m in manners)
    assert {m.limit for m in payday(KINDS).values()} == {0, 10_000_000, 100_000_000}


def test_receivers__a_file_of_a_stranger_is_refused(tmp_path: Path) -> None:
    clearing = clear(tmp_path / "clearing", 10)
    with pytest.raises(ValueError, match="no known participant"):
        exchange(clearing, tmp_path / "out", {"970436": "bank"}, payday(KINDS), 1, DAY)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exchange")
    world = switch.generate(folder / "world", 3_000, 3_000, 7)
    with switch.init(
        folder / "home", participants=world.participants, debtors=world.debtors
    ) as engine:
        engine.register(population=world.population, accounts=world.accounts)
        engine.run(world.payday)
    return folder / "home"


def test_exchange__answers_a_batch_of_a_home_three_ways(home: Path) -> None:
    done = switch.exchange(home, seed=5)
    answers = Path(done["folder"])
    clearing = answers.parent / "clearing"
    assert done["lines"] == sum(pq.read_metadata(p).num_rows for p in clearing.iterdir())
    said = come_back(clearing, answers).sets["confirmations"]
    assert breaks(said.left) == faults(answers, 0)
    assert breaks(said.right) == faults(answers, 1)
    (request,) = (answers.parent.parent / "cycles").glob("*/settlement.json")
    asked = rec.requests(msgspec.json.decode(request.read_bytes()), DAY)
    moved = rec.statement(answers / "statement-SBV.parquet")
    found = rec.reconcile(asked, {"statement": moved}, LATER)
    assert len(asked) > 5
    assert set(found.verdict) == {Verdict.MATCHED}
    assert set(found.sets["statement"].right_verdict) == {Verdict.MATCHED}
    treasury = pq.read_table(answers / "statement-treasury.parquet").to_pylist()
    back = [row for row in treasury if row["account"] == "T.RETURNS"]
    assert len(back) == done["returns"]


def test_exchange__says_what_is_missing(home: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no clearing files"):
        switch.exchange(home, out=tmp_path)
    with pytest.raises(UsageError):
        switch.exchange(home, "NOBODY")
