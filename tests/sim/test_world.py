"""The generator keeps its promises: reproducible, well formed, and true to its own answers."""

from __future__ import annotations

import csv
import datetime as dt
import hashlib
import json
import unicodedata
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import reference
from scene import command

from switch.errors import UsageError
from switch.reason import RULES, Reason
from switch.sim.world import draw, nation, plan
from switch.sim.world.generate import DEFAULT_RATES, Generated, Rates, generate
from switch.sim.world.institutions import COMMERCIAL_DEBTORS, UNLISTED, package_rows
from switch.sim.world.names import other_tone_place

PROVINCES = nation.Provinces.of(package_rows("provinces.csv"), package_rows("communes.csv"))
VALUE_DATE = dt.date(2026, 11, 25)
CLEAN = Rates(*[0.0] * plan.RATED)
ROUGH = DEFAULT_RATES._replace(
    **dict.fromkeys(Rates._fields[: plan.RATED], 0.01),
    second_reason=0.5,
    corrected=0.02,
    named_account=0.1,
)
"""Half a thousand percent worse than usual, so that small tables show every mixture."""


def rows_of(path: Path) -> list[dict[str, object]]:
    if path.suffix == ".csv":
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    return pq.read_table(path).to_pylist()


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def answers_of(made: Generated, value_date: dt.date = VALUE_DATE) -> list[reference.Answer]:
    registers = reference.registers_of(
        rows_of(made.population),
        rows_of(made.accounts),
        rows_of(made.participants),
        rows_of(made.debtors),
        {row["benefit"] for row in package_rows("programmes.csv")},
        value_date,
    )
    paid = {reference.entitlement(row) for row in rows_of(made.paid)}
    return reference.answers(rows_of(made.payday), registers, paid)


def assert_truth_agrees(made: Generated, value_date: dt.date = VALUE_DATE) -> None:
    truth = [(row["line_no"], row["status"], row["reason"]) for row in rows_of(made.truth)]
    answers = answers_of(made, value_date)
    expected = [(n, a.status, a.code) for n, a in enumerate(answers, start=1)]
    assert truth == expected


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Generated:
    return generate(tmp_path_factory.mktemp("world"), 3000, 4000, 1)


def test_generate__same_seed_same_bytes(tmp_path: Path) -> None:
    generate(tmp_path / "a", 500, 800, 5)
    generate(tmp_path / "b", 500, 800, 5)
    assert digests(tmp_path / "a") == digests(tmp_path / "b")


def test_generate__other_seed_other_bytes(tmp_path: Path) -> None:
    generate(tmp_path / "a", 500, 800, 5)
    generate(tmp_path / "b", 500, 800, 6)
    a, b = digests(tmp_path / "a"), digests(tmp_path / "b")
    assert {name for name in a if a[name] == b[name]} == {"participants.csv", "debtors.csv"}


def test_generate__columns_are_those_of_the_contract(made: Generated) -> None:
    text = pa.string()
    coded = pa.dictionary(pa.int32(), text)
    assert pq.read_schema(made.population).remove_metadata() == pa.schema(
        {
            "person_id": pa.uint64(),
            "name": text,
            "birth_date": pa.date32(),
            "status": coded,
            "status_since": pa.date32(),
            "household_id": pa.uint64(),
            "commune": coded,
        }
    )
    assert pq.read_schema(made.accounts).remove_metadata() == pa.schema(
        {
            "person_id": pa.uint64(),
            "participant": coded,
            "account": text,
            "kind": coded,
            "priority": pa.uint8(),
            "valid_from": pa.date32(),
            "valid_to": pa.date32(),
        }
    )
    assert pq.read_schema(made.paid).remove_metadata() == pa.schema(
        {"person_id": pa.uint64(), "benefit": coded, "period": pa.int32()}
    )
    assert pq.read_schema(made.payday).remove_metadata() == pa.schema(
        {
            "line_no": pa.uint32(),
            "person_id": pa.uint64(),
            "person_name": text,
            "benefit": coded,
            "period": pa.int32(),
            "amount": pa.int64(),
            "debtor_account": coded,
            "creditor_agent": coded,
            "creditor_account": text,
            "commune": coded,
        }
    )
    assert pq.read_schema(made.truth).remove_metadata() == pa.schema(
        {"line_no": pa.uint32(), "status": text, "reason": text}
    )


