/* What waits to be written to one socket: shared frames, in order, counted in bytes.
 *
 * All but `sq_write` needs the GIL. An entry keeps Python's bytes alive; what is written stays in place until `sq_settle`
 * lets it go, so that many queues can be written in one run without the GIL. Entries that were dropped leave a hole.
 */
#ifndef CHAPPE_SEND_QUEUE_H
#define CHAPPE_SEND_QUEUE_H

#include <Python.h>

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

enum {
    SQ_VECTORS = 64,           /* frames in one system call; 64 frames of a burst leave together */
    SQ_LARGE_BYTES = 262144,   /* a file, a recovered gap: not held against its reader while it is being written */
};
enum { SQ_EMPTY, SQ_BLOCKED, SQ_BROKEN }; /* how writing ended */

typedef struct {
    PyObject *data;            /* bytes as they go to the socket; NULL: a hole */
    PyObject *frame;           /* the Frame, if its policy allows that it is dropped, else NULL */
} sq_entry;

typedef struct {
    sq_entry first;            /* room for one, the usual number */
    sq_entry *ring;            /* NULL: `first` is all there is */
    uint64_t number;           /* of the head; entries are numbered in the order in which they came */
    uint32_t capacity;         /* of the ring, a power of two */
    uint32_t count;            /* entries, holes and written ones included */
    uint32_t holes;
    uint32_t written;          /* entries at the head that are written whole and not let go yet */
    size_t sent;               /* bytes written of the first entry that is not written whole */
    size_t bytes;              /* that wait */
} send_queue;

static inline void sq_init(send_queue *q) { memset(q, 0, sizeof *q); }

static inline sq_entry *sq_at(send_queue *q, uint32_t i) {
    return q->ring ? &q->ring[(q->number + i) & (q->capacity - 1)] : &q->first;
}

static inline size_t sq_size(const sq_entry *entry) { return (size_t)PyBytes_GET_SIZE(entry->data); }

/* Move into a ring of another size, without the holes; nothing written may wait to be let go. Returns 0: no memory. */
static inline int sq_resize(send_queue *q, uint32_t capacity) {
    sq_entry *ring = PyMem_Malloc(capacity * sizeof *ring);
    uint32_t kept = 0;
    if (!ring) return 0;
    assert(q->written == 0);
    for (uint32_t i = 0; i < q->count; i++) {
        sq_entry *entry = sq_at(q, i);
        if (entry->data) ring[(q->number + kept++) & (capacity - 1)] = *entry;
    }
    if (q->ring) PyMem_Free(q->ring);
    q->ring = ring;
    q->capacity = capacity;
    q->count = kept;
    q->holes = 0;
    return 1;
}

/* Append; takes new references. `moved` is set if entries changed their numbers. Returns 0: no memory. */
static inline int sq_push(send_queue *q, PyObject *data, PyObject *frame, int *moved) {
    sq_entry *entry;
    *moved = 0;
    if (q->count && q->count == (q->ring ? q->capacity : 1)) {
        uint32_t capacity = q->ring ? q->capacity : 1;
        *moved = q->holes > 0;
        if (!sq_resize(q, q->holes > q->count / 2 ? capacity : capacity < 8 ? 8 : capacity * 2)) return 0;
    }
    entry = sq_at(q, q->count++);
    Py_INCREF(data);
    Py_XINCREF(frame);
    entry->data = data;
    entry->frame = frame;
    q->bytes += (size_t)PyBytes_GET_SIZE(data);
    return 1;
}

/* Let entry `i` go unsent; the one that is being written may not. */
static inline void sq_drop(send_queue *q, uint32_t i) {
    sq_entry *entry = sq_at(q, i);
    q->bytes -= sq_size(entry);
    Py_CLEAR(entry->data);
    Py_CLEAR(entry->frame);
    q->holes++;
}

