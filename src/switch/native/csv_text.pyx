"""Strict reading of text: ids, amounts, accounts, and the structure of a CSV file.

Phase intake. pyarrow's CSV reader takes hexadecimal numbers, "NA" and blank lines in silence;
nothing that concerns money may be guessed, so text columns are read as text and judged here.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t

cdef extern from *:
    """
    #define SW_BAD_ID 0xFFFFFFFFFFFFFFFFULL
    """
    const uint64_t BAD_ID "SW_BAD_ID"

# What is wrong with a text (amounts) or a file (CSV); 0 is nothing.
cpdef enum Fault:
    FINE = 0
    MISSING = 1
    FORMAT = 2
    RANGE = 3
    ENCODING = 4
    ROW_WIDTH = 5
    ROW_BLANK = 6
    QUOTE = 7
    LINE_END = 8
    LINE_LENGTH = 9


def parse_ids(const int32_t[::1] offsets, const uint8_t[::1] data, uint64_t[::1] ids):
    """Ids of 12 ASCII digits as numbers, 2**64-1 for any other text. Returns the index of the
    first text that is not 12 bytes long, or -1."""
    cdef Py_ssize_t i, k, start, n = ids.shape[0], odd = -1
    cdef uint64_t value
    assert offsets.shape[0] >= n + 1
    with nogil:
        for i in range(n):
            start = offsets[i]
            ids[i] = BAD_ID
            if offsets[i + 1] - start != 12:
                if odd < 0:
                    odd = i
                continue
            value = 0
            for k in range(start, start + 12):
                if data[k] < 48 or data[k] > 57:
                    break
                value = value * 10 + (data[k] - 48)
            else:
                ids[i] = value
    return odd


def parse_amounts(const int32_t[::1] offsets, const uint8_t[::1] data, int64_t[::1] amounts):
    """Whole numbers in plain ASCII digits with an optional minus, nothing else.

    Returns (index, Fault) of the first text that is not one, or (-1, FINE).
    """
    cdef Py_ssize_t i, k, start, end, n = amounts.shape[0], bad = -1
    cdef uint64_t value
    cdef bint minus
    cdef Fault fault = FINE
    assert offsets.shape[0] >= n + 1
    with nogil:
        for i in range(n):
            start = offsets[i]
            end = offsets[i + 1]
            if start == end:
                bad, fault = i, MISSING
                break
            minus = data[start] == 45
            start += minus
            if start == end:
                fault = FORMAT
            value = 0
            for k in range(start, end):
                if data[k] < 48 or data[k] > 57:
                    fault = FORMAT
                    break
                if value > <uint64_t> 922337203685477580 or (
                    value == <uint64_t> 922337203685477580 and data[k] > 55
                ):
                    fault = RANGE
                if fault == FINE:
                    value = value * 10 + (data[k] - 48)
            if fault != FINE:
                bad = i
                break
            amounts[i] = -<int64_t> value if minus else <int64_t> value
    return bad, fault


cdef enum:
    ACCOUNT_CHARACTERS_MAX = 34

cdef uint8_t IN_ACCOUNT[256]

cdef int _fill_accounts() except -1:
    cdef bytes known = (
        b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz/-?:().,'+"
    )
    cdef int i
    for i in range(len(known)):
        IN_ACCOUNT[<uint8_t> known[i]] = 1
    return 0


_fill_accounts()


cdef inline bint is_digit(uint8_t byte) noexcept nogil:
    return 48 <= byte <= 57


cdef bint is_end_of_number(const uint8_t *text, Py_ssize_t length) noexcept nogil:
    """True where a text behind digits makes them a number with a fraction or an exponent, as
    spreadsheets write long ones: .0 or .9E+13 or E+13. E13 alone may be of an account."""
    cdef Py_ssize_t i = 0, start
    cdef bint fraction = text[0] == c"." or text[0] == c","
    if fraction:
        i = 1
        while i < length and is_digit(text[i]):
            i += 1
        if i == length:
            return i > 1
    if text[i] != c"E" and text[i] != c"e":
        return False
    i += 1
    if i < length and (text[i] == c"+" or text[i] == c"-"):
        fraction = True
        i += 1
    start = i
    while i < length and is_digit(text[i]):
        i += 1
    return fraction and i == length and i > start


cdef inline bint is_account(const uint8_t *text, Py_ssize_t length) noexcept nogil:
    cdef Py_ssize_t i, digits = 0
    if length < 1 or length > ACCOUNT_CHARACTERS_MAX:
        return False
    while digits < length and is_digit(text[digits]):
        digits += 1
    for i in range(digits, length):
        if not IN_ACCOUNT[text[i]]:
            return False
    return digits in (0, length) or not is_end_of_number(text + digits, length - digits)


def odd_accounts(const int32_t[::1] offsets, const uint8_t[::1] data, uint8_t[::1] odd):
    """Set odd (uint8, one a text) to 1 where a text is no account: 1 to 34 letters, digits and
    / - ? : ( ) . , ' +, and no number with a fraction or an exponent. Returns the index of the
    first odd one, or -1."""
    cdef Py_ssize_t i, n = odd.shape[0], first = -1
    cdef const uint8_t *text = NULL
    assert offsets.shape[0] >= n + 1
    if data.shape[0]:
        text = &data[0]
    with nogil:
        for i in range(n):
            odd[i] = not is_account(text + offsets[i], offsets[i + 1] - offsets[i])
            if odd[i] and first < 0:
                first = i
    return first


cdef class CsvScan:
    """Walks a CSV file once, block by block, and finds the first thing wrong with its structure.

    UTF-8, comma, double quotes, LF or CRLF. Quoted cells may hold anything. After `finish`, fault
    is FINE and rows is the number of rows below the header.
    """

    cdef readonly int fault
    cdef readonly int64_t rows          # rows ended so far, the header included
    cdef readonly int64_t columns       # cells of the header
    cdef readonly int64_t column        # 0-based cell in which the fault lies
    cdef readonly int64_t row_bytes
    cdef int64_t row_bytes_max
    cdef int64_t cell
    cdef int state      # 0 cell begins, 1 plain, 2 quoted, 3 after a quote, 4 after CR
    cdef int more                       # UTF-8 continuation bytes still due
    cdef uint8_t low, high              # bounds of the next continuation byte

    def __init__(self, int64_t row_bytes_max):
        self.row_bytes_max = row_bytes_max

    def feed(self, const uint8_t[::1] block):
        """Walk one block; True while nothing is wrong."""
        cdef Py_ssize_t i, n = block.shape[0]
        with nogil:
            for i in range(n):
                self.fault = self.step(block[i])
                if self.fault != FINE:
                    break
        self.column = self.cell
        return self.fault == FINE

    def finish(self):
        """The file has ended; True if it ended well."""
        if self.fault == FINE:
            if self.more:
                self.fault = ENCODING
            elif self.state == 2:
                self.fault = QUOTE
            elif self.state == 4:
                self.fault = LINE_END
            elif self.row_bytes:
                self.fault = self.end_row()
        self.column = self.cell
        return self.fault == FINE

    cdef int end_row(self) noexcept nogil:
        cdef int64_t width = self.cell + 1
        if self.row_bytes == 0:
            return ROW_BLANK
        if self.rows == 0:
            self.columns = width
        elif width != self.columns:
            return ROW_WIDTH
        self.rows += 1
        self.cell = 0
        self.row_bytes = 0
        self.state = 0
        return FINE

    cdef int step(self, uint8_t byte) noexcept nogil:
        if self.more:
            if not self.low <= byte <= self.high:
                return ENCODING
            self.low, self.high = 0x80, 0xBF
            self.more -= 1
        elif byte >= 0x80:
            self.low, self.high = 0x80, 0xBF
            if 0xC2 <= byte <= 0xDF:
                self.more = 1
            elif 0xE0 <= byte <= 0xEF:
                self.more = 2
                if byte == 0xE0:
                    self.low = 0xA0
                elif byte == 0xED:
                    self.high = 0x9F
            elif 0xF0 <= byte <= 0xF4:
                self.more = 3
                if byte == 0xF0:
                    self.low = 0x90
                elif byte == 0xF4:
                    self.high = 0x8F
            else:
                return ENCODING
        if self.state == 4 and byte != 10:
            return LINE_END
        if self.state == 2:
            if byte == 34:
                self.state = 3
        elif byte == 10:
            return self.end_row()
        elif byte == 13:
            self.state = 4
            return FINE
        elif byte == 44:
            self.cell += 1
            self.state = 0
        elif byte == 34:
            if self.state == 0 or self.state == 3:
                self.state = 2
            else:
                return QUOTE
        elif self.state == 3:
            return QUOTE
        else:
            self.state = 1
        self.row_bytes += 1
        if self.row_bytes > self.row_bytes_max:
            return LINE_LENGTH
        return FINE
