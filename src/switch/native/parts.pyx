"""Parts of a table's sum, by code: what its lines above zero add up to.

Phase intake. IN, a chunk: amounts int64[n] (minor units), and two codes of each line, int32[n],
below zero where it has none. OUT, for each of the two: sums int64[LANES, codes + 1], the last of a
lane of lines without a code. Lines go to the lanes in turn: most of a table has one code, and each
sum would wait for the one before.
"""

from libc.stdint cimport int32_t, int64_t, uint32_t

cdef enum:
    TURNS = 4

LANES = TURNS

cdef extern from *:
    bint add_overflow "__builtin_add_overflow"(int64_t a, int64_t b, int64_t *sum) noexcept nogil


def add(
    const int64_t[::1] amount, const int32_t[::1] first, const int32_t[::1] second,
    int64_t[:, ::1] sums_of_first, int64_t[:, ::1] sums_of_second,
) -> bool:
    """Add the amounts above zero to the sums of their codes, of which each line has two. Returns
    False where a sum leaves 64 bits: they are of no use then."""
    cdef Py_ssize_t n = amount.shape[0], i
    cdef int64_t part
    cdef bint beyond = False
    assert first.shape[0] == second.shape[0] == n
    assert sums_of_first.shape[0] == TURNS and 0 < sums_of_first.shape[1] < 1 << 31
    assert sums_of_second.shape[0] == TURNS and 0 < sums_of_second.shape[1] < 1 << 31
    with nogil:
        for i in range(n):
            part = max(amount[i], <int64_t> 0)
            beyond |= post(sums_of_first, i % TURNS, first[i], part)
            beyond |= post(sums_of_second, i % TURNS, second[i], part)
    return not beyond


cdef inline bint post(
    int64_t[:, ::1] sums, Py_ssize_t lane, int32_t code, int64_t part
) noexcept nogil:
    """Add to a sum. Returns true where it leaves 64 bits."""
    cdef uint32_t none = sums.shape[1] - 1, at = min(<uint32_t> code, none)
    return add_overflow(sums[lane, at], part, &sums[lane, at])
