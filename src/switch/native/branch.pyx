"""Few payments that wait for liquidity: which of them settle together, searched branch by branch.

Phase settle. IN: payments as columns as for `by_value`, what each participant can pay beyond what
it gets, and a set to begin from. OUT: a set of at least the same value. Kernels allocate nothing.

The bound is that of a Lagrangian decomposition: the value of a payment is split between sender and
receiver, each of whom then chooses alone what is best for it within its liquidity (a knapsack).
Where they disagree the split is moved, which lowers the sum of what they get. What a payment would
cost, were it decided the other way, says which are decided, and in what order others are tried.
"""

from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t, uint16_t, uint64_t
from libc.string cimport memcpy

from switch.native.alone cimport (
    CELLS, FORCED, NEVER, Search, best_alone, free_count, set_hurdle, try_wishes,
)

cdef extern from *:
    """
    #define SW_CLAIM_MAX ((int64_t) 1 << 48)
    #define SW_SURE ((int64_t) 1 << 50)
    """
    const int64_t CLAIM_MAX "SW_CLAIM_MAX"      # of one payment; 512 of them stay below 2**57
    const int64_t SURE "SW_SURE"                # what is said at most; 512 of it stay at 2**59

cdef enum:
    PAYMENTS_MAX = 512
    GAIN_BITS = 6           # a set has to be better by a 64th to be searched for
    VALUE_BITS = 44         # of all payments together, in units of the bound
    SWEEPS_FIRST = 30
    SWEEPS = 6
    TALKS = 1000            # sweeps of a talk, at the end of which nearly all agree
    PATIENCE = 200          # a belief grows by this part of itself in each
    NEAR = 65               # payments, about, that are free when the rest stays as it is;
    NEAR_STEPS = 3_000_000  # every second time twice as many, with twice the steps
    WALK_MAX = 200


def improve(
    const uint16_t[::1] sender, const uint16_t[::1] receiver, const int64_t[::1] amount,
    const int32_t[::1] ranked, const int64_t[::1] room, uint8_t[::1] kept,
    int64_t[::1] wide, int32_t[::1] narrow, int8_t[::1] small, int64_t steps,
):
    """Change kept u8[N] to the best set that is found. False out of steps; otherwise nothing is
    better by more than a 64th.

    room i64[P], at most the sum of all amounts, and kept within it. wide i64[2P + 10N + 256(N+1)],
    narrow i32[2P + 7N + 2], small i8[3N + 1]: room for work. At most 512 payments."""
    cdef Search search
    cdef bint done
    cdef Py_ssize_t n = amount.shape[0], p = room.shape[0]
    assert 0 < n <= PAYMENTS_MAX and sender.shape[0] == receiver.shape[0] == n
    assert ranked.shape[0] == kept.shape[0] == n
    assert wide.shape[0] == 2 * p + 10 * n + 2 * CELLS * (n + 1)
    assert narrow.shape[0] == 2 * p + 7 * n + 2 and small.shape[0] == 3 * n + 1
    search.participants = p
    search.n = n
    search.sender = &sender[0]
    search.receiver = &receiver[0]
    search.amount = &amount[0]
    search.ranked = &ranked[0]
    search.room = &room[0]
    search.best = &kept[0]
    search.steps = steps
    search.start = &narrow[0]
    search.near = search.start + p + 1
    search.trail = search.near + 2 * n
    search.free = search.trail + n
    search.cells = search.free + n
    search.stack = search.cells + n
    search.mark = search.stack + n + p
    search.fate = &small[0]
    search.set = <uint8_t *> search.fate + n
    search.turn = <int8_t *> search.set + n
    search.left = &wide[0]
    search.end = search.left + p
    search.value = search.end + p
    search.claim = search.value + n
    search.wish = search.claim + 2 * n
    search.worth = search.wish + 2 * n
    search.apart = search.worth + n
    search.leaning = search.apart + n
    search.heard = search.leaning + n
    search.before = search.heard + 2 * n
    search.behind = search.before + CELLS * (n + 1)
    with nogil:
        begin(&search)
        done = look(&search)
    return done


