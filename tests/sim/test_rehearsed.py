"""What a rehearsal says is what the run does then, line by line, for any small home and tables."""

from __future__ import annotations

import contextlib
import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pytest
from cycles import CODES, PARTICIPANTS, table_of
from hypothesis import given, settings
from hypothesis import strategies as st
from scene import command, line, payment_table, people_table, person, run, write_table

import switch
from switch.engine import Engine
from switch.errors import InputRefused, UsageError
from switch.registry.settings import Settings
from switch.rehearsal import rehearse

MONEY = st.integers(1, 120)


class World(NamedTuple):
    """A home, what was run in it before, and the tables of tomorrow."""

    settings: Settings
    caps: dict[str, int]
    balances: dict[str, int]
    budgets: dict[str, int]
    before: list[dict[str, Any]]
    tables: list[tuple[str, int, list[dict[str, Any]]]]
    """Batch id, what its dossier says too much of its sum, lines."""
    at: str | None


@st.composite
def a_line(draw: st.DrawFn) -> dict[str, Any]:
    """A line that clears, waits for an account or for cover, is paid already or is unknown."""
    number = draw(st.integers(1, 62))  # People to 50; none is known beyond.
    payer = draw(st.sampled_from(CODES))
    given = {"creditor_agent": draw(st.sampled_from(CODES)), "creditor_account": f"{number}"}
    if draw(st.integers(0, 9)) == 0:
        given = {"creditor_agent": None, "creditor_account": None}
    return line(number, amount=draw(MONEY), debtor_account=payer, **given)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    some = st.dictionaries(st.sampled_from(CODES), st.integers(0, 150), max_size=3)
    rule = draw(st.sampled_from(["wait", "share", "recast"]))
    cutoffs = draw(st.sampled_from([None, ("11:00", "15:30")]))
    budgets = draw(some) if draw(st.booleans()) else {}
    chosen: dict[str, Any] = {"cutoffs": cutoffs, "insufficient_funds": rule} if cutoffs else {}
    rows = st.lists(a_line(), min_size=1, max_size=8)
    ids = st.sampled_from(["T0", "T1", "T2", "OLD"])
    tables = st.tuples(ids, st.sampled_from([0, 0, 0, 0, 1]), rows)
    return World(
        Settings(**chosen, **({"enforce_budgets": True} if budgets else {})),
        draw(some),
        draw(some),
        budgets,
        draw(rows),
        draw(st.lists(tables, min_size=1, max_size=3)),
        draw(st.sampled_from([None, "2026-11-25T09:00", "2026-11-25T12:00", "2026-11-24"])),
    )


def built(world: World, home: Path) -> None:
    caps = [p | {"net_debit_cap": world.caps.get(p["participant"])} for p in PARTICIPANTS]
    debtors = [
        {
            "debtor_account": code,
            "debtor_agent": code,
            "programme": "PENS" if world.budgets else None,
            "budget": world.budgets.get(code, 10) if world.budgets else None,
        }
        for code in CODES
    ]
    kinds = pa.schema(
        [(name, pa.string()) for name in ("debtor_account", "debtor_agent", "programme")]
        + [("budget", pa.int64())]
    )
    with switch.init(
        home,
        participants=pa.Table.from_pylist(caps),
        debtors=pa.Table.from_pylist(debtors, kinds),
        balances=table_of(world.balances) if world.balances else None,
        settings=world.settings,
        key=b"0123456789abcdef",
    ) as engine:
        engine.register(population=people_table(person(n) for n in range(1, 51)))
        with contextlib.suppress(InputRefused):
            run(engine, world.before, "OLD")


def written(world: World, folder: Path) -> list[Path]:
    return [
        write_table(
            payment_table(rows),
            folder / f"t{number}.parquet",
            batch_id=batch_id,
            sum=str(sum(row["amount"] for row in rows) + more),
        )
        for number, (batch_id, more, rows) in enumerate(world.tables)
    ]


