"""Shapes shared by the rooms of the native core. docs/formats.md draws the records byte by byte."""

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t

# One fused record a person, half a cache line: everything that screening asks about a person.
cdef packed struct Person:
    uint64_t word           # id in bits 0..39, status in 40..41, flags above; 0 = empty slot
    uint64_t name_key       # key of the registered name; 0 = never matches
    uint64_t account        # account word (see _account.pxd), or if LISTED the place in the list
    uint32_t row            # dense number of the person, given once, never changed
    uint16_t participant    # the register's own code of the account's participant
    uint16_t valid_from     # first valid day since 1970-01-01; 0 = always

# One registered account; those of a person stand together, the first that counts first.
cdef packed struct Account:
    uint64_t account
    uint32_t row
    int32_t valid_from      # days since 1970-01-01; DAY_MIN = always
    int32_t valid_to        # inclusive; DAY_MAX = open
    uint16_t participant
    uint8_t priority
    uint8_t kind

cdef extern from *:
    """
    #define SW_ID_MASK      ((1ULL << 40) - 1)
    #define SW_STATUS_SHIFT 40
    #define SW_USED         (1ULL << 42)   /* the slot holds a person */
    #define SW_KNOWN        (1ULL << 43)   /* the person stands in the population register */
    #define SW_HAS_SINCE    (1ULL << 44)   /* the status holds from a day in the since list on */
    #define SW_HAS_ACCOUNT  (1ULL << 45)
    #define SW_LISTED       (1ULL << 46)   /* which account counts depends on the day */
    #define SW_UNANSWERED   (1ULL << 47)   /* with status revoked: late, no answer has come yet */
    #define SW_TWICE        (1ULL << 48)   /* with status revoked: the identity is not one alone */
    #define SW_NO_ROW       0xFFFFFFFFU
    #define SW_NO_CODE      0xFFFFU        /* no participant, benefit or debtor of that name */
    #define SW_NOT_GIVEN    0xFFFEU        /* the table names no creditor agent */
    #define SW_DAY_MIN      (-2147483647 - 1)
    #define SW_DAY_MAX      2147483647
    #define SW_MONTHS       13200          /* 1900-01 to 2999-12 */
    typedef unsigned __int128 sw_u128;
    typedef __int128 sw_i128;
    """
    const uint64_t ID_MASK "SW_ID_MASK"
    const int STATUS_SHIFT "SW_STATUS_SHIFT"
    const uint64_t USED "SW_USED"
    const uint64_t KNOWN "SW_KNOWN"
    const uint64_t HAS_SINCE "SW_HAS_SINCE"
    const uint64_t HAS_ACCOUNT "SW_HAS_ACCOUNT"
    const uint64_t LISTED "SW_LISTED"
    const uint64_t UNANSWERED "SW_UNANSWERED"
    const uint64_t TWICE "SW_TWICE"
    const uint32_t NO_ROW "SW_NO_ROW"
    const uint16_t NO_CODE "SW_NO_CODE"
    const uint16_t NOT_GIVEN "SW_NOT_GIVEN"
    const int32_t DAY_MIN "SW_DAY_MIN"
    const int32_t DAY_MAX "SW_DAY_MAX"
    const uint32_t MONTHS "SW_MONTHS"
    ctypedef unsigned long long uint128 "sw_u128"
    ctypedef long long int128 "sw_i128"
    void prefetch "__builtin_prefetch" (const void *) noexcept nogil
    bint add_overflows "__builtin_add_overflow" (long long, long long, long long *) noexcept nogil

# Life status in the record; 0 is the only one that is paid.
cdef enum:
    ALIVE = 0
    DECEASED = 1
    MISSING = 2
    REVOKED = 3
    LATE = 4
    DUPLICATE = 5           # a duplicate identity
    UNKNOWN = 6             # not in the population database (any more)
