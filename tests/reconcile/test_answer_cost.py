"""What answers cost: the time of a command is that of what is new and what is open, and a proof
reads each file once. Counted in calls and files, never in seconds."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from answering import CALENDAR, back, home_of, said, states_of, take, transfer
from record_sets import compare, rules_of
from scene import line, run

import switch
from switch.engine import Engine
from switch.errors import VerificationFailed
from switch.home import history
from switch.home.history import folders
from switch.home.store import Home
from switch.proof import answers as proof_of_answers
from switch.reconcile.match import passes
from switch.reconcile.match.rules import Pass
from switch.reconcile.sent_lines import SentLines
from switch.reconcile.take_in import ROWS_FREE


class Calls:
    """Calls, of Python and of C, while it is entered."""

    def __enter__(self) -> Calls:
        self.count = 0
        sys.setprofile(self._seen)
        return self

    def _seen(self, _frame: Any, event: str, _arg: Any) -> None:
        self.count += event in ("call", "c_call")

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each file of answers or of a batch is opened from now on."""
    found: Counter[str] = Counter()
    for module in (history, proof_of_answers, switch.proof.line_sums):
        groups = module.Groups

        def counted(path: Path, groups: Any = groups) -> Any:
            found["/".join(Path(path).parts[-3:])] += 1
            return groups(path)

        monkeypatch.setattr(module, "Groups", counted)
    return found


def round_of(engine: Engine, home: Path, batch: int, **changes: Any) -> None:
    """A batch of three lines, all of them answered, and the end of its day."""
    day = f"2026-11-{24 + batch}"
    numbers = range(3 * batch - 2, 3 * batch + 1)
    if batch > 1:
        run(engine, [line(n) for n in numbers], str(batch), at=f"{day}T01:00:00+00:00")
    rows = [said(n, transfer_id=transfer(n - numbers[0] + 1, batch), **changes) for n in numbers]
    take(engine, home, *rows, at=day)
    assert batch in engine.close_day(day)["closed"]


def test_reconcile__answers_of_closed_batches_are_not_read_again(
    tmp_path: Path, opened: Counter[str]
) -> None:
    home = home_of(tmp_path / "h", 3)
    with switch.open(home) as engine:
        for batch in (1, 2, 3, 4):
            opened.clear()
            round_of(engine, home, batch)
            assert {name for name in opened if "confirmations" in name} == {
                f"answers/{2 * batch - 1:06d}/confirmations.parquet"
            }
        opened.clear()
        # What names a closed batch brings its answers back, and no others.
        again = said(4, transfer_id=transfer(1, 2))
        assert take(engine, home, again, at="2026-11-29")["new"]["confirmations"] == 0
        assert {name for name in opened if "answers" in name} == {
            "answers/000003/confirmations.parquet"
        }
    assert switch.verify(home)