def digests(folder: Path) -> dict[str, str]:
    """Answers of batches below a folder; those of cycles come to their end in a rehearsal."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.relative_to(folder).parts[0] != "cycles"
    }


def attempted(
    engine: Engine, table: Path, at: str | None, out: Path
) -> tuple[switch.Batch | None, Any]:
    """(the batch of a run, its refusal)."""
    try:
        return engine.run(table, at=at, out=out), None
    except InputRefused as error:
        return None, error.told()


@settings(max_examples=40, deadline=None)
@given(worlds())
def test_rehearse__says_what_run_does_then_line_by_line(world: World) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        home, told_out, done_out = folder / "h", folder / "told", folder / "done"
        built(world, home)
        tables = written(world, folder)
        told = rehearse(home, tables, at=world.at, out=told_out)
        with switch.open(home) as engine:
            for table, shown in zip(tables, told["tables"], strict=True):
                batch, refusal = attempted(engine, table, world.at, done_out)
                assert refusal == shown.get("error")
                if batch is None:
                    continue
                for key in ("received", "cleared", "held", "refused", "reasons", "represented"):
                    assert batch.summary[key] == shown[key], key  # type: ignore[literal-required]
                assert (batch.cycle, batch.replayed) == (shown["cycle"], shown["replayed"])
                assert list(batch.warnings) == shown["warnings"]
            assert digests(done_out) == digests(told_out)
            pending = engine.home.catalog.cycles("OPEN", "CLOSED")
            ended = {a["cycle"]: a["state"] for a in engine.settle()} if pending else {}
        foretold = {cycle["cycle"]: cycle["state"] for cycle in told["cycles"]}
        assert {name: ended.get(name, "SETTLED") for name in foretold} == foretold
        assert switch.verify(home)


@pytest.mark.parametrize("option", [(), ("--dry",), ("--fail-on-refused",)])
def test_command__exits_as_the_run_would_and_dry_is_0(
    option: tuple[str, ...], tmp_path: Path
) -> None:
    world = World(Settings(), {"A": 10}, {}, {}, [line(40, amount=1)], [], None)
    built(world, tmp_path / "h")
    given = {"creditor_agent": "B", "creditor_account": "1"}
    rows = [line(n, amount=8, debtor_account="A", **given) for n in (1, 2)]
    fine = write_table(payment_table(rows), tmp_path / "fine.parquet", batch_id="FINE")
    bad = write_table(payment_table(rows), tmp_path / "bad.parquet", batch_id="BAD", sum="1")
    words = [word for word in option if word != "--dry"]
    for table in (bad, fine):
        told = command("rehearse", tmp_path / "h", table, *option)
        wanted = 0 if "--dry" in option else command("run", tmp_path / "h", table, *words).code
        assert told.code == wanted
    again = command("rehearse", tmp_path / "h", fine, "--json")
    assert again.document["tables"][0]["replayed"] is ("--dry" not in option)


def test_rehearse__names_participants_and_shows_caps_and_what_is_lacking(tmp_path: Path) -> None:
    world = World(Settings(), {"A": 10}, {"A": 90}, {}, [line(40, amount=1)], [], None)
    built(world, tmp_path / "h")
    given = {"creditor_agent": "B", "creditor_account": "1"}
    rows = [line(n, amount=8, debtor_account="A", **given) for n in (1, 2)]
    table = write_table(payment_table(rows), tmp_path / "t.parquet", batch_id="T")
    told = rehearse(tmp_path / "h", [table])
    (cycle,) = told["cycles"]
    first = cycle["participants"][0]
    assert (first["participant"], first["net"], first["needs"]) == ("A", -8, 8)
    assert (first["cap"], first["holds"], first["lacks"]) == (10, 90, 6)
    names = {p["participant"]: p["short_name"] for p in PARTICIPANTS}
    assert told["names"] == names
    said = command("rehearse", tmp_path / "h", table, "--picture", tmp_path / "p.svg")
    picture = (tmp_path / "p.svg").read_text()
    assert f"{names['A']} (A): owes 8 ₫ of 10 ₫ at most, lacks 6 ₫" in picture
    assert names["A"] in said.out


def test_curve__says_how_many_it_leaves_out() -> None:
    from switch.report.positions_svg import NAMED_MAX, curve_svg

    nets = {f"P{n:02d}": n - 10 for n in range(NAMED_MAX + 3)}
    picture = curve_svg([{"batch_id": "B", "cycle": "C", "nets": nets}], {})
    assert "3 more are grey, not named" in picture


def test_rehearse__takes_tables_of_arrow_with_what_declares_them_and_keeps_out_of_homes(
    tmp_path: Path,
) -> None:
    world = World(Settings(), {}, {}, {}, [line(40, amount=1)], [], None)
    built(world, tmp_path / "h")
    for place in (tmp_path / "h" / "out", tmp_path / "h" / "batches"):
        with pytest.raises(UsageError, match="inside the home"):
            rehearse(tmp_path / "h", [], out=place)
    with switch.open(tmp_path / "h") as engine:
        told = engine.rehearse([], at="2026-11-26", threads=1)
        assert told == switch.rehearse(tmp_path / "h", [], at="2026-11-26")
    assert json.loads(json.dumps(rehearse(str(tmp_path / "h"), [])))["tables"] == []
