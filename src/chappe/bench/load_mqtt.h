/* MQTT 3.1.1 and 5 as a client puts it on the wire: what it sends, and the heads of what comes back. */
#ifndef CHAPPE_LOAD_MQTT_H
#define CHAPPE_LOAD_MQTT_H

#include "load_wire.h"

enum {
    MQTT_CONNECT = 0x10,
    MQTT_CONNACK = 0x20,
    MQTT_PUBLISH = 0x30,
    MQTT_PUBACK = 0x40,
    MQTT_SUBSCRIBE = 0x82,
    MQTT_SUBACK = 0x90,
    MQTT_PINGREQ = 0xC0,
    MQTT_PINGRESP = 0xD0,
    MQTT_DISCONNECT = 0xE0,
};
enum { MQTT_V5 = 5, MQTT_REFUSED = 0x80, MQTT_IDS = 65535, LENGTH_BYTES_MAX = 4 };

/* --- What a client sends ------------------------------------------------------------------------------------------ */

static void put_two(struct bytes *out, unsigned value)
{
    uint8_t two[2] = {(uint8_t)(value >> 8), (uint8_t)value};
    bytes_append(out, two, 2);
}

static void put_string(struct bytes *out, const void *text, size_t length)
{
    put_two(out, (unsigned)length);
    bytes_append(out, text, length);
}

/* Version 5 has properties in most packets; ours have none. */
static void put_no_properties(struct bytes *out, int level)
{
    if (level == MQTT_V5)
        bytes_append(out, "", 1);
}

static void put_length(struct bytes *out, size_t length)
{
    do {
        uint8_t byte = (uint8_t)(length & 127);
        length >>= 7;
        byte |= (uint8_t)(length ? 128 : 0);
        bytes_append(out, &byte, 1);
    } while (length);
}

static void put_packet(struct bytes *out, int first, const struct bytes *body)
{
    uint8_t byte = (uint8_t)first;
    bytes_append(out, &byte, 1);
    put_length(out, body->length);
    bytes_append(out, body->data, body->length);
}

static void mqtt_connect(struct bytes *out, int level, int keep_alive_s, const char *client_id, const char *user,
                         const char *password)
{
    struct bytes body = {0};
    uint8_t head[2] = {(uint8_t)level, (uint8_t)(0x02 | (*user ? 0x80 : 0) | (*password ? 0x40 : 0))};
    put_string(&body, "MQTT", 4);
    bytes_append(&body, head, 2);
    put_two(&body, (unsigned)keep_alive_s);
    put_no_properties(&body, level);
    put_string(&body, client_id, strlen(client_id));
    if (*user)
        put_string(&body, user, strlen(user));
    if (*password)
        put_string(&body, password, strlen(password));
    put_packet(out, MQTT_CONNECT, &body);
    bytes_release(&body);
}

/* Begin the body of a SUBSCRIBE, to which filters are added. */
static void mqtt_subscribe_begin(struct bytes *body, int level)
{
    put_two(body, 1);
    put_no_properties(body, level);
}

static void mqtt_subscribe_add(struct bytes *body, const struct bytes *filter, int qos)
{
    uint8_t options = (uint8_t)qos;
    put_string(body, filter->data, filter->length);
    bytes_append(body, &options, 1);
}

static void mqtt_puback(struct bytes *out, const uint8_t *packet_id)
{
    uint8_t packet[4] = {MQTT_PUBACK, 2, packet_id[0], packet_id[1]};
    bytes_append(out, packet, sizeof packet);
}

/* Prepare a PUBLISH; its stamp, and with QoS 1 its packet id, are written for each message. */
static void mqtt_prepare(struct prepared *p, const char *topic, const char *text, int sender, int level, int qos,
                         size_t payload_bytes)
{
    struct bytes body = {0}, name = {0};
    p->text.length = p->frame.length = 0;
    template_expand(&name, topic, sender, 1, 0);
    template_expand(&p->text, text, sender, 1, payload_bytes);
    put_string(&body, name.data, name.length);
    if (qos)
        put_two(&body, 1);
    put_no_properties(&body, level);
    size_t behind = body.length;
    bytes_append(&body, p->text.data, p->text.length);
    put_packet(&p->frame, MQTT_PUBLISH | qos << 1, &body);
    const uint8_t *mark = memchr(p->text.data, '@', p->text.length);
    size_t head = p->frame.length - body.length;
    p->stamped = mark != NULL;
    p->stamp_in_frame = head + behind + (mark ? (size_t)(mark - p->text.data) : 0);
    p->id_in_frame = qos ? head + 2 + name.length : 0;
    p->sender = sender;
    bytes_release(&body);
    bytes_release(&name);
}

/* The id of a message of QoS 1: 1 to 65,535, by its number. */
static unsigned mqtt_id(uint32_t sequence) { return sequence % MQTT_IDS + 1; }

static void mqtt_stamp(struct prepared *p, struct stamp stamp)
{
    if (p->stamped)
        stamp_write(p->frame.data + p->stamp_in_frame, stamp);
    if (p->id_in_frame) {
        unsigned id = mqtt_id(stamp.sequence);
        p->frame.data[p->id_in_frame] = (uint8_t)(id >> 8);
        p->frame.data[p->id_in_frame + 1] = (uint8_t)id;
    }
}

/* --- What a server sends ------------------------------------------------------------------------------------------ */

struct packet {
    int kind, qos; /* kind: the first byte without its flags */
    const uint8_t *body;
    size_t body_bytes, bytes; /* the latter with the head */
};

/* Read the number that lengths are written as. Returns how many bytes it has, 0 while it is incomplete, -1 for none. */
static int mqtt_length(const uint8_t *data, size_t available, size_t *length)
{
    *length = 0;
    for (size_t i = 0; i < LENGTH_BYTES_MAX; i++) {
        if (i == available)
            return 0;
        *length |= (size_t)(data[i] & 127) << (7 * i);
        if (data[i] < 128)
            return (int)i + 1;
    }
    return -1;
}

/* Look at a packet at the front. Returns 1 for a whole one, 0 while it is unfinished, -1 for what is none. */
static int packet_look(const uint8_t *data, size_t available, struct packet *packet)
{
    if (available < 2)
        return 0;
    int length_bytes = mqtt_length(data + 1, available - 1, &packet->body_bytes);
    if (length_bytes <= 0)
        return length_bytes;
    packet->kind = data[0] & 0xF0;
    packet->qos = data[0] >> 1 & 3;
    packet->body = data + 1 + length_bytes;
    packet->bytes = 1 + (size_t)length_bytes + packet->body_bytes;
    return packet->bytes <= available;
}

/* Find id and payload of a PUBLISH; `*id` is NULL for QoS 0. Returns the payload, NULL if the packet is malformed. */
static const uint8_t *publish_payload(const struct packet *packet, int level, const uint8_t **id)
{
    const uint8_t *end = packet->body + packet->body_bytes, *p = packet->body;
    size_t properties = 0;
    *id = NULL;
    if (packet->body_bytes < 2 || (size_t)(p[0] << 8 | p[1]) > packet->body_bytes - 2)
        return NULL;
    p += 2 + (p[0] << 8 | p[1]);
    if (packet->qos) {
        if (end - p < 2)
            return NULL;
        *id = p;
        p += 2;
    }
    if (level == MQTT_V5) {
        int length_bytes = mqtt_length(p, (size_t)(end - p), &properties);
        if (length_bytes <= 0 || properties > (size_t)(end - p) - (size_t)length_bytes)
            return NULL;
        p += (size_t)length_bytes + properties;
    }
    return p;
}

#endif
