"""Lines by row: where the lines of each person stand, so that they are found without a search.

Phase index. IN, lines in their order: rows u32[n] of people, NO_ROW for strangers, who are left
out. OUT: a word u32 for each line that has a person, sorted by buckets of 2^low neighbouring rows
and in a bucket by place; starts u32[buckets + 1] says where the words of each bucket begin.

    word   31          bits  bits - 1        0
           | row in its bucket | place of line |
"""

from libc.stdint cimport uint32_t

cdef enum:
    NO_ROW = 0xFFFFFFFF


def span(const uint32_t[::1] rows):
    """The least and the greatest row of lines that have a person, and how many these are; NO_ROW
    and 0 where none has."""
    cdef Py_ssize_t i
    cdef uint32_t least = NO_ROW, most = 0, row
    cdef Py_ssize_t count = 0
    with nogil:
        for i in range(rows.shape[0]):
            row = rows[i]
            least = min(least, row)
            count += row != NO_ROW
            most = max(most, row if row != NO_ROW else <uint32_t> 0)
    return least, most, count


def sort(
    const uint32_t[::1] rows, uint32_t least, int low, int bits, uint32_t[::1] starts,
    uint32_t[::1] words,
):
    """Fill starts and words. least: the first row of the first bucket; starts has one bucket more
    than the last that a row falls into, and words as many as there are rows of people."""
    cdef Py_ssize_t i, n = rows.shape[0], buckets = starts.shape[0] - 1
    cdef uint32_t row, bucket, mask, begin, count, at = 0
    cdef bint fine = True
    assert 0 <= low <= 31 and 1 <= bits and low + bits <= 32 and buckets >= 1
    assert n <= <Py_ssize_t> 1 << bits and words.shape[0] <= n
    mask = (<uint32_t> 1 << low) - 1
    with nogil:
        for i in range(buckets + 1):
            starts[i] = 0
        for i in range(n):
            row = rows[i]
            if row == NO_ROW:
                continue
            bucket = (row - least) >> low
            if row < least or bucket >= buckets:
                fine = False
                break
            starts[bucket] += 1
            at += 1
        if fine and at == words.shape[0]:
            begin = 0
            for i in range(buckets):
                count = starts[i]
                starts[i] = begin
                begin += count
            for i in range(n):
                row = rows[i]
                if row != NO_ROW:
                    row -= least
                    bucket = row >> low
                    words[starts[bucket]] = (row & mask) << bits | <uint32_t> i
                    starts[bucket] += 1
            # Each bucket's start is now its end, which is the start of the next one.
            for i in range(buckets, 0, -1):
                starts[i] = starts[i - 1]
            starts[0] = 0
        else:
            fine = False
    assert fine, "rows and what was counted of them agree"
