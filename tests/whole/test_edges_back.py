"""Where a good day of the way back never goes: answers, dispositions, cycles undone, their proof.

`make coverage` holds the modules of it at 100 % of their branches; what other tests leave stands
here, by module, as that of the way out does in test_edges.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cycles
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import record_sets
from answering import (
    CALENDAR,
    LATER,
    back,
    books,
    breaks_of,
    home_of,
    said,
    states_of,
    switch_verify,
    take,
    transfer,
    write,
)
from cycles import CUTOFFS, CYCLE, WHY, aborted, lines, make
from scene import (
    SMALL_BANK,
    account,
    accounts_table,
    command,
    line,
    make_home,
    new_checkpoint,
    person,
    run,
    tree_digest,
)

import switch
from switch import reconcile as rec
from switch import status
from switch.errors import InputRefused, UsageError, VerificationFailed
from switch.proof.verify import Verifier
from switch.reconcile import dispositions, explain, line_states, take_in
from switch.reconcile.match import passes
from switch.reconcile.match.rules import Pass
from switch.settlement import reversal

# --- answers and claims ---------------------------------------------------------------------------


def test_answers__to_a_home_without_a_batch_are_refused(tmp_path: Path) -> None:
    home = make_home(tmp_path / "h")
    before = tree_digest(home)
    file = write(tmp_path / "a", [said(1)])
    told = command("reconcile", home, file)
    assert (told.code, "has no batch yet" in told.err) == (2, True)
    assert tree_digest(home) == before


def test_answers__one_file_that_is_refused_takes_the_others_with_it(tmp_path: Path) -> None:
    """What was read of the first stands in a draft by then, and nothing of it stays."""
    good = write(tmp_path / "a", [said(1), back(2) | said(2)])
    bad = write(tmp_path / "b", [said(3), said(3, status="DONE")])
    with switch.open(home_of(tmp_path / "h", 3)) as engine:
        before = tree_digest(tmp_path / "h")
        with pytest.raises(InputRefused, match="VALUE_UNKNOWN") as refused:
            engine.reconcile(good, bad, at=LATER)
        where = (refused.value.file, refused.value.row, refused.value.column)
        assert where == (str(bad), 2, "status")
        assert tree_digest(tmp_path / "h") == before
        assert engine.reconcile(good, at=LATER)["new"]["confirmations"] == 2


@pytest.mark.parametrize(
    ("transfer_id", "of_the_line"),
    [
        ("20261125-000001-0000000001", True),
        ("20261125-0000001-0000000001", False),
        ("20261125-1000001-0000000001", False),
        ("20261125-000001-00000000001", False),
    ],
)
def test_claims__another_way_to_write_a_number_names_no_line(
    tmp_path: Path, transfer_id: str, of_the_line: bool
) -> None:
    with switch.open(home_of(tmp_path / "h", 1)) as engine:
        take(engine, tmp_path / "h", said(1, transfer_id=transfer_id))
        assert states_of(engine) == {1: "CREDITED" if of_the_line else "UNAPPLIED"}
        assert breaks_of(engine) == ([] if of_the_line else [("REFERENCE", transfer(1))])
    assert switch.verify(tmp_path / "h")


# --- commands -------------------------------------------------------------------------------------


def test_command__reconcile_names_the_column_that_it_ignores(tmp_path: Path) -> None:
    home = home_of(tmp_path / "h", 2)
    table = pq.read_table(write(tmp_path / "a", [said(1)])).append_column("colour", pa.array(["x"]))
    pq.write_table(table, tmp_path / "a")
    told = command("reconcile", home, tmp_path / "a", "--at", LATER)
    assert told.code == 0, told.err
    assert "unknown column colour is ignored" in told.err
    strict = command("reconcile", home, tmp_path / "a", "--strict-columns")
    assert (strict.code, "unknown column colour" in strict.err) == (3, True)


def test_command__a_day_that_closes_nothing_names_no_batch(tmp_path: Path) -> None:
    home = home_of(tmp_path / "h", 2)
    told = command("close", home, "--at", LATER)
    assert told.code == 0, told.err
    assert "day 2026-11-30 is signed" in told.out
    assert "2 MISSING" in told.out
    assert "batches closed" not in told.out


# --- the end of a day -----------------------------------------------------------------------------


def test_close__a_batch_stays_open_while_the_run_that_cleared_its_line_does(tmp_path: Path) -> None:
    """Every line of batch 1 is credited, one of them sent by the run of batch 2, which waits."""
    people, accounts = map(person, (1, 2, 3)), (account(n, participant=SMALL_BANK) for n in (1, 3))
    with switch.open(make_home(tmp_path / "h", people, accounts)) as engine:
        run(engine, [line(1), line(2)], "A")
        engine.register(accounts=accounts_table([account(2, participant=SMALL_BANK)]))
        assert run(engine, [line(3)], "B").summary["represented"]["cleared"]["count"] == 1
        sent = {"participant": SMALL_BANK, "creditor_account": None}
        rows = [said(1, **sent), said(2, **sent, transfer_id=transfer(2, 1))]
        take(engine, tmp_path / "h", *rows, at="2026-11-25")
        assert engine.close_day("2026-11-25")["closed"] == []
        states = [row["state"] for row in status.batches(engine.home)]
        assert states == ["SETTLED", "SETTLED"]
        third = said(3, **sent, transfer_id=transfer(1, 2))
        take(engine, tmp_path / "h", third, at="2026-11-26")
        assert engine.close_day("2026-11-26")["closed"] == [1, 2]
    assert switch.verify(tmp_path / "h")


# --- re-issues ------------------------------------------------------------------------------------


def test_status__of_several_reissues_each_line_names_its_own(tmp_path: Path) -> None:
    """Between them stand lines of the same people for another month, and one that is refused."""
    with switch.open(home_of(tmp_path / "h")) as engine:
        take(engine, tmp_path / "h", *(back(n) for n in (1, 2, 3)))
        engine.reissue(at=LATER)
        run(engine, [line(n, period=202612) for n in (2, 1)], "B")
        run(engine, [line(1, amount=0), line(2), line(1)], "C")

        def states(batch: str, number: int) -> list[str]:
            return [s["text"] for s in status.line(engine.home, batch, number)["states"]]

        assert states("A", 1)[2].endswith("one more line: it is C:3.")
        assert states("A", 2)[2].endswith("one more line: it is C:2.")
        assert "it is" not in states("A", 3)[2]
        of = [status.line(engine.home, *at)["reissue_of"] for at in (("C", 3), ("C", 2))]
        assert of == [{"batch_id": "A", "line_no": n} for n in (1, 2)]
        assert status.line(engine.home, "B", 1)["reissue_of"] is None
        assert books(engine)["T.RETURNS"] == 0 if "T.RETURNS" in books(engine) else True
    assert switch.verify(tmp_path / "h")


# --- recasts and aborts ---------------------------------------------------------------------------


def test_abort__does_not_send_back_what_a_damaged_file_says(tmp_path: Path) -> None:
    with make(tmp_path / "h", CUTOFFS) as engine:
        run(engine, lines("A > B 50"))
        path = tmp_path / "h" / "batches" / "000001" / "cleared.parquet"
        content = path.read_bytes()
        path.write_bytes(content[:-9] + b"\xff" + content[-8:])
        with pytest.raises(VerificationFailed, match=r"cleared\.parquet is not as it was"):
            engine.settle(CYCLE, abort=WHY)
        path.write_bytes(content)
        assert switch_verify(engine)
        [answer] = engine.settle(CYCLE, abort=WHY)
        assert answer["state"] == "ABORTED"
    assert switch.verify(tmp_path / "h")


def test_abort__of_a_cycle_with_a_batch_that_cleared_nothing(tmp_path: Path) -> None:
    """It has no file of cleared lines."""
    with make(tmp_path / "h", CUTOFFS) as engine:
        run(engine, lines("A > B 0"), "X")
        run(engine, lines("A > B 50", 2), "Y")
        [answer] = engine.settle(CYCLE, abort=WHY)
        assert answer["recalled"] == {"B": {"count": 1, "sum": 50}}
        assert not (tmp_path / "h" / "batches" / "000001" / "cleared.parquet").exists()
        assert cycles.held_of(engine) == [(2, 1)]
    assert switch.verify(tmp_path / "h")


def test_verify__finds_an_abort_of_a_cycle_that_no_batch_is_of(tmp_path: Path) -> None:
    """Also where the checkpoint was made anew for it."""
    aborted(tmp_path / "h").close()
    db = sqlite3.connect(tmp_path / "h" / "catalog.sqlite", isolation_level=None)
    assert db.execute("UPDATE batches SET cycle = '20261126-1'").rowcount == 2
    new_checkpoint(tmp_path / "h")
    db.close()
    with pytest.raises(
        VerificationFailed, match="recast lines, recast 1: no batch is of its cycle"
    ):
        switch.verify(tmp_path / "h")


def test_unwind__of_what_is_no_matrix_or_no_participant() -> None:
    with pytest.raises(UsageError, match="no square table"):
        switch.recast([[0, 1]], [0])
    for nobody in (-1, 2):
        with pytest.raises(UsageError, match="no participant"):
            switch.recast([[0, 1], [2, 0]], [nobody])
    assert switch.recast([[0, 1], [2, 0]], [0]).after.tolist() == [0, 0]


# --- what decided about a record ------------------------------------------------------------------


def test_explain__says_of_every_record_which_rule_decided() -> None:
    one = {"account": "1"}
    left = [
        {"transfer_id": "T", "amount": 9},
        {**one, "record_id": "L", "amount": 30},
        {"account": "2", "record_id": "M", "amount": 500},
        {"account": "3", "record_id": "N", "amount": 7, "day": 1},
    ]
    right = [
        *[{"transfer_id": "T", "record_id": f"R{n}", "amount": 9} for n in (1, 2)],
        {**one, "record_id": "X", "amount": 10},
        {**one, "amount": 20},
        *[{"account": "2", "end_to_end_id": f"Y{n}", "amount": 500} for n in (1, 2)],
        {"account": "3", "record_id": "Z", "amount": 7},
    ]
    found = record_sets.compare(left, right)
    said = {name: explain(found, name) for name in ("R2", "L", "M", "N", "X")}
    assert said["R2"][0].endswith("its id was there before (rule 'transfer-id')")
    assert said["L"] == [
        "line of 30 dong, SPLIT: it adds up with X, an entry of 20 dong (rule 'sums-of-an-account')"
    ]
    assert "several counterparts fit equally well" in said["M"][0]
    assert "it goes with Z (rule 'account-amount-date')" in said["N"][0]
    assert "which is as much, 1 day earlier" in said["N"][0]
    counts = found.counts()
    assert counts["lines"] == {"MATCHED": 2, "SPLIT": 1, "AMBIGUOUS": 1}
    assert sum(counts["confirmations"].values()) == len(right)


def ends(left: list[int], right: list[int], one: Pass, **changes: Any) -> Any:
    """How amounts of one account end under one pass."""
    rules = record_sets.rules_of(one, **changes)
    found = record_sets.compare(record_sets.money(left), record_sets.money(right), rules)
    return record_sets.both(found)


@pytest.mark.parametrize(
    ("work", "right", "expected"),
    [
        (2, [501, 503], (["MATCHED"], ["MATCHED", "MISSING"])),
        (1, [501, 503], (["AMBIGUOUS"], ["AMBIGUOUS", "AMBIGUOUS"])),
        (2, [499, 501], (["AMBIGUOUS"], ["AMBIGUOUS", "AMBIGUOUS"])),
    ],
)
def test_passes__the_nearest_counts_where_one_is_and_the_work_is_allowed(
    work: int, right: list[int], expected: Any
) -> None:
    assert (
        ends([500], right, Pass(name="a", by="account", amount=2, work=work), amount=2) == expected
    )


@pytest.mark.parametrize(
    ("left", "ties", "amount", "expected"),
    [
        ([30], "ambiguous", 0, (["SPLIT"], ["SPLIT", "SPLIT", "MISSING"])),
        ([30], "ambiguous", 1, (["SPLIT"], ["SPLIT", "SPLIT", "MISSING"])),
        ([30, 30], "ambiguous", 0, (["AMBIGUOUS"] * 2, ["AMBIGUOUS", "AMBIGUOUS", "MISSING"])),
        ([30, 30], "lowest", 0, (["SPLIT", "MISSING"], ["SPLIT", "SPLIT", "MISSING"])),
    ],
)
def test_passes__a_sum_counts_once(left: list[int], ties: Any, amount: int, expected: Any) -> None:
    one = Pass(name="s", by="subset", ties=ties, amount=amount)
    assert ends(left, [10, 20, 26], one) == expected


def test_passes__a_group_that_two_subsets_fit_is_ambiguous() -> None:
    one = Pass(name="g", by="group", subset_on="right", size_min=1)
    assert ends([10, 20], [30, 30], one) == (["AMBIGUOUS"] * 2, ["AMBIGUOUS"] * 2)
    assert ends([10, 20], [30, 31], one) == (["SPLIT"] * 2, ["SPLIT", "MISSING"])


def test_passes__codes_of_two_columns_stay_apart_beyond_62_bits() -> None:
    """As those of some million records of many amounts and accounts do."""
    a, b = np.array([2**61, 2**61, 5]), np.array([5, 2**61])
    left, right = passes._joint(a, b, np.array([3, 1, 1]), np.array([1, 3]))
    assert left.tolist() == [right[1], left[1], right[0]]
    assert len({*left.tolist(), *right.tolist()}) == 3


def test_returns__that_name_no_line_find_theirs_by_account(tmp_path: Path) -> None:
    """Lines that share neither account nor end-to-end id with them are not read again."""
    rows = [{"transfer_id": transfer(n), "account": f"{n}", "amount": n} for n in range(1, 5)]
    back_ = [{"record_id": "R", "account": "3", "amount": 3}, {"account": "9", "amount": 2}]
    sets = {"returns": record_sets.side(back_)}
    found = rec.reconcile(record_sets.side(rows), sets, record_sets.DUE)
    assert record_sets.names(found.verdict) == ["NONE", "NONE", "MATCHED", "NONE"]
    verdicts_ = found.sets["returns"].right_verdict
    assert record_sets.names(verdicts_) == ["MATCHED", "MISSING"]


@pytest.mark.parametrize("kind", [pa.string(), pa.dictionary(pa.int8(), pa.string())])
def test_records__a_debit_counts_negative_however_its_side_is_written(kind: Any) -> None:
    entries = pa.table(
        {
            "account": ["1", "1"],
            "amount": [70, 30],
            "side": pa.array(["C", "D"], pa.string()).cast(kind),
            "booked_on": pa.array([record_sets.DAY] * 2),
        }
    )
    assert rec.statement(entries).take(np.arange(2))["amount"].to_pylist() == [70, -30]


# --- the proof of answers -------------------------------------------------------------------------

Patch = pytest.MonkeyPatch


def events_twice(patch: Patch) -> None:
    right = take_in.rec.fold
    patch.setattr(take_in.rec, "fold", lambda *found: pa.concat_tables([right(*found)] * 2))


def returned_as_more(patch: Patch) -> None:
    right = line_states.Verdicts.taken

    def taken(self: Any, table: Any, kind: str) -> Any:
        table = right(self, table, kind)
        at = table.schema.get_field_index("amount")
        return table.set_column(at, "amount", pc.add(table["amount"], 1))

    patch.setattr(line_states.Verdicts, "taken", taken)


def returned_too_early(patch: Patch) -> None:
    patch.setattr(take_in.SentLines, "settled", take_in.SentLines.sent)


def disposed_on_its_way(patch: Patch) -> None:
    right = dispositions.returned
    patch.setattr(
        dispositions,
        "returned",
        lambda *of: (pa.concat_tables(right(*of)), right(*of)[1].slice(0, 0)),
    )


def freed_twice(patch: Patch) -> None:
    right = dispositions.returned
    patch.setattr(
        dispositions,
        "returned",
        lambda home, known: right(home, [f for f in known if f.kind != "disposition"]),
    )
    patch.setattr(reversal, "free", lambda *_: {})


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (events_twice, "breaks follow from events, answers 1: an event does not fit"),
        (returned_as_more, "returned lines, answers 1: a line did not go out as it came back"),
        (
            returned_too_early,
            "returned lines, answers 1: a line of batch 1 is returned at the wrong",
        ),
        (disposed_on_its_way, "disposed lines, answers 2: a line had not come back"),
        (freed_twice, "I6 entitlements are free, answers 3: an entitlement of PENS 202611 was not"),
    ],
)
def test_verify__finds_answers_gone_wrong(
    tmp_path: Path, monkeypatch: Patch, wrong: Callable[[Patch], None], says: str
) -> None:
    with switch.open(home_of(tmp_path / "h", settings=CALENDAR)) as engine:
        if wrong is not returned_too_early:
            engine.settle()
        with monkeypatch.context() as patch:
            wrong(patch)
            late = said(4, "RJCT", booked_at=said(4)["booked_at"])
            engine.reconcile(
                write(tmp_path / "a", [late]), write(tmp_path / "b", [back(2)]), at="2026-11-27"
            )
            if wrong is disposed_on_its_way:
                engine.reissue(at="2026-11-27")
            elif wrong is freed_twice:
                engine.settle()
                for _ in range(2):
                    engine.reissue([("A", 2)], at="2026-11-27")
        found = {f"{c.name}, {c.subject}: {c.fault}" for c in Verifier(engine.home).checks()}
        assert [fault for fault in found if fault.startswith(says)], found


def test_dispose__of_a_line_on_its_way_back_names_the_cycle_to_settle(tmp_path: Path) -> None:
    with switch.open(home_of(tmp_path / "h", settings=CALENDAR)) as engine:
        engine.settle()
        take(engine, tmp_path / "h", said(1), at="2026-11-25")
        answer = take(engine, tmp_path / "h", back(1), at="2026-11-27")
        assert answer["moved"]["returned"]["count"] == 1
        with pytest.raises(UsageError, match="its money is on its way back") as refused:
            engine.write_back([("A", 1)], at="2026-11-27")
        cycle = str(refused.value).partition("cycle ")[2].partition(":")[0]
        engine.settle(cycle)
        assert engine.write_back([("A", 1)], at="2026-11-27")["count"] == 1
