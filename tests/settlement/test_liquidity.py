"""Properties of resolutions, netting, transfers, clearing vectors and loss sharing on random input.

Few participants and small amounts, so that queues block each other, rings close to the unit and
ties happen. Brute force stands beside every rule.
"""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import switch
from switch.settlement.liquidity.by_value import ByValue, least_cancelled
from switch.settlement.liquidity.in_order import NO_LIMIT
from switch.settlement.liquidity.proof import require_by_value, require_in_order
from switch.settlement.liquidity.queue import PARTICIPANTS_MAX, SUM_MAX, PaymentQueue


class Scene(NamedTuple):
    """A queue, what everyone has, and the rules: reserved and limit or None."""

    queue: PaymentQueue
    balance: list[int]
    floor: list[int]
    reserved: Any
    limit: Any

    def in_order(self) -> Any:
        return switch.settle_in_order(
            self.queue, self.balance, self.floor, reserved=self.reserved, limit=self.limit
        )


@st.composite
def scenes(draw: st.DrawFn, payments_max: int = 12, rules: bool = True) -> Scene:
    p = draw(st.integers(2, 5))
    pairs = list(itertools.permutations(range(p), 2))
    payment = st.tuples(st.sampled_from(pairs), st.integers(1, 20), st.integers(0, 2))
    rows = draw(st.lists(payment, max_size=payments_max))
    priority = [urgency for _, _, urgency in rows] if rules and draw(st.booleans()) else None
    queue = PaymentQueue(
        [pair[0] for pair, _, _ in rows] or np.zeros(0, np.uint16),
        [pair[1] for pair, _, _ in rows] or np.zeros(0, np.uint16),
        [amount for _, amount, _ in rows] or np.zeros(0, np.int64),
        p,
        np.array(priority, np.uint8) if priority is not None else None,
    )

    def each(low: int, high: int) -> list[int]:
        return draw(st.lists(st.integers(low, high), min_size=p, max_size=p))

    balance, floor = each(-10, 25), each(-10, 3)
    reserved = limit = None
    if rules and draw(st.booleans()):
        reserved = [[draw(st.integers(0, 15)) for _ in range(queue.classes())] for _ in range(p)]
    if rules and draw(st.booleans()):
        room = st.one_of(st.just(NO_LIMIT), st.integers(0, 20))
        limit = [[draw(room) for _ in range(p)] for _ in range(p)]
    return Scene(queue, balance, floor, reserved, limit)


def rows_of(queue: PaymentQueue) -> list[tuple[int, int, int]]:
    columns = (queue.sender.tolist(), queue.receiver.tolist(), queue.amount.tolist())
    return list(zip(*columns, strict=True))


def ends(scene: Scene, chosen: set[int]) -> list[int]:
    balance = list(scene.balance)
    for k, (sender, receiver, amount) in enumerate(rows_of(scene.queue)):
        if k in chosen:
            balance[sender] -= amount
            balance[receiver] += amount
    return balance


def allowed(scene: Scene, chosen: set[int]) -> bool:
    """Whether a set may settle, by the words of the rules."""
    queue, rows, end = scene.queue, rows_of(scene.queue), ends(scene, chosen)
    for p in range(queue.participants):
        own = [k for k in chosen if rows[k][0] == p]
        if not own:
            continue
        urgency = {k: int(queue.priority[k]) if queue.priority is not None else 0 for k in own}
        kept_back = 0
        for c in range(max(urgency.values())):
            if scene.reserved is not None:
                used = sum(rows[k][2] for k in own if urgency[k] <= c)
                kept_back = max(kept_back, scene.reserved[p][c] - used)
        if end[p] < min(scene.balance[p], scene.floor[p] + kept_back):
            return False
        for q in range(queue.participants):
            paid = sum(rows[k][2] for k in chosen if rows[k][:2] == (p, q))
            got = sum(rows[k][2] for k in chosen if rows[k][:2] == (q, p))
            if scene.limit is not None and paid - got > scene.limit[p][q]:
                return False
    return True


