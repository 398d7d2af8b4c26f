"""Reactor and links as other native modules use them."""

from cpython.object cimport PyObject
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from chappe.transports.native._linux cimport (
    close_fd, EPOLL_CLOEXEC, epoll_create1, epoll_ctl, EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, epoll_event,
    epoll_wait, EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, Event, event_of, F_GETFL, F_SETFL, fcntl, IPPROTO_TCP,
    MSG_DONTWAIT, O_NONBLOCK, recv, setsockopt, SHUT_RDWR, SHUT_WR, shutdown, TCP_NODELAY,
)
from chappe.wire._websocket cimport WebSocketCodec


cdef extern from "send_queue.h" nogil:
    enum:
        SQ_EMPTY
        SQ_BLOCKED
        SQ_BROKEN

    ctypedef struct sq_entry:
        void *data
        void *frame

    ctypedef struct send_queue:
        uint64_t number
        uint32_t count
        uint32_t holes
        size_t sent
        size_t bytes

    ctypedef struct sq_outlet:
        send_queue queue
        uint64_t bytes_out
        int fd
        int state

    double sq_now_s()
    Py_ssize_t sq_write_many(sq_outlet **outlets, Py_ssize_t count, double deadline_s)


# These hold Python objects, so they need the GIL.
cdef extern from *:
    """
    #include "send_queue.h"
    """
    bint sq_push(send_queue *queue, PyObject *data, PyObject *frame, int *moved)
    sq_entry *sq_at(send_queue *queue, uint32_t index)
    void sq_drop(send_queue *queue, uint32_t index)
    void sq_settle(send_queue *queue)
    void sq_clear(send_queue *queue)
    size_t sq_charged(send_queue *queue)


cdef struct Slot:
    void *link  # an owned NativeLink, or NULL
    uint32_t generation
    uint32_t next_free


cdef class Reactor:
    cdef readonly int epfd
    cdef readonly uint32_t open_links
    cdef object _loop
    cdef object _counters
    cdef object _on_gone
    cdef object _end_by
    cdef object _deflated
    cdef size_t _max_bytes
    cdef size_t _frame_bytes
    cdef uint32_t _fragments
    cdef uint32_t _max_messages
    cdef double _close_timeout_s
    cdef double _batch_window_s
    # What is received; and what is, while that is not done with.
    cdef uint8_t *_scratch
    cdef uint8_t *_aside
    # All links, by index; free slots form a list.
    cdef Slot *_slots
    cdef uint32_t _slot_count
    cdef uint32_t _free_slot
    # Links with something to write: the links, owned, and their outlets.
    cdef void **_dirty
    cdef sq_outlet **_outlets
    cdef Py_ssize_t _dirty_count
    cdef Py_ssize_t _dirty_capacity
    # What the kernel named and was not served yet, and links that have bytes left in user space.
    cdef Event *_events
    cdef int _event_at
    cdef int _event_count
    cdef list _ready
    cdef list _round
    # Links that were served out of turn, but not with all they brought.
    cdef list _cut
    cdef NativeLink _served
    # Links that end as soon as nothing iterates over them.
    cdef list _failing
    cdef bint _is_serving
    cdef bint _is_looking
    cdef bint _is_scheduled
    cdef bint _window_is_open
    cdef int _messages
    cdef double _serve_until_s
    cdef double _now_s
    cdef double _look_due_s  # when those who ask for little may be looked for again
    cdef double _served_since_s
    cdef double _served_until_s  # others have their turn then
    cdef double _elsewhere_s  # what looks took in all
    cdef Py_ssize_t _write_left  # of those that waited to be written to when writing began, in greedy times
    cdef double _greedy_until_s  # links that were paused lately may have a turn
    cdef double _dirty_since_s  # the first of the links below is waiting
    cdef uint64_t _bytes_in
    cdef uint64_t _bytes_out
    cdef uint64_t _messages_out
    cdef object __weakref__

    cdef void _mark_dirty(self, NativeLink link)
    cdef void _mark_ready(self, NativeLink link)
    cdef void _fail_later(self, NativeLink link)
    cdef void _schedule(self)
    cdef bint _is_out_of_time(self)
    cdef bint _turn_is_over(self)
    cdef bint _must_write(self)
    cdef void _serve(self)
    cdef void _serve_one(self, NativeLink link, bint receives)
    cdef NativeLink _link_of(self, Event event)
    cdef void _fetch(self)
    cdef void _write_out(self)
    cdef void _flush(self)
    cdef void _grow_dirty(self) except *
    cdef bint _has_news(self, NativeLink link)
    cdef void _end_failing(self)
    cdef void _settle(self)
    cdef void _release(self, NativeLink link)
    cdef int _control(self, int operation, NativeLink link)
    cdef void _take_slot(self, NativeLink link) except *


cdef class NativeLink:
    cdef Reactor _reactor
    cdef WebSocketCodec _codec  # None: an SSE stream, or a bare connection
    cdef public object receiver
    cdef public object seat
    cdef list _probes
    cdef dict _dropped
    cdef dict _latest
    cdef sq_outlet _out
    cdef uint8_t *_stash
    cdef uint32_t _piece  # bytes to receive at once
    cdef uint32_t _stash_at
    cdef uint32_t _stash_end
    cdef readonly double last_heard
    cdef readonly double opened_at
    cdef readonly double pinged_at
    cdef readonly double message_began
    cdef readonly uint64_t bytes_in
    cdef readonly uint64_t messages_in
    cdef readonly uint64_t messages_out
    cdef double _cost_s  # seconds that serving it took lately; 0: it was not served yet
    cdef double _pings_began
    cdef uint32_t _pings
    cdef uint32_t _cuts  # looks in a row that did not take all it brought
    cdef uint32_t _index
    cdef uint32_t _watched
    cdef uint64_t _drop_from  # the number in the queue of the first frame that may be dropped
    # The place in the first audience; further ones keep it themselves.
    cdef void *home
    cdef Py_ssize_t home_place
    cdef readonly bint closing
    cdef bint _is_deflating
    cdef bint _is_bare  # what it receives and sends has no frames of ours around it (MQTT)
    cdef bint _is_dirty
    cdef bint _is_blocked
    cdef readonly bint paused
    cdef bint _is_ready
    cdef bint _is_drained  # nothing was left when it was served last
    cdef bint _is_finishing
    cdef bint _is_lingering
    cdef bint _is_eof
    cdef bint _is_slow
    cdef bint _gone

    cdef bytes bytes_of(self, object frame)
    cdef bint enqueue(self, bytes data, object droppable) except -1
    cdef void _push(self, bytes data, object droppable)
    cdef bint _keeps_latest(self)
    cdef bint _is_over(self)
    cdef bint _make_room(self, object droppable)
    cdef bint _drop_oldest(self)
    cdef void _drop_at(self, uint32_t index)
    cdef void _drop_older(self, object frame)
    cdef void _queue_control(self)
    cdef void _be_greedy(self)
    cdef void _on_readable(self)
    cdef bint _will_read(self)
    cdef void _take_stash(self)
    cdef size_t _feed(self, uint8_t *data, size_t size) except? 0
    cdef void _keep(self, const uint8_t *data, size_t size)
    cdef void _deliver(self, bytes payload, bint text)
    cdef void _take_bare(self, const uint8_t *data, size_t size)
    cdef void _watch_pings(self, uint32_t count)
    cdef void _finish(self)
    cdef void _end(self)
    cdef void _watch(self)
    cdef void _tell_dropped(self)
    cdef void _tell_lost(self, int code)
    cdef void _answer_probes(self, bint alive)
