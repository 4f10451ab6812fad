"""The ledger of one batch: duplicate check and positions, line by line in table order.

Phases duplicate check, clear and net. IN: what screening left alive, with row, benefit, month of
the period, debtor agent, participant and amount. OUT: reasons DUPLICATE_IN_TABLE, PAID_BEFORE and
COVER_MISSING, the sums that clearing needs: counts and money by reason, by benefit, and by pair of
debtor agent and receiver, from which every position follows. All sums are checked.

Where settlement participants have room for so much debit alone (`limit`), a line for which there is
no room waits, and behind it every line of its debtor agent of the same or a later class. Room that
receipts make is given to what waits by `release`.
"""

import numpy as np

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from switch.native.reason cimport *
from switch.native.types cimport MONTHS, add_overflows, int128, prefetch

cdef enum:
    BLOCK = 16              # lines that go through a step together
    AHEAD = 32              # lines between the prefetch of paid bits and their use
    RING = 64               # lines under way: more than AHEAD + BLOCK, a power of two
    KEYS_MAX = 4096         # distinct (benefit, period) of one batch
    NOTHING_WAITS = 255     # above every class


# What posting writes to besides the reasons, copied into the frame of the loop.
cdef struct Sums:
    uint64_t **bits             # by key: pairs of words, NULL where they were not handed in
    Py_ssize_t participants, benefits
    int64_t *pair_sum
    int64_t *pair_count
    int64_t *benefit_sum
    int64_t *benefit_count


# Room for debit, likewise. settle, capped, room, waits: by participant; priority: by benefit.
cdef struct Cover:
    const uint16_t *settle      # whose settlement account pays for it
    const uint8_t *capped       # a settlement participant whose room is limited
    int64_t *room               # how much more it may be debited; only where capped
    const uint8_t *priority     # class of a benefit, 1 first
    uint8_t *waits              # by debtor agent: the first class of which a line waits


# A chunk of lines, likewise; only the reason is written.
cdef struct Lines:
    uint8_t *reason
    const uint32_t *row
    const uint16_t *benefit
    const uint16_t *month
    const uint16_t *debtor
    const uint16_t *debtor_agent
    const uint16_t *participant
    const int64_t *amount


# Lines that wait, oldest first, as `Ledger.release` takes them.
cdef struct Waiting:
    uint8_t *verdict
    const uint32_t *row
    const uint16_t *benefit
    const uint16_t *month
    const uint16_t *agent
    const uint16_t *participant
    const int64_t *amount