def queues(queue: PaymentQueue) -> list[list[int]]:
    """Each sender's payments in the order of its queue."""
    urgency = [0] * len(queue) if queue.priority is None else queue.priority.tolist()
    order = sorted(range(len(queue)), key=lambda k: (urgency[k], k))
    return [[k for k in order if queue.sender[k] == p] for p in range(queue.participants)]


def chosen_of(answer: Any) -> set[int]:
    return set(np.flatnonzero(answer.kept).tolist())


@given(scenes())
@settings(max_examples=150, deadline=None)
def test_in_order__is_the_union_of_all_allowed_prefixes(scene: Scene) -> None:
    largest: set[int] = set()
    for cuts in itertools.product(*(range(len(line) + 1) for line in queues(scene.queue))):
        prefixes = zip(queues(scene.queue), cuts, strict=True)
        chosen = {k for line, cut in prefixes for k in line[:cut]}
        if allowed(scene, chosen):
            largest |= chosen
    answer = scene.in_order()
    assert chosen_of(answer) == largest
    assert answer.balance.tolist() == ends(scene, largest)
    assert answer.value == sum(rows_of(scene.queue)[k][2] for k in largest)


@given(scenes(40))
@settings(max_examples=150, deadline=None)
def test_in_order__has_a_proof_that_a_wrong_answer_fails(scene: Scene) -> None:
    answer = scene.in_order()
    rules = {"floor": scene.floor, "reserved": scene.reserved, "limit": scene.limit}
    require_in_order(scene.queue, scene.balance, answer, **rules)
    wrong = [answer._replace(value=answer.value + 1), answer._replace(balance=answer.balance + 1)]
    if len(answer.dropped):
        first = answer.dropped[:1]
        kept = answer.kept.copy()
        kept[answer.dropped] = True
        wrong.append(answer._replace(dropped=answer.dropped[:0], kept=kept))
        wrong.append(answer._replace(dropped=np.concatenate([answer.dropped, first])))
    if answer.payments_count:
        last = next(line for line in queues(scene.queue) if set(line) & chosen_of(answer))
        extra = [k for k in last if answer.kept[k]][-1:]
        wrong.append(answer._replace(dropped=np.array([*answer.dropped, *extra], np.int32)))
    for other in wrong:
        with pytest.raises(switch.VerificationFailed):
            require_in_order(scene.queue, scene.balance, other, **rules)


@given(scenes(40))
@settings(max_examples=100, deadline=None)
def test_in_order__heads_cannot_be_paid_alone(scene: Scene) -> None:
    answer = scene.in_order()
    for p, line in enumerate(queues(scene.queue)):
        rejected = [k for k in line if not answer.kept[k]]
        assert answer.head[p] == (rejected[0] if rejected else -1)
        if rejected:
            assert not allowed(scene, chosen_of(answer) | {rejected[0]})


@given(scenes(40), st.lists(st.integers(0, 15), min_size=5, max_size=5))
@settings(max_examples=100, deadline=None)
def test_in_order__more_liquidity_settles_no_less(scene: Scene, more: list[int]) -> None:
    low = [min(b, f) for b, f in zip(scene.balance, scene.floor, strict=True)]
    scene = scene._replace(floor=low)
    richer = [b + m for b, m in zip(scene.balance, more, strict=False)]
    assert chosen_of(scene.in_order()) <= chosen_of(scene._replace(balance=richer).in_order())


@given(scenes(40))
@settings(max_examples=100, deadline=None)
def test_in_order__nothing_of_the_remainder_settles_afterwards(scene: Scene) -> None:
    # Reservations are used up and limits filled by the first resolution, so they are left out.
    scene = scene._replace(reserved=None, limit=None)
    answer = scene.in_order()
    rest = ~answer.kept
    queue = scene.queue
    remainder = PaymentQueue(
        queue.sender[rest],
        queue.receiver[rest],
        queue.amount[rest],
        queue.participants,
        None if queue.priority is None else queue.priority[rest],
    )
    # The floor stays that of the beginning: whoever was below it may still not sink further.
    low = np.minimum(scene.balance, scene.floor)
    assert switch.settle_in_order(remainder, answer.balance, low).payments_count == 0


