/* What happens on the connections of a run: handshakes, and what is done with what comes in. */
#ifndef CHAPPE_LOAD_SESSION_H
#define CHAPPE_LOAD_SESSION_H

#include "load_delivery.h"
#include "load_mqtt_session.h"
#include "load_poll.h"

enum { HEAD_BYTES_MAX = 16384 };

/* --- Opening a session -------------------------------------------------------------------------------------------- */

static void send_poll(struct load *load, struct link *link)
{
    const struct load_options *o = load->options;
    if (!link->poller && !(link->poller = calloc(1, sizeof *link->poller)))
        abort();
    load->scratch.length = 0;
    poll_request(&load->scratch, link->poller, o->host, o->port, o->headers);
    link_send(&load->net, link, load->scratch.data, load->scratch.length);
}

static void send_request(struct load *load, struct link *link)
{
    if (load->options->mqtt) {
        mqtt_send_connect(load, link);
        return;
    }
    if (link->role == ROLE_POLLER) {
        send_poll(load, link);
        return;
    }
    const struct load_options *o = load->options;
    int stream = link->role == ROLE_STREAM;
    struct bytes *out = &load->scratch;
    char host[300];
    out->length = 0;
    bytes_append(out, "GET ", 4);
    template_expand(out, stream ? o->stream_path : link->role == ROLE_BYSTANDER ? o->bystander_path : o->path, link->index,
                    o->rooms, 0);
    bytes_append(out, host, (size_t)snprintf(host, sizeof host, " HTTP/1.1\r\nHost: %s:%d\r\n", o->host, o->port));
    const char *kind = stream ? "Accept: text/event-stream\r\n"
                              : "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    bytes_append(out, kind, strlen(kind));
    const char *deflate = "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover; "
                          "server_no_context_takeover; server_max_window_bits=12\r\n";
    if (o->deflate && !stream)
        bytes_append(out, deflate, strlen(deflate));
    if (*o->subprotocol && !stream) {
        bytes_append(out, "Sec-WebSocket-Protocol: ", 24);
        bytes_append(out, o->subprotocol, strlen(o->subprotocol));
        bytes_append(out, "\r\n", 2);
    }
    bytes_append(out, o->headers, strlen(o->headers));
    bytes_append(out, "\r\n", 2);
    link_send(&load->net, link, out->data, out->length);
}

static void send_first_messages(struct load *load, struct link *link, uint64_t now)
{
    const struct load_options *o = load->options;
    int count = link->role == ROLE_STREAM || link->role == ROLE_PUBLISHER ? 0
                : link->role == ROLE_BYSTANDER                            ? o->bystander_first_count
                                                                          : o->first_count;
    load->scratch.length = 0;
    for (int i = 0; i < count; i++) {
        struct bytes text = {0};
        template_expand(&text, o->first[i], link->index, o->rooms, 0);
        frame_append(&load->scratch, OP_TEXT, text.data, text.length);
        bytes_release(&text);
    }
    link->state = LINK_STARTING;
    link->answers_due = *o->answer ? count : 0;
    if (count)
        link_send(&load->net, link, load->scratch.data, load->scratch.length);
    if (!link->answers_due)
        session_open(load, link, now);
}

/* The first messages of a session of polls are one POST. */
static void post_first_messages(struct load *load, struct link *link)
{
    const struct load_options *o = load->options;
    struct bytes body = {0};
    for (int i = 0; i < o->first_count; i++) {
        bytes_append(&body, i ? "," : "[", 1);
        template_expand(&body, o->first[i], link->index, o->rooms, 0);
    }
    bytes_append(&body, o->first_count ? "]" : "[]", o->first_count ? 1 : 2);
    load->scratch.length = 0;
    post_request(&load->scratch, link->poller, o->host, o->port, &body);
    link_send(&load->net, link, load->scratch.data, load->scratch.length);
    bytes_release(&body);
    link->state = LINK_STARTING;
}

/* Take the head of the server's answer off the front. Returns how many bytes it has; 0 while it is unfinished. */
static size_t take_head(struct load *load, struct link *link, const uint8_t *data, size_t length, uint64_t now)
{
    const uint8_t *end = memmem(data, length, "\r\n\r\n", 4);
    const char *wanted = link->role == ROLE_STREAM ? "HTTP/1.1 200" : "HTTP/1.1 101";
    if (!end) {
        if (length > HEAD_BYTES_MAX)
            load_fail(load, LOAD_REFUSED, "a head without end");
        return 0;
    }
    if (memcmp(data, wanted, 12)) {
        char line[100];
        const uint8_t *cr = memchr(data, '\r', length);
        snprintf(line, sizeof line, "%.*s", cr ? (int)(cr - data) : 0, (const char *)data);
        load_fail(load, LOAD_REFUSED, line);
        return 0;
    }
    send_first_messages(load, link, now);
    return (size_t)(end + 4 - data);
}