cdef void begin(Search *search) noexcept nogil:
    cdef Py_ssize_t i, p, n = search.n
    cdef int32_t at = 0, size
    cdef int64_t total = 0
    for p in range(search.participants + 1):
        search.start[p] = 0
    for i in range(n):
        search.start[search.sender[i]] += 1
        search.start[search.receiver[i]] += 1
        total += search.amount[i]
    for p in range(search.participants + 1):
        size = search.start[p]
        search.start[p] = at
        at += size
    for i in range(n):
        search.near[search.start[search.sender[i]]] = <int32_t> i
        search.start[search.sender[i]] += 1
        search.near[search.start[search.receiver[i]]] = <int32_t> i
        search.start[search.receiver[i]] += 1
    for p in range(search.participants, 0, -1):
        search.start[p] = search.start[p - 1]
    search.start[0] = 0
    search.shift = 0
    while total >> search.shift >> VALUE_BITS:
        search.shift += 1
    search.best_value = 0
    for i in range(n):
        # Rounded up, so that the bound stays one.
        search.value[i] = (search.amount[i] >> search.shift) + (search.shift > 0)
        search.fate[i] = -1
        if search.best[i]:
            search.best_value += search.amount[i]
    search.decided = 0
    search.decided_value = 0
    search.number = 0x9E3779B97F4A7C15
    memcpy(search.left, search.room, search.participants * sizeof(int64_t))
    set_hurdle(search)


cdef inline void halve(Search *search) noexcept nogil:
    """Every value split evenly."""
    cdef Py_ssize_t k
    for k in range(search.n):
        search.claim[k] = search.value[k] // 2
        search.claim[search.n + k] = search.value[k] - search.claim[k]