def heavy_queue(payments: int, share: float, seed: int) -> tuple[PaymentQueue, np.ndarray]:
    """60 participants of log-normal weights, amounts of sigma 1.5; share of what all net payers
    need is there."""
    rng = np.random.default_rng(seed)
    weight = rng.lognormal(0, 1, 60)
    weight /= weight.sum()
    sender, receiver = (rng.choice(60, payments, p=weight) for _ in range(2))
    receiver = np.where(sender == receiver, (receiver + 1) % 60, receiver)
    amount = rng.lognormal(np.log(5_000_000), 1.5, payments).astype(np.int64) + 1
    queue = PaymentQueue(sender, receiver, amount, 60)
    return queue, (np.maximum(-queue.net(), 0) * share).astype(np.int64)


@given(scenes())
@settings(max_examples=100, deadline=None)
def test_by_value__is_the_best_of_all_sets_of_a_few_payments(scene: Scene) -> None:
    scene = scene._replace(reserved=None, limit=None)
    rows = rows_of(scene.queue)
    best = max(
        sum(rows[k][2] for k in chosen)
        for size in range(len(rows) + 1)
        for chosen in itertools.combinations(range(len(rows)), size)
        if allowed(scene, set(chosen))
    )
    answer = switch.settle_by_value(scene.queue, scene.balance, scene.floor)
    assert answer.value == best == answer.bound
    require_by_value(scene.queue, scene.balance, answer, scene.floor)


@given(scenes(60), st.sampled_from([0, 30, 300, 3_000, 5_000_000]))
@settings(max_examples=200, deadline=None)
def test_by_value__is_valid_however_few_steps_it_has(scene: Scene, steps: int) -> None:
    answer = switch.settle_by_value(scene.queue, scene.balance, scene.floor, steps_max=steps)
    require_by_value(scene.queue, scene.balance, answer, scene.floor)
    in_order = switch.settle_in_order(scene.queue, scene.balance, scene.floor)
    assert in_order.value <= answer.value <= answer.bound
    low = np.minimum(scene.balance, scene.floor)
    assert (answer.balance >= low).all()
    assert (in_order.balance >= low).all()
    assert answer.balance.sum() == in_order.balance.sum() == sum(scene.balance)
    assert 0 <= answer.gap < 1 or answer.value == 0


@pytest.mark.parametrize(
    ("payments", "share", "seed", "least"),
    [(10_000, 0.05, 5, 0.99), (10_000, 0.25, 3, 0.995), (60_000, 0.05, 4, 0.999)],
)
def test_by_value__decides_payments_that_are_bigger_than_a_lack(
    payments: int, share: float, seed: int, least: float
) -> None:
    """Amounts of sigma 1.5, the biggest a hundred times the mean. Decided last they cost two parts
    in a hundred."""
    queue, balance = heavy_queue(payments, share, seed)
    answer = switch.settle_by_value(queue, balance)
    require_by_value(queue, balance, answer)
    assert answer.value >= least * answer.bound


@given(scenes(60))
@settings(max_examples=60, deadline=None)
def test_by_value__a_wrong_answer_fails_the_proof(scene: Scene) -> None:
    answer = switch.settle_by_value(scene.queue, scene.balance, scene.floor)
    dearer = answer._replace(bound=scene.queue.value + sum(map(abs, scene.balance)) + 100)
    poorer = answer._replace(balance=answer.balance - 1)
    for other in (dearer, poorer, answer._replace(level=answer.level - 100)):
        with pytest.raises(switch.VerificationFailed):
            require_by_value(scene.queue, scene.balance, other, scene.floor)


@given(scenes(60, rules=False))
@settings(max_examples=100, deadline=None)
def test_flow__is_a_flow_and_its_levels_prove_that_it_is_the_least(scene: Scene) -> None:
    pairs = scene.queue.pair_sum
    low = np.minimum(scene.balance, scene.floor)
    room = scene.balance - low
    flow = least_cancelled(pairs, room + scene.queue.net())
    assert ((flow.cancel >= 0) & (flow.cancel <= pairs)).all()
    rest = pairs - flow.cancel
    assert (room + rest.sum(axis=0) - rest.sum(axis=1) >= 0).all()
    level = flow.level
    dual = room @ level + (pairs * np.maximum(0, 1 - level[:, None] + level[None, :])).sum()
    assert rest.sum() == dual


