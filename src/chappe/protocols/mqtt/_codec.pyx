# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The native codec of MQTT: framing, PUBLISH and its acknowledgements. Its twin is `codec_pure`.

It reads and writes what is right and common. Whatever else comes, wrong or rare, goes the way of the twin, so that both
say the same of it.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdlib cimport free, realloc
from libc.string cimport memchr, memcmp, memcpy

from chappe.protocols.mqtt import codec_pure, fields
from chappe.protocols.mqtt.connect import decode_connect
from chappe.protocols.mqtt.decoder import decode_body
from chappe.protocols.mqtt.headers import endless_length, first_byte_error, first_bytes, padded_length, too_large
from chappe.protocols.mqtt.packets import (
    NO_PUBLISH_PROPERTIES,
    Puback,
    Pubcomp,
    Publish,
    PublishProperties,
    Pubrec,
    Pubrel,
)
from chappe.protocols.mqtt.reason_codes import MqttError

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL
    str PyUnicode_DecodeUTF8(const char *data, Py_ssize_t size, const char *errors)

cdef enum:
    V5 = 5
    PUBLISH = 3
    PUBACK = 4
    PUBREC = 5
    PUBREL = 6
    PUBCOMP = 7
    DUP = 0x08
    #: In front of a body: the first byte and four of length.
    MAX_HEADER = 5

cdef tuple ACKNOWLEDGEMENTS = (Puback, Pubrec, Pubrel, Pubcomp)
cdef object NO_PROPERTIES = NO_PUBLISH_PROPERTIES


include "_codec_properties.pxi"


