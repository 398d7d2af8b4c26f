/* Long polls: what is asked, and what the answers say. Every message before the cursor that is asked with is there. */
#ifndef CHAPPE_LOAD_POLL_H
#define CHAPPE_LOAD_POLL_H

#include "load_link.h"

enum { ANSWER_HEAD_BYTES_MAX = 16384, ANSWER_BODY_BYTES_MAX = 1 << 28, MEMBER_BYTES = 64 };

/* The session of one link, as the server named it. */
struct poller {
    char session[MEMBER_BYTES], cursor[MEMBER_BYTES];
};

struct answer {
    int status;
    const uint8_t *body;
    size_t body_bytes, bytes; /* the latter with the head */
};

/* Look at an answer at the front. Returns 1 for a whole one, 0 while it is unfinished, -1 for what is none. */
static int answer_look(const uint8_t *data, size_t length, struct answer *answer)
{
    const uint8_t *end = memmem(data, length, "\r\n\r\n", 4);
    if (!end)
        return length > ANSWER_HEAD_BYTES_MAX ? -1 : 0;
    size_t head = (size_t)(end + 4 - data);
    if (head < 13 || memcmp(data, "HTTP/1.1 ", 9))
        return -1;
    answer->status = atoi((const char *)data + 9); /* ends at the reason, or at the CR */
    answer->body = end + 4;
    answer->body_bytes = 0;
    for (const uint8_t *line = data; line < end; line++) {
        if (*line == '\n' && !strncasecmp((const char *)line + 1, "content-length:", 15))
            answer->body_bytes = (size_t)strtoul((const char *)line + 16, NULL, 10);
    }
    if (answer->body_bytes > ANSWER_BODY_BYTES_MAX)
        return -1;
    answer->bytes = head + answer->body_bytes;
    return answer->bytes <= length;
}

/* Copy the string of a member that is named once; returns 0 without one. */
static int member_copy(const struct answer *answer, const char *name, char *out)
{
    size_t name_bytes = strlen(name);
    const uint8_t *end = answer->body + answer->body_bytes;
    const uint8_t *found = memmem(answer->body, answer->body_bytes, name, name_bytes);
    if (!found)
        return 0;
    found += name_bytes;
    const uint8_t *quote = memchr(found, '"', (size_t)(end - found));
    if (!quote || quote - found >= MEMBER_BYTES)
        return 0;
    memcpy(out, found, (size_t)(quote - found));
    out[quote - found] = 0;
    return 1;
}

/* Learn the session and the cursor from an answer. Returns 0 if they are not there, or are another session's. */
static int poller_learn(struct poller *poller, const struct answer *answer)
{
    char session[MEMBER_BYTES];
    if (!member_copy(answer, "\"session\":\"", session) || (*poller->session && strcmp(poller->session, session)))
        return 0;
    strcpy(poller->session, session);
    return member_copy(answer, "\"cursor\":\"", poller->cursor);
}

static void request_end(struct bytes *out, const char *host, int port)
{
    char line[300];
    bytes_append(out, line, (size_t)snprintf(line, sizeof line, " HTTP/1.1\r\nHost: %s:%d\r\n", host, port));
}

/* Ask for what is behind the cursor; without a session, for one. */
static void poll_request(struct bytes *out, const struct poller *poller, const char *host, int port, const char *headers)
{
    char target[64 + 2 * MEMBER_BYTES];
    int length = *poller->session ? snprintf(target, sizeof target, "GET /poll?session=%s&cursor=%s", poller->session,
                                             poller->cursor)
                                  : snprintf(target, sizeof target, "GET /poll");
    bytes_append(out, target, (size_t)length);
    request_end(out, host, port);
    if (!*poller->session)
        bytes_append(out, headers, strlen(headers));
    bytes_append(out, "\r\n", 2);
}

static void post_request(struct bytes *out, const struct poller *poller, const char *host, int port,
                         const struct bytes *body)
{
    char text[64 + MEMBER_BYTES];
    bytes_append(out, text, (size_t)snprintf(text, sizeof text, "POST /send?session=%s", poller->session));
    request_end(out, host, port);
    bytes_append(out, text, (size_t)snprintf(text, sizeof text, "Content-Length: %zu\r\n\r\n", body->length));
    bytes_append(out, body->data, body->length);
}

#endif