cdef class Ledger:
    """Paid bits of the keys in use, and the sums of one batch.

    A key is a (benefit, period). Its bits are pairs of 64-bit words, 64 rows a pair: word 2k says
    who was paid before, word 2k + 1 who is cleared in this batch, so that one cache line answers
    both. The bits are handed in (`use`) and belong to the caller.
    """

    cdef readonly Py_ssize_t benefits, participants
    cdef list _keep
    cdef uint64_t[::1] bits
    cdef int64_t[::1] pair_sum, pair_count, benefit_sum, benefit_count
    cdef int128 reason_sum[REASONS_COUNT]
    cdef int64_t reason_count[REASONS_COUNT]
    cdef readonly bint limited
    cdef uint16_t[::1] settle
    cdef uint8_t[::1] capped, priority, waits
    cdef int64_t[::1] room

    def __init__(
        self, Py_ssize_t benefits, Py_ssize_t participants, int64_t[::1] pair_sum,
        int64_t[::1] pair_count, int64_t[::1] benefit_sum, int64_t[::1] benefit_count,
    ):
        """Zeroed arrays of the caller: pair_sum and pair_count i64[participants**2], benefit_sum
        and benefit_count i64[benefits]."""
        cdef int i
        assert pair_sum.shape[0] == pair_count.shape[0] == participants * participants
        assert benefit_sum.shape[0] == benefit_count.shape[0] == benefits
        self.benefits = benefits
        self.participants = participants
        self.bits = np.zeros(benefits * MONTHS, np.uint64)
        self.pair_sum = pair_sum
        self.pair_count = pair_count
        self.benefit_sum = benefit_sum
        self.benefit_count = benefit_count
        self.limited = False
        self._keep = []
        for i in range(REASONS_COUNT):
            self.reason_sum[i] = 0
            self.reason_count[i] = 0

    def limit(
        self, uint16_t[::1] settle, uint8_t[::1] capped, int64_t[::1] room, uint8_t[::1] priority,
        uint8_t[::1] waits,
    ):
        """From now on lines wait where room is missing. Arrays of the caller: settle u16, capped
        u8, room i64 (kept as lines clear) and waits u8 by participant, priority u8[benefits]."""
        assert settle.shape[0] == capped.shape[0] == room.shape[0] == self.participants
        assert waits.shape[0] == self.participants and priority.shape[0] == self.benefits
        self.settle = settle
        self.capped = capped
        self.room = room
        self.priority = priority
        self.waits = waits
        self.waits[:] = NOTHING_WAITS
        self.limited = True

    cdef Sums _sums(self) noexcept:
        cdef Sums sums
        sums.bits = <uint64_t **> &self.bits[0]
        sums.participants = self.participants
        sums.benefits = self.benefits
        sums.pair_sum = &self.pair_sum[0]
        sums.pair_count = &self.pair_count[0]
        sums.benefit_sum = &self.benefit_sum[0]
        sums.benefit_count = &self.benefit_count[0]
        return sums

    cdef Cover _cover(self) noexcept:
        cdef Cover cover
        cover.settle = &self.settle[0]
        cover.capped = &self.capped[0]
        cover.room = &self.room[0]
        cover.priority = &self.priority[0]
        cover.waits = &self.waits[0]
        return cover

    def use(self, uint32_t key, uint64_t[::1] bits):
        """Take the bits of a key, benefit * MONTHS + month (pairs of words for every row), for the
        rest of the batch."""
        assert bits.shape[0] and not self.bits[key]
        if len(self._keep) == KEYS_MAX:
            raise ValueError(f"more than {KEYS_MAX} distinct (benefit, period) in one batch")
        self.bits[key] = <uint64_t> &bits[0]
        self._keep.append(bits)

    def post(
        self, uint8_t[::1] reason, const uint32_t[::1] row, const uint16_t[::1] benefit,
        const uint16_t[::1] month, const uint16_t[::1] debtor,
        const uint16_t[::1] debtor_agent, const uint16_t[::1] participant,
        const int64_t[::1] amount, Py_ssize_t start,
    ):
        """Post a chunk in table order, from line start on. debtor: index into debtor_agent;
        debtor_agent and participant: directory index.

        Returns the first living line whose key has no bits yet, where posting goes on after `use`;
        the length of the chunk when all is posted. Raises OverflowError where a sum leaves 64 bits;
        the ledger is then not to be used again.
        """
        cdef Py_ssize_t n = reason.shape[0]
        cdef Sums sums
        cdef Cover cover
        cdef Lines lines
        cdef Py_ssize_t posted
        assert row.shape[0] == benefit.shape[0] == month.shape[0] == amount.shape[0] == n
        assert debtor.shape[0] == participant.shape[0] == n
        if start >= n:
            return n
        sums = self._sums()
        lines.reason = &reason[0]
        lines.row = &row[0]
        lines.benefit = &benefit[0]
        lines.month = &month[0]
        lines.debtor = &debtor[0]
        lines.debtor_agent = &debtor_agent[0]
        lines.participant = &participant[0]
        lines.amount = &amount[0]
        if self.limited:
            cover = self._cover()
            with nogil:
                posted = walk_post_under_caps(
                    sums, &cover, lines, start, n, self.reason_sum, self.reason_count
                )
        else:
            with nogil:
                posted = walk_post_freely(
                    sums, lines, start, n, self.reason_sum, self.reason_count
                )
        if posted < 0:
            raise OverflowError("a sum of cleared amounts leaves 64 bits")
        return posted

    def release(
        self, uint8_t[::1] verdict, const uint32_t[::1] row, const uint16_t[::1] benefit,
        const uint16_t[::1] month, const uint16_t[::1] agent, const uint16_t[::1] participant,
        const int64_t[::1] amount, const int64_t[::1] order, int64_t[::1] head,
        const int64_t[::1] end, const int64_t[::1] rank, const int64_t[::1] ahead,
    ):
        """Give room to lines that wait (oldest first), as long as there is any for the head of a
        queue: of several heads that fit the one of the first class goes, and of these the oldest.

        verdict uint8, IN COVER_MISSING; OUT NONE where the line goes, PAID_BEFORE where its
        entitlement was taken meanwhile. agent: directory index of the debtor agent. Queues are in
        order of class, rank[q]: queue q holds the lines order[head[q]:end[q]], head moves; ahead[q]
        is the queue of the same agent in the class before, or -1. The tally by reason stays.
        Raises OverflowError as `post` does.
        """
        cdef Py_ssize_t n = verdict.shape[0], queues = head.shape[0]
        cdef Sums sums = self._sums()
        cdef Cover cover
        cdef Waiting lines
        cdef bint released
        assert self.limited and order.shape[0] == n
        assert row.shape[0] == benefit.shape[0] == month.shape[0] == amount.shape[0] == n
        assert agent.shape[0] == participant.shape[0] == n
        assert end.shape[0] == rank.shape[0] == ahead.shape[0] == queues
        if n == 0:
            return
        cover = self._cover()
        lines.verdict = &verdict[0]
        lines.row = &row[0]
        lines.benefit = &benefit[0]
        lines.month = &month[0]
        lines.agent = &agent[0]
        lines.participant = &participant[0]
        lines.amount = &amount[0]
        with nogil:
            released = walk_release(
                sums, &cover, &lines, n, queues, &order[0], &head[0], &end[0], &rank[0], &ahead[0]
            )
        if not released:
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


