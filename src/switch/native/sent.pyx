"""Sent lines by place: transfer ids become places, and answers are held against the lines there.

Phase reconcile. Line numbers of a batch are dense, so that a transfer id names a place: the first
one of its batch, and the line number behind it. Columns in: texts as Arrow has them (offsets and
bytes), amounts, times; columns out: places, and what each answer is to its line. Nothing is
searched, and nothing is kept here but views of the caller's columns.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from switch.native.transfer_id cimport (
    ID_BYTES, IS_TEXT, Head, Key, account_word, batch_of, fits, key_of, no_head, number_of,
)

cdef enum:
    LINE_DIGITS = 10
    BATCH_DIGITS_MIN = 6
    NUMBER_DIGITS_MAX = 17
    AT_NONE = -1
    AT_OTHER = -2
    IS_REST = 0
    IS_FRESH = 1
    IS_KNOWN = 2

NOWHERE, ELSEWHERE = AT_NONE, AT_OTHER
"""Places of records that name no line, and of those that name one of a batch without places."""
REST, FRESH, KNOWN = IS_REST, IS_FRESH, IS_KNOWN
"""An answer is to be looked at; the first clean one of its line; one that equals it."""


cdef inline int64_t number_in(const uint8_t *text, Py_ssize_t first, Py_ssize_t end) noexcept nogil:
    """The number that digits say, -1 where one is no digit or they are too many."""
    cdef int64_t value = 0
    cdef Py_ssize_t i
    if end - first > NUMBER_DIGITS_MAX:
        return -1
    for i in range(first, end):
        if text[i] < 48 or text[i] > 57:
            return -1
        value = value * 10 + (text[i] - 48)
    return value


cdef class Sent:
    """The columns of lines by place, which the caller allocates and shares.

    batches: a row for each batch by its number, the first for none: value date as YYYYMMDD, lines,
    place of the first line or ELSEWHERE. lines: receiver, run, amount and account, filled by
    `keep`; said_at and said of the first clean answer, filled by `hear`. never: the said_at of a
    line without one. length: bytes of the longest transfer id. secret keys the hashes of accounts
    that are no short numbers.
    """

    cdef const int64_t[:, ::1] batches
    cdef int64_t[::1] amount, said_at
    cdef uint64_t[::1] account
    cdef uint16_t[::1] receiver, said
    cdef uint32_t[::1] run
    cdef int64_t never
    cdef Py_ssize_t length
    cdef uint64_t secret

    def __init__(
        self, const int64_t[:, ::1] batches, lines, int64_t never, Py_ssize_t length,
        uint64_t secret,
    ):
        self.batches = batches
        self.receiver, self.run, self.amount, self.account, self.said_at, self.said = lines
        self.never, self.length, self.secret = never, length, secret
        assert batches.shape[1] == 3
        assert self.receiver.shape[0] == self.run.shape[0] == self.account.shape[0]
        assert self.account.shape[0] == self.amount.shape[0]
        assert self.amount.shape[0] == self.said_at.shape[0] == self.said.shape[0]

    def places(self, const int32_t[::1] offsets, const uint8_t[::1] data, int64_t[::1] place):
        """Places of lines by transfer ids; NOWHERE where there is no such line, ELSEWHERE where its
        batch has no places."""
        cdef Py_ssize_t i, n = place.shape[0]
        cdef Head head = no_head()
        cdef Key key
        cdef const uint8_t *text
        assert offsets.shape[0] == n + 1
        with nogil:
            for i in range(n):
                place[i] = AT_NONE
                if offsets[i + 1] == offsets[i]:
                    continue
                text = &data[offsets[i]]
                key.tail = IS_TEXT
                if offsets[i + 1] - offsets[i] == ID_BYTES:
                    key_of(text, ID_BYTES, self.secret, &head, &key)
                if key.tail & IS_TEXT:
                    place[i] = self._place_of_odd(text, offsets[i + 1] - offsets[i])
                elif text[0] != 48:
                    place[i] = self._place(
                        batch_of(&key) // 1000000, batch_of(&key) % 1000000, number_of(&key)
                    )

    cdef inline int64_t _place(self, int64_t date, int64_t batch, int64_t line) noexcept nogil:
        if batch >= self.batches.shape[0] or self.batches[batch, 0] != date:
            return AT_NONE
        if line < 1 or line > self.batches[batch, 1]:
            return AT_NONE
        if self.batches[batch, 2] < 0:
            return AT_OTHER
        return self.batches[batch, 2] + line - 1

    cdef int64_t _place_of_odd(self, const uint8_t *text, Py_ssize_t length) noexcept nogil:
        """The same of an id that is not 26 bytes long: a batch may have more than six digits, and
        years before 1000 have fewer than four. Either has no leading zeros then."""
        cdef Py_ssize_t dash = 0, last = length - LINE_DIGITS - 1
        cdef int64_t date, batch, line
        if length > self.length or text[0] == 48:
            return AT_NONE
        while dash < last and text[dash] != 45:
            dash += 1
        if dash == 0 or last - dash - 1 < BATCH_DIGITS_MIN or text[last] != 45:
            return AT_NONE
        if last - dash - 1 > BATCH_DIGITS_MIN and text[dash + 1] == 48:
            return AT_NONE
        date = number_in(text, 0, dash)
        batch = number_in(text, dash + 1, last)
        line = number_in(text, last + 1, length)
        if date < 0 or batch < 0 or line < 0:
            return AT_NONE
        return self._place(date, batch, line)

    def keep(
        self, const int64_t[::1] place, uint16_t receiver, uint32_t run,
        const int64_t[::1] amount, const int32_t[::1] offsets, const uint8_t[::1] data,
    ):
        """Note at their places what lines a run sent to a receiver, with amounts and accounts
        (offsets, data). A negative place is none."""
        cdef Py_ssize_t i, n = place.shape[0]
        assert amount.shape[0] == n and offsets.shape[0] == n + 1
        with nogil:
            for i in range(n):
                if place[i] >= 0:
                    self.receiver[place[i]], self.run[place[i]] = receiver, run
                    self.amount[place[i]] = amount[i]
                    self.account[place[i]] = self._word(offsets, data, i)

    def fit(
        self, const int64_t[::1] place, const int64_t[::1] amount, const int32_t[::1] offsets,
        const uint8_t[::1] data, const uint8_t[::1] named, uint8_t[::1] clean,
    ):
        """Compare answers with the lines at their places in all that they say: clean u8, which is 0
        already where they do not. named u8: 1 where an account (offsets, data) is named."""
        cdef Py_ssize_t i, n = place.shape[0]
        cdef Py_ssize_t length
        cdef const uint8_t *text
        assert amount.shape[0] == named.shape[0] == clean.shape[0] == n
        assert offsets.shape[0] == n + 1
        with nogil:
            for i in range(n):
                if clean[i]:
                    length = offsets[i + 1] - offsets[i]
                    # An account that is named may be empty: it has no byte to point to.
                    text = &data[offsets[i]] if length else <const uint8_t *> &offsets[0]
                    clean[i] = fits(
                        self.amount[place[i]], self.account[place[i]], amount[i],
                        text if named[i] else NULL, length, self.secret,
                    )

    cdef inline uint64_t _word(
        self, const int32_t[::1] offsets, const uint8_t[::1] data, Py_ssize_t i
    ) noexcept nogil:
        """The account word of a text."""
        cdef Py_ssize_t length = offsets[i + 1] - offsets[i]
        return account_word(&data[offsets[i]] if length else NULL, length, self.secret)

    def hear(
        self, const int64_t[::1] place, const uint8_t[::1] clean, const int64_t[::1] at,
        const uint16_t[::1] said, uint8_t[::1] outcome,
    ):
        """Take in answers in order. outcome u8 receives FRESH for the first clean one of a line,
        KNOWN for one that equals that, else REST."""
        cdef Py_ssize_t i, line, n = place.shape[0]
        assert clean.shape[0] == at.shape[0] == said.shape[0] == outcome.shape[0] == n
        with nogil:
            for i in range(n):
                outcome[i] = IS_REST
                if not clean[i]:
                    continue
                line = place[i]
                if self.said_at[line] == self.never:
                    self.said_at[line], self.said[line] = at[i], said[i]
                    outcome[i] = IS_FRESH
                elif self.said_at[line] == at[i] and self.said[line] == said[i]:
                    outcome[i] = IS_KNOWN

    def accounts(
        self, const int32_t[::1] offsets, const uint8_t[::1] data, uint64_t[::1] word
    ):
        """Account words of texts, as those of lines stand in their column."""
        cdef Py_ssize_t i, n = word.shape[0]
        assert offsets.shape[0] == n + 1
        with nogil:
            for i in range(n):
                word[i] = self._word(offsets, data, i)