/* --- What comes in ------------------------------------------------------------------------------------------------ */

static void send_control(struct load *load, struct link *link, int opcode, const uint8_t *payload, size_t length)
{
    struct bytes frame = {0};
    frame_append(&frame, opcode, payload, length);
    link_send(&load->net, link, frame.data, frame.length);
    bytes_release(&frame);
}

static void take_payload(struct load *load, struct link *link, int compressed, const uint8_t *payload, size_t length,
                         uint64_t now)
{
    const struct load_options *o = load->options;
    const uint8_t *rest;
    struct stamp stamp;
    if (o->engine_io && length == 1 && *payload == '2') { /* Engine.IO pings in messages of its own: 2, answered by 3 */
        send_control(load, link, OP_TEXT, (const uint8_t *)"3", 1);
        return;
    }
    if (link->state == LINK_STARTING) {
        if (!compressed && memmem(payload, length, o->answer, strlen(o->answer)) && --link->answers_due == 0)
            session_open(load, link, now);
        return;
    }
    if (o->mode == MODE_PUBLISH) {
        acknowledge(load, link, now);
    } else if (compressed) {
        /* Its stamp cannot be read; one sender's messages come in order, so the count says which one it is. */
        load->compressed++;
        uint64_t at = load->sent_at[link->seen % TIMES];
        deliver(load, link, (struct stamp){at, (uint32_t)load->publisher, link->seen}, now);
    } else if (stamp_find(payload, payload + length, &stamp, &rest)) {
        deliver(load, link, stamp, now);
    }
}

/* Answer a close, so that the server ends the connection: its end is what is counted. */
static void take_close(struct load *load, struct link *link, const uint8_t *payload, size_t length)
{
    if (length >= 2 && !load->close_code)
        load->close_code = payload[0] << 8 | payload[1];
    send_control(load, link, OP_CLOSE, payload, length < 2 ? 0 : 2);
}

/* Take whole frames off the front. Returns how many bytes they have. */
static size_t take_frames(struct load *load, struct link *link, const uint8_t *data, size_t length, uint64_t now)
{
    size_t done = 0;
    while (done < length && link->state != LINK_CLOSED) {
        uint64_t payload_bytes;
        const uint8_t *frame = data + done;
        size_t head = frame_head(frame, length - done, &payload_bytes);
        if (!head || length - done - head < payload_bytes)
            break;
        const uint8_t *payload = frame + head;
        int opcode = frame[0] & 15;
        done += head + payload_bytes;
        if (opcode == OP_PING)
            send_control(load, link, OP_PONG, payload, (size_t)payload_bytes);
        else if (opcode == OP_CLOSE)
            take_close(load, link, payload, (size_t)payload_bytes);
        else if (opcode < OP_CLOSE)
            take_payload(load, link, frame[0] & RSV1, payload, (size_t)payload_bytes, now);
    }
    return done;
}

/* Take the events out of a stream of them: stamps, whatever stands around. */
static size_t take_events(struct load *load, struct link *link, const uint8_t *data, size_t length, uint64_t now)
{
    struct stamp stamp;
    const uint8_t *rest = data;
    while (stamp_find(rest, data + length, &stamp, &rest))
        deliver(load, link, stamp, now);
    return (size_t)(rest - data);
}

/* A poll was answered: with publications, or with 204, after which it asks with the cursor it has. */
static void take_polled(struct load *load, struct link *link, const struct answer *answer, uint64_t now)
{
    if (answer->status == 200) {
        load->polls++;
        load->repeated += !poller_learn(link->poller, answer);
        take_events(load, link, answer->body, answer->body_bytes, now);
    }
    send_poll(load, link);
}

static void take_answer(struct load *load, struct link *link, const struct answer *answer, uint64_t now)
{
    const char *wanted = load->options->answer;
    if (link->state == LINK_READY && (answer->status == 200 || answer->status == 204)) {
        take_polled(load, link, answer, now);
    } else if (link->state == LINK_GREETING && answer->status == 200 && poller_learn(link->poller, answer)) {
        post_first_messages(load, link);
    } else if (link->state == LINK_STARTING && answer->status == 200 &&
               memmem(answer->body, answer->body_bytes, wanted, strlen(wanted))) {
        session_open(load, link, now);
        send_poll(load, link);
    } else {
        char reason[100];
        int shown = answer->body_bytes < 80 ? (int)answer->body_bytes : 80;
        snprintf(reason, sizeof reason, "%d %.*s", answer->status, shown, (const char *)answer->body);
        load_fail(load, LOAD_REFUSED, reason);
    }
}

