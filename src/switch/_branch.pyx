"""Few payments that wait for liquidity: which of them settle together, searched branch by branch.

Phase settle. IN: payments as columns as for `_choice`, what each participant can pay beyond what it
gets, and a set to begin from. OUT: a set of at least the same value. Kernels allocate nothing.

The bound is that of a Lagrangian decomposition: the value of a payment is split between sender and
receiver, each of whom then chooses alone what is best for it within its liquidity (a knapsack).
Where they disagree the split is moved, which lowers the sum of what they get. What a payment would
cost, were it decided the other way, says which are decided, and in what order others are tried.
"""

from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t, uint16_t, uint64_t
from libc.string cimport memcpy

from switch._types cimport int128

cdef extern from *:
    """
    #define SW_NEVER ((int64_t) 1 << 61)
    #define SW_FORCED ((int64_t) 1 << 60)
    #define SW_SHARE_MAX ((int64_t) 1 << 48)
    """
    const int64_t NEVER "SW_NEVER"              # below it: what cannot be
    const int64_t FORCED "SW_FORCED"            # beyond any sum of shares
    const int64_t SHARE_MAX "SW_SHARE_MAX"      # of one payment; 512 of them stay below 2**57
    int lowest_bit "__builtin_ctz" (unsigned) noexcept nogil

cdef enum:
    PAYMENTS_MAX = 512
    VALUE_BITS = 44         # of all payments together, in units of the bound
    SUBSETS_OF_MAX = 8      # payments of a participant whose subsets are all looked at
    CELLS = 33              # of a participant's liquidity where there are more
    GAIN_BITS = 6           # a set has to be better by a 64th to be searched for
    SWEEPS_FIRST = 30
    SWEEPS = 6
    NEAR = 100              # payments that are free when the rest stays as it is
    NEAR_STEPS = 1_000_000
    WALK_MAX = 200

# A search: what is decided, what is not, and the best set so far.
cdef struct Search:
    Py_ssize_t participants
    Py_ssize_t n
    const uint16_t *sender
    const uint16_t *receiver
    const int64_t *amount
    const int32_t *ranked   # [N]: payments in descending amount
    const int64_t *room     # [P]: what each can pay beyond what it gets
    uint8_t *best           # [N]
    int64_t best_value
    int64_t hurdle          # in units of the bound: what a set has to beat
    int shift               # an amount is so many bits wider than its unit
    int64_t steps
    uint64_t number         # the last of a fixed sequence
    int32_t *start          # [P+1]: where a participant's payments stand in near
    int32_t *near           # [2N]: payments of each participant, sent and received
    int32_t *trail          # [N]: payments that are decided, in that order
    Py_ssize_t decided
    int32_t *free           # [N]: payments of one participant that are not decided
    int32_t *cells          # [N]: how many cells each of them takes
    int32_t *stack          # [N+P]
    int32_t *mark           # [N+1]: how many were decided before each branch
    int8_t *fate            # [N]: 1 settles, 0 does not, -1 not decided
    uint8_t *set            # [N]: the set being tried
    int8_t *turn            # [N+1]: sides of each branch that were tried
    int64_t *left           # [P]: room less what is decided
    int64_t *end            # [P]: room less the set being tried
    int64_t *value          # [N]: in units of the bound
    int64_t *share          # [N]: of the value, the sender's
    int64_t *wish           # [2N]: what settling is worth to the sender, then to the receiver
    int64_t *worth          # [N]: shares of one participant
    int64_t *apart          # [N]: what its best with each is above its best without
    int64_t *before         # [(N+1)*CELLS]
    int64_t *behind         # [(N+1)*CELLS]
    int64_t decided_value


def improve(
    const uint16_t[::1] sender, const uint16_t[::1] receiver, const int64_t[::1] amount,
    const int32_t[::1] ranked, const int64_t[::1] room, uint8_t[::1] kept,
    int64_t[::1] wide, int32_t[::1] narrow, int8_t[::1] small, int64_t steps,
):
    """Change kept u8[N] to the best set that is found. False out of steps; otherwise nothing is
    better by more than a 64th.

    room i64[P], at most the sum of all amounts, and kept within it. wide i64[2P + 6N + 66(N+1)],
    narrow i32[2P + 7N + 2], small i8[3N + 1]: room for work. At most 512 payments."""
    cdef Search search
    cdef bint done
    cdef Py_ssize_t n = amount.shape[0], p = room.shape[0]
    assert 0 < n <= PAYMENTS_MAX and sender.shape[0] == receiver.shape[0] == n
    assert ranked.shape[0] == kept.shape[0] == n
    assert wide.shape[0] == 2 * p + 6 * n + 2 * CELLS * (n + 1)
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
    search.share = search.value + n
    search.wish = search.share + n
    search.worth = search.wish + 2 * n
    search.apart = search.worth + n
    search.before = search.apart + n
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


