/* What happens on a connection of MQTT: CONNECT, SUBSCRIBE, publications, acknowledgements and pings. */
#ifndef CHAPPE_LOAD_MQTT_SESSION_H
#define CHAPPE_LOAD_MQTT_SESSION_H

#include "load_delivery.h"

enum { CLIENT_ID_BYTES = 24 };

/* --- Sending ------------------------------------------------------------------------------------------------------ */

static void mqtt_send_connect(struct load *load, struct link *link)
{
    const struct load_options *o = load->options;
    char client_id[CLIENT_ID_BYTES];
    snprintf(client_id, sizeof client_id, "bench%d-%d", o->first_source, link->index);
    load->scratch.length = 0;
    mqtt_connect(&load->scratch, o->mqtt, o->keep_alive_s, client_id, o->user, o->password);
    link_send(&load->net, link, load->scratch.data, load->scratch.length);
}

/* Subscribe to all filters at once. Returns 0 if the link has none: publishers of pairs and bystanders. */
static int mqtt_send_subscribe(struct load *load, struct link *link)
{
    const struct load_options *o = load->options;
    int publishes_only = o->mode == MODE_PAIRS && is_pair_publisher(link);
    int count = link->role == ROLE_BYSTANDER ? o->bystander_first_count : publishes_only ? 0 : o->first_count;
    struct bytes body = {0}, filter = {0};
    if (!count)
        return 0;
    mqtt_subscribe_begin(&body, o->mqtt);
    for (int i = 0; i < count; i++) {
        filter.length = 0;
        template_expand(&filter, o->first[i], o->mode == MODE_PAIRS ? link->index & ~1 : link->index, o->rooms, 0);
        mqtt_subscribe_add(&body, &filter, o->qos);
    }
    load->scratch.length = 0;
    put_packet(&load->scratch, MQTT_SUBSCRIBE, &body);
    link_send(&load->net, link, load->scratch.data, load->scratch.length);
    bytes_release(&body);
    bytes_release(&filter);
    return 1;
}

/* Ask who has been asked longest ago whether the server is there, so that all are asked once in two thirds of a keep
 * alive; an answer that does not come is a loss. */
static void mqtt_ping_due(struct load *load, uint64_t now)
{
    static const uint8_t ping[2] = {MQTT_PINGREQ, 0};
    double period_ns = (double)load->options->keep_alive_s * 1e9 * 2 / 3;
    uint64_t due = (uint64_t)((double)(now - load->pings_began) * load->total / period_ns);
    while (load->pings < due) {
        struct link *link = &load->links[load->pings++ % (uint64_t)load->total];
        if (link->state == LINK_READY) {
            link->pongs_due++;
            load->pongs_due++;
            link_send(&load->net, link, ping, sizeof ping);
        }
    }
}

/* --- What comes in ------------------------------------------------------------------------------------------------ */

static void mqtt_refused(struct load *load, const char *packet, int code)
{
    char reason[100];
    snprintf(reason, sizeof reason, "%s with code %d", packet, code);
    load_fail(load, LOAD_REFUSED, reason);
}

static void mqtt_connected(struct load *load, struct link *link, const struct packet *packet, uint64_t now)
{
    if (packet->kind != MQTT_CONNACK || packet->body_bytes < 2) {
        load_fail(load, LOAD_REFUSED, "no CONNACK");
    } else if (packet->body[1]) {
        mqtt_refused(load, "CONNACK", packet->body[1]);
    } else {
        link->state = LINK_STARTING;
        if (!mqtt_send_subscribe(load, link))
            session_open(load, link, now);
    }
}

static void mqtt_subscribed(struct load *load, struct link *link, const struct packet *packet, uint64_t now)
{
    if (packet->kind != MQTT_SUBACK)
        return; /* retained messages may come first */
    int code = packet->body_bytes ? packet->body[packet->body_bytes - 1] : MQTT_REFUSED;
    if (code >= MQTT_REFUSED)
        mqtt_refused(load, "SUBACK", code);
    else
        session_open(load, link, now);
}

static void mqtt_publish(struct load *load, struct link *link, const struct packet *packet, uint64_t now)
{
    struct stamp stamp;
    const uint8_t *rest, *id;
    const uint8_t *payload = publish_payload(packet, load->options->mqtt, &id);
    if (!payload) {
        load_fail(load, LOAD_REFUSED, "a malformed PUBLISH");
        return;
    }
    if (id)
        mqtt_puback(&load->answers, id);
    if (stamp_find(payload, packet->body + packet->body_bytes, &stamp, &rest))
        deliver(load, link, stamp, now);
}

/* An own message was acknowledged. They are acknowledged in the order in which they were sent (4.6.0-2). */
static void mqtt_acknowledged(struct load *load, struct link *link, const struct packet *packet)
{
    uint32_t sent = link->index == load->publisher && has_one_sender(load) ? load->published : link->sent;
    if (packet->body_bytes < 2 || link->acked >= sent ||
        (unsigned)(packet->body[0] << 8 | packet->body[1]) != mqtt_id(link->acked)) {
        load->repeated++;
        return;
    }
    link->acked++;
    load->outstanding--;
}

static void take_packet(struct load *load, struct link *link, const struct packet *packet, uint64_t now)
{
    if (packet->kind == MQTT_DISCONNECT) {
        if (!load->close_code)
            load->close_code = packet->body_bytes ? packet->body[0] : 0;
    } else if (link->state == LINK_GREETING) {
        mqtt_connected(load, link, packet, now);
    } else if (link->state == LINK_STARTING) {
        mqtt_subscribed(load, link, packet, now);
    } else if (packet->kind == MQTT_PUBLISH) {
        mqtt_publish(load, link, packet, now);
    } else if (packet->kind == MQTT_PUBACK) {
        mqtt_acknowledged(load, link, packet);
    } else if (packet->kind == MQTT_PINGRESP) {
        if (!link->pongs_due) {
            load->repeated++;
            return;
        }
        link->pongs_due--;
        load->pongs_due--;
    }
}

/* Take whole packets off the front, answer them in one write, and send what may be sent because of them. Returns how
 * many bytes they have. */
static size_t take_packets(struct load *load, struct link *link, const uint8_t *data, size_t length, uint64_t now)
{
    struct packet packet;
    size_t done = 0;
    int looked = 1;
    load->answers.length = 0;
    while (done < length && load->result->error == LOAD_OK && (looked = packet_look(data + done, length - done, &packet)) > 0) {
        done += packet.bytes;
        take_packet(load, link, &packet, now);
    }
    if (looked < 0)
        load_fail(load, LOAD_REFUSED, "no packet of MQTT");
    if (load->answers.length)
        link_send(&load->net, link, load->answers.data, load->answers.length);
    if (load->running && link->role == ROLE_MEMBER)
        answer_delivery(load, link, (uint32_t)load->publisher, now);
    return done;
}

#endif
