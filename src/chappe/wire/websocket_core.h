/* What a server receives on a WebSocket (RFC 6455), without I/O and without Python.
 *
 * `ws_next` takes bytes of the peer and returns one event at a time; it unmasks in place and copies only what is not
 * complete yet. An idle connection holds nothing but the struct. Memory grows with the bytes that came, never with the
 * length that a frame announces. Call `ws_free` at the end.
 */
#ifndef CHAPPE_WEBSOCKET_CORE_H
#define CHAPPE_WEBSOCKET_CORE_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { WS_MORE, WS_MESSAGE, WS_PING, WS_PONG, WS_CLOSE, WS_FAIL };
enum { WS_OP_CONT = 0, WS_OP_TEXT = 1, WS_OP_BINARY = 2, WS_OP_CLOSE = 8, WS_OP_PING = 9, WS_OP_PONG = 10 };
enum {
    WS_MAX_CONTROL = 125,     /* payload of a control frame (5.5) */
    WS_MAX_HELD = 14 + WS_MAX_CONTROL,
    WS_FIRST_BUFFER = 4096,   /* then it doubles */
};

typedef struct {
    int kind;                 /* WS_MORE: nothing, feed more */
    int text;                 /* WS_MESSAGE: is it text */
    int compressed;           /* WS_MESSAGE: RSV1 was set; its text is not checked yet */
    int code;                 /* WS_CLOSE: the peer's code, 1005 for none; WS_FAIL: the code to end with */
    const char *problem;      /* WS_FAIL: why */
    const uint8_t *payload;   /* valid until the next call */
    size_t size;
} ws_event;

typedef struct {
    uint8_t *message;         /* the unfinished message, unmasked */
    size_t length, capacity;
    size_t max_message;       /* bytes of a message; more ends with 1009 */
    uint64_t remaining;       /* bytes of the current frame that did not come */
    uint8_t *held;            /* an unfinished head, or a whole unfinished control frame */
    uint32_t utf8;            /* between two pieces of text: see ws_utf8 */
    uint32_t frames;          /* received, control frames included */
    uint8_t mask[4];          /* of the current frame, turned to its next byte */
    uint32_t max_fragments;   /* of a message, empty ones included (CVE-2026-48779: endless tiny fragments) */
    uint32_t fragments;
    uint8_t held_size;
    uint8_t opcode;           /* of the unfinished message; 0: there is none */
    uint8_t compressed;       /* the unfinished message is */
    uint8_t fin;              /* of the current frame */
    uint8_t in_frame;         /* a data frame began whose payload did not all come */
    uint8_t deflate;          /* permessage-deflate was negotiated */
    uint8_t delivered;        /* `message` went out with the last event */
    uint8_t ended;            /* after a close or a failure everything is ignored */
} ws_receiver;

typedef struct {
    size_t size;              /* of the head itself */
    uint64_t length;
    uint8_t first, mask[4];
} ws_head;

static inline void ws_init(ws_receiver *r, size_t max_message, uint32_t max_fragments, int deflate) {
    memset(r, 0, sizeof *r);
    r->max_fragments = max_fragments;
    r->max_message = max_message;
    r->deflate = deflate != 0;
}

static inline void ws_drop_message(ws_receiver *r) {
    free(r->message);
    r->message = NULL;
    r->length = r->capacity = 0;
    r->opcode = r->compressed = r->fragments = r->delivered = 0;
    r->utf8 = 0;
}

static inline void ws_free(ws_receiver *r) {
    ws_drop_message(r);
    free(r->held);
    r->held = NULL;
    r->held_size = 0;
}

/* Whether a frame, or a fragmented message, has begun and its end has not come. */
static inline int ws_within_message(const ws_receiver *r) {
    return r->held_size > 0 || r->in_frame || (r->opcode && !r->delivered);
}

/* XOR with the mask, a word at a time; the compiler makes vector instructions of the loop. */
static inline void ws_unmask(uint8_t *data, size_t size, const uint8_t mask[4]) {
    uint32_t half;
    uint64_t key, word;
    size_t i = 0;
    memcpy(&half, mask, 4);
    key = (uint64_t)half << 32 | half;
    for (; i + 8 <= size; i += 8) {
        memcpy(&word, data + i, 8);
        word ^= key;
        memcpy(data + i, &word, 8);
    }
    for (; i < size; i++) data[i] ^= mask[i & 3];
}

/* Turn the mask so that it begins where `size` bytes end. */
static inline void ws_turn_mask(uint8_t mask[4], size_t size) {
    uint8_t turned[4];
    for (int i = 0; i < 4; i++) turned[i] = mask[(size + (size_t)i) & 3];
    memcpy(mask, turned, 4);
}

