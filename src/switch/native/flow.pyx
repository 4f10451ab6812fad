"""Sums that participants owe each other: pair matrix, the flow that bounds a queue, zero groups.

Phase settle. IN: payments as columns, or their sums by pair of participants. OUT: the matrix, the
least value to cancel, and the largest number of groups whose positions sum to zero. Cost of the
last two does not depend on how many payments there are. Nothing is allocated but small stacks.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef extern from *:
    """
    #define SW_SUM_MAX ((1LL << 62) - 1)
    """
    const int64_t SUM_MAX "SW_SUM_MAX"

cdef enum:
    GROUP_MOVERS_MAX = 20   # 2**20 subsets
    BLOCK = 4096            # payments that are proven together
    FAR = 1 << 30           # beyond any level: a path is shorter than the participants are many


def pair_sums(
    const uint16_t[::1] sender, const uint16_t[::1] receiver, const int64_t[::1] amount,
    Py_ssize_t participants, int64_t[::1] pair_sum,
):
    """Add payments to pair_sum i64[participants**2] (row the sender), which the caller zeroes.

    Returns -1, or the index of the first payment that is none: an unknown participant, a payment
    to oneself, an amount below 1, or the one with which the total leaves 62 bits.
    """
    cdef Py_ssize_t n = amount.shape[0], bad = -1
    assert sender.shape[0] == receiver.shape[0] == n
    assert pair_sum.shape[0] == participants * participants
    if n:
        with nogil:
            bad = sum_pairs(n, &sender[0], &receiver[0], &amount[0], participants, &pair_sum[0])
    return bad


cdef Py_ssize_t sum_pairs(
    Py_ssize_t n, const uint16_t *sender, const uint16_t *receiver, const int64_t *amount,
    Py_ssize_t participants, int64_t *pair_sum,
) noexcept nogil:
    """A block is proven as a whole, in a loop without branches, before it is added."""
    cdef Py_ssize_t first = 0, until, i
    cdef uint64_t total = 0, low, high, bits
    cdef uint16_t most, same
    while first < n:
        until = min(first + BLOCK, n)
        most = 0
        same = 0
        bits = low = high = 0
        for i in range(first, until):
            most = max(most, max(sender[i], receiver[i]))
            same |= sender[i] == receiver[i]
        for i in range(first, until):
            # An amount below 1 or above 2**62 sets one of the two highest bits.
            bits |= <uint64_t> amount[i] - 1
            # In halves, so that no block leaves 64 bits.
            low += <uint32_t> amount[i]
            high += <uint64_t> amount[i] >> 32
        if (
            most >= participants or same or bits >> 62
            or high + (low >> 32) > SUM_MAX >> 32 or total + (high << 32) + low > SUM_MAX
        ):
            return first_bad(first, n, sender, receiver, amount, participants, total)
        total += (high << 32) + low
        for i in range(first, until):
            pair_sum[sender[i] * participants + receiver[i]] += amount[i]
        first = until
    return -1


cdef Py_ssize_t first_bad(
    Py_ssize_t first, Py_ssize_t n, const uint16_t *sender, const uint16_t *receiver,
    const int64_t *amount, Py_ssize_t participants, uint64_t total,
) noexcept nogil:
    """The first payment that is none; there is one from `first` on."""
    cdef Py_ssize_t i
    for i in range(first, n):
        if (
            sender[i] >= participants or receiver[i] >= participants or sender[i] == receiver[i]
            or amount[i] < 1 or <uint64_t> amount[i] > SUM_MAX - total
        ):
            return i
        total += <uint64_t> amount[i]
    return n - 1


cdef struct Net:
    Py_ssize_t n
    const int64_t *pair_sum
    int64_t *cancel         # what is taken out of each pair, 0..pair_sum
    int64_t *need           # what a participant still lacks; below zero: what it can still bear
    int64_t *level
    int64_t *distance
    int32_t *stack
    int32_t *arc
    uint8_t *seen


def least_cancelled(
    const int64_t[::1] pair_sum, int64_t[::1] need, int64_t[::1] cancel, int64_t[::1] level,
    int64_t[::1] distance, int32_t[::1] stack, int32_t[::1] arc, uint8_t[::1] seen
):
    """The least value to take out of a pair matrix so that nobody lacks liquidity, payments being
    divisible: a flow of least cost with cost 1 on every pair.

    need i64[P]: what each lacks when everything settles (negative: what it has to spare); at the
    end nothing above zero is left, unless what may be taken out is not enough for it. OUT: cancel
    i64[P*P], level i64[P]: what one unit more of liquidity at a participant lets settle; zeroed by
    the caller. The rest is room for work, P each.
    Primal-dual method (Ford and Fulkerson): levels rise by whole numbers, and in between flow goes
    along pairs whose level falls by one, or back where it rises by one. A participant with level 0
    has something to spare. It ends, for a path moves at least one unit and levels are below P; in
    practice a path fills a pair or satisfies somebody, so that there are a few paths a participant.
    """
    cdef Net net
    cdef Py_ssize_t n = need.shape[0]
    assert pair_sum.shape[0] == cancel.shape[0] == n * n
    assert level.shape[0] == distance.shape[0] == stack.shape[0] == n
    assert arc.shape[0] == seen.shape[0] == n
    if n == 0:
        return
    net.n = n
    net.pair_sum = &pair_sum[0]
    net.cancel = &cancel[0]
    net.need = &need[0]
    net.level = &level[0]
    net.distance = &distance[0]
    net.stack = &stack[0]
    net.arc = &arc[0]
    net.seen = &seen[0]
    with nogil:
        cancel_all(net)


cdef void cancel_all(Net net) noexcept nogil:
    """Raise levels and push along them until nobody lacks anything.

    Where all payments may be cancelled, everybody who lacks something can be freed; otherwise it
    ends with those who can."""
    cdef Py_ssize_t v
    cdef int64_t height = 0, rise
    cdef bint pushed
    while True:
        rise = -1
        nearest(net)
        for v in range(net.n):
            if net.need[v] > 0 and net.distance[v] < FAR and (
                rise < 0 or net.distance[v] + net.level[v] - height < rise
            ):
                rise = net.distance[v] + net.level[v] - height
        if rise < 0:
            return
        for v in range(net.n):
            net.level[v] += min(net.distance[v], rise)
        height += rise
        pushed = True
        while pushed:
            pushed = False
            for v in range(net.n):
                net.seen[v] = 0
                net.arc[v] = 0
            for v in range(net.n):
                while net.need[v] > 0 and net.level[v] == height and not net.seen[v]:
                    if push(net, <int32_t> v):
                        pushed = True


cdef inline int64_t length(Net net, Py_ssize_t v, Py_ssize_t w) noexcept nogil:
    """Reduced cost of moving a lack from v to w; -1 where nothing can move."""
    cdef int64_t rise = net.level[w] - net.level[v]
    if net.cancel[w * net.n + v] > 0:
        return rise - 1
    if net.cancel[v * net.n + w] < net.pair_sum[v * net.n + w]:
        return rise + 1
    return -1


cdef void nearest(Net net) noexcept nogil:
    """distance: how far, in reduced cost, the nearest participant is that can bear something.

    Dijkstra on the dense matrix, backwards from all who can bear."""
    cdef Py_ssize_t v, best
    cdef int64_t step
    for v in range(net.n):
        net.seen[v] = 0
        net.distance[v] = 0 if net.need[v] < 0 else FAR
    for _ in range(net.n):
        best = -1
        for v in range(net.n):
            if not net.seen[v] and (best < 0 or net.distance[v] < net.distance[best]):
                best = v
        if net.distance[best] == FAR:
            return
        net.seen[best] = 1
        for v in range(net.n):
            if not net.seen[v]:
                step = length(net, v, best)
                if step >= 0 and net.distance[best] + step < net.distance[v]:
                    net.distance[v] = net.distance[best] + step


cdef bint push(Net net, int32_t source) noexcept nogil:
    """Move what the source lacks along one path of length zero to somebody who can bear it.

    A participant that leads nowhere stays seen for the rest of the pass."""
    cdef Py_ssize_t n = net.n, depth = 0, v, w = 0, k
    cdef int64_t most, free
    net.stack[0] = source
    net.seen[source] = 1
    while depth >= 0:
        v = net.stack[depth]
        if net.need[v] < 0:
            break
        while net.arc[v] < n:
            w = net.arc[v]
            if w != v and not net.seen[w] and length(net, v, w) == 0:
                break
            net.arc[v] += 1
        if net.arc[v] == n:
            depth -= 1
            continue
        depth += 1
        net.stack[depth] = <int32_t> w
        net.seen[w] = 1
    if depth < 0:
        return False
    most = min(net.need[source], -net.need[net.stack[depth]])
    for k in range(depth):
        v, w = net.stack[k], net.stack[k + 1]
        free = net.cancel[w * n + v]
        most = min(most, free if free > 0 else net.pair_sum[v * n + w] - net.cancel[v * n + w])
    for k in range(depth):
        v, w = net.stack[k], net.stack[k + 1]
        if net.cancel[w * n + v] > 0:
            net.cancel[w * n + v] -= most
        else:
            net.cancel[v * n + w] += most
    net.need[source] -= most
    net.need[net.stack[depth]] += most
    for k in range(depth + 1):
        net.seen[net.stack[k]] = 0
    return True


def zero_groups(
    const int64_t[::1] position, uint8_t[::1] most, int64_t[::1] total, uint8_t[::1] group
):
    """Split positions that sum to zero into as many groups as possible that sum to zero each.

    position i64[n], n at most 20, not zero; most u8[2**n] and total i64[2**n] are room for work.
    OUT: group u8[n], numbered from 0. Returns the number of groups. Over subsets: the most groups
    along the best order in which members join, a group being complete when the sum is zero.
    """
    cdef Py_ssize_t n = position.shape[0], subset, size = <Py_ssize_t> 1 << n, low, k
    cdef uint8_t best, number
    assert n <= GROUP_MOVERS_MAX and group.shape[0] == n
    assert most.shape[0] == total.shape[0] == size
    with nogil:
        most[0] = 0
        total[0] = 0
        for subset in range(1, size):
            best = 0
            low = -1
            for k in range(n):
                if subset >> k & 1:
                    if low < 0:
                        low = k
                    best = max(best, most[subset ^ (<Py_ssize_t> 1 << k)])
            # A sum of some of the positions is at most half of their gross, which fits 64 bits.
            total[subset] = total[subset & (subset - 1)] + position[low]
            most[subset] = best + (total[subset] == 0)
        subset = size - 1
        number = most[subset]
        while subset:
            for k in range(n):
                if subset >> k & 1 and (
                    most[subset ^ (<Py_ssize_t> 1 << k)] + (total[subset] == 0) == most[subset]
                ):
                    group[k] = most[subset] - 1 if total[subset] == 0 else number
                    number = group[k]
                    subset ^= <Py_ssize_t> 1 << k
                    break
    return int(most[size - 1])
