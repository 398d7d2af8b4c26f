# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Fan-out: one frame to many native links, without a Python call for each."""

from cpython.bytes cimport PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF, Py_XDECREF

from chappe.transports.native._reactor cimport NativeLink

from chappe.model.frame import SlowConsumer

cdef object DISCONNECT = SlowConsumer.DISCONNECT


cdef class NativeAudience:
    """The links that get the same frames (`Audience`): native ones in a vector, those of other carriers beside it.

    A link that is in one audience only, as most are, keeps its place itself.
    """

    cdef void **_links
    cdef Py_ssize_t _count
    cdef Py_ssize_t _capacity
    cdef dict _places  # of links whose home is another audience
    cdef dict _others
    cdef object __weakref__

    def __dealloc__(self):
        cdef Py_ssize_t i
        for i in range(self._count):
            link = <NativeLink>self._links[i]
            if link.home is <void *>self:
                link.home = NULL
            Py_XDECREF(<PyObject *>self._links[i])
        PyMem_Free(self._links)

    def __len__(self):
        return self._count + (len(self._others) if self._others is not None else 0)

    def add(self, link):
        """Add a link; adding it again does nothing."""
        if not isinstance(link, NativeLink):
            if self._others is None:
                self._others = {}
            self._others[link] = None
        elif self._place_of(<NativeLink>link) < 0:
            self._append(<NativeLink>link)

    def discard(self, link):
        """Remove a link if it is there; the last one takes its place."""
        cdef Py_ssize_t place
        cdef NativeLink last
        if not isinstance(link, NativeLink):
            if self._others is not None:
                self._others.pop(link, None)
            return
        place = self._place_of(<NativeLink>link)
        if place < 0:
            return
        if (<NativeLink>link).home is <void *>self:
            (<NativeLink>link).home = NULL
        else:
            del self._places[link]
        self._count -= 1
        if place != self._count:
            last = <NativeLink>self._links[self._count]
            self._links[place] = <void *>last
            self._set_place(last, place)
        Py_XDECREF(<PyObject *>link)

    def publish(self, frame, skip=None):
        """Send a frame to every link but `skip`; return how many got it.

        It is queued at each link here and written at the end of the turn, in slices if the links are many. No link ends
        inside this call.
        """
        cdef object droppable = None if frame.policy is DISCONNECT or frame.channel is None else frame
        cdef bytes plain = None, deflated = None, events = None
        cdef NativeLink link
        cdef Py_ssize_t i, sent = 0
        for i in range(self._count):
            link = <NativeLink>self._links[i]
            if link is skip:
                continue
            if link._codec is None:
                if events is None:
                    events = link.bytes_of(frame)
                link.enqueue(events, droppable)
            elif link._is_deflating:
                if deflated is None:
                    deflated = link.bytes_of(frame)
                link.enqueue(deflated, droppable)
            else:
                if plain is None:
                    plain = link.bytes_of(frame)
                link.enqueue(plain, droppable)
            sent += 1
        if self._others is not None:
            for other in tuple(self._others):
                if other is not skip:
                    other.send(frame)
                    sent += 1
        return sent

    cdef Py_ssize_t _place_of(self, NativeLink link):
        """Return a link's place, or -1."""
        if link.home is <void *>self:
            return link.home_place
        return -1 if self._places is None else self._places.get(link, -1)

    cdef void _set_place(self, NativeLink link, Py_ssize_t place):
        if link.home is <void *>self:
            link.home_place = place
        else:
            self._places[link] = place

    cdef void _append(self, NativeLink link):
        cdef Py_ssize_t wanted
        cdef void *grown
        if self._count == self._capacity:
            wanted = self._capacity * 2 if self._capacity else 4
            grown = PyMem_Realloc(self._links, wanted * sizeof(void *))
            if grown is NULL:
                raise MemoryError
            self._links = <void **>grown
            self._capacity = wanted
        if link.home is NULL:
            link.home = <void *>self
        elif self._places is None:
            self._places = {}
        Py_INCREF(link)
        self._links[self._count] = <void *>link
        self._set_place(link, self._count)
        self._count += 1