/* Check a piece of UTF-8 (RFC 3629: no surrogates, no overlong forms, nothing above U+10FFFF).
 *
 * The state between two pieces is how many bytes are owed, and the range of the next one: need | low << 8 | high << 16;
 * 0: at a character's edge. Returns 0 for what is no UTF-8.
 */
static inline int ws_utf8(uint32_t *state, const uint8_t *p, size_t size) {
    uint32_t need = *state & 0xff, low = *state >> 8 & 0xff, high = *state >> 16;
    size_t i = 0;
    while (i < size) {
        uint8_t b;
        if (need == 0) {
            uint64_t word;
            while (i + 8 <= size && (memcpy(&word, p + i, 8), (word & 0x8080808080808080ull) == 0)) i += 8;
            while (i < size && p[i] < 0x80) i++;
            if (i == size) break;
            b = p[i++];
            if (b < 0xc2 || b > 0xf4) return 0;
            need = b < 0xe0 ? 1 : b < 0xf0 ? 2 : 3;
            low = b == 0xe0 ? 0xa0 : b == 0xf0 ? 0x90 : 0x80;
            high = b == 0xed ? 0x9f : b == 0xf4 ? 0x8f : 0xbf;
        } else {
            b = p[i++];
            if (b < low || b > high) return 0;
            need--;
            low = 0x80;
            high = 0xbf;
        }
    }
    *state = need ? need | low << 8 | high << 16 : 0;
    return 1;
}

/* Codes that a close frame may carry on the wire (7.4, and the registry of RFC 6455, 11.7). */
static inline int ws_valid_close_code(int code) {
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);
}

/* Write a server's frame head, at most 10 bytes; returns its size. */
static inline size_t ws_write_head(uint8_t *out, uint8_t first, size_t size) {
    out[0] = first;
    if (size < 126) {
        out[1] = (uint8_t)size;
        return 2;
    }
    if (size < 65536) {
        out[1] = 126;
        out[2] = (uint8_t)(size >> 8);
        out[3] = (uint8_t)size;
        return 4;
    }
    out[1] = 127;
    for (int i = 0; i < 8; i++) out[2 + i] = (uint8_t)((uint64_t)size >> (56 - 8 * i));
    return 10;
}

static inline int ws_fail(ws_receiver *r, ws_event *e, int code, const char *problem) {
    ws_free(r);
    r->ended = 1;
    r->in_frame = 0;
    e->code = code;
    e->problem = problem;
    return e->kind = WS_FAIL;
}

/* Read a head. Returns 1: it is whole, -1: the length is not in its shortest form (5.2), 0: there are too few bytes; with
 * two of them the rest can be judged, by a length that is 0 until it has come. */
static inline int ws_read_head(const uint8_t *p, size_t size, ws_head *head) {
    size_t at = 2;
    if (size < 2) return 0;
    head->first = p[0];
    head->length = p[1] & 0x7f;
    if (head->length >= 126) {
        size_t bytes = head->length == 126 ? 2 : 8;
        head->length = 0;
        if (size < at + bytes) return 0;
        for (size_t i = 0; i < bytes; i++) head->length = head->length << 8 | p[at + i];
        if (head->length < (bytes == 2 ? 126u : 65536u)) return -1;
        at += bytes;
    }
    if (p[1] & 0x80) {
        if (size < at + 4) return 0;
        memcpy(head->mask, p + at, 4);
        at += 4;
    }
    head->size = at;
    return 1;
}

/* What is wrong with a frame by its head alone; NULL: nothing. */
static inline const char *ws_head_problem(const ws_receiver *r, const uint8_t *p, const ws_head *head, int *code) {
    int opcode = head->first & 15, fin = head->first >> 7, control = opcode >= 8;
    *code = 1002;
    if (!(p[1] & 0x80)) return "a client's frame is not masked";
    if ((opcode > 2 && opcode < 8) || opcode > 10) return "reserved opcode";
    /* Before what is wrong otherwise: a length with its top bit set is too large for anybody. */
    if (head->length > r->max_message || (!control && r->length + head->length > r->max_message)) {
        *code = 1009;
        return "message too large";
    }
    if (head->first & 0x30 || (head->first & 0x40 && (!r->deflate || control || opcode == WS_OP_CONT)))
        return "reserved bits are set";
    if (control) {
        if (!fin) return "fragmented control frame";
        return head->length > WS_MAX_CONTROL ? "control frame too long" : NULL;
    }
    if (opcode == WS_OP_CONT && !r->opcode) return "a continuation of nothing";
    if (opcode != WS_OP_CONT && r->opcode) return "a new message inside another one";
    if ((!fin || opcode == WS_OP_CONT) && r->fragments >= r->max_fragments) {
        *code = 1008;
        return "too many fragments";
    }
    return NULL;
}