def test_generate__read_tables_equal_their_declared_types(made: Generated) -> None:
    for path in (made.population, made.accounts, made.paid, made.payday, made.truth):
        table = pq.read_table(path)
        table.validate(full=True)
        assert table.schema.remove_metadata() == pq.read_schema(path).remove_metadata()


def test_generate__nulls_stand_only_where_allowed(made: Generated) -> None:
    allowed = {
        "status_since", "valid_from", "valid_to", "creditor_agent", "creditor_account", "reason",
    }  # fmt: skip
    for path in (made.population, made.accounts, made.paid, made.payday, made.truth):
        table = pq.read_table(path)
        for name in table.column_names:
            assert name in allowed or table[name].null_count == 0, (path.name, name)
    lines = pq.read_table(made.payday)
    assert lines["creditor_agent"].is_null() == lines["creditor_account"].is_null()
    assert 0 < lines.num_rows - lines["creditor_agent"].null_count < lines.num_rows / 20


def test_generate__ids_well_formed_and_unique(made: Generated) -> None:
    people = rows_of(made.population)
    ids = [reference.citizen_id(person["person_id"]) for person in people]
    assert len(set(ids)) == len(ids) == 3000
    assert all(reference.id_well_formed(text) for text in ids)
    for text, person in zip(ids, people, strict=True):
        birth = person["birth_date"]
        assert birth <= VALUE_DATE
        assert int(text[3]) // 2 == birth.year // 100 - 19
        assert int(text[4:6]) == birth.year % 100


def test_cells__ids_stay_unique_where_a_cell_fills_up() -> None:
    cells = nation.Cells(PROVINCES, 20_000)
    rows = 400_000
    ids = [
        cells.people(
            np.zeros(rows, np.uint16), np.ones(rows, np.uint8), np.full(rows, 1990, np.int16)
        )
        for _ in range(2)
    ]
    everyone = np.concatenate(ids)
    assert len(np.unique(everyone)) == 2 * rows
    assert not np.isin(cells.strangers(np.random.default_rng(1), 100_000), everyone).any()


@pytest.mark.parametrize(
    "date", [dt.date(1920, 1, 1), dt.date(2026, 11, 25), dt.date(2099, 12, 31)]
)
def test_births__lie_in_the_years_of_the_cells(date: dt.date) -> None:
    value_day = (date - dt.date(1970, 1, 1)).days
    cells = nation.Cells(PROVINCES, value_day)
    births = nation._births(value_day).astype("datetime64[D]").astype("datetime64[Y]").astype(int)
    assert births.min() + 1970 >= cells.first_year
    assert births.max() + 1970 < cells.first_year + cells.years
    assert births.max() + 1970 == date.year


def test_generate__names_are_three_or_four_accented_words_or_so(made: Generated) -> None:
    names = [person["name"] for person in rows_of(made.population)]
    words = Counter(len(name.split(" ")) for name in names)
    assert set(words) == {3, 4}
    assert words[4] > 300
    assert sum(reference.name_key(name) != name.upper() for name in names) > 2900


def test_generate__lines_spell_names_in_many_ways(made: Generated) -> None:
    people = {person["person_id"]: person["name"] for person in rows_of(made.population)}
    written = [
        (line["person_name"], people[line["person_id"]])
        for line in rows_of(made.payday)
        if line["person_id"] in people
    ]
    same = [(a, b) for a, b in written if reference.name_key(a) == reference.name_key(b)]
    assert len(same) > 0.98 * len(written)
    assert sum(a == b.upper() for a, b in same) > 100
    assert sum(a.isascii() and a.isupper() for a, b in same) > 100
    assert sum("  " in a for a, b in same) > 50
    assert sum(a != b and len(a) > len(b) and "  " not in a for a, b in same) > 20


