"""The data types of MQTT and the properties of PUBLISH, for `_codec.pyx`, which includes this."""

cdef enum:
    MAX_STRING = 65535
    MAX_REMAINING = 268435455
    #: Identifiers of properties.
    PAYLOAD_FORMAT = 0x01
    MESSAGE_EXPIRY = 0x02
    CONTENT_TYPE = 0x03
    RESPONSE_TOPIC = 0x08
    CORRELATION_DATA = 0x09
    SUBSCRIPTION_ID = 0x0B
    TOPIC_ALIAS = 0x23
    USER_PROPERTY = 0x26


cdef inline uint32_t two_bytes(const uint8_t *data) noexcept nogil:
    return <uint32_t>data[0] << 8 | data[1]


cdef str text_of(const uint8_t *data, Py_ssize_t size):
    """Return text, or None: it is no UTF-8 of MQTT."""
    if size and memchr(data, 0, size):
        return None
    try:
        return PyUnicode_DecodeUTF8(<const char *>data, size, NULL)
    except UnicodeDecodeError:
        return None


cdef inline bint read_variable(const uint8_t *data, size_t size, size_t *at, size_t *value) noexcept nogil:
    """Read a variable byte integer in its shortest form; False: it is none, or not all there."""
    cdef int shift = 0
    cdef uint8_t byte
    value[0] = 0
    while at[0] < size and shift < 28:
        byte = data[at[0]]
        at[0] += 1
        value[0] |= <size_t>(byte & 0x7F) << shift
        if byte < 0x80:
            return byte != 0 or shift == 0
        shift += 7
    return False


cdef inline bint read_string(const uint8_t **at, const uint8_t *end, const uint8_t **data, Py_ssize_t *size) noexcept:
    """Find a string or binary data behind its length, and go on behind it; False: it is not all there."""
    if end - at[0] < 2:
        return False
    size[0] = two_bytes(at[0])
    data[0] = at[0] + 2
    if size[0] > end - data[0]:
        return False
    at[0] = data[0] + size[0]
    return True


cdef str read_text(const uint8_t **at, const uint8_t *end):
    """Read a string, and go on behind it; None: it is none."""
    cdef const uint8_t *data = NULL
    cdef Py_ssize_t size = 0
    return text_of(data, size) if read_string(at, end, &data, &size) else None


cdef object read_number(int identifier, const uint8_t **at, const uint8_t *end):
    """Read a payload format, message expiry or topic alias; None: it is out of its range, or not all there."""
    cdef const uint8_t *data = at[0]
    cdef uint32_t value
    if identifier == PAYLOAD_FORMAT:
        if end - data < 1 or data[0] > 1:
            return None
        at[0] = data + 1
        return data[0]
    if identifier == TOPIC_ALIAS:
        if end - data < 2 or two_bytes(data) == 0:
            return None
        at[0] = data + 2
        return two_bytes(data)
    if end - data < 4:
        return None
    at[0] = data + 4
    value = two_bytes(data) << 16 | two_bytes(data + 2)
    return value


cdef object read_property(int identifier, const uint8_t **at, const uint8_t *end):
    """Read a property that comes once; None: it is malformed, does not belong here, or is rare."""
    cdef const uint8_t *data = NULL
    cdef Py_ssize_t size = 0
    if identifier in (PAYLOAD_FORMAT, MESSAGE_EXPIRY, TOPIC_ALIAS):
        return read_number(identifier, at, end)
    if not read_string(at, end, &data, &size):
        return None
    if identifier == CONTENT_TYPE:
        return text_of(data, size)
    if identifier == CORRELATION_DATA:
        return data[:size]
    if identifier != RESPONSE_TOPIC or size == 0 or memchr(data, ord("+"), size) or memchr(data, ord("#"), size):
        return None
    return text_of(data, size)


cdef inline int slot_of(int identifier) noexcept nogil:
    """Return which field of PublishProperties holds a property that comes once."""
    if identifier == CONTENT_TYPE:
        return 7
    if identifier == TOPIC_ALIAS:
        return 2
    return identifier - 1 if identifier <= MESSAGE_EXPIRY else identifier - RESPONSE_TOPIC + 3