def test_reconcile__homes_of_before_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their records do not say which batches answers name: all are read, and proven."""
    home, commit = home_of(tmp_path / "h", 3), Home.commit

    def before(self: Home, *, detail: Any, **more: Any) -> None:
        said = msgspec.to_builtins(detail)
        commit(self, detail={k: v for k, v in said.items() if k != "named"}, **more)

    with switch.open(home) as engine:
        monkeypatch.setattr(Home, "commit", before)
        round_of(engine, home, 1)
        monkeypatch.undo()
        round_of(engine, home, 2)
        late = said(1, status="RJCT")
        assert take(engine, home, late, at="2026-11-27")["breaks"] == {"STATUS": 1}
    assert switch.verify(home)


def test_reconcile__an_answer_that_came_before_its_batch_is_found(tmp_path: Path) -> None:
    """It named no line when it came."""
    home = home_of(tmp_path / "h", 3)
    early = said(4, transfer_id=transfer(1, 2))
    with switch.open(home) as engine:
        take(engine, home, early, *(said(n) for n in (1, 2, 3)), at="2026-11-25")
        assert folders(engine.home)[-1].detail.named == [0, 1]
        assert engine.close_day("2026-11-25")["closed"] == [1]
        run(engine, [line(n) for n in (4, 5, 6)], "2", at="2026-11-26T01:00:00+00:00")
        answer = engine.close_day("2026-11-26")
        assert answer["states"]["CREDITED"] == 1
        assert folders(engine.home)[-1].detail.named == []
    assert switch.verify(home)


STRANGE = [
    transfer(1)[:15], transfer(3), transfer(4), transfer(0), transfer(1, 2), transfer(1)[:-1],
    transfer(1) + "0", transfer(1).replace("-", "_"), "x", "", "-0000000001", "0" + transfer(1),
    transfer(1)[:16] + "00000000x1", transfer(1) + "\n", "Đ" + transfer(1)[1:],
]  # fmt: skip


def test_verify__names_the_batches_of_ids_as_the_engine_does(tmp_path: Path) -> None:
    with switch.open(home_of(tmp_path / "h", 3)) as engine:
        expected, proof = SentLines(engine.home, {1}), proof_of_answers.Answered(engine.home)
        for text in STRANGE:
            ids = pa.array([text], pa.string())
            assert proof._named(ids, 1) == expected.named(ids, expected.places(ids)), text
            assert proof._named(ids, 0) == {0}
        strange = pa.array(STRANGE, pa.string())
        assert expected.named(strange, expected.places(strange)) == {0, 1}


def test_verify__finds_a_batch_that_is_not_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = home_of(tmp_path / "h", 3)
    monkeypatch.setattr(SentLines, "named", lambda *_: {0})
    with switch.open(home) as engine:
        take(engine, home, said(1), at="2026-11-25")
    with pytest.raises(VerificationFailed, match="named batches"):
        switch.verify(home)


def test_verify__reads_batches_and_records_once_for_all_folders(
    tmp_path: Path, opened: Counter[str]
) -> None:
    """Refusals, returns and dispositions, each in a folder of its own."""
    home = home_of(tmp_path / "h", 12, CALENDAR)
    with switch.open(home) as engine:
        for number in (1, 2, 4, 5):
            take(engine, home, said(number, "RJCT"), at="2026-11-25")
    plain = home_of(tmp_path / "p", 12)
    with switch.open(plain) as engine:
        for number in range(1, 7):
            take(engine, plain, back(number), at="2026-11-27")
            engine.write_back([("A", number)], at="2026-11-27")
    for one in (home, plain):
        opened.clear()
        assert switch.verify(one)
        # Once more for the states that the last commit told; a batch for itself, too.
        assert max(count for name, count in opened.items() if "answers" in name) <= 2
        assert opened["batches/000001/lines.parquet"] <= 3


def test_status__of_a_line_reads_what_is_about_its_batch(
    tmp_path: Path, opened: Counter[str]
) -> None:
    home = home_of(tmp_path / "h", 3)
    with switch.open(home) as engine:
        for batch in (1, 2):
            round_of(engine, home, batch)
        assert set(states_of(engine).values()) == {"CREDITED"}
        opened.clear()
        assert engine.line("2", 1)["states"][-1]["state"] == "CREDITED"
        assert not [name for name in opened if name.startswith("answers/000001/")]


# --- searches of an account that many share --------------------------------


def calls(monkeypatch: pytest.MonkeyPatch, one: Pass, size: int) -> int:
    """Calls that so many lines of one account cost, against as many entries of the same days that
    fit none."""
    sides = [
        [
            {"record_id": f"{n:06d}", "account": "1", "amount": amount, "day": n % 2}
            for n in range(size)
        ]
        for amount in (7, 1_000_003)
    ]
    spent, decide = Calls(), passes.run

    def counted(*args: Any) -> None:
        with spent:
            decide(*args)

    monkeypatch.setattr(passes, "run", counted)
    assert compare(*sides, rules_of(one)).counts()["lines"] == {"MISSING": size}
    monkeypatch.undo()
    return spent.count


@pytest.mark.parametrize("by", ["subset", "group"])
def test_reconcile__an_account_that_many_share_costs_no_search_each(
    monkeypatch: pytest.MonkeyPatch, by: Any
) -> None:
    """No record is held against all others: each call looks at a window of days or at all."""
    one = Pass(name="p", by=by, days=1)
    calls(monkeypatch, one, 40)
    few, many = (calls(monkeypatch, one, size) for size in (40, 2_000))
    assert many - few < 20


@pytest.mark.parametrize("anchor", ["left", "right"])
def test_reconcile__a_group_has_two_sides(anchor: Any) -> None:
    """Entries that sum to nothing are no answer to no lines."""
    one = Pass(name="g", by="group", anchor=anchor, subset_on=anchor)
    lines = [{"record_id": "a", "account": "1", "amount": 5}]
    entries = [
        {"record_id": name, "account": "1", "amount": amount, "day": 20}
        for name, amount in (("x", 3), ("y", -3))
    ]
    sides = (lines, entries) if anchor == "right" else (entries, lines)
    assert compare(*sides, rules_of(one)).counts()["lines"] == {"MISSING": len(sides[0])}


# --- memory --------------------------------------------------------------------------------------

TAKES_IN = """
import resource, sys, switch
with switch.open(sys.argv[1]) as engine:
    engine.reconcile(sys.argv[2], at="2026-12-20")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""
MEGABYTES_MORE = 128
"""What 100,000 rows, the most that a home without lines takes, may cost more than ten: about a
kilobyte a row."""


@pytest.mark.parametrize("name", [transfer(1), "x" * 140], ids=["of a line", "of none"])
def test_reconcile__rows_that_cost_no_bytes_cost_little_memory(name: str, tmp_path: Path) -> None:
    """A few pages of run lengths stand for all rows."""
    spent = []
    for rows in (10, ROWS_FREE):
        home = home_of(tmp_path / str(rows), 1)
        columns = {k: pa.repeat(v, rows) for k, v in said(1, transfer_id=name).items()}
        path = tmp_path / f"{rows}.parquet"
        pq.write_table(pa.table(columns), path, compression="zstd")
        assert path.stat().st_size < 10_000
        done = subprocess.run(
            [sys.executable, "-c", TAKES_IN, home, path], capture_output=True, text=True, check=True
        )
        spent.append(int(done.stdout))
    assert spent[1] - spent[0] < MEGABYTES_MORE
