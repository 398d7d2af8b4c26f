/* The state of a run, and its counts: what is sent, what is delivered, what is still owed. */
#ifndef CHAPPE_LOAD_DELIVERY_H
#define CHAPPE_LOAD_DELIVERY_H

#include "load_histogram.h"
#include "load_link.h"
#include "load_mqtt.h"
#include "load_options.h"

enum {
    READ_BYTES = 1 << 18,
    TIMES = 1 << 16, /* send times kept for frames whose stamp cannot be read: compressed ones */
};

struct load {
    const struct load_options *options;
    struct load_result *result;
    struct network net;
    struct link *links;
    int total, members, publisher; /* members are the first links; publisher is the index of one */
    int members_open;
    int ready, running;
    int never_sleeps;    /* it polls instead, and counts the time as idle */
    uint64_t idle_ns;
    uint64_t stop, next_check;
    uint64_t first_due, due, last_due, due_count; /* of an open loop; 0, 0 in a closed one */
    struct prepared message;
    struct bytes scratch, answers;
    uint8_t *buffer;
    uint64_t *sent_at;
    struct histogram latency, lateness;
    uint64_t deliveries, sent, bytes_in, repeated, compressed, polls;
    int64_t outstanding; /* deliveries that sent messages still owe to open connections */
    int64_t missing;     /* deliveries that will not come: skipped, or owed to a connection that ended */
    uint32_t published;  /* by the one publisher */
    uint64_t pings_began, pings; /* MQTT: since when pings are sent, and how many */
    int64_t pongs_due;   /* MQTT: how many of them were not answered */
    int closed, close_code;
};

static void load_fail(struct load *load, enum load_error error, const char *reason)
{
    if (load->result->error != LOAD_OK)
        return; /* the first one is the cause */
    load->result->error = error;
    snprintf(load->result->reason, REASON_BYTES, "%s", reason);
}

static void load_fail_with_errno(struct load *load, const char *what)
{
    char reason[REASON_BYTES];
    snprintf(reason, sizeof reason, "%s: %s", what, strerror(errno));
    load_fail(load, LOAD_SYSTEM, reason);
}

static double servers_cpu_s(const struct load *load)
{
    double sum = 0;
    for (int i = 0; i < load->options->pid_count; i++)
        sum += process_cpu_s(load->options->pids[i]);
    return sum;
}

/* --- Sending ------------------------------------------------------------------------------------------------------ */

static const struct bytes *stamped(struct load *load, const struct link *link, uint64_t at, uint32_t sequence)
{
    const struct load_options *o = load->options;
    struct prepared *p = &load->message;
    struct stamp stamp = {at, (uint32_t)link->index, sequence};
    int is_ready = p->sender == link->index || (p->sender >= 0 && !template_names_sender(o->message) &&
                                                !template_names_sender(o->topic));
    if (!o->mqtt) {
        if (!is_ready)
            prepare(p, o->message, link->index, o->rooms, (size_t)o->payload_bytes);
        prepared_stamp(p, stamp);
        return &p->frame;
    }
    if (!is_ready)
        mqtt_prepare(p, o->topic, o->message, link->index, o->mqtt, o->qos, (size_t)o->payload_bytes);
    mqtt_stamp(p, stamp);
    return &p->frame;
}

static int members_of_room(const struct load *load, int index)
{
    int rooms = load->options->rooms;
    return load->members / rooms + (index % rooms < load->members % rooms ? 1 : 0);
}

/* A connection sends its next message: echo, publish and rooms. */
static void send_own(struct load *load, struct link *link, uint64_t now)
{
    const struct load_options *o = load->options;
    if (link->state != LINK_READY)
        return;
    if (o->mode == MODE_PUBLISH) {
        if (!link->asked && !(link->asked = calloc((size_t)o->inflight, sizeof *link->asked)))
            abort();
        link->asked[link->sent % (uint32_t)o->inflight] = now;
    }
    const struct bytes *frame = stamped(load, link, now, link->sent++);
    load->sent++;
    load->outstanding += o->mode == MODE_ROOMS ? members_of_room(load, link->index) : 1;
    link_send(&load->net, link, frame->data, frame->length);
}

static int has_one_sender(const struct load *load)
{
    return load->options->mode == MODE_FANOUT || load->options->mode == MODE_BURST;
}

/* What a message of the one publisher is owed: a delivery to each member, and with QoS 1 its acknowledgement. */
static int64_t owed_by_message(const struct load *load) { return load->members_open + (load->options->qos > 0); }

/* The one publisher sends its next message: fan-out. */
static void publish(struct load *load, uint64_t at)
{
    struct link *link = &load->links[load->publisher];
    const struct bytes *frame = stamped(load, link, at, load->published);
    load->sent_at[load->published++ % TIMES] = at;
    load->sent++;
    load->outstanding += owed_by_message(load);
    if (link->state == LINK_READY)
        link_send(&load->net, link, frame->data, frame->length);
}