@pytest.mark.parametrize("seed", range(3))
def test_exact__is_between_by_value_and_the_bound(seed: int) -> None:
    queue, balance = random_queue(120, 8, seed)
    quick = switch.settle_by_value(queue, balance)
    answer = switch.settle_exactly(queue, balance, seconds_max=20)
    require_by_value(queue, balance, answer)
    assert quick.value <= answer.value <= answer.bound <= quick.bound
    assert answer.complete
    assert answer.gap <= 1.01e-4


def test_exact__out_of_time_is_valid_all_the_same() -> None:
    queue, balance = random_queue(2_000, 40, 1)
    answer = switch.settle_exactly(queue, balance, seconds_max=0.0)
    require_by_value(queue, balance, answer)
    assert not answer.complete
    assert answer.value >= switch.settle_by_value(queue, balance).value


def random_queue(payments: int, participants: int, seed: int) -> tuple[PaymentQueue, Any]:
    """Log-normal amounts, and a tenth of the liquidity that settling all together needs."""
    rng = np.random.default_rng(seed)
    sender = rng.integers(0, participants, payments)
    receiver = (sender + rng.integers(1, participants, payments)) % participants
    amount = rng.lognormal(8, 1, payments).astype(np.int64) + 1
    queue = PaymentQueue(sender, receiver, amount, participants)
    return queue, switch.liquidity_needed(queue)[1] // 10


def test_resolutions__answer_alike_every_time() -> None:
    queue, balance = random_queue(5_000, 30, 3)
    once, again = (switch.settle_by_value(queue, balance) for _ in range(2))
    assert isinstance(once, ByValue)
    assert (once.kept == again.kept).all()
    assert (once.balance == again.balance).all()


def test_in_order__what_is_reserved_for_urgent_payments_stays() -> None:
    # 0 has 100 and keeps 60 for class 0. Of two payments of class 1 one fits beside the reserve.
    queue = PaymentQueue([0, 0], [1, 1], [40, 30], 2, priority=[1, 1])
    answer = switch.settle_in_order(queue, [100, 0], reserved=[[60, 0], [0, 0]])
    assert answer.kept.tolist() == [True, False]
    # An urgent payment uses the reserve up, and nothing is kept for it any more.
    queue = PaymentQueue([0, 0, 0], [1, 1, 1], [40, 30, 60], 2, priority=[1, 1, 0])
    answer = switch.settle_in_order(queue, [100, 0], reserved=[[60, 0], [0, 0]])
    assert answer.kept.tolist() == [True, False, True]


def test_in_order__a_bilateral_limit_counts_what_comes_back() -> None:
    queue = PaymentQueue([0, 1, 0], [1, 0, 1], [30, 20, 15], 2)
    limit = [[10, 10], [NO_LIMIT, NO_LIMIT]]
    answer = switch.settle_in_order(queue, [100, 100], limit=limit)
    assert answer.kept.tolist() == [True, True, False]