/* Let go of what is written, and of the ring once nothing waits. */
static inline void sq_settle(send_queue *q) {
    while (q->written) {
        sq_entry *entry = sq_at(q, 0);
        if (!entry->data) q->holes--;
        Py_CLEAR(entry->data);
        Py_CLEAR(entry->frame);
        q->number++;
        q->count--;
        q->written--;
    }
    if (!q->count && q->ring) {
        PyMem_Free(q->ring);
        q->ring = NULL;
        q->capacity = 0;
    }
}

/* Let go of everything. */
static inline void sq_clear(send_queue *q) {
    q->written = q->count;
    sq_settle(q);
    q->sent = q->bytes = 0;
}

/* Bytes that count against the cap: all that wait, but a large one that is being written. */
static inline size_t sq_charged(send_queue *q) {
    size_t size;
    if (q->written == q->count) return 0;
    if (!sq_at(q, q->written)->data) return q->bytes;
    size = sq_size(sq_at(q, q->written));
    return size < SQ_LARGE_BYTES ? q->bytes : q->bytes - (size - q->sent);
}

/* Gather what comes next. Returns the number of vectors, at most SQ_VECTORS. */
static inline int sq_gather(send_queue *q, struct iovec *vectors, size_t *total) {
    int n = 0;
    *total = 0;
    for (uint32_t i = q->written; i < q->count && n < SQ_VECTORS; i++) {
        sq_entry *entry = sq_at(q, i);
        size_t skipped = n ? 0 : q->sent;
        if (!entry->data) continue;
        vectors[n].iov_base = PyBytes_AS_STRING(entry->data) + skipped;
        vectors[n].iov_len = sq_size(entry) - skipped;
        *total += vectors[n++].iov_len;
    }
    return n;
}

/* Note that so many bytes are written. */
static inline void sq_advance(send_queue *q, size_t written) {
    q->bytes -= written;
    written += q->sent;
    q->sent = 0;
    while (q->written < q->count) {
        sq_entry *entry = sq_at(q, q->written);
        size_t size = entry->data ? sq_size(entry) : 0;
        if (written < size) {
            q->sent = written;
            return;
        }
        written -= size;
        q->written++;
    }
}

/* Write until all is gone or the socket takes no more; needs no GIL. Adds to `bytes` what was written. */
static inline int sq_write(send_queue *q, int fd, uint64_t *bytes) {
    struct iovec vectors[SQ_VECTORS];
    for (;;) {
        struct msghdr message = {.msg_iov = vectors};
        size_t total;
        ssize_t done;
        int n = sq_gather(q, vectors, &total);
        if (!n) {
            q->written = q->count;
            return SQ_EMPTY;
        }
        message.msg_iovlen = (size_t)n;
        if (n == 1) done = send(fd, vectors[0].iov_base, vectors[0].iov_len, MSG_DONTWAIT | MSG_NOSIGNAL);
        else done = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (done < 0) {
            if (errno == EINTR) continue;
            return errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS ? SQ_BLOCKED : SQ_BROKEN;
        }
        *bytes += (uint64_t)done;
        sq_advance(q, (size_t)done);
        if ((size_t)done < total) return SQ_BLOCKED;
    }
}

/* The writing end of one connection. */
typedef struct {
    send_queue queue;
    uint64_t bytes_out;
    int fd;
    int state;                 /* how the last writing ended */
} sq_outlet;

static inline double sq_now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Write to many sockets in turn, until `deadline_s`; needs no GIL. Returns how many had their turn, at least one. */
static inline Py_ssize_t sq_write_many(sq_outlet **outlets, Py_ssize_t count, double deadline_s) {
    Py_ssize_t i = 0;
    while (i < count) {
        sq_outlet *outlet = outlets[i++];
        outlet->state = sq_write(&outlet->queue, outlet->fd, &outlet->bytes_out);
        /* After each: one of them may take 0.1 ms, where the peer is on this machine and has waited to send. */
        if (sq_now_s() > deadline_s) break;
    }
    return i;
}

#endif
