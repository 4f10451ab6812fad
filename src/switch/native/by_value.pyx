"""Payments that wait for liquidity: which of them settle together, in any order.

Phase settle. IN: payments as columns, proven by the caller (switch.liquidity.queue) as for
`in_order`, their sums by pair, what a flow over these sums says (`flow`). OUT: kept u8 a payment
(1: it settles), and what is then left of each participant's liquidity. Costs are 128 bits wide:
an amount times a level. Kernels allocate nothing.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t

from switch.native.types cimport int128

cdef extern from *:
    int lowest_bit "__builtin_ctzll" (unsigned long long) noexcept nogil

cdef enum:
    DIGIT_BITS = 11
    DIGITS = 2048           # 2**DIGIT_BITS
    CHANGES_MAX = 256       # of one attempt
    FREED_MAX = 16          # turns of an attempt
    TOUCHED_MAX = 64        # participants of an attempt
    LOOKS_MAX = 512         # payments or pairs that are looked at for one participant
    SUBSETS_OF_MAX = 20     # payments whose subsets are all looked at


def rank(const int64_t[::1] amount, int32_t[::1] ranked, int32_t[::1] work):
    """ranked i32[N]: payments in descending amount, ties in queue order. work i32[N]: room."""
    cdef Py_ssize_t n = amount.shape[0]
    assert ranked.shape[0] == work.shape[0] == n and n < <Py_ssize_t> 1 << 31
    if n:
        with nogil:
            radix(&amount[0], n, &ranked[0], &work[0])


cdef void radix(const int64_t *amount, Py_ssize_t n, int32_t *ranked, int32_t *work) noexcept nogil:
    """Digit by digit from the last; a digit that is the same everywhere is passed over."""
    cdef int64_t count[DIGITS]
    cdef int64_t at, size
    cdef Py_ssize_t i, d
    cdef int digit, shift
    cdef int32_t *source = work
    cdef int32_t *target = ranked
    for i in range(n):
        source[i] = <int32_t> i
    for digit in range(6):
        shift = digit * DIGIT_BITS
        for d in range(DIGITS):
            count[d] = 0
        for i in range(n):
            count[amount[i] >> shift & (DIGITS - 1)] += 1
        if count[amount[0] >> shift & (DIGITS - 1)] == n:
            continue
        at = 0
        for d in range(DIGITS - 1, -1, -1):
            size = count[d]
            count[d] = at
            at += size
        for i in range(n):
            d = amount[source[i]] >> shift & (DIGITS - 1)
            target[count[d]] = source[i]
            count[d] += 1
        source, target = target, source
    if source != ranked:
        for i in range(n):
            ranked[i] = source[i]


# Payments that settle in any order, and the set that is being chosen.
cdef struct Pool:
    Py_ssize_t participants
    Py_ssize_t n
    const uint16_t *sender
    const uint16_t *receiver
    const int64_t *amount
    const int32_t *ranked   # [N]: payments in descending amount
    int32_t *own            # [N]: the same by sender
    int32_t *start          # [P+1]: where a sender's stand in own
    const int64_t *level    # [P]: what one unit more of liquidity lets settle, by the flow
    int64_t *left
    int64_t *pair_sum       # [P*P]: what settles, by pair
    uint8_t *kept
    int64_t steps           # payments that may still be looked at


# What one attempt has changed, to be taken back where it gains nothing.
cdef struct Attempt:
    int32_t changed[CHANGES_MAX]
    int changes
    int32_t touched[TOUCHED_MAX]
    int touches
    bint full               # more were touched than are remembered
    int64_t gain


cdef class ByValue:
    """A set of payments of high value, chosen freely; the caller (switch.liquidity.by_value) asks
    the flow and this class in turn.

    The arrays belong to the caller. ranked: by `rank`; own i32[N], start i32[P+1]: room. level
    i64[P]: of the last flow. left i64[P], pair_sum i64[P*P] and kept u8[N] say together what
    settles, and are kept so. steps: how many payments may be looked at, all in all.
    """

    cdef Pool pool
    cdef tuple keep

    def __init__(
        self, const uint16_t[::1] sender, const uint16_t[::1] receiver, const int64_t[::1] amount,
        const int32_t[::1] ranked, int32_t[::1] own, int32_t[::1] start,
        const int64_t[::1] level, int64_t[::1] left, int64_t[::1] pair_sum, uint8_t[::1] kept,
        int64_t steps,
    ):
        cdef Py_ssize_t n = amount.shape[0], p = left.shape[0]
        assert n > 0 and sender.shape[0] == receiver.shape[0] == n
        assert ranked.shape[0] == own.shape[0] == kept.shape[0] == n
        assert start.shape[0] == p + 1 and level.shape[0] == p and pair_sum.shape[0] == p * p
        self.keep = (sender, receiver, amount, ranked, own, start, level, left, pair_sum, kept)
        self.pool.participants = p
        self.pool.n = n
        self.pool.sender = &sender[0]
        self.pool.receiver = &receiver[0]
        self.pool.amount = &amount[0]
        self.pool.ranked = &ranked[0]
        self.pool.own = &own[0]
        self.pool.start = &start[0]
        self.pool.level = &level[0]
        self.pool.left = &left[0]
        self.pool.pair_sum = &pair_sum[0]
        self.pool.kept = &kept[0]
        self.pool.steps = steps
        by_sender(self.pool)

    def begin_large(self, int32_t[::1] head, int32_t[::1] after):
        """Lists of every pair's payments in descending amount: head i32[P*P] is the first of a
        pair, after i32[N] the next of its pair; -1 where there is none."""
        assert after.shape[0] == self.pool.n
        assert head.shape[0] == self.pool.participants * self.pool.participants
        with nogil:
            by_pair(&self.pool, &head[0], &after[0])

    def settle_large(
        self, const int64_t[::1] cancel, int64_t[::1] free, int32_t[::1] head,
        const int32_t[::1] after, uint8_t[::1] fixed,
    ):
        """Decide payments that the flow cancels in part, because nothing else in their pair is
        enough: the one with the most to lose and all with at least half of that, each to the nearer
        side. Returns how many; 0 too where there are none, or no steps are left.

        cancel i64[P*P]: a flow over free i64[P*P], the sums of what is not decided yet. What is
        decided to settle is marked in fixed u8[N]; what is not is cancelled."""
        cdef int64_t count
        assert cancel.shape[0] == free.shape[0] == head.shape[0]
        assert after.shape[0] == fixed.shape[0] == self.pool.n
        with nogil:
            count = settle_large(&self.pool, &cancel[0], &free[0], &head[0], &after[0], &fixed[0])
        return count

    def follow(self, int64_t[::1] cancel):
        """Cancel whole payments as the flow cancels parts, and more, from the highest level down,
        where that is not enough. Nobody at level 0 is freed: the flow has not seen what they lack
        now, and is asked again. False out of steps. cancel i64[P*P] is used up."""
        cdef bint done
        assert cancel.shape[0] == self.pool.participants * self.pool.participants
        with nogil:
            done = round_down(&self.pool, &cancel[0]) and free_levels(&self.pool)
        return done

    def free_all(self):
        """Cancel until nobody lacks anything, whatever the levels. False out of steps."""
        cdef bint done
        with nogil:
            done = free_any(&self.pool)
        return done

    def try_all(self):
        """The best set of all, of at most SUBSETS_OF_MAX payments; equal ones: the first found."""
        assert self.pool.n <= SUBSETS_OF_MAX
        with nogil:
            try_all(&self.pool)

    def improve(self):
        """From a set with which nobody lacks anything to one of higher value, until no single
        attempt gains. False out of steps; the set is a valid one all the same."""
        cdef bint done
        with nogil:
            done = improve(&self.pool)
        return done


cdef void by_sender(Pool pool) noexcept nogil:
    """own and start: payments of each sender, in descending amount."""
    cdef Py_ssize_t i, p
    cdef int32_t at = 0, size
    for p in range(pool.participants + 1):
        pool.start[p] = 0
    for i in range(pool.n):
        pool.start[pool.sender[i]] += 1
    for p in range(pool.participants + 1):
        size = pool.start[p]
        pool.start[p] = at
        at += size
    for i in range(pool.n):
        p = pool.sender[pool.ranked[i]]
        pool.own[pool.start[p]] = pool.ranked[i]
        pool.start[p] += 1
    for p in range(pool.participants, 0, -1):
        pool.start[p] = pool.start[p - 1]
    pool.start[0] = 0


cdef void by_pair(Pool *pool, int32_t *head, int32_t *after) noexcept nogil:
    """From the smallest payment up, each is put before those of its pair."""
    cdef Py_ssize_t i, pair
    cdef int32_t k
    for pair in range(pool.participants * pool.participants):
        head[pair] = -1
    for i in range(pool.n - 1, -1, -1):
        k = pool.ranked[i]
        pair = pool.sender[k] * pool.participants + pool.receiver[k]
        after[k] = head[pair]
        head[pair] = k
    pool.steps -= pool.n


cdef inline int64_t loss_of(int64_t amount, int64_t cancel, int64_t free) noexcept nogil:
    """Distance of a whole payment from what a flow cancels of its pair; 0 where the others of the
    pair are enough, or the flow takes all of it or nothing."""
    cdef int64_t others = free - amount
    if others < cancel < amount:
        return min(cancel - others, amount - cancel)
    return 0


cdef int64_t settle_large(
    Pool *pool, const int64_t *cancel, int64_t *free, int32_t *head, const int32_t *after,
    uint8_t *fixed,
) noexcept nogil:
    cdef Py_ssize_t pair, pairs = pool.participants * pool.participants
    cdef int64_t most = 0, count = 0, amount, loss
    cdef int32_t k
    pool.steps -= 2 * pairs
    if pool.steps < 0:
        return 0
    for pair in range(pairs):
        if 0 < cancel[pair] < free[pair]:
            most = max(most, loss_of(pool.amount[head[pair]], cancel[pair], free[pair]))
    if most == 0:
        return 0
    for pair in range(pairs):
        if not 0 < cancel[pair] < free[pair]:
            continue
        k = head[pair]
        amount = pool.amount[k]
        loss = loss_of(amount, cancel[pair], free[pair])
        if loss > 0 and loss >= most - loss:
            head[pair] = after[k]
            free[pair] -= amount
            count += 1
            if cancel[pair] > amount - cancel[pair]:
                toggle(pool, k)
            else:
                fixed[k] = 1
    return count


cdef inline void toggle(Pool *pool, int32_t k) noexcept nogil:
    """A payment that settles is cancelled, another one settles after all."""
    cdef int64_t amount = pool.amount[k] if pool.kept[k] else -pool.amount[k]
    cdef Py_ssize_t s = pool.sender[k], r = pool.receiver[k]
    pool.kept[k] ^= 1
    pool.left[s] += amount
    pool.left[r] -= amount
    pool.pair_sum[s * pool.participants + r] -= amount


cdef bint round_down(Pool *pool, int64_t *cancel) noexcept nogil:
    """Cancel payments, the biggest first, as long as they fit into what the flow takes out of their
    pair."""
    cdef Py_ssize_t p, i, cell
    cdef int32_t k
    for p in range(pool.participants):
        pool.steps -= pool.start[p + 1] - pool.start[p]
        if pool.steps < 0:
            return False
        for i in range(pool.start[p], pool.start[p + 1]):
            k = pool.own[i]
            cell = p * pool.participants + pool.receiver[k]
            if pool.kept[k] and pool.amount[k] <= cancel[cell]:
                cancel[cell] -= pool.amount[k]
                toggle(pool, k)
    return True


cdef bint free_levels(Pool *pool) noexcept nogil:
    """Free whoever lacks something, level by level: a lack moves on to lower levels only."""
    cdef Py_ssize_t p
    cdef int64_t level = 0
    for p in range(pool.participants):
        level = max(level, pool.level[p])
    while level > 0:
        for p in range(pool.participants):
            if pool.level[p] == level and not free_fully(pool, p):
                return False
        level -= 1
    return True


cdef bint free_any(Pool *pool) noexcept nogil:
    """Free whoever lacks something, round after round: it ends, as every turn cancels."""
    cdef Py_ssize_t p
    cdef bint again = True
    while again:
        again = False
        for p in range(pool.participants):
            if pool.left[p] < 0:
                again = True
                if not free_fully(pool, p):
                    return False
    return True


cdef bint free_fully(Pool *pool, Py_ssize_t p) noexcept nogil:
    """Free one participant; False out of steps."""
    cdef Attempt attempt
    while pool.left[p] < 0:
        attempt.changes = 0
        attempt.touches = 0
        attempt.full = False
        attempt.gain = 0
        # Somebody who lacks something has a payment that settles: nobody begins below the floor.
        if not free_some(pool, &attempt, p, -1) or pool.steps < 0:
            return False
    return True


cdef inline void change(Pool *pool, Attempt *attempt, int32_t k) noexcept nogil:
    """Toggle a payment, and remember it and both its ends."""
    attempt.changed[attempt.changes] = k
    attempt.changes += 1
    attempt.gain += -pool.amount[k] if pool.kept[k] else pool.amount[k]
    toggle(pool, k)
    touch(attempt, pool.sender[k])
    touch(attempt, pool.receiver[k])


cdef inline void touch(Attempt *attempt, int32_t p) noexcept nogil:
    cdef int i
    for i in range(attempt.touches):
        if attempt.touched[i] == p:
            return
    if attempt.touches == TOUCHED_MAX:
        attempt.full = True
        return
    attempt.touched[attempt.touches] = p
    attempt.touches += 1


cdef inline Py_ssize_t after_covering(Pool *pool, Py_ssize_t p, int64_t amount) noexcept nogil:
    """Place in own after the last payment of p of at least this amount."""
    cdef Py_ssize_t low = pool.start[p], high = pool.start[p + 1], middle
    while low < high:
        middle = (low + high) // 2
        if pool.amount[pool.own[middle]] >= amount:
            low = middle + 1
        else:
            high = middle
    return low


cdef inline int128 cost_of(Pool *pool, int32_t k, int64_t lack) noexcept nogil:
    """Cost of cancelling a payment by the levels, beyond what it frees.

    A payment that should settle (its level does not fall) costs what it misses. A receiver that
    cannot bear it has to be freed in turn, never exactly: half the lack is a guess that was tried
    out; where the lack would climb or go round it is much more."""
    cdef int64_t fall = pool.level[pool.sender[k]] - pool.level[pool.receiver[k]]
    cdef int128 cost = 0
    if fall < 1:
        cost = <int128> pool.amount[k] * (1 - fall)
    if pool.left[pool.receiver[k]] < pool.amount[k]:
        if fall < 1:
            cost += <int128> lack * 4 + pool.amount[k]
        else:
            cost += lack // 2
    return cost


cdef bint free_some(Pool *pool, Attempt *attempt, Py_ssize_t p, int32_t spared) noexcept nogil:
    """Cancel one or two payments of p, but not the spared one, so that p lacks nothing at the least
    cost; where no two are enough, the biggest. False where p has no other, or no room is left."""
    cdef int64_t lack = -pool.left[p], level = max(pool.level[p], 1), looks = 0
    cdef Py_ssize_t first = pool.start[p], end = pool.start[p + 1], i, j, m
    cdef Py_ssize_t cover = after_covering(pool, p, lack)
    cdef int32_t k, other, best = -1, second = -1
    cdef int128 cost, over, least = 0
    for i in range(cover - 1, first - 1, -1):
        # From the smallest that is enough up: what is freed beyond the lack may stay unused.
        k = pool.own[i]
        pool.steps -= 1
        over = <int128> (pool.amount[k] - lack) * level
        if best >= 0 and over >= least:
            break
        if pool.kept[k] and k != spared:
            cost = over + cost_of(pool, k, lack)
            if best < 0 or cost < least:
                best = k
                least = cost
    j = end - 1
    for i in range(cover, end):
        # Two that are enough together: the smaller one from the smallest that is enough up.
        k = pool.own[i]
        if pool.amount[k] < lack - pool.amount[k] or looks > LOOKS_MAX:
            break
        looks += 1
        if not pool.kept[k] or k == spared:
            continue
        while j > i and pool.amount[pool.own[j]] < lack - pool.amount[k]:
            j -= 1
        for m in range(j, i, -1):
            other = pool.own[m]
            looks += 1
            over = <int128> (pool.amount[k] - (lack - pool.amount[other])) * level
            if (best >= 0 and over >= least) or looks > LOOKS_MAX:
                break
            if pool.kept[other] and other != spared:
                cost = over + cost_of(pool, k, lack) + cost_of(pool, other, lack)
                if best < 0 or cost < least:
                    best = k
                    second = other
                    least = cost
    pool.steps -= looks
    for i in range(first, end):
        if best >= 0:
            break
        pool.steps -= 1
        if pool.kept[pool.own[i]] and pool.own[i] != spared:
            best = pool.own[i]
    if best < 0 or attempt.changes + 2 > CHANGES_MAX:
        return False
    change(pool, attempt, best)
    if second >= 0:
        change(pool, attempt, second)
    return True


cdef void refill(Pool *pool, Attempt *attempt) noexcept nogil:
    """Let payments of those touched settle after all, in descending amount, as far as they can."""
    cdef int t = 0
    cdef Py_ssize_t p, i
    cdef int32_t k
    while t < attempt.touches:
        p = attempt.touched[t]
        t += 1
        if pool.left[p] == 0:
            continue
        for i in range(after_covering(pool, p, pool.left[p] + 1), pool.start[p + 1]):
            k = pool.own[i]
            pool.steps -= 1
            if not pool.kept[k] and pool.amount[k] <= pool.left[p]:
                if attempt.changes == CHANGES_MAX:
                    return
                change(pool, attempt, k)


cdef void feed(Pool *pool, Attempt *attempt) noexcept nogil:
    """Let payments of those touched who have something left settle, where the receiver lacks it."""
    cdef int t
    cdef Py_ssize_t p, i, looks
    cdef int32_t k
    for t in range(attempt.touches):
        p = attempt.touched[t]
        if pool.left[p] <= 0:
            continue
        looks = 0
        for i in range(after_covering(pool, p, pool.left[p] + 1), pool.start[p + 1]):
            k = pool.own[i]
            looks += 1
            if looks > LOOKS_MAX:
                break
            if (
                not pool.kept[k] and pool.left[pool.receiver[k]] < 0
                and pool.amount[k] <= pool.left[p] and attempt.changes < CHANGES_MAX
            ):
                change(pool, attempt, k)
        pool.steps -= looks


cdef bint add_back(Pool *pool) noexcept nogil:
    """Let payments settle after all, in descending amount, until none can; False out of steps."""
    cdef Py_ssize_t i
    cdef int32_t k
    cdef bint again = True
    while again:
        again = False
        pool.steps -= pool.n
        if pool.steps < 0:
            return False
        for i in range(pool.n):
            k = pool.ranked[i]
            if not pool.kept[k] and pool.amount[k] <= pool.left[pool.sender[k]]:
                toggle(pool, k)
                again = True
    return True


cdef void try_all(Pool *pool) noexcept nogil:
    """Go through all sets by toggling one payment at a time (Gray code), from the present one."""
    cdef Py_ssize_t turn, turns = <Py_ssize_t> 1 << pool.n, best = 0, p
    cdef int64_t gain = 0, most = 0
    cdef int k, lacking = 0
    for turn in range(1, turns):
        k = lowest_bit(turn)
        gain += -pool.amount[k] if pool.kept[k] else pool.amount[k]
        lacking -= (pool.left[pool.sender[k]] < 0) + (pool.left[pool.receiver[k]] < 0)
        toggle(pool, k)
        lacking += (pool.left[pool.sender[k]] < 0) + (pool.left[pool.receiver[k]] < 0)
        if lacking == 0 and gain > most:
            most = gain
            best = turn
    # The last set differs from the first by the last payment alone; back, then on to the best.
    toggle(pool, <int32_t> (pool.n - 1))
    for p in range(pool.n):
        if (best ^ best >> 1) >> p & 1:
            toggle(pool, <int32_t> p)


cdef bint try_with(Pool *pool, int32_t k) noexcept nogil:
    """Let a payment settle, free who then lacks something, refill; taken back where nothing is
    gained. Only ends of k and receivers of what was cancelled can lack something, so that all of
    them are among those touched, as long as these are not too many."""
    cdef Attempt attempt
    cdef int i, freed = 0
    cdef Py_ssize_t p, worst = -1
    attempt.changes = 0
    attempt.touches = 0
    attempt.full = False
    attempt.gain = 0
    change(pool, &attempt, k)
    while True:
        worst = -1
        for i in range(attempt.touches):
            p = attempt.touched[i]
            if pool.left[p] < 0 and (worst < 0 or pool.level[p] > pool.level[worst]):
                worst = p
        if worst < 0:
            refill(pool, &attempt)
            if attempt.gain > 0 and not attempt.full:
                return True
            break
        freed += 1
        # Those who have something left pay those who lack it; then others, who may in turn.
        feed(pool, &attempt)
        refill(pool, &attempt)
        feed(pool, &attempt)
        if pool.left[worst] < 0 and (
            freed > FREED_MAX or attempt.full or attempt.gain < -pool.amount[k]
            or not free_some(pool, &attempt, worst, k)
        ):
            break
    for i in range(attempt.changes - 1, -1, -1):
        toggle(pool, attempt.changed[i])
    return False


cdef bint improve(Pool *pool) noexcept nogil:
    """Attempts with payments that do not settle, in descending amount: those that should by the
    levels, as long as one gains, then all, then again from the beginning."""
    cdef Py_ssize_t i
    cdef int32_t k
    cdef bint gained, narrow = True
    if not add_back(pool):
        return False
    while True:
        gained = False
        for i in range(pool.n):
            k = pool.ranked[i]
            pool.steps -= 1
            if pool.steps < 0:
                return False
            if not pool.kept[k] and (
                not narrow or pool.level[pool.receiver[k]] >= pool.level[pool.sender[k]]
            ):
                gained |= try_with(pool, k)
        if gained:
            narrow = True
        elif narrow:
            narrow = False
        else:
            return True