/* Take whole answers off the front. Returns how many bytes they have. */
static size_t take_answers(struct load *load, struct link *link, const uint8_t *data, size_t length, uint64_t now)
{
    struct answer answer;
    size_t done = 0;
    int looked = 1;
    while (done < length && load->result->error == LOAD_OK && (looked = answer_look(data + done, length - done, &answer)) > 0) {
        done += answer.bytes;
        take_answer(load, link, &answer, now);
    }
    if (looked < 0)
        load_fail(load, LOAD_REFUSED, "no answer of HTTP/1.1");
    return done;
}

static size_t take(struct load *load, struct link *link, const uint8_t *data, size_t length, uint64_t now)
{
    size_t done = 0;
    if (link->role == ROLE_POLLER)
        return take_answers(load, link, data, length, now);
    if (load->options->mqtt)
        return take_packets(load, link, data, length, now);
    if (link->state == LINK_GREETING) {
        done = take_head(load, link, data, length, now);
        if (!done)
            return 0;
    }
    if (link->role == ROLE_STREAM)
        return done + take_events(load, link, data + done, length - done, now);
    return done + take_frames(load, link, data + done, length - done, now);
}

/* What a connection waits for: deliveries, and acknowledgements of its own messages. */
static int64_t owed_to(const struct load *load, const struct link *link)
{
    const struct load_options *o = load->options;
    int is_publisher = link->index == load->publisher;
    uint32_t expected = load->published, acked = o->qos && is_publisher ? load->published - link->acked : 0;
    if (o->mode == MODE_ROOMS)
        return 0;
    if (o->mode == MODE_PAIRS)
        return is_pair_publisher(link) ? (o->qos ? (int64_t)link->sent - link->acked : 0)
                                       : (int64_t)link[-1].sent - link->seen;
    if (!has_one_sender(load))
        expected = link->sent;
    return (int64_t)expected - link->seen + acked;
}

/* A connection ended: what it was owed is missing, and a closed loop goes on without it. */
static void session_lost(struct load *load, struct link *link)
{
    int opening = link->state < LINK_READY;
    if (!opening && link->index < load->members) {
        int64_t owed = owed_to(load, link);
        load->missing += owed;
        load->outstanding -= owed;
        load->pongs_due -= link->pongs_due;
        load->members_open--;
    }
    link_release(&load->net, link);
    load->closed++;
    if (opening)
        load_fail(load, LOAD_REFUSED, "the server closed the connection before it was open");
}

static void session_read(struct load *load, struct link *link, uint64_t *now)
{
    do {
        ssize_t count = link_read_some(&load->net, link, load->buffer, READ_BYTES);
        if (count == WOULD_BLOCK)
            return;
        if (count < 0) {
            session_lost(load, link);
            return;
        }
        *now = monotonic_ns();
        load->bytes_in += (uint64_t)count;
        if (!link->in.length) { /* the usual case: whole frames, handled where they were read */
            size_t done = take(load, link, load->buffer, (size_t)count, *now);
            if (done < (size_t)count && link->state != LINK_CLOSED)
                bytes_append(&link->in, load->buffer + done, (size_t)count - done);
            continue;
        }
        bytes_append(&link->in, load->buffer, (size_t)count);
        bytes_drop(&link->in, take(load, link, link->in.data, link->in.length, *now));
        if (!link->in.length)
            bytes_release(&link->in);
    } while (link->session && link->state != LINK_CLOSED); /* TLS may hold bytes that epoll does not see */
}

/* A socket is ready. `*now` is brought up to date when bytes came. */
static void session_ready(struct load *load, struct link *link, uint32_t events, uint64_t *now)
{
    if (link->state == LINK_CLOSED)
        return;
    if (link->state < LINK_GREETING) {
        int advanced = link_advance(&load->net, link);
        if (advanced < 0)
            load_fail_with_errno(load, "connect");
        if (advanced > 0)
            send_request(load, link);
        return;
    }
    if (events & EPOLLOUT)
        link_flush(&load->net, link);
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        session_read(load, link, now);
}

#endif
