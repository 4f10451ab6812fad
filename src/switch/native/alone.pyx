"""Few payments that wait for liquidity: what each participant would choose alone.

Phase settle. IN: a search of `branch`: payments that are decided, and what the others are worth to
their senders and receivers. OUT: for one participant, the best choice within its liquidity; for
all, the set that their wishes make, once it can be paid. Kernels allocate nothing.
"""

from libc.stdint cimport int32_t, int64_t
from libc.string cimport memcpy

from switch.native.types cimport int128

cdef extern from *:
    int lowest_bit "__builtin_ctz" (unsigned) noexcept nogil


cdef void set_hurdle(Search *search) noexcept nogil:
    """A set has to be better by a 64th to be searched for."""
    search.hurdle = search.best_value >> search.shift
    search.hurdle += search.hurdle >> GAIN_BITS


cdef Py_ssize_t free_count(Search *search, Py_ssize_t p) noexcept nogil:
    """Collect payments of p that are not decided, and what they are worth to it."""
    cdef Py_ssize_t i, count = 0
    cdef int32_t k
    for i in range(search.start[p], search.start[p + 1]):
        k = search.near[i]
        if search.fate[k] < 0:
            search.free[count] = k
            search.worth[count] = search.claim[k if search.sender[k] == p else search.n + k]
            count += 1
    return count


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
