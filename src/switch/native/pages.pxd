from libc.stdint cimport uint8_t


cdef class Pages:
    cdef uint8_t *at
    cdef readonly size_t size