cdef class PacketReader:
    """One connection's receiving state, as `codec_pure.PacketReader` describes it."""

    def __cinit__(self, size_t max_packet_bytes, version=None, max_connect_bytes=None):
        """Begin a connection; `max_connect_bytes` is the largest CONNECT taken (None: `max_packet_bytes`)."""
        self.max_packet_bytes = max_packet_bytes
        self._max_connect_bytes = max_packet_bytes if max_connect_bytes is None else max_connect_bytes
        self._from_client = version is None
        self._level = 0 if version is None else version
        self.version = version
        self._table = first_bytes(version, self._from_client)
        self._allowed = <const uint8_t *>PyBytes_AS_STRING(self._table)

    def __dealloc__(self):
        free(self._buffer)

    @property
    def buffered_bytes(self):
        """Bytes of a packet that is not whole yet."""
        return self._size

    def feed(self, data not None):
        """Take bytes of the peer; return the packets that are whole by them, in order."""
        cdef const uint8_t[::1] view = data
        return self.take(&view[0], view.shape[0]) if view.shape[0] else []

    cdef list take(self, const uint8_t *data, size_t size):
        cdef list packets = []
        cdef uint8_t *joined = NULL
        cdef Py_ssize_t used
        if self.error is not None:
            return packets
        if self._size:
            self._keep(data, size)
            if self._size < self._needed:
                return packets
            # Nothing that is called on the way may change what is read.
            joined, size = self._buffer, self._size
            self._buffer = NULL
            self._size = self._capacity = 0
            data = joined
        try:
            used = self._take_all(data, size, packets)
            if <size_t>used < size:
                self._keep(data + used, size - used)
        except MqttError as error:
            self._fail(error)
        finally:
            free(joined)
        return packets

    cdef Py_ssize_t _take_all(self, const uint8_t *data, size_t size, list packets) except -1:
        """Decode all whole packets; return the offset behind them."""
        cdef size_t at = 0, start, remaining, limit
        cdef uint8_t first, byte
        cdef int shift
        cdef bint is_padded
        while at < size:
            first = data[at]
            if not self._allowed[first]:
                raise first_byte_error(first, self.version, self._from_client)
            start, remaining, shift = at + 1, 0, 0
            while True:
                if start == size:
                    self._needed = 0
                    return at
                byte = data[start]
                start += 1
                remaining |= <size_t>(byte & 0x7F) << shift
                if byte < 0x80:
                    break
                shift += 7
                if shift == 28:
                    raise endless_length()
            is_padded = byte == 0 and shift
            if is_padded and self._level == V5:
                raise padded_length()
            limit = self.max_packet_bytes if self._level else self._max_connect_bytes
            if start - at + remaining > limit:
                raise too_large(start - at + remaining, limit)
            if remaining > size - start:
                self._needed = start - at + remaining
                return at
            if self._level:
                packets.append(self._packet(first, data + start, remaining))
            else:
                packets.append(self._open(data[start : start + remaining], is_padded))
            at = start + remaining
        return at

    cdef object _packet(self, uint8_t first, const uint8_t *body, size_t size):
        """Decode a packet other than CONNECT."""
        cdef int kind = first >> 4
        cdef uint32_t packet_id
        cdef object packet
        if kind == PUBLISH:
            packet = self._publish(first, body, size)
            if packet is not None:
                return packet
        elif PUBACK <= kind <= PUBCOMP and size == 2:
            packet_id = two_bytes(body)
            if packet_id:
                return ACKNOWLEDGEMENTS[kind - PUBACK](packet_id)
        return decode_body(first, body[:size], self.version, self._from_client)

    cdef object _open(self, bytes body, bint is_padded):
        """Decode CONNECT, and learn the version from it."""
        connect = decode_connect(body)
        self.version = connect.version
        self._level = connect.version
        if is_padded and self._level == V5:
            raise padded_length()
        self._table = first_bytes(self.version, True)
        self._allowed = <const uint8_t *>PyBytes_AS_STRING(self._table)
        return connect

    cdef object _publish(self, uint8_t first, const uint8_t *body, size_t size):
        """Decode a PUBLISH; None: something is wrong with it, or rare."""
        cdef size_t at, length
        cdef int qos = first >> 1 & 3
        cdef uint32_t packet_id = 0
        cdef str topic
        cdef object properties = NO_PROPERTIES
        if size < 2:
            return None
        length = two_bytes(body)
        at = 2 + length
        if length == 0 or at + (2 if qos else 0) + (1 if self._level == V5 else 0) > size:
            return None
        topic = self._topic_of(body + 2, length)
        if topic is None:
            return None
        if qos:
            packet_id = two_bytes(body + at)
            at += 2
            if packet_id == 0:
                return None
        if self._level == V5:
            if not read_variable(body, size, &at, &length) or length > size - at:
                return None
            if length:
                properties = read_properties(body + at, body + at + length)
                if properties is None:
                    return None
                at += length
        return Publish(
            topic, body[at:size], qos, bool(first & 1), bool(first & DUP), packet_id, properties
        )

    cdef str _topic_of(self, const uint8_t *data, Py_ssize_t size):
        """Return a topic name, or None: it is none."""
        cdef str topic
        if self._topic is not None and size == self._topic_size and memcmp(data, self._topic_utf8, size) == 0:
            return self._topic
        if memchr(data, ord("+"), size) or memchr(data, ord("#"), size):
            return None
        topic = text_of(data, size)
        if topic is not None:
            self._topic = topic
            self._topic_utf8 = PyUnicode_AsUTF8AndSize(topic, &self._topic_size)
        return topic

    cdef int _keep(self, const uint8_t *data, size_t size) except -1:
        """Keep bytes of a packet that is not whole yet."""
        cdef size_t needed = self._size + size
        cdef void *larger
        if needed > self._capacity:
            # It grows by what came and not by what was promised.
            needed = max(needed, 2 * self._capacity)
            larger = realloc(self._buffer, needed)
            if larger is NULL:
                raise MemoryError
            self._buffer = <uint8_t *>larger
            self._capacity = needed
        memcpy(self._buffer + self._size, data, size)
        self._size += size
        return 0

    cdef void _fail(self, error):
        """End because of what the peer sent; the error stays alive as long as the connection, its frames do not."""
        self.error = codec_pure.bare(error)
        if error.version is not None:
            self.version = error.version


cdef bytes make_publish(uint8_t first, str topic, bytes payload, int version, uint32_t packet_id, properties):
    """Return a PUBLISH, or None: something is wrong with it."""
    cdef output out
    cdef bint is_right = True
    out.data = NULL
    out.size = out.capacity = 0
    try:
        if version == V5 and properties is not NO_PROPERTIES:
            is_right = write_properties(&out, properties)
        return join_publish(first, topic, payload, version, packet_id, &out) if is_right else None
    finally:
        free(out.data)