/* Many messages of the publisher in one write, so that the server finds them in one turn of its loop. */
static void publish_burst(struct load *load, uint64_t now)
{
    struct link *link = &load->links[load->publisher];
    load->scratch.length = 0;
    for (int i = 0; i < load->options->burst; i++) {
        const struct bytes *frame = stamped(load, link, now, load->published);
        load->sent_at[load->published++ % TIMES] = now;
        bytes_append(&load->scratch, frame->data, frame->length);
    }
    load->sent += (uint64_t)load->options->burst;
    load->outstanding += owed_by_message(load) * load->options->burst;
    if (link->state == LINK_READY)
        link_send(&load->net, link, load->scratch.data, load->scratch.length);
}

/* --- Pairs: even connections publish to the odd ones behind them ----------------------------------------------------- */

static int is_pair_publisher(const struct link *link) { return !(link->index & 1); }

/* Send what the window of a pair has room for, in one write: a message leaves it when it is delivered and, with QoS 1,
 * acknowledged. */
static void pair_go_on(struct load *load, struct link *link, uint64_t now)
{
    const struct load_options *o = load->options;
    struct link *publisher = &load->links[link->index & ~1], *subscriber = publisher + 1;
    uint32_t done = o->qos && publisher->acked < subscriber->seen ? publisher->acked : subscriber->seen;
    if (publisher->state != LINK_READY || subscriber->state != LINK_READY)
        return;
    load->scratch.length = 0;
    for (; publisher->sent - done < (uint32_t)o->inflight; publisher->sent++) {
        const struct bytes *frame = stamped(load, publisher, now, publisher->sent);
        bytes_append(&load->scratch, frame->data, frame->length);
        load->sent++;
        load->outstanding += 1 + (o->qos > 0);
    }
    if (load->scratch.length)
        link_send(&load->net, publisher, load->scratch.data, load->scratch.length);
}

/* --- Deliveries --------------------------------------------------------------------------------------------------- */

static uint32_t *seen_from(struct load *load, struct link *link, uint32_t sender)
{
    const struct load_options *o = load->options;
    if (o->mode != MODE_ROOMS)
        return &link->seen;
    if (!link->seen_of_member) {
        size_t members = (size_t)(load->members / o->rooms + 1);
        if (!(link->seen_of_member = calloc(members, sizeof *link->seen_of_member)))
            abort();
    }
    return &link->seen_of_member[sender / (uint32_t)o->rooms];
}

/* Whether a message of that sender may come to this connection at all. */
static int is_addressed(const struct load *load, const struct link *link, uint32_t sender)
{
    const struct load_options *o = load->options;
    if (o->mode == MODE_ROOMS)
        return sender < (uint32_t)load->members && (int)sender % o->rooms == link->index % o->rooms;
    if (o->mode == MODE_PAIRS)
        return !is_pair_publisher(link) && (int)sender == link->index - 1;
    return sender == (uint32_t)(o->mode == MODE_ECHO ? link->index : load->publisher);
}

/* What a closed loop sends because a delivery came. */
static void answer_delivery(struct load *load, struct link *link, uint32_t sender, uint64_t now)
{
    const struct load_options *o = load->options;
    if (now >= load->stop || load->last_due || o->mode == MODE_IDLE)
        return;
    if (o->mode == MODE_PAIRS) {
        pair_go_on(load, link, now);
    } else if (o->mode == MODE_FANOUT) {
        while (load->outstanding <= owed_by_message(load) * (o->inflight - 1))
            publish(load, now);
    } else if (o->mode == MODE_BURST) {
        if (load->outstanding <= 0)
            publish_burst(load, now);
    } else if (sender == (uint32_t)link->index) {
        send_own(load, link, now);
    }
}

static void deliver(struct load *load, struct link *link, struct stamp stamp, uint64_t now)
{
    if (!load->running || link->role > ROLE_POLLER || stamp.sender >= (uint32_t)load->total)
        return;
    if (!is_addressed(load, link, stamp.sender)) {
        load->repeated++;
        return;
    }
    uint32_t *seen = seen_from(load, link, stamp.sender);
    load->deliveries++;
    histogram_add(&load->latency, now > stamp.at ? now - stamp.at : 0);
    if (stamp.sequence < *seen) {
        load->repeated++;
        return;
    }
    uint32_t skipped = stamp.sequence - *seen;
    *seen = stamp.sequence + 1;
    load->missing += skipped;
    load->outstanding -= 1 + (int64_t)skipped;
    if (!load->options->mqtt) /* there the whole read is answered at once */
        answer_delivery(load, link, stamp.sender, now);
}

/* Any answer to a message of this connection: publish. */
static void acknowledge(struct load *load, struct link *link, uint64_t now)
{
    const struct load_options *o = load->options;
    if (!load->running || link->seen >= link->sent) {
        load->repeated += (uint64_t)load->running;
        return;
    }
    load->deliveries++;
    load->outstanding--;
    histogram_add(&load->latency, now - link->asked[link->seen++ % (uint32_t)o->inflight]);
    if (now < load->stop)
        send_own(load, link, now);
}

/* --- Opened ------------------------------------------------------------------------------------------------------- */

static void session_open(struct load *load, struct link *link, uint64_t now)
{
    link->state = LINK_READY;
    load->ready++;
    load->members_open += link->index < load->members;
    histogram_add(&load->latency, now - link->began);
}

#endif
