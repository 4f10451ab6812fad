"""Settlement's benchmark in tiny: peers give the same set, and the driver goes through.

`python -m bench.settlement.run` measures; nothing is timed here.
"""

from __future__ import annotations

import sys

import pytest

import switch
from switch.settlement.liquidity.proof import require_by_value, require_in_order

from .settlement import peers, run
from .settlement.instances import instance


@pytest.mark.parametrize("share", [0.0, 0.05, 0.25, 1.0])
@pytest.mark.parametrize("payments", [1, 60, 3_000])
def test_bench_settlement__peers_give_the_same_set_in_order(payments: int, share: float) -> None:
    given = instance(payments, share, 3)
    answer = switch.settle_in_order(run.queue_of(given), given.balance)
    require_in_order(run.queue_of(given), given.balance, answer)
    kept, rounds = peers.in_order_rounds(given)
    assert rounds >= 1
    assert (answer.kept == kept).all()
    assert (answer.kept == peers.in_order_changes(given)).all()
    assert share < 1 or answer.kept.all()


@pytest.mark.parametrize("share", [0.05, 0.25])
def test_bench_settlement__by_value_settles_more_than_overtaking(share: float) -> None:
    given = instance(3_000, share, 3)
    queue = run.queue_of(given)
    answer = switch.settle_by_value(queue, given.balance)
    require_by_value(queue, given.balance, answer)
    assert (queue.pair_sum == peers.pair_sums(given)).all()
    alone = int(given.amount[peers.bypass(given)].sum())
    assert alone < answer.value <= answer.bound


def test_bench_settlement__the_driver_goes_through(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = ["--payments", "300", "--by-value", "200", "--exact", "100", "--seconds", "5"]
    monkeypatch.setattr(sys, "argv", ["run", *sizes, "--repetitions", "1", "--instances", "1"])
    run.main()
    shown = capsys.readouterr().out
    assert shown.count("| 5% |") == 3 + ("Exact model" in shown)
    assert shown.count("| 25% |") == shown.count("| 5% |")
    assert "Pair matrix" in shown
