# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The native codec: `websocket_core.h` with Python's bytes around it. Its twin is `websocket_pure`."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from chappe.wire.deflate import InflateError
from chappe.wire.websocket_limits import MAX_FRAGMENTS, shorten_reason

cdef enum:
    FIN = 0x80
    RSV1 = 0x40
    SCRATCH = 65536
    ABNORMAL = 1006

# Bytes of the peer are unmasked in place, and Python's may not be changed: they are copied here first.
cdef uint8_t[SCRATCH] scratch
# Inflating lets another thread, with a hub of its own, come in between.
cdef bint scratch_is_taken = False


def encode_frame(bytes payload not None, bint text, bint deflated=False):
    """Return a server's unmasked, unfragmented data frame (RFC 6455, 5.2); `deflated`: the payload is compressed."""
    cdef uint8_t first = FIN | (1 if text else 2) | (RSV1 if deflated else 0)
    return make_frame(first, <const uint8_t *>PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload))


cdef bytes make_frame(uint8_t first, const uint8_t *payload, size_t size):
    """Return a frame with a first byte of FIN, RSV and opcode."""
    cdef uint8_t head[10]
    cdef size_t head_size = ws_write_head(head, first, size)
    cdef bytes frame = PyBytes_FromStringAndSize(NULL, head_size + size)
    cdef char *out = PyBytes_AS_STRING(frame)
    memcpy(out, head, head_size)
    memcpy(out + head_size, payload, size)
    return frame


cdef class WebSocketCodec:
    """One connection's receiving state, and its control frames.

    Call `receive` with whatever came, then send `data_to_send`; once `ended` is true and that is sent, close TCP: the
    server closes first (RFC 6455, 7.1.1).

    Attributes:
        pings_in: pings received.
        ended: nothing more is received, and the last of `data_to_send` ends the connection.
    """

    def __cinit__(self, size_t max_message_bytes, inflate=None, uint32_t max_fragments=MAX_FRAGMENTS):
        """Begin behind the opening handshake; `inflate` undoes permessage-deflate, None: it was not negotiated."""
        ws_init(&self._receiver, max_message_bytes, max_fragments, inflate is not None)
        self._inflate = inflate
        self._close_code = ABNORMAL

    def __dealloc__(self):
        ws_free(&self._receiver)

    @property
    def frames_in(self):
        """Frames received, control frames included; any is a sign of life."""
        return self._receiver.frames

    @property
    def is_within_message(self):
        """Whether a frame, or a fragmented message, has begun and its end has not come."""
        return ws_within_message(&self._receiver)

    @property
    def close_code(self):
        """How the connection ended: the peer's code, 1005 for none in its close frame, 1006 for no close frame."""
        return self._close_code

    def limit(self, size_t max_message_bytes):
        """Set the largest message taken from here on, in bytes; a larger one ends the connection with 1009."""
        self._receiver.max_message = max_message_bytes

    def receive(self, data not None):
        """Take bytes of the peer; return the messages that are complete by them, in order, as (payload, is text).

        Never raises: what breaks the protocol ends the connection with the code that RFC 6455 asks for, and what comes
        behind it is ignored.
        """
        global scratch_is_taken
        cdef const uint8_t[::1] view = data
        cdef size_t size = view.shape[0], offset = 0
        cdef bint text = False
        cdef bytes payload
        cdef list messages = []
        cdef uint8_t *copy = scratch
        if size == 0 or self.ended:
            return messages
        if size > SCRATCH or scratch_is_taken:
            copy = <uint8_t *>malloc(size)
            if copy is NULL:
                raise MemoryError
        else:
            scratch_is_taken = True
        memcpy(copy, &view[0], size)
        try:
            while True:
                payload = self.next_message(copy, size, &offset, &text)
                if payload is None:
                    return messages
                messages.append((payload, text))
        finally:
            if copy is scratch:
                scratch_is_taken = False
            else:
                free(copy)

    def ping(self):
        """Ask for a pong."""
        if not self.ended:
            self._add(b"\x89\x00")

    def close(self, int code, str reason=""):
        """Say goodbye; does nothing if either side did already."""
        cdef bytes payload
        if not self.ended and not self._said_goodbye:
            self._said_goodbye = True
            payload = code.to_bytes(2, "big") + shorten_reason(reason).encode()
            self._add(make_frame(FIN | 8, <const uint8_t *>PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload)))

    cpdef void fail(self, int code, str reason):
        """End the connection because of what the peer did."""
        self.close(code, reason)
        self.ended = True
        self.forget()

    cdef void forget(self):
        """Receive nothing more, and let go of what came of an unfinished message."""
        ws_free(&self._receiver)
        self._receiver.ended = True

    def data_to_send(self):
        """Return what must be sent now: pongs, pings, close frames."""
        return self.take_output() or b""

    cdef bytes next_message(self, uint8_t *data, size_t size, size_t *offset, bint *text):
        """Return the next whole message in data[offset:size], or None: all of it is consumed, or the connection ended.

        The bytes are unmasked in place.
        """
        cdef ws_event event
        cdef bytes payload
        while True:
            ws_next(&self._receiver, data, size, offset, &event)
            if event.kind == WS_MESSAGE:
                payload = self._inflated(&event) if event.compressed else event.payload[:event.size]
                if payload is None:
                    return None
                text[0] = event.text
                return payload
            if event.kind == WS_PING:
                self.pings_in += 1
                if not self._said_goodbye:
                    self._add(make_frame(FIN | 10, event.payload, event.size))
            elif event.kind == WS_CLOSE:
                self._answer_close(&event)
                return None
            elif event.kind == WS_FAIL:
                self.fail(event.code, event.problem.decode())
                return None
            elif event.kind == WS_MORE:
                return None

    cdef bytes take_output(self):
        cdef list output = self._output
        if output is None:
            return None
        self._output = None
        return output[0] if len(output) == 1 else b"".join(output)

    cdef bytes _inflated(self, ws_event *event):
        """Return a compressed message as it was before, or None: it was refused."""
        cdef bytes plain
        cdef uint32_t state = 0
        try:
            plain = self._inflate(event.payload[:event.size], self._receiver.max_message)
        except InflateError as error:
            self.fail(error.close_code, error.reason)
            return None
        if event.text and (
            not ws_utf8(&state, <const uint8_t *>PyBytes_AS_STRING(plain), PyBytes_GET_SIZE(plain)) or state
        ):
            self.fail(1007, "text is no UTF-8")
            return None
        return plain

    cdef void _add(self, bytes frame):
        # Joined once: a flood of pings is answered before anybody counts it.
        if self._output is None:
            self._output = [frame]
        else:
            self._output.append(frame)

    cdef void _answer_close(self, ws_event *event):
        """Echo the peer's close (RFC 6455, 5.5.1), unless it answers ours."""
        self._close_code = event.code
        self.ended = True
        if not self._said_goodbye:
            self._said_goodbye = True
            self._add(make_frame(FIN | 8, event.payload, event.size))