cdef bytes join_publish(
    uint8_t first, str topic, bytes payload, int version, uint32_t packet_id, const output *properties
):
    """Return the parts of a PUBLISH as one packet, or None: the topic is none, or it is too large."""
    cdef Py_ssize_t topic_size = 0, payload_size = PyBytes_GET_SIZE(payload)
    cdef const char *name
    cdef uint8_t property_length[5]
    cdef uint8_t head[MAX_HEADER]
    cdef int property_bytes = 0, head_bytes
    cdef size_t remaining
    cdef bytes frame
    cdef uint8_t *place
    try:
        name = PyUnicode_AsUTF8AndSize(topic, &topic_size)
    except UnicodeEncodeError:
        return None
    if not 0 < topic_size <= MAX_STRING or is_no_topic(name, topic_size):
        return None
    if version == V5:
        property_bytes = write_variable(property_length, properties.size)
    remaining = 2 + topic_size + (2 if packet_id else 0) + property_bytes + properties.size + payload_size
    if remaining > MAX_REMAINING:
        return None
    head[0] = first
    head_bytes = 1 + write_variable(head + 1, remaining)
    frame = PyBytes_FromStringAndSize(NULL, head_bytes + remaining)
    place = <uint8_t *>PyBytes_AS_STRING(frame)
    memcpy(place, head, head_bytes)
    place += head_bytes
    place[0] = <uint8_t>(topic_size >> 8)
    place[1] = <uint8_t>topic_size
    memcpy(place + 2, name, topic_size)
    place += 2 + topic_size
    if packet_id:
        place[0] = <uint8_t>(packet_id >> 8)
        place[1] = <uint8_t>packet_id
        place += 2
    memcpy(place, property_length, property_bytes)
    place += property_bytes
    if properties.size:
        memcpy(place, properties.data, properties.size)
        place += properties.size
    memcpy(place, PyBytes_AS_STRING(payload), payload_size)
    return frame


cdef inline bint is_no_topic(const char *name, Py_ssize_t size) noexcept:
    return memchr(name, 0, size) or memchr(name, ord("+"), size) or memchr(name, ord("#"), size)


def encode_publish(
    str topic not None,
    bytes payload not None,
    version,
    int qos=0,
    bint retain=False,
    bint dup=False,
    int packet_id=0,
    properties=NO_PUBLISH_PROPERTIES,
):
    """Encode a PUBLISH, as `codec_pure.encode_publish` describes it."""
    cdef uint8_t first
    cdef bytes frame = None
    if 0 < qos <= 2 and 0 < packet_id <= MAX_STRING or qos == 0 and not dup and packet_id == 0:
        first = PUBLISH << 4 | (DUP if dup else 0) | qos << 1 | (1 if retain else 0)
        frame = make_publish(first, topic, payload, version, packet_id, properties)
    if frame is None:
        return codec_pure.encode_publish(topic, payload, version, qos, retain, dup, packet_id, properties)
    return frame


def encode_acknowledgement(int packet_type, int packet_id):
    """Encode a bare acknowledgement, as `codec_pure.encode_acknowledgement` describes it."""
    cdef uint8_t frame[4]
    if not (PUBACK <= packet_type <= PUBCOMP and 0 < packet_id <= MAX_STRING):
        return codec_pure.encode_acknowledgement(packet_type, packet_id)
    frame[0] = <uint8_t>(packet_type << 4 | (2 if packet_type == PUBREL else 0))
    frame[1] = 2
    frame[2] = <uint8_t>(packet_id >> 8)
    frame[3] = <uint8_t>packet_id
    return PyBytes_FromStringAndSize(<const char *>frame, 4)


cdef Py_ssize_t packet_id_offset(const uint8_t *frame) noexcept:
    """Return where the packet id of a PUBLISH of QoS 1 or 2 stands that we wrote."""
    cdef Py_ssize_t at = 1
    while frame[at] & 0x80:
        at += 1
    return at + 3 + two_bytes(frame + at + 1)


cdef class PublishFrame:
    """A PUBLISH of QoS 1 or 2 encoded once for many readers, as `codec_pure.PublishFrame` describes it."""

    def __cinit__(
        self,
        str topic not None,
        bytes payload not None,
        version,
        int qos,
        bint retain=False,
        properties=NO_PUBLISH_PROPERTIES,
    ):
        """Encode; raises LocalProtocolError as `encode_publish` does."""
        self._frame = encode_publish(topic, payload, version, qos, retain, False, 1, properties)
        self._at = packet_id_offset(<const uint8_t *>PyBytes_AS_STRING(self._frame))
        self.size_bytes = PyBytes_GET_SIZE(self._frame)

    def with_id(self, int packet_id, bint dup=False):
        """Return the packet with an id of 1 to 65,535."""
        cdef bytes frame
        cdef uint8_t *place
        if not 0 < packet_id <= MAX_STRING:
            fields.packet_id(packet_id)
        frame = PyBytes_FromStringAndSize(PyBytes_AS_STRING(self._frame), self.size_bytes)
        place = <uint8_t *>PyBytes_AS_STRING(frame)
        if dup:
            place[0] |= DUP
        place[self._at] = <uint8_t>(packet_id >> 8)
        place[self._at + 1] = <uint8_t>packet_id
        return frame