cdef inline uint64_t *pair_of(uint64_t *bits, uint32_t row) noexcept nogil:
    """The two words of one key in which a row has its bit: paid before, cleared now."""
    return &bits[2 * <uint64_t> (row >> 6)]


cdef inline uint8_t claim(uint64_t *pair, uint32_t row) noexcept nogil:
    """Take the entitlement of a row, or say who has it already."""
    cdef uint64_t bit = <uint64_t> 1 << (row & 63)
    if pair[0] & bit:
        return PAID_BEFORE
    if pair[1] & bit:
        return DUPLICATE_IN_TABLE
    pair[1] |= bit
    return NONE


cdef inline bint taken(const uint64_t *pair, uint32_t row) noexcept nogil:
    """Somebody has the entitlement already."""
    return ((pair[0] | pair[1]) >> (row & 63)) & 1


cdef inline bint fits(
    const Cover *cover, uint16_t agent, uint16_t participant, int64_t amount,
) noexcept nogil:
    """There is room for the line: it moves nothing between settlement accounts, or not too much."""
    cdef uint16_t payer = cover.settle[agent]
    return (
        payer == cover.settle[participant] or not cover.capped[payer]
        or amount <= cover.room[payer]
    )


cdef inline bint waits(
    const Cover *cover, uint16_t agent, uint16_t participant, uint16_t benefit, int64_t amount,
) noexcept nogil:
    """There is no room for the line, or a line before it waits; then others wait behind it."""
    cdef uint8_t priority
    if cover.settle[agent] == cover.settle[participant]:
        return False
    priority = cover.priority[benefit]
    if priority >= cover.waits[agent]:
        return True
    if fits(cover, agent, participant, amount):
        return False
    cover.waits[agent] = priority
    return True


cdef inline bint take_room(
    const Cover *cover, uint16_t agent, uint16_t participant, int64_t amount,
) noexcept nogil:
    """The line goes: room of payer and receiver afterwards. False where it would leave 64 bits."""
    cdef uint16_t payer = cover.settle[agent], payee = cover.settle[participant]
    cdef long long more
    if payer == payee:
        return True
    if cover.capped[payer]:
        cover.room[payer] -= amount
    if cover.capped[payee]:
        if add_overflows(cover.room[payee], amount, &more):
            return False
        cover.room[payee] = more
    return True