def test_other_tone_place__moves_the_tone_of_open_syllables_only() -> None:
    before = ["Hòa", "Thúy", "Thủy", "Khỏe", "Toán", "Hoàng", "Quý", "Huỳnh"]
    after = ["Hoà", "Thuý", "Thuỷ", "Khoẻ", "Toán", "Hoàng", "Quý", "Huỳnh"]
    assert [other_tone_place(word) for word in before] == after


def test_generate__households_and_communes_are_of_realistic_size(made: Generated) -> None:
    people = rows_of(made.population)
    sizes = Counter(person["household_id"] for person in people)
    assert 3.5 < len(people) / len(sizes) < 4.5
    assert max(sizes.values()) <= 8
    homes = {(person["household_id"], person["commune"]) for person in people}
    assert len(homes) == len(sizes)
    assert {person["commune"] for person in people} <= set(PROVINCES.communes)


def test_communes__are_3321_in_the_34_provinces_of_2025() -> None:
    communes, provinces = package_rows("communes.csv"), package_rows("provinces.csv")
    assert len({row["code"] for row in communes}) == len(communes) == 3321
    assert len({row["province"] for row in communes}) == 34
    assert {row["province"] for row in communes} == {row["gso_code_2025"] for row in provinces}
    words = {"commune": "Xã ", "ward": "Phường ", "special_zone": "Đặc khu "}
    assert Counter(row["kind"] for row in communes) == {
        "commune": 2621, "ward": 687, "special_zone": 13
    }  # fmt: skip
    for row in communes:
        assert len(row["code"]) == 5
        assert row["code"].isdigit()
        assert row["name"].startswith(words[row["kind"]])
        assert unicodedata.normalize("NFC", row["name"]) == row["name"] == row["name"].strip()
    order = [(int(row["province"]), row["code"]) for row in communes]
    assert order == sorted(order)
    by_code = {row["code"]: (row["name"], row["province"]) for row in communes}
    assert by_code["00070"] == ("Phường Hoàn Kiếm", "1")
    assert by_code["22736"] == ("Đặc khu Trường Sa", "56")


def test_communes__lie_in_one_of_the_provinces_that_made_up_their_own() -> None:
    """Each of the 63 has people; an id begins with a province that belongs to the commune's."""
    provinces = package_rows("provinces.csv")
    owners = [provinces[index] for index in PROVINCES.commune_provinces.tolist()]
    assert [row["gso_code_2025"] for row in owners] == [
        row["province"] for row in package_rows("communes.csv")
    ]
    assert len({row["cccd_province_code"] for row in owners}) == 63


def test_generate__declared_totals_and_digest_match(made: Generated) -> None:
    dossier = json.loads(made.dossier.read_text(encoding="utf-8"))
    amounts = pq.read_table(made.payday)["amount"].to_pylist()
    assert dossier == {
        "source": "VSS",
        "batch_id": "PAYDAY-2026-11",
        "currency": "VND",
        "count": len(amounts),
        "sum": str(sum(amounts)),
        "sha256": hashlib.sha256(made.payday.read_bytes()).hexdigest(),
        "value_date": "2026-11-25",
    }
    assert (made.declared_count, made.declared_sum) == (len(amounts), sum(amounts))
    assert made.paid_count == pq.read_metadata(made.paid).num_rows
    assert made.account_count == pq.read_metadata(made.accounts).num_rows