cdef inline void set_hurdle(Search *search) noexcept nogil:
    search.hurdle = search.best_value >> search.shift
    search.hurdle += search.hurdle >> GAIN_BITS


cdef inline void halve(Search *search) noexcept nogil:
    """Every value split evenly."""
    cdef Py_ssize_t i
    for i in range(search.n):
        search.share[i] = search.value[i] // 2


cdef bint look(Search *search) noexcept nogil:
    """All payments first, with half of the steps; then again and again those around a place that
    wanders about, the others staying as they are in the best set."""
    cdef int64_t rest = search.steps - search.steps // 2, given
    cdef Py_ssize_t i
    search.steps -= rest
    halve(search)
    if branch(search, SWEEPS_FIRST):
        return True
    while rest > 0:
        given = min(rest, NEAR_STEPS)
        search.steps = given
        wander(search)
        for i in range(search.n):
            if not search.set[i]:
                decide(search, <int32_t> i, search.best[i])
        halve(search)
        branch(search, SWEEPS_FIRST // 4 + 2)
        take_back(search, 0)
        rest -= given - search.steps + search.n
    return False


cdef inline Py_ssize_t draw(Search *search, Py_ssize_t count) noexcept nogil:
    """A number below count (xorshift): always the same ones in the same order."""
    search.number ^= search.number << 13
    search.number ^= search.number >> 7
    search.number ^= search.number << 17
    return <Py_ssize_t> ((search.number >> 32) * <uint64_t> count >> 32)


cdef void wander(Search *search) noexcept nogil:
    """Mark in set the payments of participants on a walk along payments."""
    cdef Py_ssize_t p = draw(search, search.participants), count = 0, size, i, turn
    cdef int32_t k
    for i in range(search.n):
        search.set[i] = 0
    for turn in range(WALK_MAX):
        size = search.start[p + 1] - search.start[p]
        for i in range(search.start[p], search.start[p + 1]):
            k = search.near[i]
            count += not search.set[k]
            search.set[k] = 1
        if count >= NEAR:
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
    """How much lower the bound is if a payment is decided this way."""
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


cdef inline Py_ssize_t free_count(Search *search, Py_ssize_t p) noexcept nogil:
    """Collect payments of p that are not decided, and what they are worth to it."""
    cdef Py_ssize_t i, count = 0
    cdef int32_t k
    for i in range(search.start[p], search.start[p + 1]):
        k = search.near[i]
        if search.fate[k] < 0:
            search.free[count] = k
            search.worth[count] = search.share[k]
            if search.sender[k] != p:
                search.worth[count] = search.value[k] - search.share[k]
            count += 1
    return count


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
            if -SHARE_MAX < search.share[k] + part < SHARE_MAX:
                search.share[k] += part
    return True


cdef int64_t best_alone(Search *search, Py_ssize_t p) noexcept nogil:
    """The most that p can get alone from payments that are not decided; -NEVER where no choice
    serves it. apart: for each of them, how much better it is to have it."""
    cdef Py_ssize_t count = free_count(search, p)
    search.steps -= count + 1
    if count <= SUBSETS_OF_MAX:
        return best_subset(search, p, count)
    return best_filling(search, p, count)


cdef int64_t best_subset(Search *search, Py_ssize_t p, Py_ssize_t count) noexcept nogil:
    """All subsets, one payment being toggled at a time (Gray code)."""
    cdef int64_t with_it[SUBSETS_OF_MAX]
    cdef int64_t without[SUBSETS_OF_MAX]
    cdef int64_t left = search.left[p], value = 0, most = -NEVER, amount
    cdef unsigned turn, subset = 0
    cdef int i
    cdef int32_t k
    search.steps -= (1 << count) * (count // 2 + 1) // 4
    for i in range(count):
        with_it[i] = without[i] = -NEVER
    for turn in range(1, (1 << count) + 1):
        if left >= 0:
            most = max(most, value)
            for i in range(count):
                if subset >> i & 1:
                    with_it[i] = max(with_it[i], value)
                else:
                    without[i] = max(without[i], value)
        if turn >> count:
            break
        i = lowest_bit(turn)
        k = search.free[i]
        amount = -search.amount[k] if search.sender[k] == p else search.amount[k]
        if subset >> i & 1:
            left -= amount
            value -= search.worth[i]
        else:
            left += amount
            value += search.worth[i]
        subset ^= 1 << i
    for i in range(count):
        if with_it[i] == -NEVER:
            search.apart[i] = -NEVER
        elif without[i] == -NEVER:
            search.apart[i] = NEVER
        else:
            search.apart[i] = with_it[i] - without[i]
    return most


cdef int64_t best_filling(Search *search, Py_ssize_t p, Py_ssize_t count) noexcept nogil:
    """A knapsack over cells of liquidity: what p would have if it got everything, less what it pays
    and what it does not get. Payments are rounded down to cells, so that the bound stays one."""
    cdef int64_t most = search.left[p], base = 0, unit, alone, best, worth
    cdef Py_ssize_t i, c, last
    cdef int32_t k, size
    cdef int64_t *before
    cdef int64_t *behind
    search.steps -= count * CELLS // 4
    for i in range(count):
        k = search.free[i]
        if search.sender[k] != p:
            most += search.amount[k]
            base += search.worth[i]
    if most < 0:
        return -NEVER
    unit = most // (CELLS - 1) + 1
    last = most // unit
    for i in range(count):
        k = search.free[i]
        search.cells[i] = CELLS
        if search.amount[k] <= most:
            search.cells[i] = <int32_t> (search.amount[k] // unit)
    for c in range(last + 1):
        search.before[c] = 0
        search.behind[count * CELLS + c] = 0
    for i in range(count):
        before = search.before + i * CELLS
        fill(search, p, i, last, before, before + CELLS)
    for i in range(count - 1, -1, -1):
        behind = search.behind + i * CELLS
        fill(search, p, i, last, behind + CELLS, behind)
    for i in range(count):
        before = search.before + i * CELLS
        behind = search.behind + (i + 1) * CELLS
        size = search.cells[i]
        worth = search.worth[i]
        if search.sender[search.free[i]] != p:
            worth = -worth
        alone = best = -NEVER
        for c in range(last + 1):
            alone = max(alone, before[c] + behind[last - c])
        for c in range(last - size + 1):
            best = max(best, before[c] + behind[last - size - c])
        search.apart[i] = -NEVER if size > last else best + worth - alone
        if search.sender[search.free[i]] != p:
            search.apart[i] = -search.apart[i]
    return base + search.before[count * CELLS + last]


cdef inline void fill(
    Search *search, Py_ssize_t p, Py_ssize_t i, Py_ssize_t last, const int64_t *source,
    int64_t *target,
) noexcept nogil:
    """The best in each number of cells, with one payment more to choose from."""
    cdef Py_ssize_t c, size = min(<Py_ssize_t> search.cells[i], last + 1)
    cdef int64_t worth = search.worth[i]
    if search.sender[search.free[i]] != p:
        worth = -worth
    for c in range(size):
        target[c] = source[c]
    for c in range(size, last + 1):
        target[c] = max(source[c], source[c - size] + worth)


cdef inline void toggle(Search *search, int32_t k) noexcept nogil:
    cdef int64_t amount = -search.amount[k] if search.set[k] else search.amount[k]
    search.set[k] ^= 1
    search.end[search.sender[k]] -= amount
    search.end[search.receiver[k]] += amount


cdef void try_wishes(Search *search) noexcept nogil:
    """The set decided and wished for, less what cannot be paid, plus what then still can; taken
    over where it is the best."""
    cdef Py_ssize_t k, i, depth = 0
    cdef int32_t p, last
    cdef int64_t value = 0
    cdef bint again = True
    memcpy(search.end, search.room, search.participants * sizeof(int64_t))
    for k in range(search.n):
        search.set[k] = 0
        if search.fate[k] == 1 or (
            search.fate[k] < 0 and search.wish[k] + search.wish[search.n + k] > 0
        ):
            toggle(search, <int32_t> k)
    search.steps -= 2 * search.n
    for p in range(<int32_t> search.participants):
        if search.end[p] < 0:
            search.stack[depth] = p
            depth += 1
    while depth:
        depth -= 1
        p = search.stack[depth]
        while search.end[p] < 0:
            last = least_wished(search, p)
            toggle(search, last)
            # Each payment is cancelled once, so that the stack has room for its receiver.
            if search.end[search.receiver[last]] < 0:
                search.stack[depth] = search.receiver[last]
                depth += 1
    while again:
        again = False
        search.steps -= search.n // 2
        for i in range(search.n):
            last = search.ranked[i]
            if not search.set[last] and search.amount[last] <= search.end[search.sender[last]]:
                toggle(search, last)
                again = True
    for k in range(search.n):
        if search.set[k]:
            value += search.amount[k]
    if value > search.best_value:
        search.best_value = value
        memcpy(search.best, search.set, search.n)
        set_hurdle(search)


cdef int32_t least_wished(Search *search, Py_ssize_t p) noexcept nogil:
    """The payment that is least missed, of those that p, who lacks something, makes in the set."""
    cdef int64_t lack = -search.end[p]
    cdef int128 cost, least = 0
    cdef int32_t k, best = -1
    cdef Py_ssize_t i
    search.steps -= search.start[p + 1] - search.start[p]
    for i in range(search.start[p], search.start[p + 1]):
        k = search.near[i]
        if search.sender[k] != p or not search.set[k]:
            continue
        cost = FORCED
        if search.fate[k] < 0:
            cost = <int128> search.wish[k] + search.wish[search.n + k]
        if search.amount[k] < lack:
            cost = cost * lack // search.amount[k]
        if best < 0 or cost < least:
            best = k
            least = cost
    return best
