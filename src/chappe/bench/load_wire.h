/* What the load generator puts on the wire and looks for in what comes back: stamps, templates, client frames. */
#ifndef CHAPPE_LOAD_WIRE_H
#define CHAPPE_LOAD_WIRE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- A growing run of bytes -------------------------------------------------------------------------------------- */

struct bytes {
    uint8_t *data;
    size_t length, capacity;
};

static void bytes_reserve(struct bytes *b, size_t more)
{
    if (b->length + more <= b->capacity)
        return;
    b->capacity = (b->length + more) * 2;
    b->data = realloc(b->data, b->capacity);
    if (!b->data)
        abort(); /* as every allocation here: a measurement without memory has nothing to report */
}

static void bytes_append(struct bytes *b, const void *data, size_t length)
{
    if (!length)
        return;
    bytes_reserve(b, length);
    memcpy(b->data + b->length, data, length);
    b->length += length;
}

static void bytes_drop(struct bytes *b, size_t count)
{
    b->length -= count;
    if (b->length)
        memmove(b->data, b->data + count, b->length);
}

/* A link that waits for nothing should cost nothing: there may be tens of thousands of them. */
static void bytes_release(struct bytes *b)
{
    free(b->data);
    *b = (struct bytes){0};
}

/* --- Stamps ------------------------------------------------------------------------------------------------------ */

/* `@`, 16 digits of nanoseconds, 5 of the sender, 8 of the sequence, all hexadecimal: nothing that JSON would escape,
 * and `@` occurs nowhere else in our messages, so that memchr finds the stamp in whatever a server wraps around it. */
enum { STAMP_BYTES = 30 };

struct stamp {
    uint64_t at;
    uint32_t sender, sequence;
};

static void put_hex(uint8_t *out, uint64_t value, int digits)
{
    for (int i = digits - 1; i >= 0; i--, value >>= 4)
        out[i] = (uint8_t)"0123456789abcdef"[value & 15];
}

static void stamp_write(uint8_t *out, struct stamp stamp)
{
    out[0] = '@';
    put_hex(out + 1, stamp.at, 16);
    put_hex(out + 17, stamp.sender, 5);
    put_hex(out + 22, stamp.sequence, 8);
}

static int get_hex(const uint8_t *in, int digits, uint64_t *value)
{
    uint64_t v = 0;
    for (int i = 0; i < digits; i++) {
        uint8_t c = in[i];
        uint8_t digit = (uint8_t)(c - '0') < 10 ? (uint8_t)(c - '0') : (uint8_t)(c - 'a') < 6 ? (uint8_t)(c - 'a' + 10) : 16;
        if (digit > 15)
            return 0;
        v = v << 4 | digit;
    }
    *value = v;
    return 1;
}

/* Find the next stamp; NULL without one. `*rest` is where an unfinished stamp begins, or the end. */
static const uint8_t *stamp_find(const uint8_t *from, const uint8_t *end, struct stamp *stamp, const uint8_t **rest)
{
    const uint8_t *p = from;
    while ((p = memchr(p, '@', (size_t)(end - p)))) {
        uint64_t at, sender, sequence;
        if (end - p < STAMP_BYTES) {
            *rest = p;
            return NULL;
        }
        if (get_hex(p + 1, 16, &at) && get_hex(p + 17, 5, &sender) && get_hex(p + 22, 8, &sequence)) {
            *stamp = (struct stamp){at, (uint32_t)sender, (uint32_t)sequence};
            *rest = p + STAMP_BYTES;
            return p;
        }
        p++;
    }
    *rest = end;
    return NULL;
}

/* --- Templates --------------------------------------------------------------------------------------------------- */

