"""The people table: open addressing over fused records in 2 MiB pages."""

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t

from switch.native.types cimport ID_MASK, Account, Person, prefetch, uint128


cdef class PeopleTable:
    cdef Person *slots
    cdef uint64_t capacity      # slots
    cdef readonly uint64_t count    # people and strangers with a row = rows given
    cdef object _memory         # owns the slots
    cdef int _allocate(self, uint64_t people) except -1
    cpdef int reserve(self, uint64_t people) except -1


cdef inline uint64_t home_slot(uint64_t person_id, uint64_t capacity) noexcept nogil:
    """Slot at which the search for an id begins: a mixed hash, scaled to the number of slots."""
    cdef uint64_t h = person_id * <uint64_t> 0x9E3779B97F4A7C15
    h = (h ^ (h >> 32)) * <uint64_t> 0xD6E8FEB86659FD93
    return <uint64_t> ((<uint128> h * capacity) >> 64)


cdef inline Person *fetch_ahead(
    Person *slots, uint64_t capacity, uint64_t person_id
) noexcept nogil:
    """Ask for the two cache lines in which a search nearly always ends: from the slot returned."""
    cdef Person *home = &slots[home_slot(person_id, capacity)]
    prefetch(home)
    prefetch(<const uint8_t *> home + 64)
    return home


cdef inline Person *find_from(
    Person *slots, uint64_t capacity, Person *home, uint64_t person_id
) noexcept nogil:
    """The record of an id whose search begins at home, or the empty slot where it would stand."""
    while home.word != 0 and (home.word & ID_MASK) != person_id:
        home += 1
        if home == &slots[capacity]:
            home = slots
    return home


cdef inline Person *find(Person *slots, uint64_t capacity, uint64_t person_id) noexcept nogil:
    """The record of an id, or the empty slot where it would stand."""
    return find_from(slots, capacity, &slots[home_slot(person_id, capacity)], person_id)