cdef bint look(Search *search) noexcept nogil:
    """All payments first, with few steps; then sets on which participants agree; then all payments
    again, from the best of these; then again and again those around a place that wanders about, the
    others staying as they are in the best set."""
    cdef int64_t steps = search.steps, part = steps // 64, given
    cdef Py_ssize_t i
    cdef int turn
    for turn in range(2):
        if turn:
            talk(search, 8 * part)
        given = 16 * part if turn else part
        search.steps = given
        halve(search)
        if branch(search, SWEEPS_FIRST):
            return True
    steps -= 25 * part
    turn = 0
    while steps > 0:
        turn += 1
        given = min(steps, <int64_t> NEAR_STEPS << (turn & 1))
        search.steps = given
        wander(search, NEAR << (turn & 1))
        for i in range(search.n):
            if not search.set[i]:
                decide(search, <int32_t> i, search.best[i])
        halve(search)
        branch(search, SWEEPS_FIRST // 4 + 2)
        take_back(search, 0)
        steps -= given - search.steps + search.n
    return False


cdef void talk(Search *search, int64_t steps) noexcept nogil:
    """Max-product message passing, again and again until out of steps: participants in turn say of
    each of their payments how much better they are with it, given what its other side says. What
    both together come to is then worth a little more, until they agree; the set of each sweep is
    tried. From the second time on values are a little higher or lower, each by a draw, so that
    other sets come of it."""
    cdef Py_ssize_t k, p, n = search.n
    cdef int64_t limit, total = 0, belief
    cdef int turn
    cdef bint vary = False
    for k in range(n):
        total += search.value[k]
    search.steps = steps
    while search.steps > 0:
        for k in range(n):
            search.leaning[k] = search.value[k]
            if vary:
                search.leaning[k] = search.value[k] * (850 + draw(search, 300)) // 1000
            search.heard[k] = search.heard[n + k] = 0
        vary = True
        for turn in range(TALKS):
            for p in range(search.participants):
                say(search, search.participants - 1 - p if turn & 1 else p)
            for k in range(n):
                search.wish[k] = search.leaning[k] + search.heard[k]
                search.wish[n + k] = search.heard[n + k]
            try_wishes(search)
            if search.steps < 0:
                return
            for k in range(n):
                limit = 20 * (total // n) + 2 * search.value[k]
                belief = search.wish[k] + search.wish[n + k]
                belief = max(-limit, min(limit, belief))
                search.leaning[k] += belief // PATIENCE


cdef inline void say(Search *search, Py_ssize_t p) noexcept nogil:
    """Messages of p about its payments: three parts of the ones before, seven of the new ones."""
    cdef Py_ssize_t i, at, n = search.n
    cdef int64_t now
    cdef int32_t k
    for i in range(search.start[p], search.start[p + 1]):
        k = search.near[i]
        at = k if search.sender[k] == p else n + k
        search.claim[at] = search.leaning[k] + search.heard[n + k if at == k else k]
    best_alone(search, p)
    for i in range(search.start[p + 1] - search.start[p]):
        k = search.free[i]
        at = k if search.sender[k] == p else n + k
        now = max(-SURE, min(SURE, search.apart[i] - search.claim[at]))
        search.heard[at] = now if now == -SURE else (3 * search.heard[at] + 7 * now) // 10


cdef inline Py_ssize_t draw(Search *search, Py_ssize_t count) noexcept nogil:
    """A number below count (xorshift): always the same ones in the same order."""
    search.number ^= search.number << 13
    search.number ^= search.number >> 7
    search.number ^= search.number << 17
    return <Py_ssize_t> ((search.number >> 32) * <uint64_t> count >> 32)


cdef void wander(Search *search, Py_ssize_t near) noexcept nogil:
    """Mark in set about near payments, those of participants on a walk along payments."""
    cdef Py_ssize_t p = draw(search, search.participants), count = 0, size, i, turn
    cdef int32_t k
    near = near // 2 + draw(search, near)
    for i in range(search.n):
        search.set[i] = 0
    for turn in range(WALK_MAX):
        size = search.start[p + 1] - search.start[p]
        for i in range(search.start[p], search.start[p + 1]):
            k = search.near[i]
            count += not search.set[k]
            search.set[k] = 1
        if count >= near:
            break
        if size == 0 or turn % 8 == 7:
            p = draw(search, search.participants)
        else:
            k = search.near[search.start[p] + draw(search, size)]
            p = search.receiver[k] if search.sender[k] == p else search.sender[k]
    search.steps -= search.n


cdef inline void decide(Search *search, int32_t k, bint settles) noexcept nogil:
    search.fate[k] = settles
    search.trail[search.decided] = k
    search.decided += 1
    if settles:
        search.left[search.sender[k]] -= search.amount[k]
        search.left[search.receiver[k]] += search.amount[k]
        search.decided_value += search.value[k]


cdef inline void take_back(Search *search, Py_ssize_t until) noexcept nogil:
    cdef int32_t k
    while search.decided > until:
        search.decided -= 1
        k = search.trail[search.decided]
        if search.fate[k]:
            search.left[search.sender[k]] += search.amount[k]
            search.left[search.receiver[k]] -= search.amount[k]
            search.decided_value -= search.value[k]
        search.fate[k] = -1


cdef bint branch(Search *search, int sweeps) noexcept nogil:
    """Depth first: bound, try the set that the wishes are for, decide a payment, both ways. False
    out of steps."""
    cdef Py_ssize_t depth = 0, first = search.decided
    cdef int32_t k
    cdef bint open
    search.mark[0] = <int32_t> first
    search.turn[0] = 0
    while True:
        if search.steps < 0:
            take_back(search, first)
            return False
        open = bounded(search, sweeps if depth == 0 else SWEEPS)
        k = -1
        if open:
            try_wishes(search)
            k = most_doubtful(search)
        if k >= 0:
            # The side that is wished for; the other one is told by the turn.
            depth += 1
            search.mark[depth] = <int32_t> search.decided
            search.turn[depth] = 0
            decide(search, k, search.wish[k] + search.wish[search.n + k] > 0)
            continue
        while depth > 0 and search.turn[depth] == 1:
            depth -= 1
        if depth == 0:
            take_back(search, first)
            return True
        k = search.trail[search.mark[depth]]
        open = search.fate[k] == 1
        take_back(search, search.mark[depth])
        decide(search, k, not open)
        search.turn[depth] = 1


cdef inline int64_t cost_of(Search *search, Py_ssize_t k, bint settles) noexcept nogil:
    """The fall of the bound if a payment is decided this way."""
    cdef int64_t sent = search.wish[k], got = search.wish[search.n + k]
    if settles:
        return max(-sent, <int64_t> 0) + max(-got, <int64_t> 0)
    return max(sent, <int64_t> 0) + max(got, <int64_t> 0)


cdef int32_t most_doubtful(Search *search) noexcept nogil:
    """The payment that costs the most whichever way it is decided; -1 where all are decided."""
    cdef Py_ssize_t k
    cdef int64_t cost, most = -1
    cdef int32_t best = -1
    for k in range(search.n):
        if search.fate[k] < 0:
            cost = min(cost_of(search, k, True), cost_of(search, k, False))
            if cost > most or (cost == most and search.value[k] > search.value[best]):
                best = <int32_t> k
                most = cost
    return best


cdef bint bounded(Search *search, int sweeps) noexcept nogil:
    """Lower the bound, and decide what it decides. False where nothing can beat the best."""
    cdef Py_ssize_t k, was
    cdef int64_t bound, best
    cdef bint in_vain, out_vain
    cdef int turn
    cdef Py_ssize_t p
    for turn in range(sweeps):
        for p in range(search.participants):
            if not split(search, search.participants - 1 - p if turn & 1 else p, turn & 1):
                return False
    while True:
        was = search.decided
        bound = search.decided_value
        for p in range(search.participants):
            best = best_alone(search, p)
            if best == -NEVER:
                return False
            bound += best
            tell(search, p)
        for k in range(search.n):
            if search.fate[k] < 0:
                in_vain = bound - cost_of(search, k, True) <= search.hurdle
                out_vain = bound - cost_of(search, k, False) <= search.hurdle
                if in_vain and out_vain:
                    return False
                if in_vain or out_vain:
                    decide(search, <int32_t> k, out_vain)
        if bound <= search.hurdle:
            return False
        if search.decided == was:
            return True


cdef void tell(Search *search, Py_ssize_t p) noexcept nogil:
    """Wishes of p become what `best_alone` has found about it."""
    cdef Py_ssize_t i, count = free_count(search, p)
    cdef int32_t k
    for i in range(count):
        k = search.free[i]
        search.wish[k if search.sender[k] == p else search.n + k] = search.apart[i]


cdef bint split(Search *search, Py_ssize_t p, bint back) noexcept nogil:
    """Decide what p has no choice in; pass what it wishes on to those who have their turn after it
    (as in TRW-S, Kolmogorov 2006: the bound never rises). False where p cannot be served."""
    cdef Py_ssize_t i, later = 0, other, count
    cdef int64_t part
    cdef int32_t k
    if best_alone(search, p) == -NEVER:
        return False
    count = free_count(search, p)
    for i in range(count):
        k = search.free[i]
        other = search.receiver[k] if search.sender[k] == p else search.sender[k]
        later += other < p if back else other > p
    for i in range(count):
        k = search.free[i]
        if search.apart[i] >= FORCED or search.apart[i] <= -FORCED:
            decide(search, k, search.apart[i] > 0)
            continue
        other = search.receiver[k] if search.sender[k] == p else search.sender[k]
        if other < p if back else other > p:
            part = search.apart[i] // max(later, count - later)
            if search.sender[k] == p:
                part = -part
            if -CLAIM_MAX < search.claim[k] + part < CLAIM_MAX:
                search.claim[k] += part
                search.claim[search.n + k] -= part
    return True