@pytest.mark.parametrize(("people", "lines"), [(29, 200), (30, 210), (200, 200), (3000, 2000)])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_generate__every_reason_happens(tmp_path: Path, people: int, lines: int, seed: int) -> None:
    made = generate(tmp_path, people, lines, seed)
    found = {answer.reason for answer in answers_of(made)}
    assert found == set(Reason) - {
        Reason.COVER_MISSING,  # Nobody has a cap there.
        Reason.ACCOUNT_MALFORMED,  # Accounts that lines name are sound.
        Reason.ACCOUNT_OVER_MONTH,  # Nobody has a limit of a month.
        Reason.ACCOUNT_SHARED,  # The setting is not given.
        Reason.EXCLUDED,  # No benefits exclude each other.
        Reason.IDENTITY_PENDING,  # All answers have come.
        Reason.IDENTITY_DUPLICATE,
    }


@pytest.mark.parametrize(
    ("people", "lines"),
    [(1, 1), (1, 7), (2, 9), (10, 5), (29, 203), (100, 99), (2000, 2000), (1000, 6500)],
)
@pytest.mark.parametrize("rates", [DEFAULT_RATES, ROUGH], ids=["usual", "rough"])
def test_generate__truth_agrees_with_the_slow_twin(
    tmp_path: Path, people: int, lines: int, rates: Rates
) -> None:
    assert_truth_agrees(generate(tmp_path, people, lines, people + lines, rates=rates))


def test_generate__truth_agrees_across_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("draw", "plan", "lines"):
        monkeypatch.setattr(f"switch.sim.world.{module}.GROUP_ROWS", 512)
    made = generate(tmp_path, 3000, 5000, 3, rates=ROUGH)
    assert pq.read_metadata(made.payday).num_row_groups == 10
    assert_truth_agrees(made)
    lines = rows_of(made.payday)
    first: dict[object, int] = {}
    reach = []
    for line, answer in zip(lines, answers_of(made), strict=True):
        if answer.reason in (Reason.NONE, Reason.DUPLICATE_IN_TABLE):
            key = reference.entitlement(line)
            reach.append(line["line_no"] - first.setdefault(key, line["line_no"]))
    assert max(reach) > 512, "some duplicates reach back to another chunk"


@pytest.mark.parametrize("value_date", [dt.date(2024, 2, 29), dt.date(2030, 1, 1)])
def test_generate__truth_agrees_on_other_value_dates(tmp_path: Path, value_date: dt.date) -> None:
    period = value_date.year * 100 + value_date.month
    made = generate(tmp_path, 800, 1500, 9, value_date=value_date, period=period, rates=ROUGH)
    assert_truth_agrees(made, value_date)


@pytest.mark.parametrize("period", [202611, 202609, 202510])
def test_generate__arrears_of_the_deceased_are_owed(tmp_path: Path, period: int) -> None:
    """Pays late, so that many died behind the months that lines are for."""
    rates = ROUGH._replace(person_deceased=0.2, arrears=0.1)
    made = generate(tmp_path, 3000, 5000, 11, period=period, rates=rates)
    assert_truth_agrees(made)
    died = {
        row["person_id"]: row["status_since"]
        for row in rows_of(made.population)
        if row["status"] == "deceased" and row["status_since"]
    }
    owed = {True: 0, False: 0}
    for line, answer in zip(rows_of(made.payday), answers_of(made), strict=True):
        since = died.get(line["person_id"])
        if since is None or since > VALUE_DATE or 0 < answer.reason < Reason.PERSON_DECEASED:
            continue
        is_owed = line["period"] < since.year * 100 + since.month
        owed[is_owed] += 1
        assert (answer.reason == Reason.PERSON_DECEASED) is not is_owed
    assert owed[False] > 100
    assert owed[True] > (3 if period == 202611 else 50)


def test_generate__refuses_about_two_percent(tmp_path: Path) -> None:
    made = generate(tmp_path, 60_000, 60_000, 4)
    codes = Counter(pq.read_table(made.truth, columns=["reason"])["reason"].to_pylist())
    refused = 1 - codes[None] / 60_000
    assert 0.017 < refused < 0.027
    assert sum(DEFAULT_RATES[: plan.RATED]) == pytest.approx(0.02)


