"""The native codec as other native modules use it."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t


cdef extern from "websocket_core.h" nogil:
    enum:
        WS_MORE
        WS_MESSAGE
        WS_PING
        WS_PONG
        WS_CLOSE
        WS_FAIL

    ctypedef struct ws_event:
        int kind
        bint text
        bint compressed
        int code
        const char *problem
        const uint8_t *payload
        size_t size

    ctypedef struct ws_receiver:
        size_t capacity
        size_t max_message
        uint32_t frames
        bint ended

    void ws_init(ws_receiver *receiver, size_t max_message, uint32_t max_fragments, int deflate)
    void ws_free(ws_receiver *receiver)
    bint ws_within_message(const ws_receiver *receiver)
    bint ws_utf8(uint32_t *state, const uint8_t *data, size_t size)
    size_t ws_write_head(uint8_t *out, uint8_t first, size_t size)
    int ws_next(ws_receiver *receiver, uint8_t *data, size_t size, size_t *offset, ws_event *event)


cdef bytes make_frame(uint8_t first, const uint8_t *payload, size_t size)


cdef class WebSocketCodec:
    cdef ws_receiver _receiver
    cdef object _inflate
    cdef list _output  # control frames to be sent; None: none
    cdef bint _said_goodbye
    cdef int _close_code
    cdef readonly bint ended
    cdef readonly uint32_t pings_in

    cdef bytes next_message(self, uint8_t *data, size_t size, size_t *offset, bint *text)
    cdef bytes take_output(self)
    cdef bytes _inflated(self, ws_event *event)
    cdef void _add(self, bytes frame)
    cdef void forget(self)
    cdef void _answer_close(self, ws_event *event)
    cpdef void fail(self, int code, str reason)
