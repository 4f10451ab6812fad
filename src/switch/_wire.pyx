"""Text out: transfer ids, account texts, and lines gathered receiver by receiver.

Phase dispatch. Kernels here turn what screening and the ledger decided into the columns of
clearing files; pyarrow writes those.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from switch._account cimport IN_TABLE, REFERENCE, account_text


def partition(
    const uint8_t[::1] reason, const uint16_t[::1] participant, uint32_t[::1] order,
    int64_t[::1] starts,
):
    """Living lines in order of participant, table order within: order u32[lines], filled to
    starts[-1]; starts i64[participants + 1]."""
    cdef Py_ssize_t i, n = reason.shape[0]
    cdef Py_ssize_t count = starts.shape[0] - 1
    cdef int64_t at = 0, size
    assert participant.shape[0] == n and order.shape[0] >= n
    with nogil:
        for i in range(count + 1):
            starts[i] = 0
        for i in range(n):
            if reason[i] == 0:
                starts[participant[i]] += 1
        for i in range(count):
            size = starts[i]
            starts[i] = at
            at += size
        starts[count] = at
        for i in range(n):
            if reason[i] == 0:
                order[starts[participant[i]]] = <uint32_t> i
                starts[participant[i]] += 1
        for i in range(count, 0, -1):
            starts[i] = starts[i - 1]
        starts[0] = 0


def transfer_ids(
    const uint8_t[::1] prefix, const uint32_t[::1] line_no, const uint8_t[::1] given,
    int32_t[::1] offsets, uint8_t[::1] data,
):
    """Text prefix + line number in ten digits, as an Arrow string array's buffers.

    given u8: 1 where the line has an id (None: all have); others get an empty text. offsets
    i32[lines + 1], data room for all. Returns the bytes written.
    """
    cdef Py_ssize_t i, k, n = line_no.shape[0], head = prefix.shape[0], at = 0
    cdef uint32_t number
    assert offsets.shape[0] == n + 1 and data.shape[0] >= n * (head + 10)
    with nogil:
        for i in range(n):
            offsets[i] = <int32_t> at
            if given is not None and not given[i]:
                continue
            memcpy(&data[at], &prefix[0], head)
            at += head + 10
            number = line_no[i]
            for k in range(1, 11):
                data[at - k] = <uint8_t> (48 + number % 10)
                number = number // 10
        offsets[n] = <int32_t> at
    return at


def account_texts(
    const uint64_t[::1] words, const uint8_t[::1] heap, const int32_t[::1] table_offsets,
    const uint8_t[::1] table_data, int32_t[::1] offsets, uint8_t[::1] data,
):
    """Texts of account words as an Arrow string array's buffers; data has 255 bytes a word or
    less where no reference needs them. Returns the bytes written, or -1 where data is full."""
    cdef Py_ssize_t i, length, n = words.shape[0], at = 0, room = data.shape[0]
    cdef uint64_t word
    cdef Py_ssize_t line
    cdef bint full = False
    cdef const uint8_t *heap_at = &heap[0] if heap.shape[0] else NULL
    assert offsets.shape[0] == n + 1
    with nogil:
        for i in range(n):
            offsets[i] = <int32_t> at
            word = words[i]
            if word & REFERENCE and word & IN_TABLE:
                line = <Py_ssize_t> (word & ~(REFERENCE | IN_TABLE))
                length = table_offsets[line + 1] - table_offsets[line]
                if at + length > room:
                    full = True
                    break
                if length:
                    memcpy(&data[at], &table_data[table_offsets[line]], length)
            else:
                if at + 256 > room:
                    full = True
                    break
                length = account_text(word, heap_at, &data[at])
            at += length
        offsets[n] = <int32_t> at
    return -1 if full else at


def gather_text(
    const uint32_t[::1] order, const int32_t[::1] offsets, const uint8_t[::1] data,
    const int32_t[::1] index, int32_t[::1] out_offsets, uint8_t[::1] out, Py_ssize_t row,
):
    """Append the texts of rows order[0], order[1], ... to a string array under construction.

    Texts are values offsets/data, by index where given (-1: empty). out_offsets i32 is filled
    behind row, out from out_offsets[row] on. Returns the bytes now in out, or -1 where out is full
    (nothing is lost: call again with more room).
    """
    cdef Py_ssize_t i, n = order.shape[0], at, length, value
    cdef Py_ssize_t room = out.shape[0]
    cdef bint full = False
    assert out_offsets.shape[0] > row + n
    at = out_offsets[row]
    with nogil:
        for i in range(n):
            value = order[i]
            if index is not None:
                value = index[value]
            if value >= 0:
                length = offsets[value + 1] - offsets[value]
                if at + length > room:
                    full = True
                    break
                if length:
                    memcpy(&out[at], &data[offsets[value]], length)
                at += length
            out_offsets[row + i + 1] = <int32_t> at
    return -1 if full else at