def test_generate__rates_of_zero_leave_only_amounts_over_limits(tmp_path: Path) -> None:
    made = generate(tmp_path, 2000, 3000, 4, rates=CLEAN)
    codes = set(pq.read_table(made.truth)["reason"].to_pylist())
    assert codes <= {None, "AM02"}
    assert_truth_agrees(made)


def test_generate__corrected_lines_are_good_after_refused_ones(tmp_path: Path) -> None:
    made = generate(tmp_path, 2000, 3000, 8, rates=ROUGH)
    refused: set[object] = set()
    again = 0
    for line, answer in zip(rows_of(made.payday), answers_of(made), strict=True):
        key = reference.entitlement(line)
        again += answer.reason is Reason.NONE and key in refused
        if answer.status == "RJCT":
            refused.add(key)
    assert again > 5


def test_generate__debtor_agents_hold_the_money_of_some_lines(made: Generated) -> None:
    agents = {row["debtor_account"]: row["debtor_agent"] for row in rows_of(made.debtors)}
    paying = Counter(agents.get(line["debtor_account"]) for line in rows_of(made.payday))
    assert paying["KBNN"] > 0.9 * sum(paying.values())
    banks = set(COMMERCIAL_DEBTORS)
    assert banks <= set(paying)
    known = {row["participant"] for row in rows_of(made.participants)}
    assert set(agents.values()) <= known


def test_generate__programmes_come_by_their_weight(tmp_path: Path) -> None:
    made = generate(tmp_path, 50_000, 40_000, 2, rates=CLEAN)
    count = Counter(pq.read_table(made.payday)["benefit"].to_pylist())
    rows = [row for row in package_rows("programmes.csv") if row["benefit"] != "GIFT"]
    total = sum(int(row["recipients_per_month"]) for row in rows)
    assert set(count) == {row["benefit"] for row in rows}
    for row in rows:
        share = int(row["recipients_per_month"]) / total
        assert count[row["benefit"]] / 40_000 == pytest.approx(share, abs=0.008)


def test_amount_table__follows_the_models(made: Generated) -> None:
    table = plan.amount_table(package_rows("programmes.csv"))
    means = dict(zip(plan.BENEFITS, table.mean(axis=1), strict=True))
    assert means["PENS"] == pytest.approx(7_000_000, rel=0.02)
    assert means["SASS"] == pytest.approx(755_000, rel=0.01)
    medians = dict(zip(plan.BENEFITS, np.median(table, axis=1), strict=True))
    assert medians["MATE"] == pytest.approx(25_000_000, rel=0.001)
    assert table.min(axis=1)[0] == 2_340_000
    assert (table > 0).all()
    assert table.max() < plan.CLEARING_LIMIT


def test_generate__accounts_are_plausible(made: Generated) -> None:
    accounts = rows_of(made.accounts)
    kinds = {row["participant"]: row["kind"] for row in rows_of(made.participants)}
    keys = {(a["participant"], a["account"]) for a in accounts}
    assert len(keys) == len(accounts)
    for account in accounts:
        assert account["account"].isdigit()
        assert 8 <= len(account["account"]) <= 15
        assert account["kind"] == kinds.get(account["participant"], "bank")
        if account["kind"] == "mobile_money":
            assert len(account["account"]) == 10
            assert account["account"][0] == "0"
    several = Counter(Counter(a["person_id"] for a in accounts).values())
    assert 0.12 < (several[2] + several[3]) / 3000 < 0.18


def test_generate__register_knows_deaths_after_the_value_date(tmp_path: Path) -> None:
    made = generate(tmp_path, 4000, 100, 1, rates=ROUGH)
    since = [p["status_since"] for p in rows_of(made.population) if p["status"] == "deceased"]
    assert None in since
    assert VALUE_DATE in since
    assert any(date and date > VALUE_DATE for date in since)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 10, 99, 1000, 12_345])
