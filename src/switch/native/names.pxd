from libc.stdint cimport int32_t, uint8_t, uint64_t

cdef Py_ssize_t walk_keys(
    int version, const int32_t *offsets, const uint8_t *data, Py_ssize_t count, uint64_t *keys,
    uint64_t *masks,
) noexcept nogil