/* Carry a whole control frame out; its payload is unmasked already. */
static inline int ws_control(ws_receiver *r, ws_event *e, int opcode, const uint8_t *payload, size_t size) {
    uint32_t state = 0;
    r->frames++;
    e->payload = payload;
    e->size = size;
    if (opcode != WS_OP_CLOSE) return e->kind = opcode == WS_OP_PING ? WS_PING : WS_PONG;
    if (size == 1) return ws_fail(r, e, 1002, "close frame of one byte");
    e->code = size ? payload[0] << 8 | payload[1] : 1005;
    /* Before the code, as the pure twin and `websockets` do it: of two flaws all name the same. */
    if (size > 2 && (!ws_utf8(&state, payload + 2, size - 2) || state))
        return ws_fail(r, e, 1007, "close reason is no UTF-8");
    if (size && !ws_valid_close_code(e->code)) return ws_fail(r, e, 1002, "invalid close code");
    r->ended = 1;
    return e->kind = WS_CLOSE;
}

/* Make room for `size` more bytes; the buffer doubles, up to what the frame announces. Returns 0: no memory. */
static inline int ws_reserve(ws_receiver *r, size_t size) {
    size_t needed = r->length + size, announced = needed + (size_t)r->remaining, wanted;
    uint8_t *grown;
    if (needed <= r->capacity) return 1;
    wanted = r->capacity ? r->capacity * 2 : WS_FIRST_BUFFER;
    if (wanted > announced) wanted = announced;
    if (wanted < needed) wanted = needed;
    grown = realloc(r->message, wanted);
    if (!grown) return 0;
    r->message = grown;
    r->capacity = wanted;
    return 1;
}

static inline int ws_deliver(ws_receiver *r, ws_event *e, const uint8_t *payload, size_t size) {
    e->text = r->opcode == WS_OP_TEXT;
    e->compressed = r->compressed;
    if (e->text && !e->compressed && r->utf8) return ws_fail(r, e, 1007, "text is no UTF-8");
    e->payload = payload;
    e->size = size;
    r->delivered = 1;
    return e->kind = WS_MESSAGE;
}

/* Take the next piece of the current data frame. */
static inline int ws_piece(ws_receiver *r, uint8_t *data, size_t size, size_t *offset, ws_event *e) {
    size_t there = size - *offset, n = there < r->remaining ? there : (size_t)r->remaining;
    uint8_t *piece = data + *offset;
    int is_whole = n == r->remaining && r->fin && r->length == 0;
    ws_unmask(piece, n, r->mask);
    *offset += n;
    r->remaining -= n;
    if (r->opcode == WS_OP_TEXT && !r->compressed && !ws_utf8(&r->utf8, piece, n))
        return ws_fail(r, e, 1007, "text is no UTF-8");
    if (is_whole) {
        /* The usual case: the message is where it came, and no copy is made. */
        r->in_frame = 0;
        r->frames++;
        return ws_deliver(r, e, piece, n);
    }
    ws_turn_mask(r->mask, n);
    if (!ws_reserve(r, n)) return ws_fail(r, e, 1011, "out of memory");
    if (n) memcpy(r->message + r->length, piece, n);
    r->length += n;
    if (r->remaining) return e->kind = WS_MORE;
    r->in_frame = 0;
    r->frames++;
    return r->fin ? ws_deliver(r, e, r->message, r->length) : (e->kind = WS_MORE);
}

/* Fail if a head is wrong; its mask is not looked at, and may be still to come. Returns 0: it is right. */
static inline int ws_refuse(ws_receiver *r, const uint8_t *p, const ws_head *head, ws_event *e) {
    int code;
    const char *problem = ws_head_problem(r, p, head, &code);
    return problem ? ws_fail(r, e, code, problem) : 0;
}

/* Begin the frame whose whole head is at `p`. */
static inline int ws_begin(ws_receiver *r, const uint8_t *p, const ws_head *head, ws_event *e) {
    int opcode = head->first & 15;
    if (ws_refuse(r, p, head, e)) return WS_FAIL;
    if (opcode >= 8) return e->kind = WS_MORE;
    r->fin = head->first >> 7;
    if (!r->fin || opcode == WS_OP_CONT) r->fragments++;
    if (opcode != WS_OP_CONT) {
        r->opcode = (uint8_t)opcode;
        r->compressed = head->first >> 6 & 1;
    }
    memcpy(r->mask, head->mask, 4);
    r->remaining = head->length;
    r->in_frame = 1;
    return e->kind = WS_MORE;
}

