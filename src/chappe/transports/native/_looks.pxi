# Part of _reactor.pyx: who asks for little is served in the middle of what takes long.


cdef void look_if_due(Reactor reactor):
    """Look after those who ask for little, if one link took long enough by the clock as it was read last.

    Where all ask for little, each has its turn soon, and what they bring is written together.
    """
    if reactor._now_s < reactor._look_due_s or reactor._is_looking or reactor._batch_window_s > 0:
        return
    if reactor._now_s - reactor._served_since_s >= LONG_S or reactor._now_s < reactor._greedy_until_s:
        look(reactor)


cdef void look(Reactor reactor):
    """Serve who asks for little, in the middle of what takes long: it would wait for all who ask for much.

    Whoever did not cost much the last time is served, those first that cost least, then those that were not done the
    last time, and what that brings is written at once. The next look comes when others had as long as this one took,
    so that nobody starves.
    """
    cdef epoll_event[EVENTS] events
    cdef double began_s = reactor._now_s, most_s = QUICK_S / 32
    cdef double until_s = began_s + LOOK_S, served_until_s = reactor._served_until_s
    cdef int i, left = max(0, epoll_wait(reactor.epfd, events, EVENTS, 0)), count = left
    cdef Py_ssize_t dirty = reactor._dirty_count
    cdef NativeLink link
    reactor._is_looking = True
    try:
        while left and reactor._now_s < until_s:
            for i in range(count):
                if events[i].events & EPOLLIN and serve_if_quick(reactor, event_of(&events[i]), most_s):
                    # Served once: the kernel names it again if there is more.
                    events[i].events = 0
                    left -= 1
                    if reactor._now_s >= until_s:
                        # The rest of the time is the others'.
                        left = 0
                        break
            if most_s >= QUICK_S:
                break
            most_s *= 2
        cut, reactor._cut = reactor._cut, []
        for link in cut:
            if reactor._now_s >= until_s:
                reactor._cut.append(link)
            elif link._stash is not NULL and link is not reactor._served:
                serve_out_of_turn(reactor, link)
    finally:
        reactor._is_looking = False
    if reactor._dirty_count > dirty and reactor._batch_window_s <= 0:
        write_from(reactor, dirty)
    reactor._now_s = sq_now_s()
    reactor._look_due_s = reactor._now_s + max(LOOK_S, reactor._now_s - began_s)
    reactor._elsewhere_s += reactor._now_s - began_s
    reactor._served_until_s = served_until_s + reactor._now_s - began_s


cdef void write_from(Reactor reactor, Py_ssize_t first):
    """Write to the links that wait for it since a moment; they are looked after when all are."""
    cdef Py_ssize_t i, done
    cdef double deadline_s
    with nogil:
        deadline_s = sq_now_s() + LOOK_S
        done = sq_write_many(reactor._outlets + first, reactor._dirty_count - first, deadline_s)
    for i in range(first, first + done):
        sq_settle(&(<NativeLink>reactor._dirty[i])._out.queue)


cdef bint serve_if_quick(Reactor reactor, Event event, double most_s):
    """Serve a link if it cost no more than that lately; return whether it did."""
    cdef NativeLink link = reactor._link_of(event)
    # Who is new may cost anything; and this may happen in the middle of one of its messages.
    if link is None or link.messages_in < KNOWN_MESSAGES or link._cost_s > most_s or link is reactor._served:
        return False
    if link._stash is not NULL:
        return False
    serve_out_of_turn(reactor, link)
    return True


cdef void serve_out_of_turn(Reactor reactor, NativeLink link):
    """Serve a link for a while; if that was not enough, it is served again the next time, but not for ever."""
    cdef double began_s = reactor._now_s
    cdef uint64_t messages = link.messages_in
    cdef sq_outlet *outlet
    cdef bint was_dirty = link._is_dirty
    reactor._served_until_s = began_s + LINK_S
    if link._stash is not NULL:
        link._take_stash()
    else:
        link._on_readable()
    if was_dirty and reactor._batch_window_s <= 0:
        # Its turn to be written to is later; its answer goes now, with what is before it.
        outlet = &link._out
        sq_write_many(&outlet, 1, 0)
        sq_settle(&outlet.queue)
    weigh(link, reactor._now_s - began_s, link.messages_in - messages)
    if link._stash is NULL or link.paused:
        link._cuts = 0
    elif link._cuts < MOST_CUTS:
        link._cuts += 1
        reactor._cut.append(link)
    else:
        # Not a few that waited: it brings more than is taken.
        link._cuts = 0
        link._be_greedy()


cdef void weigh(NativeLink link, double took_s, uint64_t messages):
    """Note what serving it took: more at once, but at most twice as much, as the machine may have been elsewhere;
    less by an eighth, so that who asks for much now and then counts as one that does. If it asked for no more, or was
    served out of turn, what one message took: several wait when it came late, and it must not come later yet."""
    if took_s <= 0.0:
        # Nothing was there to be read.
        return
    if messages > 1 and (link._is_drained or link._reactor._is_looking):
        took_s /= messages
    if took_s > link._cost_s:
        link._cost_s = min(took_s, 2.0 * link._cost_s) if link._cost_s else took_s
    else:
        link._cost_s -= (link._cost_s - took_s) / 8
