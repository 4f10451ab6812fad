"""Queues as large-value systems see them: few participants who differ much, amounts that do too.

Payers and receivers are drawn with log-normal weights, amounts are log-normal. Liquidity is a share
of what each participant needs for everything to settle together: its net debit.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

PARTICIPANTS = 60
WEIGHT_SIGMA = 1.0
AMOUNT_SIGMA = 1.0
AMOUNT_MEDIAN = 5_000_000


class Instance(NamedTuple):
    """sender, receiver u16[N]; amount i64[N]; balance i64[P]."""

    sender: Any
    receiver: Any
    amount: Any
    balance: Any


def instance(
    payments: int, share: float, seed: int, amount_sigma: float = AMOUNT_SIGMA
) -> Instance:
    rng = np.random.default_rng(seed)
    weight = rng.lognormal(0, WEIGHT_SIGMA, PARTICIPANTS)
    weight /= weight.sum()
    sender = rng.choice(PARTICIPANTS, payments, p=weight)
    receiver = rng.choice(PARTICIPANTS, payments, p=weight)
    while (same := sender == receiver).any():
        receiver[same] = rng.choice(PARTICIPANTS, int(same.sum()), p=weight)
    amount = rng.lognormal(np.log(AMOUNT_MEDIAN), amount_sigma, payments).astype(np.int64) + 1
    net = np.zeros(PARTICIPANTS, np.int64)
    np.add.at(net, receiver, amount)
    np.subtract.at(net, sender, amount)
    balance = (np.maximum(-net, 0) * share).astype(np.int64)
    return Instance(sender.astype(np.uint16), receiver.astype(np.uint16), amount, balance)
