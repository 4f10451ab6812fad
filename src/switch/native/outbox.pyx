"""Text out: transfer ids, account texts, and lines handed to the outboxes of their receivers.

Phase dispatch. Kernels here turn what screening and the ledger decided into the columns of
clearing files, each line once, in table order.
"""

from libc.stdint cimport INT32_MAX, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from switch.native.account cimport IN_TABLE, REFERENCE, account_text, eight_digits

cdef enum:
    SLACK = 256             # bytes behind a text that a copy may touch: copies are in whole words
    WORDS = 32              # bytes that most texts fit
    ID_BYTES_MAX = 40


def transfer_ids(
    const uint8_t[::1] prefix, const uint32_t[::1] line_no, const uint8_t[::1] given,
    int32_t[::1] offsets, uint8_t[::1] data,
):
    """Text prefix + line number in ten digits, as an Arrow string array's buffers.

    given u8: 1 where the line has an id; others get an empty text. offsets i32[lines + 1], data
    with room for all and 40 bytes more. Returns the bytes written.
    """
    cdef Py_ssize_t i, n = line_no.shape[0], head = prefix.shape[0], at = 0
    cdef uint8_t text[ID_BYTES_MAX]
    cdef uint64_t digits
    assert head + 10 <= ID_BYTES_MAX and given.shape[0] == n
    assert offsets.shape[0] == n + 1 and data.shape[0] >= n * (head + 10) + ID_BYTES_MAX
    if head:
        memcpy(text, &prefix[0], head)
    with nogil:
        for i in range(n):
            offsets[i] = <int32_t> at
            if not given[i]:
                continue
            digits = eight_digits(line_no[i] % 100000000)
            memcpy(&text[head + 2], &digits, 8)
            text[head] = <uint8_t> (48 + line_no[i] // 1000000000)
            text[head + 1] = <uint8_t> (48 + line_no[i] // 100000000 % 10)
            memcpy(&data[at], text, ID_BYTES_MAX)
            at += head + 10
        offsets[n] = <int32_t> at
    return at


# One column of texts of an outbox: ends[row] is where the text of a row begins in data.
cdef struct Texts:
    int32_t *ends
    uint8_t *data
    Py_ssize_t room


# What lies ready for one receiver, in buffers that belong to the caller.
cdef struct Outbox:
    Py_ssize_t rows
    Texts transfer_id
    Texts end_to_end_id
    Texts account
    Texts name
    uint8_t *no_end_to_end
    int64_t *amount
    int32_t *purpose
    int32_t *period
    int32_t *debtor


# A column of texts of a chunk: values, by index where there is one (-1: none).
cdef struct Column:
    const int32_t *offsets
    const uint8_t *data
    const int32_t *index
    Py_ssize_t size


cdef class Outboxes:
    """Cleared lines that wait for their file, one outbox a receiver (index of the directory)."""

    cdef Outbox *boxes
    cdef Py_ssize_t count, rows_max
    cdef readonly Py_ssize_t waiting
    cdef list _keep

    def __cinit__(self, Py_ssize_t count, Py_ssize_t rows_max):
        """rows_max: lines of an outbox."""
        self.boxes = <Outbox *> calloc(count + 1, sizeof(Outbox))
        if self.boxes == NULL:
            raise MemoryError
        self.count = count
        self.rows_max = rows_max
        self.waiting = -1
        self._keep = [None] * count

    def __dealloc__(self):
        free(self.boxes)

    def open(self, Py_ssize_t index, dict columns):
        """Give an outbox its buffers, again with wider ones on wish: columns by name, texts as
        (offsets i32[rows_max + 1], data u8), numbers as arrays of rows_max. Rows in it stay."""
        cdef Outbox *box = &self.boxes[index]
        cdef uint8_t[::1] absent = columns["no_end_to_end_id"]
        cdef int64_t[::1] amount = columns["amount"]
        cdef int32_t[::1] purpose = columns["purpose"]
        cdef int32_t[::1] period = columns["period"]
        cdef int32_t[::1] debtor = columns["debtor_account"]
        assert 0 <= index < self.count and absent.shape[0] == self.rows_max
        assert amount.shape[0] == purpose.shape[0] == self.rows_max
        assert period.shape[0] == debtor.shape[0] == self.rows_max
        self._open_texts(&box.transfer_id, columns["transfer_id"])
        self._open_texts(&box.end_to_end_id, columns["end_to_end_id"])
        self._open_texts(&box.account, columns["creditor_account"])
        self._open_texts(&box.name, columns["creditor_name"])
        box.no_end_to_end = &absent[0]
        box.amount = &amount[0]
        box.purpose = &purpose[0]
        box.period = &period[0]
        box.debtor = &debtor[0]
        self._keep[index] = columns

    cdef int _open_texts(self, Texts *texts, tuple buffers) except -1:
        cdef int32_t[::1] ends = buffers[0]
        cdef uint8_t[::1] data = buffers[1]
        assert ends.shape[0] == self.rows_max + 1 and data.shape[0] > SLACK
        texts.ends = &ends[0]
        texts.data = &data[0]
        # Where a text ends has 31 bits.
        texts.room = min(data.shape[0] - SLACK, INT32_MAX)
        return 0

    def rows(self, Py_ssize_t index):
        """Lines in an outbox."""
        assert 0 <= index < self.count
        return self.boxes[index].rows

    def empty(self, Py_ssize_t index):
        """The lines of an outbox are written: it begins anew."""
        assert 0 <= index < self.count
        self.boxes[index].rows = 0

    def append(
        self, Py_ssize_t start, const uint8_t[::1] reason, const uint16_t[::1] participant,
        tuple transfer, const uint64_t[::1] account, const uint8_t[::1] heap, tuple given,
        tuple name, tuple end_to_end, const int64_t[::1] amount, const uint16_t[::1] benefit,
        const int32_t[::1] purpose_of, const uint16_t[::1] month, const int32_t[::1] period_of,
        const uint16_t[::1] debtor,
    ):
        """Hand the living lines of a chunk to their outboxes, from line start on.

        Columns of texts are (offsets, data, index or None); given: the accounts that the table
        names, to which account words may refer; end_to_end: None where the table has none.
        Returns the line at which it stopped, the chunk's length where all are handed over. Before
        that, outbox `waiting` has no buffers yet, is full, or too narrow for the line's texts.
        """
        cdef Py_ssize_t i = start, row, n = reason.shape[0]
        cdef uint64_t word
        cdef Column ids, names, ends, accounts
        cdef bint has_ends = end_to_end is not None
        cdef const uint8_t *heap_at = &heap[0] if heap.shape[0] else NULL
        cdef Outbox *box
        assert 0 <= start <= n and participant.shape[0] == account.shape[0] == n
        assert amount.shape[0] == benefit.shape[0] == month.shape[0] == debtor.shape[0] == n
        keep = (
            column_of(transfer, n, &ids), column_of(name, n, &names),
            column_of(given, -1, &accounts), column_of(end_to_end, n, &ends) if has_ends else None,
        )
        with nogil:
            while i < n:
                if reason[i]:
                    i += 1
                    continue
                box = &self.boxes[participant[i]]
                row = box.rows
                if box.amount == NULL or row == self.rows_max:
                    break
                word = account[i]
                if not put(&box.transfer_id, row, &ids, i) or not put(&box.name, row, &names, i):
                    break
                if word & REFERENCE and word & IN_TABLE:
                    if not put(&box.account, row, &accounts, word & ~(REFERENCE | IN_TABLE)):
                        break
                elif box.account.ends[row] > box.account.room:
                    break
                else:
                    box.account.ends[row + 1] = box.account.ends[row] + <int32_t> account_text(
                        word, heap_at, box.account.data + box.account.ends[row]
                    )
                if not has_ends:
                    box.end_to_end_id.ends[row + 1] = box.end_to_end_id.ends[row]
                    box.no_end_to_end[row] = True
                elif put(&box.end_to_end_id, row, &ends, i):
                    box.no_end_to_end[row] = ends.index != NULL and ends.index[i] < 0
                else:
                    break
                box.amount[row] = amount[i]
                box.purpose[row] = purpose_of[benefit[i]]
                box.period[row] = period_of[month[i]]
                box.debtor[row] = debtor[i]
                box.rows = row + 1
                i += 1
        self.waiting = participant[i] if i < n else -1
        del keep
        return i


cdef tuple column_of(tuple texts, Py_ssize_t rows, Column *column):
    """Point at a column's buffers; what must be kept while it is used. rows: -1 for any."""
    cdef const int32_t[::1] offsets = texts[0]
    cdef const uint8_t[::1] data = texts[1]
    cdef const int32_t[::1] index = texts[2]
    assert offsets.shape[0] > 0
    assert rows < 0 or (offsets.shape[0] > rows if index is None else index.shape[0] == rows)
    column.offsets = &offsets[0]
    column.data = &data[0] if data.shape[0] else NULL
    column.index = &index[0] if index is not None and index.shape[0] else NULL
    column.size = data.shape[0]
    return offsets, data, index


cdef inline bint put(
    Texts *to, Py_ssize_t row, const Column *column, Py_ssize_t line
) noexcept nogil:
    """Append the text of a line behind row; False where there is no room for it."""
    cdef Py_ssize_t value = line if column.index == NULL else column.index[line]
    cdef Py_ssize_t at = to.ends[row], start, length
    if value < 0:
        to.ends[row + 1] = <int32_t> at
        return True
    start = column.offsets[value]
    length = column.offsets[value + 1] - start
    if at + length > to.room:
        return False
    if length <= WORDS and start + WORDS <= column.size:
        memcpy(to.data + at, column.data + start, WORDS)
    elif length:
        memcpy(to.data + at, column.data + start, length)
    to.ends[row + 1] = <int32_t> (at + length)
    return True
