"""Big memory in 2 MiB pages: filled once, reused, freed with its owner."""

from cpython.buffer cimport PyBuffer_FillInfo
from libc.string cimport memset


cdef extern from * nogil:
    """
    #include <stdlib.h>
    #if defined(__linux__)
    #include <sys/mman.h>
    static void sw_advise(void *at, size_t size) { madvise(at, size, MADV_HUGEPAGE); }
    #else
    static void sw_advise(void *at, size_t size) { (void) at; (void) size; }
    #endif
    """
    int posix_memalign(void **at, size_t alignment, size_t size)
    void free(void *at)
    void sw_advise(void *at, size_t size)


cdef class Pages:
    """size bytes of memory, writable through the buffer protocol: at a 2 MiB boundary, or at one of
    a cache line where less than half of such a page would be filled. Zeroed, unless the owner says
    that it fills all that it reads."""

    def __cinit__(self, size_t size, bint zeroed=True):
        cdef size_t page = 1 << 21 if size > 1 << 20 else 1 << 6
        cdef size_t room = max((size + page - 1) // page * page, page)
        self.size = size
        self.at = NULL
        if posix_memalign(<void **> &self.at, page, room):
            raise MemoryError(f"no memory for {size} bytes")
        if page > 1 << 6:
            sw_advise(self.at, room)
        if zeroed:
            with nogil:
                memset(self.at, 0, size)

    def __dealloc__(self):
        free(self.at)

    def __len__(self):
        return self.size

    def __getbuffer__(self, Py_buffer *view, int flags):
        PyBuffer_FillInfo(view, self, self.at, <Py_ssize_t> self.size, 0, flags)
