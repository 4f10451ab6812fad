"""The ledger of one batch: duplicate check and positions, line by line in table order.

Phases duplicate check, clear and net. IN: what screening left alive, with row, benefit, month of
the period, debtor agent, participant and amount. OUT: reasons DUPLICATE_IN_TABLE and PAID_BEFORE,
the sums that clearing needs: counts and money by reason, by benefit, and by pair of debtor agent
and receiver, from which every position follows. All sums are checked.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from switch._reason cimport *
from switch._types cimport MONTHS, NO_CODE, add_overflows, int128, prefetch

cdef enum:
    AHEAD = 24
    KEYS_MAX = 4096         # distinct (benefit, period) of one batch


# What posting writes to besides the reasons, copied into the frame of the loop.
cdef struct Sums:
    const uint16_t *slot
    uint64_t **bits
    Py_ssize_t participants
    int64_t *pair_sum
    int64_t *pair_count
    int64_t *benefit_sum
    int64_t *benefit_count


cdef class Ledger:
    """Paid bits of the keys in use, and the sums of one batch.

    A key is a (benefit, period). Its bits are pairs of 64-bit words, 64 rows a pair: word 2k says
    who was paid before, word 2k + 1 who is cleared in this batch, so that one cache line answers
    both. The bits are handed in (`use`) and belong to the caller.
    """

    cdef readonly Py_ssize_t benefits, participants
    cdef uint64_t *bits[KEYS_MAX]
    cdef uint64_t sizes[KEYS_MAX]
    cdef int keys
    cdef list _keep
    cdef object _slot, _pair_sum, _pair_count, _benefit_sum, _benefit_count
    cdef uint16_t[::1] slot
    cdef int64_t[::1] pair_sum, pair_count, benefit_sum, benefit_count
    cdef int128 reason_sum[REASONS_COUNT]
    cdef int64_t reason_count[REASONS_COUNT]

    def __init__(
        self, Py_ssize_t benefits, Py_ssize_t participants, uint16_t[::1] slot,
        int64_t[::1] pair_sum, int64_t[::1] pair_count, int64_t[::1] benefit_sum,
        int64_t[::1] benefit_count,
    ):
        """Zeroed arrays of the caller: slot u16[benefits * MONTHS] filled with NO_CODE, pair_sum
        and pair_count i64[participants**2], benefit_sum and benefit_count i64[benefits]."""
        cdef int i
        assert slot.shape[0] == benefits * <Py_ssize_t> MONTHS
        assert pair_sum.shape[0] == pair_count.shape[0] == participants * participants
        assert benefit_sum.shape[0] == benefit_count.shape[0] == benefits
        self.benefits = benefits
        self.participants = participants
        self.slot = slot
        self.pair_sum = pair_sum
        self.pair_count = pair_count
        self.benefit_sum = benefit_sum
        self.benefit_count = benefit_count
        self.keys = 0
        self._keep = []
        for i in range(REASONS_COUNT):
            self.reason_sum[i] = 0
            self.reason_count[i] = 0

    def missing(
        self, const uint8_t[::1] reason, const uint16_t[::1] benefit, const uint16_t[::1] month
    ):
        """Keys (benefit * MONTHS + month) of living lines that have no bits yet, in order."""
        cdef Py_ssize_t i, n = reason.shape[0]
        cdef uint32_t key, last = 0xFFFFFFFF
        cdef set found = set()
        assert benefit.shape[0] == month.shape[0] == n
        with nogil:
            for i in range(n):
                if reason[i] == NONE:
                    key = <uint32_t> benefit[i] * MONTHS + month[i]
                    if key != last and self.slot[key] == NO_CODE:
                        last = key
                        with gil:
                            found.add(key)
        return sorted(found)

    def use(self, uint32_t key, uint64_t[::1] bits):
        """Take the bits of a key (pairs of words for every row) for the rest of the batch."""
        if self.keys == KEYS_MAX:
            raise ValueError(f"more than {KEYS_MAX} distinct (benefit, period) in one batch")
        self.bits[self.keys] = &bits[0] if bits.shape[0] else NULL
        self.sizes[self.keys] = bits.shape[0]
        self.slot[key] = <uint16_t> self.keys
        self._keep.append(bits)
        self.keys += 1

    def post(
        self, uint8_t[::1] reason, const uint32_t[::1] row, const uint16_t[::1] benefit,
        const uint16_t[::1] month, const uint16_t[::1] debtor,
        const uint16_t[::1] debtor_agent, const uint16_t[::1] participant,
        const int64_t[::1] amount,
    ):
        """Post one chunk in table order. debtor: index into debtor_agent; debtor_agent and
        participant: directory index.

        Raises OverflowError where a sum leaves 64 bits; the ledger is then not to be used again.
        """
        cdef Py_ssize_t n = reason.shape[0]
        cdef Sums sums
        cdef bint posted
        assert row.shape[0] == benefit.shape[0] == month.shape[0] == amount.shape[0] == n
        assert debtor.shape[0] == participant.shape[0] == n
        if n == 0:
            return
        sums.slot = &self.slot[0]
        sums.bits = self.bits
        sums.participants = self.participants
        sums.pair_sum = &self.pair_sum[0]
        sums.pair_count = &self.pair_count[0]
        sums.benefit_sum = &self.benefit_sum[0]
        sums.benefit_count = &self.benefit_count[0]
        with nogil:
            posted = walk_post(
                sums, n, &reason[0], &row[0], &benefit[0], &month[0], &debtor[0],
                &debtor_agent[0], &participant[0], &amount[0], self.reason_sum, self.reason_count,
            )
        if not posted:
            raise OverflowError("a sum of cleared amounts leaves 64 bits")

    def tally(self):
        """(count, sum) of every reason so far, by number; sums are exact Python integers."""
        cdef int i
        out = []
        for i in range(REASONS_COUNT):
            high = <long long> (self.reason_sum[i] >> 62)
            low = <long long> (self.reason_sum[i] & (((<int128> 1) << 62) - 1))
            out.append((self.reason_count[i], (<object> high) * (1 << 62) + low))
        return out


def total(const int64_t[::1] amount, long long start):
    """start + the sum of amounts. Raises OverflowError where it leaves 64 bits."""
    cdef Py_ssize_t i
    cdef int128 wide = start
    with nogil:
        for i in range(amount.shape[0]):
            wide += amount[i]
    if wide > <int128> 0x7FFFFFFFFFFFFFFF or wide < -<int128> 0x7FFFFFFFFFFFFFFF:
        raise OverflowError("the sum of the amounts leaves 64 bits")
    return <long long> wide


def set_bits(uint64_t[::1] bits, const uint32_t[::1] rows):
    """Mark rows as paid before."""
    cdef Py_ssize_t i
    with nogil:
        for i in range(rows.shape[0]):
            bits[2 * <uint64_t> (rows[i] >> 6)] |= <uint64_t> 1 << (rows[i] & 63)


cdef inline uint8_t claim(uint64_t *bits, uint32_t row) noexcept nogil:
    """Take the entitlement of a row, or say who has it already. bits: pairs of one key."""
    cdef uint64_t *pair = &bits[2 * <uint64_t> (row >> 6)]
    cdef uint64_t bit = <uint64_t> 1 << (row & 63)
    if pair[0] & bit:
        return PAID_BEFORE
    if pair[1] & bit:
        return DUPLICATE_IN_TABLE
    pair[1] |= bit
    return NONE


cdef bint walk_post(
    Sums sums, Py_ssize_t n, uint8_t *reason, const uint32_t *row, const uint16_t *benefit,
    const uint16_t *month, const uint16_t *debtor, const uint16_t *debtor_agent,
    const uint16_t *participant, const int64_t *amount, int128 *reason_sum, int64_t *reason_count,
) noexcept nogil:
    """Post n lines; False where a sum would leave 64 bits."""
    cdef Py_ssize_t i, ahead, pair
    cdef uint8_t verdict
    cdef long long by_pair, by_benefit
    for i in range(n):
        ahead = i + AHEAD
        if ahead < n and reason[ahead] == NONE:
            prefetch(
                &sums.bits[sums.slot[benefit[ahead] * MONTHS + month[ahead]]][
                    2 * <uint64_t> (row[ahead] >> 6)
                ]
            )
        verdict = reason[i]
        if verdict == NONE:
            verdict = claim(sums.bits[sums.slot[benefit[i] * MONTHS + month[i]]], row[i])
            if verdict == NONE:
                pair = debtor_agent[debtor[i]] * sums.participants + participant[i]
                if (
                    add_overflows(sums.pair_sum[pair], amount[i], &by_pair)
                    or add_overflows(sums.benefit_sum[benefit[i]], amount[i], &by_benefit)
                ):
                    return False
                sums.pair_sum[pair] = by_pair
                sums.pair_count[pair] += 1
                sums.benefit_sum[benefit[i]] = by_benefit
                sums.benefit_count[benefit[i]] += 1
            else:
                reason[i] = verdict
        reason_sum[verdict] += amount[i]
        reason_count[verdict] += 1
    return True