/* `%i` becomes the number of the connection, `%r` of its room, `%s` the payload: room for a stamp, then `x`. */
static void template_expand(struct bytes *out, const char *text, int index, int rooms, size_t payload_bytes)
{
    char number[16];
    for (const char *p = text; *p; p++) {
        if (p[0] == '%' && (p[1] == 'i' || p[1] == 'r')) {
            int value = p[1] == 'i' || rooms < 1 ? index : index % rooms;
            bytes_append(out, number, (size_t)snprintf(number, sizeof number, "%d", value));
            p++;
        } else if (p[0] == '%' && p[1] == 's') {
            size_t length = payload_bytes < STAMP_BYTES ? STAMP_BYTES : payload_bytes;
            bytes_reserve(out, length);
            memset(out->data + out->length, 'x', length);
            out->data[out->length] = '@';
            out->length += length;
            p++;
        } else {
            bytes_append(out, p, 1);
        }
    }
}

static int template_names_sender(const char *text) { return strstr(text, "%i") || strstr(text, "%r"); }

/* --- Frames of a client ------------------------------------------------------------------------------------------ */

enum { OP_TEXT = 1, OP_CLOSE = 8, OP_PING = 9, OP_PONG = 10 };
enum { RSV1 = 0x40 };

/* A fixed mask is as much work for the server as a random one, and lets a frame be prepared once. */
static const uint8_t MASK[4] = {7, 91, 33, 200};

static void frame_append(struct bytes *out, int opcode, const uint8_t *payload, size_t length)
{
    uint8_t head[14] = {(uint8_t)(0x80 | opcode)};
    size_t h = 2;
    if (length < 126) {
        head[1] = (uint8_t)(0x80 | length);
    } else if (length < 65536) {
        head[1] = 0x80 | 126;
        head[2] = (uint8_t)(length >> 8);
        head[3] = (uint8_t)length;
        h = 4;
    } else {
        head[1] = 0x80 | 127;
        for (int i = 0; i < 8; i++)
            head[2 + i] = (uint8_t)((uint64_t)length >> (56 - 8 * i));
        h = 10;
    }
    memcpy(head + h, MASK, 4);
    bytes_append(out, head, h + 4);
    bytes_reserve(out, length);
    for (size_t i = 0; i < length; i++)
        out->data[out->length + i] = payload[i] ^ MASK[i & 3];
    out->length += length;
}

/* The message of a sender, prepared but for its stamp. */
struct prepared {
    struct bytes text, frame;
    size_t stamp_in_text, stamp_in_frame;
    size_t id_in_frame; /* of a PUBLISH of MQTT; 0: it has none */
    int sender; /* -1: nothing prepared yet */
    int stamped;
};

static void prepare(struct prepared *p, const char *text, int sender, int rooms, size_t payload_bytes)
{
    p->text.length = p->frame.length = 0;
    template_expand(&p->text, text, sender, rooms, payload_bytes);
    frame_append(&p->frame, OP_TEXT, p->text.data, p->text.length);
    const uint8_t *mark = memchr(p->text.data, '@', p->text.length);
    p->stamped = mark != NULL;
    p->stamp_in_text = mark ? (size_t)(mark - p->text.data) : 0;
    p->stamp_in_frame = p->frame.length - p->text.length + p->stamp_in_text;
    p->sender = sender;
}

static void prepared_stamp(struct prepared *p, struct stamp stamp)
{
    uint8_t plain[STAMP_BYTES];
    if (!p->stamped)
        return;
    stamp_write(plain, stamp);
    for (size_t i = 0; i < STAMP_BYTES; i++)
        p->frame.data[p->stamp_in_frame + i] = plain[i] ^ MASK[(p->stamp_in_text + i) & 3];
}

/* Look at the head of a server's frame. Returns its length, 0 while it is incomplete. */
static size_t frame_head(const uint8_t *data, size_t available, uint64_t *payload_bytes)
{
    if (available < 2)
        return 0;
    uint64_t length = data[1] & 127;
    size_t head = length == 126 ? 4 : length == 127 ? 10 : 2;
    if (available < head)
        return 0;
    if (head > 2) {
        length = 0;
        for (size_t i = 2; i < head; i++)
            length = length << 8 | data[i];
    }
    *payload_bytes = length;
    return head;
}

#endif
