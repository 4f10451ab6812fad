"""Figures of settlement, as Markdown: `python -m bench.settlement.run`. One core, tools in turn.

What is timed begins with columns in memory and ends with the set: the queue is checked and its pair
matrix summed inside. Left out: building columns, and the proofs.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import switch
from switch.settlement.liquidity.queue import PaymentQueue

from . import peers
from .instances import PARTICIPANTS, Instance, instance

SHARES = (0.05, 0.25)
PAIR_MATRIX_PAYMENTS = 1_000_000


def queue_of(given: Instance) -> PaymentQueue:
    return PaymentQueue(given.sender, given.receiver, given.amount, PARTICIPANTS)


def in_turn(repetitions: int, tools: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """Median seconds of one core that each tool takes; in a repetition everyone has its turn. Once
    before, untimed."""
    seconds: dict[str, list[float]] = {name: [] for name in tools}
    for repetition in range(repetitions + 1):
        for name, tool in tools.items():
            begin = time.thread_time()
            tool()
            if repetition:
                seconds[name].append(time.thread_time() - begin)
    return {name: statistics.median(times) for name, times in seconds.items()}


def row(*cells: Any) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def in_order(payments: int, repetitions: int, seed: int) -> None:
    print(f"\n### In order, {payments:,} payments\n")
    print(
        row("liquidity", "settles", "rounds", "ms", "numpy ms", "numpy, changes only ms", "times")
    )
    print("|---:|---:|---:|---:|---:|---:|---:|")
    for share in SHARES:
        given = instance(payments, share, seed)
        answer = switch.settle_in_order(queue_of(given), given.balance)
        kept, rounds = peers.in_order_rounds(given)
        assert (answer.kept == kept).all()
        assert (answer.kept == peers.in_order_changes(given)).all()
        times = in_turn(
            repetitions,
            {
                "switch": lambda given=given: switch.settle_in_order(
                    queue_of(given), given.balance
                ),
                "rounds": lambda given=given: peers.in_order_rounds(given),
                "changes": lambda given=given: peers.in_order_changes(given),
            },
        )
        faster = [times[name] / times["switch"] for name in ("rounds", "changes")]
        print(
            row(
                f"{share:.0%}",
                f"{answer.value / int(given.amount.sum()):.1%}",
                rounds,
                *(f"{1e3 * times[name]:.1f}" for name in ("switch", "rounds", "changes")),
                f"{faster[0]:.0f}, {faster[1]:.1f}",
            ),
            flush=True,
        )


def pair_matrix(payments: int, repetitions: int, seed: int) -> float:
    given = instance(payments, SHARES[0], seed)
    assert (queue_of(given).pair_sum == peers.pair_sums(given)).all()
    times = in_turn(
        repetitions, {"switch": lambda: queue_of(given), "numpy": lambda: peers.pair_sums(given)}
    )
    print(f"\n### Pair matrix of {payments:,} payments\n")
    print(f"{1e3 * times['switch']:.2f} ms, in numpy {1e3 * times['numpy']:.2f} ms.")
    return times["switch"]


def by_value(payments: list[int], repetitions: int, seeds: range, matrix: float) -> None:
    print(f"\n### By value, {len(seeds)} instances each\n")
    print("Value as a share of the bound; times as multiples of the pair matrix above.\n")
    print(row("amounts", "payments", "liquidity", "lowest", "median", "overtaking", "ms", "times"))
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for sigma in (1.0, 1.5):
        for count in payments:
            for share in SHARES:
                ratios, ms, simple = [], [], []
                for seed in seeds:
                    given = instance(count, share, seed, sigma)

                    def settle(given: Instance = given) -> Any:
                        return switch.settle_by_value(queue_of(given), given.balance)

                    answer = settle()
                    ratios.append(answer.value / answer.bound)
                    alone = int(given.amount[peers.bypass(given)].sum())
                    simple.append(alone / answer.bound)
                    ms.append(1e3 * in_turn(repetitions, {"switch": settle})["switch"])
                slow = (statistics.median(ms), max(ms))
                print(
                    row(
                        f"sigma {sigma}",
                        f"{count:,}",
                        f"{share:.0%}",
                        f"{min(ratios):.2%}",
                        f"{statistics.median(ratios):.2%}",
                        f"{statistics.median(simple):.1%}",
                        " (to ".join(f"{x:.0f}" for x in slow) + ")",
                        " (to ".join(f"{x / 1e3 / matrix:.0f}" for x in slow) + ")",
                    ),
                    flush=True,
                )


def exact(payments: list[int], seconds: float, seed: int) -> None:
    if importlib.util.find_spec("highspy") is None:
        print("\nThe exact model is left out: highspy is not installed.")
        return
    print(f"\n### Exact model, at most {seconds:.0f} s\n")
    print(row("payments", "liquidity", "by value", "exact", "gap to its own bound", "s"))
    print("|---:|---:|---:|---:|---:|---:|")
    for count in payments:
        for share in SHARES:
            given = instance(count, share, seed)
            queue = queue_of(given)
            quick = switch.settle_by_value(queue, given.balance)
            begin = time.perf_counter()
            answer = switch.settle_exactly(queue, given.balance, seconds_max=seconds, gap_min=0.001)
            print(
                row(
                    f"{count:,}",
                    f"{share:.0%}",
                    f"{quick.value / quick.bound:.2%}",
                    f"{answer.value / quick.bound:.2%}",
                    f"{answer.gap:.2%}",
                    f"{time.perf_counter() - begin:.0f}",
                ),
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--payments", type=int, default=1_000_000, help="in order")
    parser.add_argument("--by-value", type=int, nargs="*", default=[10_000, 100_000])
    parser.add_argument("--exact", type=int, nargs="*", default=[1_000, 2_000, 5_000])
    parser.add_argument("--seconds", type=float, default=60, help="of the exact model")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--instances", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    print(f"switch {switch.__version__}, numpy {np.__version__}, {PARTICIPANTS} participants.")
    in_order(given.payments, given.repetitions, given.seed)
    matrix = pair_matrix(min(given.payments, PAIR_MATRIX_PAYMENTS), given.repetitions, given.seed)
    seeds = range(given.seed, given.seed + given.instances)
    by_value(given.by_value, given.repetitions, seeds, matrix)
    exact(given.exact, given.seconds, given.seed)


if __name__ == "__main__":
    main()
