"""A search among few payments, shared by `branch`, which leads it, and `alone`."""

from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t, uint16_t, uint64_t

cdef extern from *:
    """
    #define SW_NEVER ((int64_t) 1 << 61)
    #define SW_FORCED ((int64_t) 1 << 60)
    """
    const int64_t NEVER "SW_NEVER"      # below it: what cannot be
    const int64_t FORCED "SW_FORCED"    # beyond any sum of claims

cdef enum:
    SUBSETS_OF_MAX = 8      # payments of a participant whose subsets are all looked at
    CELLS = 128             # of a participant's liquidity where there are more
    GAIN_BITS = 6           # a set has to be better by a 64th to be searched for

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
    int64_t *claim          # [2N]: of the value, the sender's, then the receiver's
    int64_t *wish           # [2N]: what settling is worth to the sender, then to the receiver
    int64_t *worth          # [N]: claims of one participant
    int64_t *apart          # [N]: what its best with each is above its best without
    int64_t *leaning        # [N]: the value, and what was agreed on beyond it
    int64_t *heard          # [2N]: what its sender says of each, then its receiver
    int64_t *before         # [(N+1)*CELLS]
    int64_t *behind         # [(N+1)*CELLS]
    int64_t decided_value


cdef void set_hurdle(Search *search) noexcept nogil
cdef Py_ssize_t free_count(Search *search, Py_ssize_t p) noexcept nogil
cdef int64_t best_alone(Search *search, Py_ssize_t p) noexcept nogil
cdef void try_wishes(Search *search) noexcept nogil