def test_shuffle__is_a_permutation(size: int) -> None:
    shuffle = draw.Shuffle(size, np.random.default_rng(size))
    entries = shuffle.at(np.arange(size, dtype=np.uint64))
    assert np.array_equal(np.sort(entries), np.arange(size))


def test_shuffle__leaves_no_order() -> None:
    size = 100_000
    entries = draw.Shuffle(size, np.random.default_rng(1)).at(np.arange(size, dtype=np.uint64))
    steps = np.abs(np.diff(entries.astype(np.int64)))
    assert np.corrcoef(np.arange(size), entries.astype(np.float64))[0, 1] < 0.02
    assert steps.mean() == pytest.approx(size / 3, rel=0.02)


def test_months_before__crosses_the_year() -> None:
    assert plan.months_before(202611, 1) == 202610
    assert plan.months_before(202601, 1) == 202512
    assert plan.months_before(202602, 2) == 202512


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ((0, 1, 1), "people"),
        ((-3, 1, 1), "people"),
        ((10, 71, 1), "7 benefits"),
        ((10, 0, 1), "lines"),
        ((10, 5, -1), "seed"),
    ],
)
def test_generate__refuses_what_makes_no_world(
    tmp_path: Path, arguments: tuple[int, int, int], what: str
) -> None:
    with pytest.raises(UsageError, match=what) as refusal:
        generate(tmp_path / "out", *arguments)
    assert "Remedy" in str(refusal.value)
    assert not (tmp_path / "out").exists()


def test_generate__tells_its_progress(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    generate(tmp_path, 50, 60, 1, progress=lambda *step: told.append(step))
    assert told == [
        ("population", 50, 50),
        ("accounts", 50, 50),
        ("payday", 60, 60),
        ("paid", 36, 36),
    ]


def test_package_data__refers_only_to_known_participants() -> None:
    known = {r["bin"] or r["short_name"] for r in package_rows("participants.csv")}
    for row in package_rows("simulated_directory.csv"):
        assert row["participant"] in known
        assert row["settled_by"] in known | {""}
    assert {row["participant"] for row in package_rows("market_shares.csv")} == known
    assert not known & set(UNLISTED)
    codes = {row["code"] for row in package_rows("reason_codes.csv")}
    assert {rule.code for rule in RULES.values()} <= codes


def test_generate__households_are_paid_as_the_world_knows(tmp_path: Path) -> None:
    """By command: a line a citizen, one credit a household; heads who died, or whose authority has
    ended, receive for nobody. All other files are those of a world without the option."""
    world, plain = tmp_path / "w", tmp_path / "p"
    given = ("--people", 3000, "--lines", 300, "--seed", 7)
    assert command("generate", world, *given, "--households").code == 0
    assert command("generate", plain, *given).code == 0
    for path in plain.iterdir():
        read = pq.read_table if path.suffix == ".parquet" else Path.read_bytes
        assert read(path) == read(world / path.name)
    home = tmp_path / "home"
    parties = ("--participants", world / "participants.csv", "--debtors", world / "debtors.csv")
    assert command("init", home, *parties).code == 0
    people = ("--population", world / "population.parquet")
    accounts = ("--accounts", world / "gift-accounts.parquet")
    assert command("register", home, *people, *accounts).code == 0
    told = command("run", home, world / "gift.parquet", "--json").document["batches"][0]
    status = pq.read_table(home / "batches" / "000001" / "status.parquet")
    truth = pq.read_table(world / "gift-truth.parquet")
    names = ["line_no", "status", "reason"]
    assert status.select(names).to_pylist() == truth.select(names).to_pylist()
    reasons = set(truth["reason"].to_pylist())
    assert reasons >= {None, "MD07", "RR04", "AC03", "CNOR"}
    gift = pq.read_table(world / "gift.parquet")
    credits_ = told["credits"]
    assert 500 < credits_["count"] <= len(set(gift["household"].to_pylist()))
    assert credits_["lines"] > 3 * credits_["count"]
    assert command("verify", home).code == 0