cdef inline bint add_line(
    const Sums *sums, uint16_t agent, uint16_t participant, uint16_t benefit, int64_t amount,
) noexcept nogil:
    """Count a line that goes; False where a sum would leave 64 bits."""
    cdef Py_ssize_t pair = agent * sums.participants + participant
    cdef long long by_pair, by_benefit
    if (
        add_overflows(sums.pair_sum[pair], amount, &by_pair)
        or add_overflows(sums.benefit_sum[benefit], amount, &by_benefit)
    ):
        return False
    sums.pair_sum[pair] = by_pair
    sums.pair_count[pair] += 1
    sums.benefit_sum[benefit] = by_benefit
    sums.benefit_count[benefit] += 1
    return True


cdef inline Py_ssize_t fetch_bits(
    const Sums *sums, const Lines *lines, uint64_t **pairs, Py_ssize_t start, Py_ssize_t end,
) noexcept nogil:
    """Ask for the paid bits of the living among lines start to end - 1. Returns end, or the first
    of them whose key has none."""
    cdef Py_ssize_t i
    cdef uint64_t *bits
    for i in range(start, end):
        if lines.reason[i] == NONE:
            bits = sums.bits[lines.benefit[i] * MONTHS + lines.month[i]]
            if bits == NULL:
                return i
            pairs[i & (RING - 1)] = pair_of(bits, lines.row[i])
            prefetch(pairs[i & (RING - 1)])
    return end


cdef inline bint claim_lines(
    const Lines *lines, uint64_t **pairs, const Cover *cover, bint limited, Py_ssize_t start,
    Py_ssize_t end,
) noexcept nogil:
    """Give lines start to end - 1 their last reason; False where room would leave 64 bits."""
    cdef Py_ssize_t i
    cdef uint16_t agent
    cdef uint64_t *pair
    for i in range(start, end):
        if lines.reason[i] != NONE:
            continue
        pair = pairs[i & (RING - 1)]
        if limited:
            agent = lines.debtor_agent[lines.debtor[i]]
            if not taken(pair, lines.row[i]) and waits(
                cover, agent, lines.participant[i], lines.benefit[i], lines.amount[i]
            ):
                lines.reason[i] = COVER_MISSING
                continue
        lines.reason[i] = claim(pair, lines.row[i])
        if limited and lines.reason[i] == NONE and not take_room(
            cover, agent, lines.participant[i], lines.amount[i]
        ):
            return False
    return True


cdef inline bint count_lines(
    const Sums *sums, const Lines *lines, Py_ssize_t start, Py_ssize_t end, int128 *reason_sum,
    int64_t *reason_count,
) noexcept nogil:
    """Add lines start to end - 1 to the sums; False where one would leave 64 bits."""
    cdef Py_ssize_t i
    for i in range(start, end):
        if lines.reason[i] != NONE:
            reason_sum[lines.reason[i]] += lines.amount[i]
            reason_count[lines.reason[i]] += 1
        elif not add_line(
            sums, lines.debtor_agent[lines.debtor[i]], lines.participant[i], lines.benefit[i],
            lines.amount[i],
        ):
            return False
    return True


cdef inline void count_cleared(
    const Sums *sums, int sign, int128 *reason_sum, int64_t *reason_count
) noexcept nogil:
    """Add what all benefits have, or take it away: the sums of lines without a reason."""
    cdef Py_ssize_t benefit
    for benefit in range(sums.benefits):
        reason_sum[NONE] += sign * <int128> sums.benefit_sum[benefit]
        reason_count[NONE] += sign * sums.benefit_count[benefit]


cdef inline Py_ssize_t walk_post(
    Sums sums, const Cover *cover, bint limited, Lines lines, Py_ssize_t start, Py_ssize_t n,
    int128 *reason_sum, int64_t *reason_count,
) noexcept nogil:
    """Post lines start to n - 1; what `Ledger.post` returns, or -1 where a sum would leave 64 bits.
    limited is a constant of the caller, so that without caps nothing of them is left in the
    loops."""
    cdef uint64_t *pairs[RING]
    cdef Py_ssize_t end = start, fetched = start, wanted
    # What clears here is what the benefits have more in the end: no sum of its own a line.
    count_cleared(&sums, -1, reason_sum, reason_count)
    while end < n:
        start = end
        end = min(start + BLOCK, n)
        wanted = min(end + AHEAD, n)
        fetched = fetch_bits(&sums, &lines, pairs, fetched, wanted)
        if fetched < wanted:
            n = fetched
            end = min(end, n)
        if not claim_lines(&lines, pairs, cover, limited, start, end) or not count_lines(
            &sums, &lines, start, end, reason_sum, reason_count
        ):
            return -1
    count_cleared(&sums, 1, reason_sum, reason_count)
    return n


