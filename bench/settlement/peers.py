"""How the same is done without native code, and how simpler systems do it."""

from __future__ import annotations

from typing import Any

import numpy as np

from .instances import Instance


def _lined_up(given: Instance) -> tuple[Any, Any, Any, Any, Any]:
    """Payments by sender: their order, how many each has, where they begin, the running sum of
    amounts, and that sum before each sender's first."""
    order = np.argsort(given.sender, kind="stable")
    counts = np.bincount(given.sender, minlength=len(given.balance))
    starts = np.cumsum(counts) - counts
    running = np.cumsum(given.amount[order])
    return order, counts, starts, running, running[starts - 1] * (starts > 0)


def in_order_rounds(given: Instance) -> tuple[Any, int]:
    """(kept, rounds): the fixed point in numpy. In every round each sender keeps as much of its
    queue as it can pay with what the others paid in the round before."""
    p, n = len(given.balance), len(given.amount)
    order, counts, starts, running, before = _lined_up(given)
    receiver, amount = given.receiver[order], given.amount[order]
    place = np.arange(n) - np.repeat(starts, counts)
    senders = np.repeat(np.arange(p), counts)
    taken, rounds = counts.copy(), 0
    while True:
        rounds += 1
        kept = place < taken[senders]
        # Sums of floats are exact below 2**53, which the totals here stay under.
        got = np.bincount(receiver[kept], amount[kept], p).astype(np.int64)
        room = given.balance + got + before
        now = [
            np.searchsorted(running[s : s + c], r, "right")
            for s, c, r in zip(starts, taken, room, strict=True)
        ]
        if (now == taken).all():
            break
        taken = np.array(now)
    out = np.empty(n, np.bool_)
    out[order] = kept
    return out, rounds


def in_order_changes(given: Instance) -> Any:
    """kept: the same, but a round looks only at the payments that went in the round before."""
    p, n = len(given.balance), len(given.amount)
    order, counts, starts, running, before = _lined_up(given)
    receiver, amount = given.receiver[order], given.amount[order]
    got = np.bincount(receiver, amount, p).astype(np.int64)
    taken = counts.copy()
    while True:
        room = given.balance + got + before
        now = np.array(
            [
                np.searchsorted(running[s : s + c], r, "right")
                for s, c, r in zip(starts, taken, room, strict=True)
            ]
        )
        gone = [slice(s + k, s + c) for s, c, k in zip(starts, taken, now, strict=True) if k < c]
        if not gone:
            break
        for part in gone:
            got -= np.bincount(receiver[part], amount[part], p).astype(np.int64)
        taken = now
    out = np.empty(n, np.bool_)
    out[order] = np.arange(n) - np.repeat(starts, counts) < np.repeat(taken, counts)
    return out


def bypass(given: Instance) -> Any:
    """kept: one payment after the other, overtaking allowed, until none can be paid alone: what
    systems do that look for no offset."""
    left = given.balance.tolist()
    columns = (given.sender.tolist(), given.receiver.tolist(), given.amount.tolist())
    rows = list(zip(*columns, strict=True))
    waiting, paid = list(range(len(rows))), True
    while paid:
        still = []
        for k in waiting:
            sender, receiver, amount = rows[k]
            if amount <= left[sender]:
                left[sender] -= amount
                left[receiver] += amount
            else:
                still.append(k)
        paid = len(still) < len(waiting)
        waiting = still
    kept = np.ones(len(rows), np.bool_)
    kept[waiting] = False
    return kept


def pair_sums(given: Instance) -> Any:
    """The pair matrix in numpy."""
    p = len(given.balance)
    cell = given.sender.astype(np.int64) * p + given.receiver
    return np.bincount(cell, given.amount, p * p).astype(np.int64).reshape(p, p)
