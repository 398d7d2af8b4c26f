"""The native codec of MQTT as other native modules use it."""

from libc.stdint cimport uint8_t, uint32_t


cdef class PacketReader:
    cdef uint8_t *_buffer  # of a packet that is not whole yet
    cdef size_t _size, _capacity, _needed
    cdef const uint8_t *_allowed  # the characters of _table
    cdef bytes _table
    cdef int _level  # 0: no CONNECT has come
    cdef bint _from_client
    cdef size_t _max_connect_bytes
    cdef str _topic  # the last one, and its UTF-8: clients name the same again and again
    cdef const char *_topic_utf8
    cdef Py_ssize_t _topic_size
    cdef public size_t max_packet_bytes
    cdef readonly object version
    cdef readonly object error

    cdef list take(self, const uint8_t *data, size_t size)
    cdef Py_ssize_t _take_all(self, const uint8_t *data, size_t size, list packets) except -1
    cdef object _packet(self, uint8_t first, const uint8_t *body, size_t size)
    cdef object _open(self, bytes body, bint is_padded)
    cdef object _publish(self, uint8_t first, const uint8_t *body, size_t size)
    cdef str _topic_of(self, const uint8_t *data, Py_ssize_t size)
    cdef int _keep(self, const uint8_t *data, size_t size) except -1
    cdef void _fail(self, error)


cdef class PublishFrame:
    cdef bytes _frame
    cdef Py_ssize_t _at
    cdef readonly Py_ssize_t size_bytes
