/* libFuzzer harness of wire/websocket_core.h: the same bytes whole and in pieces give the same events.
 *
 * The first byte of an input: bit 0 says whether compression was agreed on, the high half how many of the bytes behind it
 * say where to cut. Each piece is given in memory of exactly its size, so that a byte read beyond it is seen.
 * With REPLAY it has a main of its own, which runs the files it is given.
 */
#include <stdio.h>

#include "../src/chappe/wire/websocket_core.h"

enum { LIMIT = 2000, FRAGMENTS = 64, MAX_INPUT = 4096, TRACE = 8 * MAX_INPUT };

typedef struct {
    uint8_t bytes[TRACE];
    size_t size;
} trace;

static void add(trace *t, const void *data, size_t size) {
    assert(t->size + size <= TRACE);
    if (size) memcpy(t->bytes + t->size, data, size);
    t->size += size;
}

/* What an event is, in bytes that can be compared. */
static void record(trace *t, const ws_event *e) {
    uint8_t head[3] = {(uint8_t)e->kind, 0, 0};
    if (e->kind == WS_MESSAGE) {
        assert(e->size <= LIMIT);
        head[1] = (uint8_t)e->text;
        head[2] = (uint8_t)e->compressed;
    } else if (e->kind == WS_CLOSE || e->kind == WS_FAIL) {
        head[1] = (uint8_t)(e->code >> 8);
        head[2] = (uint8_t)e->code;
    } else {
        assert(e->size <= WS_MAX_CONTROL);
    }
    add(t, head, sizeof head);
    if (e->kind != WS_FAIL) add(t, e->payload, e->size);
}

/* Give one piece, and check what must always hold. */
static void give(ws_receiver *r, trace *t, const uint8_t *data, size_t size) {
    uint8_t *copy = malloc(size ? size : 1);
    size_t offset = 0;
    ws_event e;
    assert(copy);
    if (size) memcpy(copy, data, size);
    memset(&e, 0, sizeof e);
    while (ws_next(r, copy, size, &offset, &e) != WS_MORE) {
        assert(offset <= size);
        assert(!(e.kind == WS_CLOSE || e.kind == WS_FAIL) || r->ended);
        record(t, &e);
    }
    assert(offset == size);
    assert(r->length <= r->capacity && r->capacity <= LIMIT);
    assert(r->held_size <= WS_MAX_HELD && r->fragments <= FRAGMENTS);
    free(copy);
}

static void finish(ws_receiver *r, trace *t) {
    uint8_t told[3] = {(uint8_t)r->ended, (uint8_t)(r->ended ? 0 : ws_within_message(r)), 0};
    add(t, told, sizeof told);
    ws_free(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static trace whole, cut;
    ws_receiver one, other;
    size_t cuts, at = 0;
    const uint8_t *control;
    if (size == 0 || size > MAX_INPUT) return 0;
    cuts = data[0] >> 4;
    if (size < 1 + cuts) return 0;
    control = data + 1;
    ws_init(&one, LIMIT, FRAGMENTS, data[0] & 1);
    ws_init(&other, LIMIT, FRAGMENTS, data[0] & 1);
    data += 1 + cuts;
    size -= 1 + cuts;
    whole.size = cut.size = 0;
    give(&one, &whole, data, size);
    for (size_t i = 0; i < cuts; i++) {
        size_t n = control[i] < size - at ? control[i] : size - at;
        give(&other, &cut, data + at, n);
        at += n;
    }
    give(&other, &cut, data + at, size - at);
    finish(&one, &whole);
    finish(&other, &cut);
    assert(whole.size == cut.size && memcmp(whole.bytes, cut.bytes, whole.size) == 0);
    return 0;
}

#ifdef REPLAY
int main(int count, char **names) {
    static uint8_t data[MAX_INPUT];
    for (int i = 1; i < count; i++) {
        FILE *file = fopen(names[i], "rb");
        size_t size;
        if (!file) return 2;
        size = fread(data, 1, sizeof data, file);
        fclose(file);
        LLVMFuzzerTestOneInput(data, size);
    }
    printf("%d inputs\n", count - 1);
    return 0;
}
#endif
