# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""One epoll set and its links.

The loop watches one descriptor, the epoll set itself, so one callback serves every ready connection: receive, unmask,
parse, and one Python call for each whole message. What is sent is queued and written at the end of a round - when all who
were ready have been served - or after 3 ms, a link at a time, without the GIL.

Fairness: a callback serves messages for 1 ms or 256 of them, then the loop has its turn, and who was not served yet is
first in the next one. Links that cost little do not wait for those that cost much: every 0.1 ms, between two messages
of others, they are looked for, but not before the others had as much time as they; what takes long elsewhere in the
process lets them be looked for as well (`breathe`). A fan-out to many links is written in slices, and before all of it
is written nothing is read, unless some ask for more than is taken: TCP slows publishers down to what readers get.
"""

import os
import weakref

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cpython.ref cimport Py_INCREF, Py_XDECREF
from libc.errno cimport EAGAIN, EINTR, errno
from libc.string cimport memcpy, memmove

from chappe.wire._websocket cimport make_frame, ws_within_message

from chappe.model.error_codes import Code
from chappe.model.frame import Bundle, SlowConsumer

WEBSOCKET, SSE, PACKETS = range(3)

include "_turns.pxi"

cdef object _reactors = weakref.WeakSet()


cdef class Reactor:
    """Serves the links of one server on one loop.

    Attributes:
        epfd: the epoll set; -1 when closed.
        open_links: how many there are.
    """

    def __init__(
        self, loop, limits, counters, on_gone, end_by, close_timeout_s, deflated=None, double batch_window_s=0.0
    ):
        """Make the epoll set and let the loop watch it.

        Args:
            counters: what all links of a server count together (`LinkCounters`).
            on_gone: told once of each link whose connection is over.
            end_by: told of each link that must be aborted (`link.abort()`) in so many seconds if it is there then.
            close_timeout_s: how long a peer has to answer our close frame, and to read what was written.
            deflated: returns a frame's compressed bytes, for links that negotiated it; kept in the frame. What it is
                given beside the frame it calls between pieces of a large one.
            batch_window_s: how long what is sent waits for company; 0: until the end of the turn.
        """
        self._loop = loop
        self._counters = counters
        self._on_gone = on_gone
        self._end_by = end_by
        self._close_timeout_s = close_timeout_s
        self._deflated = deflated
        self._max_bytes = limits.send_queue_bytes
        self._frame_bytes = limits.frame_bytes
        self._fragments = limits.message_fragments
        self._max_messages = limits.send_queue_messages
        self._batch_window_s = batch_window_s
        self._ready = []
        self._round = []
        self._failing = []
        self._cut = []
        self._free_slot = NO_SLOT
        self._scratch = <uint8_t *>PyMem_Malloc(SCRATCH)
        self._aside = <uint8_t *>PyMem_Malloc(SCRATCH)
        self._events = <Event *>PyMem_Malloc(EVENTS * sizeof(Event))
        if self._scratch is NULL or self._aside is NULL or self._events is NULL:
            raise MemoryError
        self.epfd = epoll_create1(EPOLL_CLOEXEC)
        if self.epfd < 0:
            raise OSError(errno, os.strerror(errno))
        loop.add_reader(self.epfd, self.process)
        _reactors.add(self)

    def __cinit__(self):
        self.epfd = -1

    def __dealloc__(self):
        if self.epfd >= 0:
            close_fd(self.epfd)
        PyMem_Free(self._scratch)
        PyMem_Free(self._aside)
        PyMem_Free(self._events)
        PyMem_Free(self._slots)
        PyMem_Free(self._dirty)
        PyMem_Free(self._outlets)

    def attach(self, int fd, bytes head not None, int carrier=0, inflate=None):
        """Take a connected socket over; `head` is sent before anything else.

        Nothing is received before `link.begin`. The descriptor is the link's from here on, also when this fails.

        Raises:
            OSError: the kernel takes no more.
        """
        cdef NativeLink link = None
        try:
            link = NativeLink.__new__(NativeLink)
            link._index = NO_SLOT
            self._attach(link, fd, head, carrier, inflate)
        except BaseException:
            if link is not None and link._index != NO_SLOT:
                self._release(link)
                # It may be on the list of those to be written.
                link._gone = link.closing = True
                sq_clear(&link._out.queue)
            close_fd(fd)
            raise
        return link

    def _attach(self, NativeLink link, int fd, bytes head, int carrier, inflate):
        cdef int one = 1
        cdef int problem
        link._reactor = self
        link._out.fd = fd
        if carrier == WEBSOCKET:
            link._codec = WebSocketCodec(self._frame_bytes, inflate, self._fragments)
            link._is_deflating = inflate is not None
        link._is_bare = carrier == PACKETS
        link._piece = LEAST_PIECE
        link.opened_at = link.last_heard = link.pinged_at = sq_now_s()
        if self.epfd < 0 or fcntl(fd, F_SETFL, fcntl(fd, F_GETFL, 0) | O_NONBLOCK) < 0:
            raise OSError("the reactor is closed, or this is no descriptor")
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one))
        self._take_slot(link)
        if head:
            link._push(head, None)
        link._watched = EPOLLIN
        problem = self._control(EPOLL_CTL_ADD, link)
        if problem:
            raise OSError(problem, os.strerror(problem))

    def process(self):
        """Serve what is ready and write what is to be written; called by the loop."""
        if self._is_serving or self.epfd < 0:
            return
        self._is_serving = True
        try:
            self._end_failing()
            if self._batch_window_s > 0:
                self._serve()
                if self._window_is_open:
                    self._flush()
            elif self._must_write():
                # Nothing is read before all is written that waited when that began.
                self._write_out()
                if self._dirty_count and self._write_left <= 0:
                    self._serve()
            else:
                self._serve()
                if self._must_write():
                    self._write_out()
            self._end_failing()
        finally:
            self._is_serving = False
            self._settle()
            if self.has_more():
                self._schedule()

    cdef bint _must_write(self):
        """Whether what waits is written now: a round is over, or has taken its time.

        A round of many turns is written at its end: who gets several messages in it gets them in one piece.
        """
        if not self._dirty_count:
            return False
        if not self._round and self._event_at == self._event_count:
            return True
        return sq_now_s() - self._dirty_since_s >= ROUND_S

    def close(self):
        """End every connection without a word, and the epoll set."""
        cdef uint32_t index
        cdef int epfd = self.epfd
        cdef NativeLink link
        if epfd < 0:
            return
        self._loop.remove_reader(epfd)
        # From here on nothing is attached, whoever is told of an end.
        self.epfd = -1
        for index in range(self._slot_count):
            if self._slots[index].link is not NULL:
                link = <NativeLink>self._slots[index].link
                link._end()
        self._forget_dirty()
        # The collector sees no links: in one of these they would keep us, and we them.
        self._ready, self._round, self._failing, self._cut = [], [], [], []
        self._event_at = self._event_count
        self._settle()
        close_fd(epfd)

    def _after_fork(self):
        """Give up in a forked child what the parent goes on with: close descriptors, tell no peer and no loop."""
        cdef uint32_t index
        cdef NativeLink link
        if self.epfd < 0:
            return
        close_fd(self.epfd)
        self.epfd = -1
        for index in range(self._slot_count):
            if self._slots[index].link is not NULL:
                link = <NativeLink>self._slots[index].link
                close_fd(link._out.fd)
                link._out.fd = -1

    # --- Slots: an event names a link by index and generation, never by address ---------------------------------------

    cdef void _take_slot(self, NativeLink link) except *:
        cdef uint32_t index, wanted
        cdef Slot *grown
        if self._free_slot == NO_SLOT:
            wanted = self._slot_count * 2 if self._slot_count else 64
            grown = <Slot *>PyMem_Realloc(self._slots, wanted * sizeof(Slot))
            if grown is NULL:
                raise MemoryError
            self._slots = grown
            for index in range(self._slot_count, wanted):
                grown[index].link = NULL
                grown[index].generation = 0
                grown[index].next_free = index + 1 if index + 1 < wanted else NO_SLOT
            self._free_slot = self._slot_count
            self._slot_count = wanted
        index = self._free_slot
        self._free_slot = self._slots[index].next_free
        Py_INCREF(link)
        self._slots[index].link = <void *>link
        link._index = index
        self.open_links += 1

    cdef void _release(self, NativeLink link):
        cdef Slot *slot = &self._slots[link._index]
        slot.link = NULL
        slot.generation += 1
        slot.next_free = self._free_slot
        self._free_slot = link._index
        self.open_links -= 1
        Py_XDECREF(<PyObject *>link)

    cdef int _control(self, int operation, NativeLink link):
        """Return 0 or errno."""
        cdef epoll_event event
        event.events = link._watched
        event.data.u64 = <uint64_t>self._slots[link._index].generation << 32 | link._index
        return errno if epoll_ctl(self.epfd, operation, link._out.fd, &event) < 0 else 0

    # --- Serving ------------------------------------------------------------------------------------------------------

    cdef bint _is_out_of_time(self):
        """Whether the link that is served had its time, or the turn is over; what is served out of turn has its own."""
        self._now_s = sq_now_s()
        return self._now_s >= self._served_until_s or (not self._is_looking and self._turn_is_over())

    cdef bint _turn_is_over(self):
        """By the clock as it was read last."""
        return self._messages >= TURN_MESSAGES or self._now_s >= self._serve_until_s

    cdef void _serve(self):
        """Serve for one turn, going on where the last one stopped."""
        cdef NativeLink link
        cdef Event event
        cdef bint is_new = not self._round and self._event_at == self._event_count
        self._messages = 0
        self._now_s = sq_now_s()
        self._serve_until_s = self._now_s + TURN_S
        if self._now_s >= self._look_due_s and (not is_new or self._now_s < self._greedy_until_s):
            look(self)
        if is_new:
            self._fetch()
        while self._round:
            link = self._round.pop()
            link._is_ready = False
            self._serve_one(link, False)
            if self._turn_is_over():
                return
        while self._event_at < self._event_count:
            event = self._events[self._event_at]
            self._event_at += 1
            link = self._link_of(event)
            if link is None:
                continue
            if event.events & EPOLLOUT and link._is_blocked:
                link._is_blocked = False
                self._mark_dirty(link)
            if event.events & (EPOLLERR | EPOLLHUP) and not link._watched & EPOLLIN and not link._will_read():
                # Paused: nothing would ever be received that tells the end.
                self._fail_later(link)
            elif link._stash is NULL and link._watched & EPOLLIN and event.events & (EPOLLIN | EPOLLERR | EPOLLHUP):
                # Served out of turn since the kernel named it, it may have bytes here that come first, or be paused.
                self._serve_one(link, True)
                if self._turn_is_over():
                    return

    cdef void _serve_one(self, NativeLink link, bint receives):
        """Serve a link from the kernel, or with what is here of it already, and note what it took."""
        cdef double began_s = self._now_s, elsewhere_s = self._elsewhere_s
        cdef uint64_t messages = link.messages_in
        self._served = link
        self._served_since_s = began_s
        self._served_until_s = began_s + (LINK_S if began_s < self._greedy_until_s else TURN_S)
        try:
            if receives:
                link._on_readable()
            else:
                link._take_stash()
        finally:
            self._served = None
        weigh(link, self._now_s - began_s - (self._elsewhere_s - elsewhere_s), link.messages_in - messages)
        look_if_due(self)

    def breathe(self):
        """Look after those who ask for little, in the middle of what takes long elsewhere in the process.

        It costs a look at the clock; not for the middle of anything that their messages must not come before.
        """
        cdef bint is_serving = self._is_serving
        if self._is_looking or self.epfd < 0:
            return
        self._now_s = sq_now_s()
        if self._now_s < self._look_due_s or self._batch_window_s > 0:
            return
        self._is_serving = True
        try:
            look(self)
        finally:
            self._is_serving = is_serving
            if not is_serving:
                self._settle()
                if self.has_more():
                    self._schedule()

    cdef NativeLink _link_of(self, Event event):
        """Return the link of an event, or None if it has ended."""
        cdef Slot *slot = &self._slots[event.index]
        if slot.link is NULL or slot.generation != event.generation:
            return None
        return <NativeLink>slot.link

    cdef void _fetch(self):
        """Begin a round: who has bytes left in user space, and whom the kernel names."""
        cdef epoll_event[EVENTS] events
        cdef int i
        self._round, self._ready = self._ready, []
        self._round.reverse()
        self._event_at = 0
        self._look_due_s = max(self._look_due_s, self._now_s + LOOK_S)
        self._event_count = max(0, epoll_wait(self.epfd, events, EVENTS, 0))
        for i in range(self._event_count):
            self._events[i] = event_of(&events[i])

    cdef void _mark_ready(self, NativeLink link):
        if not link._is_ready:
            link._is_ready = True
            self._ready.append(link)
            self._schedule()

    def has_more(self):
        """Whether work waits that the kernel will not name."""
        if self._round or self._ready or self._failing or self._event_at < self._event_count:
            return True
        return self._dirty_count > 0 and (self._batch_window_s <= 0 or self._window_is_open)

    cdef void _schedule(self):
        """Go on as soon as the loop had its turn."""
        if not self._is_scheduled and not self._is_serving and self.epfd >= 0:
            self._is_scheduled = True
            self._loop.call_soon(self._go_on)

    def _go_on(self):
        self._is_scheduled = False
        self.process()

    # --- Writing ------------------------------------------------------------------------------------------------------

    cdef void _mark_dirty(self, NativeLink link):
        if link._is_dirty:
            return
        if self._dirty_count == self._dirty_capacity:
            self._grow_dirty()
        link._is_dirty = True
        Py_INCREF(link)
        self._dirty[self._dirty_count] = <void *>link
        self._outlets[self._dirty_count] = &link._out
        self._dirty_count += 1
        if self._dirty_count == 1:
            self._dirty_since_s = sq_now_s()
        if self._batch_window_s <= 0:
            self._schedule()
        elif self._dirty_count == 1 and not self._window_is_open:
            self._loop.call_later(self._batch_window_s, self._end_window)

    cdef void _grow_dirty(self) except *:
        cdef Py_ssize_t wanted = self._dirty_capacity * 2 if self._dirty_capacity else 256
        cdef void *grown = PyMem_Realloc(self._dirty, wanted * sizeof(void *))
        if grown is NULL:
            raise MemoryError
        self._dirty = <void **>grown
        grown = PyMem_Realloc(self._outlets, wanted * sizeof(sq_outlet *))
        if grown is NULL:
            raise MemoryError
        self._outlets = <sq_outlet **>grown
        self._dirty_capacity = wanted

    def _end_window(self):
        self._window_is_open = True
        self.process()

    cdef void _write_out(self):
        """Write one slice; while some ask for more than is taken, in pieces with looks in between.

        What the looks make to be written may never end: the others are read again when that is written which was there.
        """
        cdef double until_s
        if self._write_left <= 0:
            self._write_left = self._dirty_count
        self._flush()
        self._now_s = sq_now_s()
        until_s = min(self._greedy_until_s, self._now_s + SLICE_S)
        while self._dirty_count and self._write_left > 0 and self._now_s < until_s:
            if self._now_s >= self._look_due_s:
                look(self)
            self._flush()
            self._now_s = sq_now_s()

    cdef void _flush(self):
        """Write to the links that wait for it, one slice of them."""
        cdef Py_ssize_t i, count = min(self._dirty_count, <Py_ssize_t>SLICE), done, settled = 0
        cdef double deadline_s
        cdef NativeLink link
        cdef list news = []
        if not count:
            self._window_is_open = False
            return
        with nogil:
            deadline_s = sq_now_s()
            deadline_s += GREEDY_SLICE_S if deadline_s < self._greedy_until_s else SLICE_S
            done = sq_write_many(self._outlets, count, deadline_s)
        try:
            for i in range(done):
                link = <NativeLink>self._dirty[i]
                if self._has_news(link):
                    news.append(link)
                link._is_dirty = False
                Py_XDECREF(<PyObject *>link)
                settled += 1
        finally:
            self._dirty_count -= settled
            self._write_left -= settled
            memmove(self._dirty, self._dirty + settled, self._dirty_count * sizeof(void *))
            memmove(self._outlets, self._outlets + settled, self._dirty_count * sizeof(sq_outlet *))
        # Only now: who is told may send to any of these links, or end them all.
        for link in news:
            if link._dropped is not None:
                link._tell_dropped()
            if link._is_finishing:
                link._finish()
        if not self._dirty_count:
            self._window_is_open = False
            self._write_left = 0

    cdef bint _has_news(self, NativeLink link):
        """Look after a link that was written to; return whether it was all, and somebody waits for that."""
        if link._gone:
            return False
        sq_settle(&link._out.queue)
        if link._out.state == SQ_BROKEN:
            if not link._will_read():
                self._fail_later(link)
            return False
        link._is_blocked = link._out.state == SQ_BLOCKED
        link._watch()
        if link._is_blocked:
            return False
        if link._latest is not None:
            link._latest = None
        return link._dropped is not None or link._is_finishing

    def _forget_dirty(self):
        cdef Py_ssize_t i
        for i in range(self._dirty_count):
            (<NativeLink>self._dirty[i])._is_dirty = False
            Py_XDECREF(<PyObject *>self._dirty[i])
        self._dirty_count = 0

    cdef void _fail_later(self, NativeLink link):
        """End a link, but not here: who is iterating may have it in his hands."""
        self._failing.append(link)
        self._schedule()

    cdef void _end_failing(self):
        cdef NativeLink link
        while self._failing:
            failing, self._failing = self._failing, []
            for link in failing:
                if link._is_slow and not link._gone:
                    link._say_too_slow()
                else:
                    link._end()

    cdef void _settle(self):
        """Add to what the server counts."""
        counters = self._counters
        if self._bytes_in:
            counters.bytes_in += self._bytes_in
            self._bytes_in = 0
        if self._messages_out:
            counters.messages_out += self._messages_out
            counters.bytes_out += self._bytes_out
            self._messages_out = self._bytes_out = 0


include "_link.pxi"
include "_looks.pxi"


def _after_fork_in_child():
    for reactor in tuple(_reactors):
        reactor._after_fork()


os.register_at_fork(after_in_child=_after_fork_in_child)
