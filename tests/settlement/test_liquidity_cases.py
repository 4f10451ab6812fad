"""Published examples, number by number. tests/cases/README.md names the sources."""

from __future__ import annotations

import itertools
import json
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import switch
from switch.settlement.liquidity.by_value import ByValue, least_cancelled
from switch.settlement.liquidity.in_order import InOrder
from switch.settlement.liquidity.proof import require_by_value, require_in_order
from switch.settlement.liquidity.queue import PaymentQueue
from switch.settlement.netting import Netting

CASES = Path(__file__).parents[1] / "cases"


def document(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((CASES / name).read_text("utf-8"))
    return found


def cases(name: str) -> Any:
    return pytest.mark.parametrize("case", document(name)["cases"], ids=lambda c: c["id"])


def queue_of(names: list[str], payments: list[tuple[str, str, int]]) -> PaymentQueue:
    at = {name: p for p, name in enumerate(names)}
    columns = [(at[payer], at[receiver], amount) for payer, receiver, amount in payments]
    sender, receiver, amount = zip(*columns, strict=True)
    return PaymentQueue(sender, receiver, amount, len(names))


def settled(ids: list[Any], answer: InOrder | ByValue) -> list[Any]:
    return [k for k, kept in zip(ids, answer.kept, strict=True) if kept]


def exactly(queue: PaymentQueue, balance: Any, floor: Any = 0) -> ByValue:
    return switch.settle_exactly(queue, balance, floor)


def test_docs__the_example_of_the_settlement_page_holds() -> None:
    page = Path(__file__).parents[2] / "docs" / "settlement.md"
    blocks = re.findall(
        r"^```python\n(.*?)^```$", page.read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    assert blocks
    for block in blocks:
        exec(compile(block, page.name, "exec"), {"__name__": "settlement"})


UBIN = document("01_lsm_ubin_functional.json")


def ubin_queue(case: dict[str, Any]) -> tuple[list[str], PaymentQueue, list[int]]:
    names = case["participants"]
    payments = [(q["from"], q["to"], q["amount"]) for q in case["queue"]]
    return names, queue_of(names, payments), [case["liquidity"][name] for name in names]


@cases("01_lsm_ubin_functional.json")
def test_ubin__in_order_is_the_fixed_point(case: dict[str, Any]) -> None:
    names, queue, balance = ubin_queue(case)
    expected = case["expected_fifo_greatest_fixed_point"]
    answer = switch.settle_in_order(queue, balance)
    require_in_order(queue, balance, answer)
    assert settled([q["id"] for q in case["queue"]], answer) == expected["settled"]
    assert (answer.payments_count, answer.value) == (expected["count"], expected["value"])
    balances = dict(zip(names, answer.balance.tolist(), strict=True))
    assert balances == expected["final_balances"]
    assert queue.value == case["gross_value"]


@cases("01_lsm_ubin_functional.json")
def test_ubin__by_value_is_the_optimum_without_a_solver(case: dict[str, Any]) -> None:
    names, queue, balance = ubin_queue(case)
    expected = case["expected_max_value"]
    answer = switch.settle_by_value(queue, balance)
    require_by_value(queue, balance, answer)
    assert answer.value == expected["value"]
    if expected["n_optimal_sets"] == 1:
        assert settled([q["id"] for q in case["queue"]], answer) == expected["one_set"]
        balances = dict(zip(names, answer.balance.tolist(), strict=True))
        assert balances == expected["final_balances"]


@cases("01_lsm_ubin_functional.json")
def test_ubin__the_exact_model_is_the_optimum(case: dict[str, Any]) -> None:
    _, queue, balance = ubin_queue(case)
    answer = exactly(queue, balance)
    require_by_value(queue, balance, answer)
    assert answer.value == case["expected_max_value"]["value"]
    assert answer.gap <= 1e-4


def test_ubin__at_or_above_the_published_result_and_above_on_eight() -> None:
    above = set()
    for case in UBIN["cases"]:
        _, queue, balance = ubin_queue(case)
        answer = switch.settle_by_value(queue, balance)
        published = case["published"]
        count, values = published["settled_count"], published["settled_value_consistent"]
        best = max(values) if values else 0
        assert answer.value >= best, case["id"]
        if count is not None and not values:
            assert answer.payments_count >= count, case["id"]
        if values and answer.value > best:
            above.add(case["id"])
    assert above == set(UBIN["cases_where_exact_beats_published"])
    assert len(above) == 8


def test_ubin__trace_of_f63_goes_in_the_published_rounds() -> None:
    case = document("01b_lsm_f63_round_trace.json")
    ids, names = [row[0] for row in case["queue"]], list(case["balances"])
    queue = queue_of(names, [tuple(row[1:]) for row in case["queue"]])
    balance = list(case["balances"].values())
    answer = switch.settle_in_order(queue, balance)
    require_in_order(queue, balance, answer)
    assert settled(ids, answer) == case["expected"]["settled"]
    assert answer.value == case["expected"]["value"]
    assert (
        dict(zip(names, answer.balance.tolist(), strict=True))
        == (case["expected"]["final_balances"])
    )
    dropped = [ids[k] for k in answer.dropped]
    rounds = [set(r["infeasible"]) for r in case["rounds"]]
    assert set(dropped[: len(rounds[0])]) == rounds[0]
    assert set(dropped) == rounds[1] == rounds[2]
    # bank 2: 3-30, bank 3: 9-80, bank 5: 2-100
    heads = {names[p]: ids[k] for p, k in enumerate(answer.head) if k >= 0}
    assert heads == {"2": "T3", "3": "T5", "5": "T9"}
    for p, k in enumerate(answer.head):
        assert k < 0 or answer.balance[p] < queue.amount[k]


@cases("02_clearing_vectors.json")
@pytest.mark.parametrize("exact", [True, False])
def test_clearing_vectors(case: dict[str, Any], exact: bool) -> None:
    answer = switch.clearing_vector(
        case["liabilities"],
        case["cash"],
        case["external_liabilities"],
        recovery_cash=case["alpha"],
        recovery_claims=case["beta"],
        exact=exact,
    )
    expected, names = case["expected"], case["participants"]
    failed = [sorted(names[i] for i in wave) for wave in answer.failed]
    assert failed == [sorted(wave) for wave in expected["waves"]]
    assert {name for wave in failed for name in wave} == set(expected["defaulted"])
    if exact:
        assert answer.payment == [Fraction(x) for x in expected["greatest_clearing_vector"]]
        assert answer.owed == [Fraction(x) for x in expected["total_liabilities"]]
    assert [float(x) for x in answer.payment] == pytest.approx(
        expected["greatest_clearing_vector_float"], rel=1e-9
    )
    assert answer.shortfall == [o - p for o, p in zip(answer.owed, answer.payment, strict=True)]
    if "least_clearing_vector" in expected:
        least = least_vector(case)
        assert least == pytest.approx(
            [float(Fraction(x)) for x in expected["least_clearing_vector"]]
        )
        assert (least == pytest.approx([float(x) for x in answer.payment])) == expected["unique"]


def least_vector(case: dict[str, Any]) -> list[float]:
    """From nothing up: what everyone can pay if nobody believes that others pay."""
    owes = [[float(x) for x in row] for row in case["liabilities"]]
    cash, n = [float(x) for x in case["cash"]], len(owes)
    alpha, beta = float(case["alpha"]), float(case["beta"])
    owed = [sum(row) for row in owes]
    paid = [0.0] * n
    for _ in range(200):
        got = [sum(paid[j] * owes[j][i] / owed[j] for j in range(n)) for i in range(n)]
        paid = [
            owed[i] if cash[i] + got[i] >= owed[i] else alpha * cash[i] + beta * got[i]
            for i in range(n)
        ]
    return paid


@cases("04_obligation_clearing.json")
def test_obligation_clearing(case: dict[str, Any]) -> None:
    expected = case["expected"]
    names = sorted({name for row in case["obligations"] for name in row[:2]})
    at = {name: p for p, name in enumerate(names)}
    pairs = np.zeros((len(names), len(names)), np.int64)
    for payer, receiver, amount in case["obligations"]:
        pairs[at[payer], at[receiver]] += amount
    netting = switch.netting_of(pairs)
    gross = int(pairs.sum())
    assert gross == expected["gross"]
    assert netting.gross == expected["gross_without_self"]
    assert netting.bilateral == expected["bilateral_net_value"]
    assert netting.multilateral == expected["multilateral_net_value"]
    assert np.count_nonzero(np.triu(pairs - pairs.T)) == expected["bilateral_net_transfers"]
    np.fill_diagonal(pairs, 0)
    net = pairs.sum(axis=0) - pairs.sum(axis=1)
    assert {name: int(net[at[name]]) for name in names} == expected["net_positions"]
    cleared = netting.gross - int(least_cancelled(pairs, net).cancel.sum())
    assert cleared == expected["max_cycle_cleared"]
    assert netting.gross - cleared == expected["residue_after_cycle_clearing"]
    answer = switch.fewest_transfers(net)
    assert answer.exact
    assert len(answer.transfers) == expected["min_transfers"]
    assert usual_transfers(net.tolist()) == expected["greedy_largest_first_transfers"]
    published = case["published"] or {}
    assert published.get("mip_transfers", len(answer.transfers)) == len(answer.transfers)
    assert published.get("cleared", cleared) == cleared
    if "efficiency_multilateral" in published:
        with_self = Netting(gross, netting.gross - cleared, netting.multilateral)
        assert f"{with_self.bilateral_ratio:.2%}" == (
            published["efficiency_cycle"]
            if published["cycle_netting_residue"] == netting.gross - cleared
            else f"{1 - expected['residue_after_cycle_clearing'] / gross:.2%}"
        )
        assert f"{with_self.multilateral_ratio:.2%}" == published["efficiency_multilateral"]


@cases("05_min_transfers.json")
def test_fewest_transfers(case: dict[str, Any]) -> None:
    position, expected = case["net_positions"], case["expected"]
    answer = switch.fewest_transfers(position)
    assert len(answer.transfers) == expected["min_transfers"] == case["published_transfers"]
    assert answer.lower_bound == expected["lower_bound"]
    assert answer.exact
    assert sum(t.amount for t in answer.transfers) == expected["total_value"]
    assert usual_transfers(position) == expected["greedy_largest_first"]


def usual_transfers(position: list[int]) -> int:
    """Transfers by the usual rule: both sides sorted once by amount, then paid off in turn."""
    payers = sorted((-a for a in position if a < 0), reverse=True)
    receivers = sorted((a for a in position if a > 0), reverse=True)
    count = 0
    while payers:
        amount = min(payers[0], receivers[0])
        count += 1
        for side in (payers, receivers):
            side[0] -= amount
            if not side[0]:
                del side[0]
    return count


@cases("06_lsm_edge_cases.json")
def test_edge_cases_of_queues(case: dict[str, Any]) -> None:
    names = [row[0] for row in case["accounts"]]
    balance = [row[1] for row in case["accounts"]]
    floor = [-row[2] for row in case["accounts"]]
    ids = [row[0] for row in case["queue"]]
    queue = queue_of(names, [tuple(row[1:]) for row in case["queue"]])
    expected = case["expected"]
    answer = switch.settle_in_order(queue, balance, floor)
    require_in_order(queue, balance, answer, floor)
    assert settled(ids, answer) == expected["released"]
    left = [k for k in ids if k not in expected["released"]]
    assert expected.get("unresolved", left) == left
    if "final" in expected:
        assert dict(zip(names, answer.balance.tolist(), strict=True)) == expected["final"]
    if "released_by_offsetting" in expected:
        # Nobody has anything: all of it is released by offsetting.
        assert answer.payments_count == expected["released_by_offsetting"]
    if "max_value_bypass" in expected:
        free = switch.settle_by_value(queue, balance, floor)
        assert free.value == expected["max_value_bypass"]


def test_window_under_net_debit_caps() -> None:
    case = document("07_dns_window.json")
    names, expected = list(case["net_debit_cap"]), case["expected"]
    cap = np.array(list(case["net_debit_cap"].values()))
    # A transfer alone is a queue of one: it goes while the position stays within the cap.
    position = np.zeros(len(names), np.int64)
    accepted = []
    for name, *payment in case["transfers"]:
        answer = switch.settle_in_order(queue_of(names, [tuple(payment)]), position, -cap)
        position = answer.balance
        if answer.payments_count:
            accepted.append((name, *payment))
    assert [row[0] for row in accepted] == expected["accepted"]
    refused = [row[0] for row in case["transfers"] if row[0] not in expected["accepted"]]
    assert refused == expected["rejected"]
    nets = expected["multilateral_net_receive_positive"]
    assert dict(zip(names, position.tolist(), strict=True)) == nets
    assert {name: -net for name, net in nets.items()} == expected["position_debit_positive"]
    window = queue_of(names, [row[1:] for row in accepted])
    assert window.net().tolist() == list(nets.values())
    gross = {
        f"{names[i]}>{names[j]}": int(window.pair_sum[i, j])
        for i, j in itertools.permutations(range(len(names)), 2)
    }
    assert gross == expected["bilateral_gross"]
    bilateral = window.pair_sum - window.pair_sum.T
    assert (-bilateral.sum(axis=1)).tolist() == list(nets.values())


def test_order_of_settlement_and_its_liquidity() -> None:
    case = document("08_settlement_order_liquidity.json")
    names, expected = ["A", "B", "C"], case["expected"]

    def total(order: Any) -> int:
        in_turn, _ = switch.liquidity_needed(
            queue_of(names, [tuple(case["payments"][k]) for k in order])
        )
        return int(in_turn.sum())

    every = range(len(case["payments"]))
    totals = [total(order) for order in itertools.permutations(every)]
    assert (min(totals), max(totals)) == (expected["min_total"], expected["max_total"])
    assert totals.count(min(totals)) == expected["n_optimal_orders"]
    assert total(every) == expected["submission_order_total"]
    assert total(expected["one_optimal"]) == expected["min_total"]
    _, together = switch.liquidity_needed(
        queue_of(names, [tuple(payment) for payment in case["payments"]])
    )
    assert together.sum() == expected["net_lower_bound"]


def test_published_ratios() -> None:
    items = {item["id"]: item for item in document("09_published_ratios.json")["items"]}

    def saved(gross: Any, net: Any) -> float:
        return Netting(round(float(gross) * 100), 0, round(float(net) * 100)).multilateral_ratio

    assert saved(100, 4) == pytest.approx(0.96)
    eunini = items["Eunini"]
    assert f"{saved(eunini['gross'], eunini['net']):.2%}" == eunini["published_reduction"]
    reduced = 1 - eunini["transfers"] / eunini["payments"]
    assert f"{reduced:.2%}" == eunini["published_transfer_reduction"]
    imi = items["IMI-2021"]
    for cleared, published in (("cycle_restricted_eur", "published"), ("byppay_eur", "published2")):
        net = float(imi["gross_eur"]) - float(imi[cleared])
        # The amounts are published to three digits.
        assert saved(imi["gross_eur"], net) == pytest.approx(
            float(imi[published].rstrip("%")) / 100, abs=5e-4
        )


def test_unwind_and_loss_sharing() -> None:
    case = document("11_unwind_and_loss_sharing.json")
    names, expected = ["A", "B", "C", "D"], case["expected"]
    queue = queue_of(names, [tuple(payment) for payment in case["payments"]])
    defaulter = names.index(case["defaulter"])
    answer = switch.recast(queue.pair_sum, [defaulter])
    for column, said in (
        (answer.before, "net_before"),
        (answer.after, "net_after_full_unwind"),
        (answer.change, "change"),
    ):
        assert dict(zip(names, column.tolist(), strict=True)) == expected[said]
    # A was to receive 25 and pays 75 now.
    assert answer.turned == [names.index("A")]
    shortfall = -int(answer.before[defaulter])
    assert shortfall == expected["shortfall_if_D_pays_nothing"]
    shortfall -= case["collateral_D"]
    assert shortfall == expected["shortfall_after_collateral"]
    assert switch.share_loss(shortfall, expected["loss_share_weights"]) == expected["loss_share"]
    weighted = expected["loss_share_weighted"]
    assert switch.share_loss(shortfall, weighted["weights"]) == weighted["shares"]
