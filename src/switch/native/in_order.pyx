"""Queues of payments that wait for liquidity: which of them settle together, in order.

Phase settle. IN: payments as columns, their sums by pair of participants, what each participant
has left when everything settles. OUT: kept u8 a payment (1: it settles), and what is then left.
Payments are indexed in the order in which they were queued. The caller (switch.liquidity.queue)
has proven shapes and ranges: participants below P, no payment to oneself, amounts from 1, sums
below 2**62, so that nothing here leaves 64 bits. Kernels allocate nothing.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t


# Queues of all senders, by class, and what each sender is judged by.
cdef struct Queues:
    Py_ssize_t participants
    Py_ssize_t classes
    const uint16_t *sender
    const uint16_t *receiver
    const int64_t *amount
    const uint8_t *priority  # NULL: all of class 0
    const int64_t *least    # [P*classes]: to be left while this class is the last that settles
    const int64_t *limit    # [P*P]: what the row may pay the column beyond what it gets; or NULL
    int64_t *left
    int64_t *pair_sum       # with limits: what still settles, by pair
    int32_t *breaches       # with limits: how many of its limits a participant is beyond
    int32_t *tail           # [P*classes]: last payment that still settles, -1 for none
    int32_t *last           # [P]: last class with such a payment, -1 for none
    int32_t *before         # [N]: the payment before it in its queue


def settle_in_order(
    const uint16_t[::1] sender, const uint16_t[::1] receiver, const int64_t[::1] amount,
    const uint8_t[::1] priority, const int64_t[::1] least, const int64_t[::1] limit,
    int64_t[::1] left, int64_t[::1] pair_sum, int32_t[::1] breaches, int32_t[::1] tail,
    int32_t[::1] last, int32_t[::1] before, int32_t[::1] work, uint8_t[::1] kept,
    int32_t[::1] dropped,
):
    """The largest set that is a prefix of every sender's queue: switch.liquidity.in_order says why.

    priority u8[N] or empty; least i64[P*classes]; limit i64[P*P] or empty, pair_sum a copy of the
    pair matrix or empty with it. left i64[P]: IN as everything settles, OUT as the set settles.
    breaches, last, work i32[P], tail i32[P*classes], before i32[N] are room for work. OUT: kept
    u8[N]; dropped i32[N]: payments in the order in which they had to go. Returns how many.
    """
    cdef Queues q
    cdef Py_ssize_t n = amount.shape[0], count, p = left.shape[0]
    assert sender.shape[0] == receiver.shape[0] == n and n < <Py_ssize_t> 1 << 31
    assert kept.shape[0] == dropped.shape[0] == before.shape[0] == n
    assert priority.shape[0] == 0 or priority.shape[0] == n
    assert limit.shape[0] == pair_sum.shape[0] and (limit.shape[0] == 0 or limit.shape[0] == p * p)
    assert breaches.shape[0] == last.shape[0] == work.shape[0] == p
    assert tail.shape[0] == least.shape[0]
    if n == 0:
        return 0
    assert tail.shape[0] >= p and tail.shape[0] % p == 0
    q.participants = p
    q.classes = tail.shape[0] // p
    q.sender = &sender[0]
    q.receiver = &receiver[0]
    q.amount = &amount[0]
    q.priority = &priority[0] if priority.shape[0] else NULL
    q.least = &least[0]
    q.limit = &limit[0] if limit.shape[0] else NULL
    q.left = &left[0]
    q.pair_sum = &pair_sum[0] if limit.shape[0] else NULL
    q.breaches = &breaches[0]
    q.tail = &tail[0]
    q.last = &last[0]
    q.before = &before[0]
    with nogil:
        line_up(q, n, &kept[0])
        count = drop_until_all_can(q, &work[0], &kept[0], &dropped[0])
    return count


cdef void line_up(Queues q, Py_ssize_t n, uint8_t *kept) noexcept nogil:
    """Queues with everything in them, as lists from the last payment back to the first."""
    cdef Py_ssize_t i, p, c
    for p in range(q.participants * q.classes):
        q.tail[p] = -1
    if q.priority == NULL:
        for i in range(n):
            q.before[i] = q.tail[q.sender[i]]
            q.tail[q.sender[i]] = <int32_t> i
            kept[i] = 1
    else:
        for i in range(n):
            p = q.sender[i] * q.classes + q.priority[i]
            q.before[i] = q.tail[p]
            q.tail[p] = <int32_t> i
            kept[i] = 1
    for p in range(q.participants):
        q.last[p] = -1
        q.breaches[p] = 0
        for c in range(q.classes):
            if q.tail[p * q.classes + c] >= 0:
                q.last[p] = <int32_t> c
        if q.limit != NULL:
            for c in range(q.participants):
                q.breaches[p] += breached(q, p, c)


cdef inline int32_t breached(Queues q, Py_ssize_t p, Py_ssize_t other) noexcept nogil:
    """1 where p pays the other more, beyond what it gets from it, than its limit."""
    cdef Py_ssize_t n = q.participants
    return q.pair_sum[p * n + other] - q.pair_sum[other * n + p] > q.limit[p * n + other]


cdef inline bint fails(Queues q, Py_ssize_t p) noexcept nogil:
    """A participant that sends nothing cannot fail; others must stay within floor and limits."""
    cdef int32_t c = q.last[p]
    if c < 0:
        return False
    return q.left[p] < q.least[p * q.classes + c] or q.breaches[p] > 0


cdef Py_ssize_t drop_until_all_can(
    Queues q, int32_t *work, uint8_t *kept, int32_t *dropped
) noexcept nogil:
    """While somebody fails, its last payment goes. work: a ring of those who fail, each once."""
    cdef Py_ssize_t n = q.participants, p, r, count = 0, first = 0, waiting = 0, cell
    cdef int32_t i
    cdef bint failed
    for p in range(n):
        if fails(q, p):
            work[waiting] = <int32_t> p
            waiting += 1
    while waiting:
        p = work[first]
        first = first + 1 if first + 1 < n else 0
        waiting -= 1
        while fails(q, p):
            cell = p * q.classes + q.last[p]
            i = q.tail[cell]
            q.tail[cell] = q.before[i]
            while q.last[p] >= 0 and q.tail[p * q.classes + q.last[p]] < 0:
                q.last[p] -= 1
            kept[i] = 0
            dropped[count] = i
            count += 1
            r = q.receiver[i]
            # Others that fail stand in the ring already, and never recover by a drop that is not
            # their own.
            failed = fails(q, r)
            take_back(q, p, r, q.amount[i])
            if not failed and fails(q, r):
                work[(first + waiting) % n] = <int32_t> r
                waiting += 1
    return count


cdef inline void take_back(Queues q, Py_ssize_t p, Py_ssize_t r, int64_t amount) noexcept nogil:
    """A payment from p to r does not settle after all."""
    cdef Py_ssize_t n = q.participants
    q.left[p] += amount
    q.left[r] -= amount
    if q.limit != NULL:
        q.breaches[p] -= breached(q, p, r)
        q.breaches[r] -= breached(q, r, p)
        q.pair_sum[p * n + r] -= amount
        q.breaches[p] += breached(q, p, r)
        q.breaches[r] += breached(q, r, p)