@pytest.mark.parametrize(
    ("columns", "error"),
    [
        (([0], [2], [5]), "participant that is none"),
        (([1], [1], [5]), "to itself"),
        (([0], [1], [0]), "below 1"),
        (([0], [1], [-5]), "below 1"),
        (([0, 1], [1], [5]), "differ in length"),
        (([0], [1], [1.5]), "whole numbers"),
        (([70_000], [1], [5]), "out of range"),
        (([0, 0], [1, 1], [SUM_MAX, 1]), "62 bits"),
        (([0], [1], [2**63 - 1]), "62 bits"),
    ],
)
def test_queue__what_is_no_payment_is_refused(columns: Any, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        PaymentQueue(*columns, 2)


def test_queue__the_largest_sums_do_not_wrap() -> None:
    queue = PaymentQueue([0, 1], [1, 0], [SUM_MAX - 5, 5], 2)
    answer = switch.settle_in_order(queue, [SUM_MAX, SUM_MAX], -SUM_MAX)
    assert answer.balance.tolist() == [SUM_MAX - (SUM_MAX - 10), SUM_MAX + (SUM_MAX - 10)]
    assert switch.settle_by_value(queue, [0, 0]).value == 0
    with pytest.raises(ValueError, match="62 bits"):
        switch.settle_in_order(queue, [SUM_MAX + 1, 0])
    with pytest.raises(ValueError, match="not 1 to"):
        PaymentQueue([0], [1], [1], PARTICIPANTS_MAX + 1)


@given(scenes(60, rules=False), st.randoms(use_true_random=False), st.integers(0, 60))
@settings(max_examples=100, deadline=None)
def test_netting__orders_its_amounts_and_forgets_how_payments_were_cut(
    scene: Scene, random: Any, cut: int
) -> None:
    queue = scene.queue
    netting = switch.netting_of(queue.pair_sum)
    assert 0 <= netting.multilateral <= netting.bilateral <= netting.gross == queue.value
    assert 0 <= netting.bilateral_ratio <= netting.multilateral_ratio <= 1
    assert queue.net().sum() == 0
    # Split every payment above 1 in two, and shuffle: the nets stay.
    pieces = []
    for sender, receiver, amount in rows_of(queue):
        part = random.randint(1, amount)
        pieces += [(sender, receiver, x) for x in (part, amount - part) if x]
    random.shuffle(pieces)
    if pieces:
        split = PaymentQueue(*zip(*pieces, strict=True), queue.participants)
        assert (split.pair_sum == queue.pair_sum).all()
        # Two windows together have the sum of their nets.
        windows = [queue_of(part, queue.participants) for part in (pieces[:cut], pieces[cut:])]
        assert (sum(window.net() for window in windows) == queue.net()).all()


def queue_of(rows: list[tuple[int, int, int]], participants: int) -> PaymentQueue:
    columns = np.array(rows, np.int64).reshape(len(rows), 3)
    return PaymentQueue(columns[:, 0], columns[:, 1], columns[:, 2], participants)


@given(st.lists(st.integers(-9, 9), max_size=9))
@settings(max_examples=200, deadline=None)
def test_transfers__are_as_few_as_brute_force_finds(position: list[int]) -> None:
    position = [*position, -sum(position)]
    answer = switch.fewest_transfers(position)
    left = list(position)
    for payer, receiver, amount in answer.transfers:
        assert amount > 0
        left[payer] += amount
        left[receiver] -= amount
    assert not any(left)
    movers = [a for a in position if a]
    assert len(answer.transfers) == len(movers) - most_groups(tuple(movers))
    assert answer.exact
    assert answer.lower_bound <= len(answer.transfers)


def most_groups(amounts: tuple[int, ...]) -> int:
    """The most groups that sum to zero: the first mover is in one of them, with any others."""
    if not amounts:
        return 0
    first, rest = amounts[0], amounts[1:]
    best = 0
    for size in range(len(rest) + 1):
        for others in itertools.combinations(range(len(rest)), size):
            if first + sum(rest[i] for i in others) == 0:
                left = tuple(a for i, a in enumerate(rest) if i not in others)
                best = max(best, 1 + most_groups(left))
    return best


def test_transfers__above_twenty_movers_stay_within_their_bounds() -> None:
    rng = np.random.default_rng(4)
    for movers in (21, 40, 200):
        position = rng.integers(-(10**9), 10**9, movers)
        position[-1] -= position.sum()
        answer = switch.fewest_transfers(position)
        moved = np.zeros(movers, np.int64)
        for payer, receiver, amount in answer.transfers:
            moved[payer] -= amount
            moved[receiver] += amount
        assert (moved == position).all()
        assert answer.lower_bound <= len(answer.transfers) < movers


def test_transfers__twenty_movers_are_exact() -> None:
    # Six groups of three and one of two, shuffled, with sums that fit no other way.
    rng = np.random.default_rng(5)
    groups = [[3**i, 3 ** (i + 20), -(3**i) - 3 ** (i + 20)] for i in range(6)]
    position = rng.permutation([a for group in groups for a in group] + [7, -7])
    answer = switch.fewest_transfers(position)
    assert (len(answer.transfers), answer.exact) == (6 * 2 + 1, True)


def test_transfers__positions_that_do_not_sum_to_zero_are_refused() -> None:
    with pytest.raises(ValueError, match="not to zero"):
        switch.fewest_transfers([1, 2])


small = st.integers(0, 12)


@given(
    st.integers(1, 5).flatmap(
        lambda n: st.tuples(
            st.lists(st.lists(small, min_size=n, max_size=n), min_size=n, max_size=n),
            st.lists(small, min_size=n, max_size=n),
            st.lists(small, min_size=n, max_size=n),
        )
    ),
    st.sampled_from(["1", "0.5", "0.9", "0"]),
    st.sampled_from(["1", "0.5", "0.3", "0"]),
)
@example(([[0, 9], [10, 0]], [1, 3], [1, 3]), "0.9", "1")
@settings(max_examples=200, deadline=None)
def test_clearing_vector__holds_and_is_the_greatest(
    system: tuple[list[list[int]], list[int], list[int]], alpha: str, beta: str
) -> None:
    owes, cash, outside = system
    for i, row in enumerate(owes):
        row[i] = 0
    answer = switch.clearing_vector(
        owes, cash, outside, recovery_cash=alpha, recovery_claims=beta, exact=True
    )
    n = range(len(cash))
    owed = [sum(row) + out for row, out in zip(owes, outside, strict=True)]
    failed = {i for wave in answer.failed for i in wave}
    assert sum(len(wave) for wave in answer.failed) == len(failed)

    def next_of(paid: list[Any]) -> list[Any]:
        got = [
            sum((paid[j] * Fraction(owes[j][i], owed[j]) for j in n if owed[j]), Fraction(0))
            for i in n
        ]
        return [
            owed[i]
            if cash[i] + got[i] >= owed[i]
            else Fraction(alpha) * cash[i] + Fraction(beta) * got[i]
            for i in n
        ]

    assert next_of(answer.payment) == answer.payment
    assert {i for i in n if answer.payment[i] < owed[i]} <= failed
    # From above, round by round, everything that can clear is passed: never below the answer.
    # Rounding is upward: a little less, and who can just pay in full would fail.
    paid: list[Any] = [Fraction(x) for x in owed]
    for _ in range(60):
        paid = [Fraction(math.ceil(x * 2**40), 2**40) for x in next_of(paid)]
    assert all(x >= y for x, y in zip(paid, answer.payment, strict=True))
    rough = switch.clearing_vector(
        owes, cash, outside, recovery_cash=float(alpha), recovery_claims=float(beta)
    )
    assert rough.payment == pytest.approx([float(x) for x in answer.payment], abs=1e-9)
    assert rough.failed == answer.failed


@given(scenes(60, rules=False), st.sets(st.integers(0, 1), max_size=2))
@settings(max_examples=100, deadline=None)
def test_recast__sums_to_zero_and_names_who_pays_now(scene: Scene, defaulters: set[int]) -> None:
    queue = scene.queue
    answer = switch.recast(queue.pair_sum, defaulters)
    assert answer.before.sum() == answer.after.sum() == answer.change.sum() == 0
    assert (answer.before == queue.net()).all()
    left = [row for row in rows_of(queue) if not defaulters & set(row[:2])]
    assert (answer.after == queue_of(left, queue.participants).net()).all()
    assert answer.turned == [
        p for p in range(queue.participants) if answer.before[p] >= 0 > answer.after[p]
    ]


@given(
    st.integers(0, 10**15),
    st.dictionaries(st.text("abc", max_size=3), st.integers(0, 10**6), min_size=1, max_size=8),
)
@settings(max_examples=200, deadline=None)
def test_share_loss__sums_to_the_loss_and_misses_no_share_by_a_unit(
    amount: int, weights: dict[str, int]
) -> None:
    if not sum(weights.values()):
        with pytest.raises(ValueError, match="not all zero"):
            switch.share_loss(amount + 1, weights)
        return
    shares = switch.share_loss(amount, weights)
    assert sum(shares.values()) == amount
    total = sum(weights.values())
    for name, share in shares.items():
        assert abs(share - Fraction(amount * weights[name], total)) < 1


def test_share_loss__ties_go_to_the_lower_id() -> None:
    assert switch.share_loss(5, [1, 1, 1]) == {0: 2, 1: 2, 2: 1}
    assert switch.share_loss(25, {"C": 1, "B": 1, "A": 1}) == {"A": 9, "B": 8, "C": 8}