/* Go on with a head, or a control frame, that came in pieces: byte by byte, as it is short. */
static inline int ws_continue_held(ws_receiver *r, uint8_t *data, size_t size, size_t *offset, ws_event *e) {
    while (*offset < size) {
        ws_head head;
        int whole;
        assert(r->held_size < WS_MAX_HELD);
        r->held[r->held_size++] = data[(*offset)++];
        whole = ws_read_head(r->held, r->held_size, &head);
        if (whole < 0) return ws_fail(r, e, 1002, "length not in its shortest form");
        if (!whole && r->held_size >= 2 && ws_refuse(r, r->held, &head, e)) return WS_FAIL;
        if (!whole) continue;
        if (r->held_size == head.size && ws_begin(r, r->held, &head, e) == WS_FAIL) return WS_FAIL;
        if ((head.first & 15) < 8) {
            r->held_size = 0;
            return e->kind = WS_MORE;
        }
        if (r->held_size < head.size + head.length) continue;
        r->held_size = 0;
        ws_unmask(r->held + head.size, (size_t)head.length, head.mask);
        return ws_control(r, e, head.first & 15, r->held + head.size, (size_t)head.length);
    }
    return e->kind = WS_MORE;
}

/* Keep the first bytes of a head or control frame whose rest did not come. */
static inline int ws_hold(ws_receiver *r, const uint8_t *data, size_t size, size_t *offset, ws_event *e) {
    if (*offset == size) return e->kind = WS_MORE;
    if (!r->held && !(r->held = malloc(WS_MAX_HELD))) return ws_fail(r, e, 1011, "out of memory");
    r->held_size = (uint8_t)(size - *offset);
    memcpy(r->held, data + *offset, r->held_size);
    *offset = size;
    return e->kind = WS_MORE;
}

/* Begin a frame whose first bytes are at `offset`; a control frame is carried out if it is all there. */
static inline int ws_start(ws_receiver *r, uint8_t *data, size_t size, size_t *offset, ws_event *e) {
    ws_head head;
    uint8_t *p = data + *offset;
    size_t there = size - *offset;
    int whole;
    if (there >= 2 && (p[1] & 0x7f) >= 126) {
        /* The two bytes ahead of a length are judged ahead of it, so that any split of the bytes gives the same. */
        memset(&head, 0, sizeof head);
        head.first = p[0];
        if (ws_refuse(r, p, &head, e)) return WS_FAIL;
    }
    whole = ws_read_head(p, there, &head);
    if (whole < 0) return ws_fail(r, e, 1002, "length not in its shortest form");
    if (!whole && there >= 2 && ws_refuse(r, p, &head, e)) return WS_FAIL;
    if (!whole) return ws_hold(r, data, size, offset, e);
    if (ws_begin(r, p, &head, e) == WS_FAIL) return WS_FAIL;
    if ((head.first & 15) >= 8) {
        if (there < head.size + head.length) return ws_hold(r, data, size, offset, e);
        *offset += head.size + (size_t)head.length;
        ws_unmask(p + head.size, (size_t)head.length, head.mask);
        return ws_control(r, e, head.first & 15, p + head.size, (size_t)head.length);
    }
    *offset += head.size;
    return e->kind = WS_MORE;
}

/* Return the next event in data[*offset:size] and move `offset` past it; WS_MORE once all of it is consumed.
 *
 * The bytes are unmasked in place. After WS_CLOSE and WS_FAIL everything that comes is ignored.
 */
static inline int ws_next(ws_receiver *r, uint8_t *data, size_t size, size_t *offset, ws_event *e) {
    e->kind = WS_MORE;
    if (r->delivered) ws_drop_message(r);
    for (;;) {
        if (r->held && !r->held_size) {
            free(r->held);
            r->held = NULL;
        }
        if (r->ended) {
            *offset = size;
            return WS_MORE;
        }
        if (r->in_frame) {
            if (*offset == size && r->remaining) return WS_MORE;
            if (ws_piece(r, data, size, offset, e) != WS_MORE) return e->kind;
        } else if (*offset == size) {
            return WS_MORE;
        } else if (r->held_size) {
            if (ws_continue_held(r, data, size, offset, e) != WS_MORE) return e->kind;
        } else if (ws_start(r, data, size, offset, e) != WS_MORE) {
            return e->kind;
        }
    }
}

#endif