cdef Py_ssize_t walk_post_freely(
    Sums sums, Lines lines, Py_ssize_t start, Py_ssize_t n, int128 *reason_sum,
    int64_t *reason_count,
) noexcept nogil:
    return walk_post(sums, NULL, False, lines, start, n, reason_sum, reason_count)


cdef Py_ssize_t walk_post_under_caps(
    Sums sums, const Cover *cover, Lines lines, Py_ssize_t start, Py_ssize_t n,
    int128 *reason_sum, int64_t *reason_count,
) noexcept nogil:
    return walk_post(sums, cover, True, lines, start, n, reason_sum, reason_count)


cdef inline bint behind(
    Py_ssize_t queue, const int64_t *head, const int64_t *end, const int64_t *ahead,
) noexcept nogil:
    """A line of the same agent waits in a class before."""
    cdef Py_ssize_t before = ahead[queue]
    while before >= 0:
        if head[before] < end[before]:
            return True
        before = ahead[before]
    return False


cdef inline uint64_t *waiting_pair(
    const Sums *sums, const Waiting *lines, Py_ssize_t i
) noexcept nogil:
    return pair_of(sums.bits[lines.benefit[i] * MONTHS + lines.month[i]], lines.row[i])


cdef Py_ssize_t next_queue(
    Sums sums, const Cover *cover, const Waiting *lines, Py_ssize_t queues, const int64_t *order,
    int64_t *head, const int64_t *end, const int64_t *rank, const int64_t *ahead,
) noexcept nogil:
    """The queue whose head goes next, or -1. Heads whose entitlement is taken are refused."""
    cdef Py_ssize_t q, i, best = -1
    for q in range(queues):
        while head[q] < end[q]:
            i = order[head[q]]
            if not taken(waiting_pair(&sums, lines, i), lines.row[i]):
                break
            lines.verdict[i] = PAID_BEFORE
            head[q] += 1
        if head[q] == end[q] or behind(q, head, end, ahead):
            continue
        i = order[head[q]]
        if best >= 0 and (rank[q] > rank[best] or i > order[head[best]]):
            continue
        if fits(cover, lines.agent[i], lines.participant[i], lines.amount[i]):
            best = q
    return best


cdef bint walk_release(
    Sums sums, const Cover *cover, const Waiting *lines, Py_ssize_t n, Py_ssize_t queues,
    const int64_t *order, int64_t *head, const int64_t *end, const int64_t *rank,
    const int64_t *ahead,
) noexcept nogil:
    cdef Py_ssize_t i, q = next_queue(sums, cover, lines, queues, order, head, end, rank, ahead)
    cdef uint8_t priority
    while q >= 0:
        i = order[head[q]]
        lines.verdict[i] = claim(waiting_pair(&sums, lines, i), lines.row[i])
        if not add_line(
            &sums, lines.agent[i], lines.participant[i], lines.benefit[i], lines.amount[i]
        ) or not take_room(cover, lines.agent[i], lines.participant[i], lines.amount[i]):
            return False
        head[q] += 1
        q = next_queue(sums, cover, lines, queues, order, head, end, rank, ahead)
    for i in range(sums.participants):
        cover.waits[i] = NOTHING_WAITS
    for i in range(n):
        if lines.verdict[i] == COVER_MISSING:
            if taken(waiting_pair(&sums, lines, i), lines.row[i]):
                lines.verdict[i] = PAID_BEFORE
                continue
            priority = cover.priority[lines.benefit[i]]
            if priority < cover.waits[lines.agent[i]]:
                cover.waits[lines.agent[i]] = priority
    return True
