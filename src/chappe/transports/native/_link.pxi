# Part of _reactor.pyx: a link and its reactor use each other's insides on the way of every message.

cdef enum:
    SEARCHED = 1000         # frames looked at for one that may be dropped; behind so many answers a reader is beyond help
    MOST_LATEST = 64        # keys remembered beyond twice what waits

#: How long what a failed peer still sends is thrown away, so that it reads our goodbye and not a reset, seconds.
cdef double LINGER_S = 1.0
#: Pings a peer may send a second, on average over a window, before it is cut (quality, "Messages").
cdef uint32_t PINGS_PER_S = 10
cdef double PING_WINDOW_S = 5.0

cdef object DISCONNECT = SlowConsumer.DISCONNECT
cdef object LATEST = SlowConsumer.LATEST
#: A comment; no blank line behind it, which some readers take for the end of an empty event.
cdef bytes COMMENT = b"2\r\n:\n\r\n"
cdef bytes LAST_CHUNK = b"0\r\n\r\n"
cdef frozenset SPECIFIED_CODES = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015)})


@cython.no_gc
cdef class NativeLink:
    """One connection: a `Link` towards the hub.

    Made by `Reactor.attach`; `begin` starts receiving. Its cycle with the receiver is cut when the connection ends, so
    the garbage collector need not look at it.

    Attributes:
        receiver: where messages go; None: not begun, or over.
        seat: what the server noted about it.
        last_heard: loop time of the last bytes of the peer.
        message_began: loop time of the bytes in which an unfinished message was first seen; 0: none is.
        pinged_at: loop time of the last ping of ours.
        paused: nothing is received.
        closing: nothing more is sent.
        bytes_in, bytes_out, messages_in, messages_out: of this connection.
    """

    def __dealloc__(self):
        PyMem_Free(self._stash)

    def __sizeof__(self):
        """Return the bytes it holds, with what came of an unfinished message, without frames, which are shared."""
        cdef size_t unfinished = self._codec._receiver.capacity if self._codec is not None else 0
        return object.__sizeof__(self) + unfinished + (self._stash_end if self._stash is not NULL else 0)

    @property
    def bytes_out(self):
        """Bytes written to the socket."""
        return self._out.bytes_out

    @property
    def queued_bytes(self):
        """Bytes that wait for the peer to read."""
        return self._out.queue.bytes

    def begin(self, receiver, bytes behind=b""):
        """Receive from here on; `behind` came with the request head and is received first."""
        self.receiver = receiver
        if behind:
            self._keep(<const uint8_t *>PyBytes_AS_STRING(behind), PyBytes_GET_SIZE(behind))

    # --- Sending ------------------------------------------------------------------------------------------------------

    def send(self, frame):
        """Queue a frame, written at the end of the turn; over the cap the frame's policy acts."""
        if not self.closing:
            self.enqueue(
                self.bytes_of(frame),
                None if frame.policy is DISCONNECT or frame.channel is None else frame,
            )

    def send_in_pieces(self, frame):
        """Send a frame, with turns for those who ask for little while a large one is compressed.

        Only for what is sent to nobody else, and what no message of others may come before.
        """
        if self._is_deflating and self._reactor._deflated is not None and not self.closing:
            self._reactor._deflated(frame, self._reactor.breathe)
        self.send(frame)

    def ping(self):
        """Send a ping; an SSE stream a comment; a bare connection nothing."""
        self.pinged_at = sq_now_s()
        if self._codec is not None:
            self._codec.ping()
            self._queue_control()
        elif not self.closing and not self._is_bare:
            self.enqueue(COMMENT, None)

    cdef bytes bytes_of(self, object frame):
        """Return a frame's bytes as this link sends them; made once and kept in the frame."""
        cdef bytes data, payload
        if self._is_bare:
            if type(frame) is Bundle:
                return b"".join([part.payload for part in frame.frames])
            return frame.payload
        if self._codec is None:
            data = frame.sse
            if data is None:
                data = b"".join([_chunk(part.payload) for part in _parts(frame)])
                frame.sse = data
            return data
        if self._is_deflating and self._reactor._deflated is not None:
            data = frame.websocket_deflated
            return self._reactor._deflated(frame) if data is None else data
        data = frame.websocket
        if data is None:
            if type(frame) is Bundle:
                data = b"".join([_framed(part) for part in frame.frames])
            else:
                data = _framed(frame)
            frame.websocket = data
        return data

    cdef bint enqueue(self, bytes data, object droppable) except -1:
        """Queue bytes; `droppable` is their frame if its policy allows that it goes unsent. Return False: refused."""
        if self.closing:
            return False
        if droppable is not None and self._keeps_latest() and droppable.policy is LATEST:
            self._drop_older(droppable)
        if self._is_over() and not self._make_room(droppable):
            # Not from inside a fan-out: the end of a session changes the audience that is being served.
            self.closing = self._is_slow = True
            self._reactor._counters.slow_consumers += 1
            self._reactor._fail_later(self)
            return False
        self._push(data, droppable)
        self.messages_out += 1
        self._reactor._messages_out += 1
        self._reactor._bytes_out += PyBytes_GET_SIZE(data)
        return True

    cdef void _push(self, bytes data, object droppable):
        cdef int moved
        cdef send_queue *queue = &self._out.queue
        if not sq_push(queue, <PyObject *>data, <PyObject *>droppable if droppable is not None else NULL, &moved):
            raise MemoryError
        if moved:
            self._drop_from = 0
            if self._latest is not None:
                self._remember_latest()
        if droppable is not None and self._keeps_latest() and droppable.policy is LATEST:
            if self._latest is None or len(self._latest) > 2 * queue.count + MOST_LATEST:
                self._remember_latest()
            self._latest[droppable.channel, droppable.key] = queue.number + queue.count - 1
        if not self._is_blocked:
            self._reactor._mark_dirty(self)

    cdef bint _keeps_latest(self):
        """Whether something waits for the peer: also while it is tried again whether the socket takes it."""
        return self._is_blocked or self._latest is not None

    cdef bint _is_over(self):
        """Measured before a frame is added: one large frame may exceed the cap once."""
        cdef send_queue *queue = &self._out.queue
        cdef uint32_t most = self._reactor._max_messages
        if most and queue.count - queue.holes >= most:
            return True
        return queue.bytes > self._reactor._max_bytes and sq_charged(queue) > self._reactor._max_bytes

    cdef bint _make_room(self, object droppable):
        """Write what the socket takes now, then let droppable frames go; return False if it is still too much."""
        cdef sq_outlet *outlet = &self._out
        if not self._is_blocked:
            with nogil:
                sq_write_many(&outlet, 1, 0)
            sq_settle(&outlet.queue)
            if outlet.state == SQ_BLOCKED:
                self._is_blocked = True
                self._watch()
        while self._is_over():
            if droppable is None or not self._drop_oldest():
                return False
        return True

    cdef bint _drop_oldest(self):
        """Drop the oldest frame that may be; those before it are not looked at again."""
        cdef send_queue *queue = &self._out.queue
        cdef uint32_t index = 1 if queue.sent else 0, last
        if self._drop_from > queue.number + index:
            index = <uint32_t>(self._drop_from - queue.number)
        last = min(queue.count, index + <uint32_t>SEARCHED)
        while index < last:
            if sq_at(queue, index).frame is not NULL:
                self._drop_at(index)
                self._drop_from = queue.number + index + 1
                return True
            index += 1
        return False

    cdef void _drop_at(self, uint32_t index):
        cdef object channel = (<object>sq_at(&self._out.queue, index).frame).channel
        sq_drop(&self._out.queue, index)
        if self._dropped is None:
            self._dropped = {}
        self._dropped[channel] = self._dropped.get(channel, 0) + 1

    cdef void _drop_older(self, object frame):
        """Drop what the frame makes worthless: the one of its channel and key that waits."""
        cdef send_queue *queue = &self._out.queue
        cdef uint64_t number
        if self._latest is None:
            self._remember_latest()
        found = self._latest.get((frame.channel, frame.key))
        if found is None:
            return
        number = found
        # Already written, or being written.
        if number < queue.number or (number == queue.number and queue.sent):
            return
        if sq_at(queue, <uint32_t>(number - queue.number)).frame is not NULL:
            self._drop_at(<uint32_t>(number - queue.number))

    def _remember_latest(self):
        """Note where the newest frame of each channel and key waits."""
        cdef send_queue *queue = &self._out.queue
        cdef uint32_t index
        self._latest = {}
        for index in range(queue.count):
            if sq_at(queue, index).frame is not NULL:
                frame = <object>sq_at(queue, index).frame
                if frame.policy is LATEST:
                    self._latest[frame.channel, frame.key] = queue.number + index

    cdef void _tell_dropped(self):
        """Tell how much was dropped, now that the reader has caught up."""
        dropped, self._dropped, self._latest = self._dropped, None, None
        self._drop_from = 0
        for channel, count in dropped.items():
            if self.receiver is not None:
                self._tell(self.receiver.dropped, channel, count)

    cdef void _queue_control(self):
        cdef bytes output = self._codec.take_output()
        if output is not None and not self._gone:
            if self.closing:
                self._push(output, None)
            else:
                self.enqueue(output, None)

    # --- Receiving ----------------------------------------------------------------------------------------------------

    cdef void _on_readable(self):
        cdef Reactor reactor = self._reactor
        cdef uint8_t *scratch = reactor._aside if reactor._is_looking else reactor._scratch
        cdef size_t room = LOOK_PIECE if self._is_bare and reactor._is_looking else self._piece
        cdef ssize_t size = recv(self._out.fd, scratch, room, MSG_DONTWAIT)
        cdef size_t done
        if size < 0:
            if errno != EAGAIN and errno != EINTR:
                self._end()
            return
        if size == 0:
            # A peer that writes no more has not said goodbye.
            self._is_eof = True
            self._finish()
            return
        self.last_heard = reactor._now_s
        self.bytes_in += size
        reactor._bytes_in += size
        if self._probes is not None:
            self._answer_probes(True)
        if self._is_bare:
            if not self._is_finishing:
                self._take_bare(scratch, size)
        elif self._codec is None:
            if self.bytes_in > SCRATCH:
                # An event stream takes nothing; a little may be a pipelined request that nobody will answer.
                self._finish()
        elif not self._is_finishing:
            try:
                done = self._feed(scratch, size)
                if done < <size_t>size and not self._gone:
                    self._keep(scratch + done, size - done)
            except BaseException:
                self._lose()
                raise
        self._is_drained = self._stash is NULL and <size_t>size < room
        if self.paused:
            self._piece = LEAST_PIECE
        elif self._stash is NULL and <size_t>size == self._piece and self._piece < SCRATCH:
            self._piece *= 4

    cdef void _be_greedy(self):
        """Note that it asks for more than is taken."""
        self._cost_s = max(self._cost_s, GREEDY_S)
        self._reactor._greedy_until_s = sq_now_s() + GREED_S

    cdef bint _will_read(self):
        """Whether bytes are here that have their turn: what a peer said before it went is heard, then its end."""
        return self._stash is not NULL and not self._is_finishing and (not self.paused or self.closing)

    cdef void _take_stash(self):
        """Go on with bytes that are here already."""
        self._is_drained = False
        if self._stash is NULL or (self.paused and not self.closing):
            return
        if self._is_bare:
            if not self._gone and not self._is_finishing:
                self._take_bare(self._stash, self._stash_end)
        elif not self._gone and not self._is_finishing:
            try:
                self._stash_at += self._feed(self._stash + self._stash_at, self._stash_end - self._stash_at)
            except BaseException:
                self._lose()
                raise
            if self._stash_at < self._stash_end and not self._is_finishing:
                if not self.paused or self.closing:
                    self._reactor._mark_ready(self)
                return
        PyMem_Free(self._stash)
        self._stash = NULL
        self._watch()

    cdef size_t _feed(self, uint8_t *data, size_t size) except? 0:
        """Hand the messages in some bytes on, as many as have their turn; return how many bytes are done with."""
        cdef WebSocketCodec codec = self._codec
        cdef Reactor reactor = self._reactor
        cdef size_t offset = 0
        cdef bint text = False, is_out_of_time
        cdef bytes payload
        cdef uint32_t pings = codec.pings_in, messages = 0
        while not codec.ended:
            payload = codec.next_message(data, size, &offset, &text)
            if codec._output is not None:
                # A pong goes before the answer to the message that its ping came inside of (Autobahn 5.6).
                self._queue_control()
            if payload is None:
                break
            messages += 1
            self._deliver(payload, text)
            # Looked at whatever comes of it: the turn ends by this clock.
            is_out_of_time = reactor._is_out_of_time()
            look_if_due(reactor)
            if self._gone:
                return size
            if is_out_of_time or messages >= LINK_MESSAGES or (self.paused and not self.closing):
                break
        if messages >= LINK_MESSAGES and offset < size:
            self._be_greedy()
        if not messages:
            # A piece of a large message took its time too.
            reactor._is_out_of_time()
        if messages or not ws_within_message(&codec._receiver):
            self.message_began = 0.0
        elif not self.message_began:
            self.message_began = self.last_heard
        if codec.pings_in != pings:
            self._watch_pings(codec.pings_in - pings)
        if codec.ended:
            self._finish()
            return size
        return offset

    cdef void _deliver(self, bytes payload, bint text):
        self._reactor._messages += 1
        self.messages_in += 1
        if self.closing or self.receiver is None:
            return
        try:
            self.receiver.receive(payload, text)
        except Exception as error:
            # A bug of the receiver; the peer may not take the message for received.
            self._report(error)
            self.fail(1011, "internal error")

    cdef void _take_bare(self, const uint8_t *data, size_t size):
        """Hand bytes on as they came; whoever gets them knows where one packet ends."""
        self._deliver(data[:size], False)
        self._reactor._is_out_of_time()

    cdef void _keep(self, const uint8_t *data, size_t size):
        """Keep bytes for the next turn; nothing is received before they are served."""
        cdef uint8_t *stash = <uint8_t *>PyMem_Malloc(size)
        if stash is NULL:
            raise MemoryError
        memcpy(stash, data, size)
        self._stash, self._stash_at, self._stash_end = stash, 0, size
        if not self.paused or self.closing:
            self._reactor._mark_ready(self)
        self._watch()

    cdef void _watch_pings(self, uint32_t count):
        if self.last_heard - self._pings_began > PING_WINDOW_S:
            self._pings_began, self._pings = self.last_heard, 0
        self._pings += count
        if self._pings > PINGS_PER_S * PING_WINDOW_S and not self._codec.ended:
            self.fail(1008, f"more than {PINGS_PER_S} pings a second")

    def _lose(self):
        """End without a word: bytes were lost, and nobody may take what follows for all there was."""
        self.closing = True
        self.abort()

    def pause(self):
        """Stop reading; who is known, and asks for more than is taken, comes behind the others until it does no more."""
        # What we do not read does not come late.
        self.message_began = 0.0
        self.paused = True
        if self.messages_in >= KNOWN_MESSAGES:
            self._be_greedy()
        self._watch()

    def resume(self):
        """Read again; what was not read meanwhile is not held against the peer."""
        if self.paused:
            self.last_heard = sq_now_s()
        self.paused = False
        if self._stash is not NULL:
            self._reactor._mark_ready(self)
        self._watch()

    def limit(self, size_t frame_bytes):
        """Set the largest message taken from the peer."""
        if self._codec is not None:
            self._codec._receiver.max_message = frame_bytes

    def probe(self, double timeout_s, done):
        """Ask for a sign of life."""
        loop = self._reactor._loop
        if self.closing:
            loop.call_soon(done, False)
            return
        if self._codec is None:
            # A stream cannot answer: who has not been cut is alive (interfaces, "classic").
            loop.call_soon(done, True)
            return
        if self._probes is None:
            self._probes = []
        self._probes.append((loop.call_later(timeout_s, self._probe_timed_out), done))
        self.ping()

    def _probe_timed_out(self):
        self._answer_probes(False)

    cdef void _answer_probes(self, bint alive):
        probes, self._probes = self._probes, None
        for timer, done in probes or ():
            timer.cancel()
            self._tell(done, alive)

    # --- Ending -------------------------------------------------------------------------------------------------------

    def close(self, int code, str reason=""):
        """Send what is queued and a close frame; the connection is cut if the peer does not answer in time.

        A code that no close frame may carry becomes 3503.
        """
        if self.closing:
            return
        self.closing = True
        self._say_goodbye(code, reason)

    def fail(self, int code, str reason):
        """End the connection because of what the peer does; its answer is not waited for."""
        self.closing = True
        if self._codec is not None:
            self._codec.fail(code, reason)
            self._queue_control()
        self._finish()

    def abort(self):
        """Cut the connection without a word."""
        if not self._gone:
            self._reactor._fail_later(self)

    def _say_goodbye(self, int code, str reason):
        if self._gone:
            return
        if self._codec is None:
            if not self._is_bare:
                self._push(LAST_CHUNK, None)
            self._finish()
            return
        self._codec.close(code if code in SPECIFIED_CODES or 3000 <= code <= 4999 else Code.DISCONNECTED, reason)
        self._queue_control()
        self._reactor._end_by(self, self._reactor._close_timeout_s)
        # The peer's answer must be read, and what it said before is dropped.
        self._watch()
        if self._stash is not NULL:
            self._reactor._mark_ready(self)

    def _say_too_slow(self):
        """Say why; the session ends now, not when the peer has read its megabyte."""
        self._is_slow = False
        self._forget_queued()
        self._tell_lost(Code.SLOW_CONSUMER)
        self._say_goodbye(Code.SLOW_CONSUMER, "slow consumer")

    def _forget_queued(self):
        """Let go of what waits, but not of the frame that is being written: the peer could not read on."""
        cdef send_queue *queue = &self._out.queue
        cdef uint32_t index
        if not queue.sent:
            sq_clear(queue)
            return
        for index in range(1, queue.count):
            if sq_at(queue, index).data is not NULL:
                sq_drop(queue, index)

    cdef void _finish(self):
        """End TCP when what is queued is written, or in bounded time: a peer that reads nothing would keep it."""
        cdef bint is_new = not self._is_finishing
        self.closing = self._is_finishing = True
        if self._gone:
            return
        if self._stash is not NULL:
            # For its turn to forget it, and to read on.
            self._reactor._mark_ready(self)
        # The session ends now, not when the peer has read what waits for it.
        self._tell_lost(self._codec._close_code if self._codec is not None else 1006)
        if self._out.queue.count:
            if is_new:
                self._reactor._end_by(self, self._reactor._close_timeout_s)
                self._watch()
        elif self._is_eof or (not self._is_bare and (self._codec is None or self._codec._close_code != 1006)):
            self._end()
        elif not self._is_lingering:
            self._linger()

    def _linger(self):
        """Read on for a moment: closing with bytes unread would reset the connection, and our goodbye with it."""
        self._is_lingering = True
        shutdown(self._out.fd, SHUT_WR)
        self._reactor._end_by(self, min(LINGER_S, self._reactor._close_timeout_s))
        self._watch()

    cdef void _end(self):
        """End TCP now: out of the epoll set, then shutdown, since others may hold the open file, then close."""
        cdef Reactor reactor = self._reactor
        if self._gone:
            return
        self._gone = self.closing = True
        if reactor.epfd >= 0:
            reactor._control(EPOLL_CTL_DEL, self)
        shutdown(self._out.fd, SHUT_RDWR)
        close_fd(self._out.fd)
        self._out.fd = -1
        # The wheel forgets a link late: until then it must not keep half a message.
        sq_clear(&self._out.queue)
        if self._codec is not None:
            self._codec.forget()
        if self._stash is not NULL:
            reactor._mark_ready(self)
        self._answer_probes(False)
        self._dropped = self._latest = None
        self._tell(reactor._on_gone, self)
        self._tell_lost(self._codec._close_code if self._codec is not None else 1006)
        reactor._release(self)

    cdef void _tell_lost(self, int code):
        receiver, self.receiver = self.receiver, None
        if receiver is not None:
            self._tell(receiver.lost, code)

    def _tell(self, told, *news):
        """Tell somebody; his bug may not keep us from what else is to be done."""
        try:
            told(*news)
        except Exception as error:
            self._report(error)

    def _report(self, error):
        self._reactor._loop.call_exception_handler({"message": "a receiver failed", "exception": error})

    cdef void _watch(self):
        """Tell the kernel what to name this link for, if that changed."""
        cdef uint32_t wanted = 0
        if not self._is_eof and (not self.paused or self.closing) and (self._stash is NULL or self._is_finishing):
            wanted |= EPOLLIN
        if self._is_blocked:
            wanted |= EPOLLOUT
        if wanted != self._watched and not self._gone:
            self._watched = wanted
            self._reactor._control(EPOLL_CTL_MOD, self)


cdef tuple _parts(frame):
    return frame.frames if type(frame) is Bundle else (frame,)


cdef bytes _framed(frame):
    """Return a frame as a WebSocket frame."""
    cdef bytes payload = frame.payload
    return make_frame(
        0x81 if frame.text else 0x82, <const uint8_t *>PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload)
    )


cdef bytes _chunk(bytes payload):
    """Return an HTTP/1.1 chunk (RFC 9112, 7.1)."""
    return b"%x\r\n%b\r\n" % (len(payload), payload)
