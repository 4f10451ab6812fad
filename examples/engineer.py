"""A gridlock of banks: how much each way of settling moves, and with how much money.

    python examples/engineer.py

Queues and networks are arrays of whole minor units; nothing here needs a home.
"""

import numpy as np

import switch

BANKS, PAYMENTS = 8, 400


def queue() -> switch.PaymentQueue:
    """Random payments among banks, the same ones each time."""
    draw = np.random.default_rng(7)
    sender = draw.integers(0, BANKS, PAYMENTS)
    receiver = (sender + draw.integers(1, BANKS, PAYMENTS)) % BANKS
    amount = draw.integers(1, 1_000_000, PAYMENTS)
    return switch.PaymentQueue(sender, receiver, amount, participants=BANKS)


def main() -> None:
    waiting = queue()
    gross = int(waiting.amount.sum())
    netting = switch.netting_of(waiting.pair_sum)
    print(f"{PAYMENTS} payments, {gross:,} gross; {netting.multilateral:,} when all are netted")
    one_by_one, together = switch.liquidity_needed(waiting)
    print(f"money that settles all: one by one {one_by_one.sum():,}, together {together.sum():,}")
    for share in (0, 25, 50, 100):
        balances = (one_by_one * share // 100).tolist()
        in_order = switch.settle_in_order(waiting, balances)
        by_value = switch.settle_by_value(waiting, balances)
        print(
            f"with {share:3} % of it: {in_order.value / gross:4.0%} in order of the queues,"
            f" {by_value.value / gross:4.0%} by value"
        )
    transfers = switch.fewest_transfers(waiting.net())
    print(f"{len(transfers.transfers)} transfers settle the {BANKS} net positions")


if __name__ == "__main__":
    main()