cdef object read_properties(const uint8_t *at, const uint8_t *end):
    """Return the properties of a PUBLISH, or None: something is wrong with them, or rare."""
    # In the order of the fields.
    cdef list values = [None, None, None, None, None, (), (), None]
    cdef list pairs = []
    cdef int identifier, slot
    cdef object value
    cdef str name, text
    while at < end:
        identifier = at[0]
        at += 1
        if identifier == USER_PROPERTY:
            name = read_text(&at, end)
            text = None if name is None else read_text(&at, end)
            if text is None:
                return None
            pairs.append((name, text))
            continue
        value = read_property(identifier, &at, end)
        if value is None:
            return None
        slot = slot_of(identifier)
        if values[slot] is not None:
            return None
        values[slot] = value
    if pairs:
        values[5] = tuple(pairs)
    return PublishProperties(*values)


cdef struct output:
    uint8_t *data
    size_t size
    size_t capacity


cdef uint8_t *room(output *out, size_t size) except NULL:
    """Return where the next bytes go."""
    cdef void *larger
    cdef size_t needed = out.size + size
    if needed > out.capacity:
        needed = max(needed, 2 * out.capacity, <size_t>256)
        larger = realloc(out.data, needed)
        if larger is NULL:
            raise MemoryError
        out.data = <uint8_t *>larger
        out.capacity = needed
    out.size += size
    return out.data + out.size - size


cdef bint write_bytes(output *out, const char *data, Py_ssize_t size) except -1:
    """Write binary data behind its length; False: it is too long."""
    cdef uint8_t *place
    if size > MAX_STRING:
        return False
    place = room(out, size + 2)
    place[0] = <uint8_t>(size >> 8)
    place[1] = <uint8_t>size
    memcpy(place + 2, data, size)
    return True


cdef bint write_text(output *out, str text) except -1:
    """Write a string; False: it cannot be written."""
    cdef Py_ssize_t size = 0
    cdef const char *data
    try:
        data = PyUnicode_AsUTF8AndSize(text, &size)
    except UnicodeEncodeError:
        return False
    return not memchr(data, 0, size) and write_bytes(out, data, size)


cdef bint write_number(
    output *out, uint8_t identifier, object number, int size, long long least, long long most
) except -1:
    """Write a number, if there is one; False: it is out of its range."""
    cdef long long value
    cdef uint8_t *place
    cdef int index
    if number is None:
        return True
    value = number
    if not least <= value <= most:
        return False
    place = room(out, size + 1)
    place[0] = identifier
    for index in range(size):
        place[1 + index] = <uint8_t>(value >> 8 * (size - 1 - index))
    return True


cdef bint write_identified(output *out, uint8_t identifier, str text) except -1:
    """Write a property of text, if there is one; False: it cannot be written."""
    if text is None:
        return True
    room(out, 1)[0] = identifier
    return write_text(out, text)


cdef inline int write_variable(uint8_t *place, size_t value) noexcept nogil:
    """Write a variable byte integer; return how many bytes it has."""
    cdef int size = 0
    while value >= 0x80:
        place[size] = <uint8_t>(value & 0x7F | 0x80)
        value >>= 7
        size += 1
    place[size] = <uint8_t>value
    return size + 1


cdef bint write_properties(output *out, properties) except -1:
    """Write the properties of a PUBLISH without their length; False: something is wrong with them."""
    cdef bytes correlation = properties.correlation_data
    cdef tuple pairs = properties.user_properties
    cdef tuple identifiers = properties.subscription_ids
    cdef uint8_t number[4]
    cdef size_t subscription_id
    cdef int size
    if not (
        write_number(out, PAYLOAD_FORMAT, properties.payload_format, 1, 0, 1)
        and write_number(out, MESSAGE_EXPIRY, properties.message_expiry_s, 4, 0, 0xFFFFFFFF)
        and write_number(out, TOPIC_ALIAS, properties.topic_alias, 2, 1, 0xFFFF)
        and write_identified(out, RESPONSE_TOPIC, properties.response_topic)
    ):
        return False
    if correlation is not None:
        room(out, 1)[0] = CORRELATION_DATA
        if not write_bytes(out, PyBytes_AS_STRING(correlation), PyBytes_GET_SIZE(correlation)):
            return False
    for name, value in pairs:
        room(out, 1)[0] = USER_PROPERTY
        if not (write_text(out, name) and write_text(out, value)):
            return False
    for identifier in identifiers:
        subscription_id = identifier
        if not 0 < subscription_id <= MAX_REMAINING:
            return False
        size = write_variable(number, subscription_id)
        room(out, 1)[0] = SUBSCRIPTION_ID
        memcpy(room(out, size), number, size)
    return write_identified(out, CONTENT_TYPE, properties.content_type)
