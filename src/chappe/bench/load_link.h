/* One connection of the load generator: opened, written to and read without ever blocking. */
#ifndef CHAPPE_LOAD_LINK_H
#define CHAPPE_LOAD_LINK_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "load_clock.h"
#include "load_tls.h"
#include "load_wire.h"

enum link_state { LINK_CONNECTING, LINK_SECURING, LINK_GREETING, LINK_STARTING, LINK_READY, LINK_CLOSED };

enum link_role {
    ROLE_MEMBER,    /* a WebSocket that sends or receives what is measured */
    ROLE_STREAM,    /* Server-Sent Events: receives */
    ROLE_POLLER,    /* long polls: asks again and again on one connection */
    ROLE_PUBLISHER, /* a WebSocket that sends and whose deliveries do not count */
    ROLE_BYSTANDER, /* connected, and no part of the load */
};

struct link {
    int fd;
    int index;
    uint8_t state, role;
    uint8_t wants_write;     /* EPOLLOUT is asked for */
    int answers_due;         /* answers to the first messages that have not come yet */
    uint32_t sent, seen;     /* own messages sent; deliveries of the one sender seen */
    uint32_t acked;          /* own messages acknowledged: MQTT, QoS 1 */
    uint32_t pongs_due;      /* MQTT: pings that were not answered yet */
    uint32_t *seen_of_member; /* rooms: the same for each member of the room */
    uint64_t *asked;         /* publish: when each outstanding message was sent */
    uint64_t began;          /* when it called connect() */
    void *session;           /* of TLS */
    struct poller *poller;   /* of long polls */
    struct bytes in, out;    /* an unfinished frame; what the socket did not take yet */
};

/* What all links of a run share. */
struct network {
    int epoll;
    struct sockaddr_in server;
    int first_source, links_per_source; /* 127.0.0.N for loopback servers */
    struct tls *tls;                    /* NULL: plain */
};

static void link_watch(struct network *net, struct link *link, int operation)
{
    struct epoll_event event = {.events = EPOLLIN | (link->wants_write ? EPOLLOUT : 0), .data.u32 = (uint32_t)link->index};
    epoll_ctl(net->epoll, operation, link->fd, &event);
}

static void link_want_write(struct network *net, struct link *link, int wanted)
{
    if (link->wants_write == wanted)
        return;
    link->wants_write = (uint8_t)wanted;
    link_watch(net, link, EPOLL_CTL_MOD);
}

/* One source address has about 28,000 ports to one server: links are spread over 127.0.0.N, N+1 ... */
static int link_bind_source(const struct network *net, const struct link *link)
{
    const uint32_t loopback = 127u << 24;
    int one = 1;
    if (ntohl(net->server.sin_addr.s_addr) >> 24 != 127 || !net->first_source)
        return 0;
    struct sockaddr_in source = {.sin_family = AF_INET};
    source.sin_addr.s_addr = htonl(loopback + (uint32_t)(net->first_source + link->index / net->links_per_source));
    /* Without this option bind() takes a port at once, and one that no other destination can use. */
    setsockopt(link->fd, IPPROTO_IP, 24 /* IP_BIND_ADDRESS_NO_PORT */, &one, sizeof one);
    return bind(link->fd, (void *)&source, sizeof source);
}

/* Begin to connect. Returns -1 with errno set when the system refuses. */
static int link_open(struct network *net, struct link *link)
{
    int one = 1;
    link->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (link->fd < 0)
        return -1;
    link->state = LINK_CONNECTING;
    link->wants_write = 1;
    link->began = monotonic_ns();
    setsockopt(link->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (link_bind_source(net, link))
        return -1;
    if (connect(link->fd, (void *)&net->server, sizeof net->server) && errno != EINPROGRESS)
        return -1;
    link_watch(net, link, EPOLL_CTL_ADD);
    return 0;
}

static void link_release(struct network *net, struct link *link)
{
    if (link->session)
        net->tls->free_session(link->session);
    link->session = NULL;
    if (link->fd >= 0)
        close(link->fd); /* leaves the epoll set by itself */
    link->fd = -1;
    link->state = LINK_CLOSED;
    bytes_release(&link->in);
    bytes_release(&link->out);
    free(link->seen_of_member);
    free(link->asked);
    free(link->poller);
    link->seen_of_member = NULL;
    link->asked = NULL;
    link->poller = NULL;
}

/* --- Bytes in and out: plain or TLS ------------------------------------------------------------------------------- */

enum { WOULD_BLOCK = -1, BROKEN = -2 };

static ssize_t tls_outcome(struct network *net, struct link *link, int result)
{
    if (result > 0)
        return result;
    int reason = net->tls->get_error(link->session, result);
    return reason == TLS_WANT_READ || reason == TLS_WANT_WRITE ? WOULD_BLOCK : BROKEN;
}

static ssize_t link_write_some(struct network *net, struct link *link, const uint8_t *data, size_t length)
{
    if (link->session) {
        net->tls->clear_errors();
        return tls_outcome(net, link, net->tls->write(link->session, data, (int)length));
    }
    ssize_t count = send(link->fd, data, length, MSG_NOSIGNAL);
    if (count >= 0)
        return count;
    return errno == EAGAIN || errno == EINTR ? WOULD_BLOCK : BROKEN;
}

/* Read what has come: a count, WOULD_BLOCK, or BROKEN, which the end of the stream is as well. */
static ssize_t link_read_some(struct network *net, struct link *link, uint8_t *buffer, size_t capacity)
{
    if (link->session) {
        net->tls->clear_errors();
        return tls_outcome(net, link, net->tls->read(link->session, buffer, (int)capacity));
    }
    ssize_t count = recv(link->fd, buffer, capacity, 0);
    if (count > 0)
        return count;
    return count < 0 && (errno == EAGAIN || errno == EINTR) ? WOULD_BLOCK : BROKEN;
}

/* Send bytes, or keep for later what the socket does not take: the server may itself wait for us to read. */
static void link_send(struct network *net, struct link *link, const uint8_t *data, size_t length)
{
    size_t done = 0;
    while (!link->out.length && done < length) {
        ssize_t count = link_write_some(net, link, data + done, length - done);
        if (count < 0)
            break; /* a broken link is found by the next read */
        done += (size_t)count;
    }
    if (done < length) {
        bytes_append(&link->out, data + done, length - done);
        link_want_write(net, link, 1);
    }
}

static void link_flush(struct network *net, struct link *link)
{
    size_t done = 0;
    while (done < link->out.length) {
        ssize_t count = link_write_some(net, link, link->out.data + done, link->out.length - done);
        if (count < 0)
            break;
        done += (size_t)count;
    }
    bytes_drop(&link->out, done);
    if (!link->out.length) {
        bytes_release(&link->out);
        link_want_write(net, link, 0);
    }
}

/* --- The way from connect() to the request ------------------------------------------------------------------------ */

/* Go on with connecting when the socket is ready: 1 when bytes may be sent, 0 for later, -1 with errno when it failed. */
static int link_advance(struct network *net, struct link *link)
{
    if (link->state == LINK_CONNECTING) {
        int error = 0;
        socklen_t size = sizeof error;
        getsockopt(link->fd, SOL_SOCKET, SO_ERROR, &error, &size);
        if (error) {
            errno = error;
            return -1;
        }
        if (net->tls) {
            link->session = net->tls->new_session(net->tls->context);
            if (!link->session || net->tls->set_fd(link->session, link->fd) != 1) {
                errno = ENOMEM;
                return -1;
            }
            link->state = LINK_SECURING;
        }
    }
    if (link->state == LINK_SECURING) {
        net->tls->clear_errors();
        int result = net->tls->connect(link->session);
        int reason = result == 1 ? 0 : net->tls->get_error(link->session, result);
        if (reason && reason != TLS_WANT_READ && reason != TLS_WANT_WRITE) {
            errno = EPROTO;
            return -1;
        }
        link_want_write(net, link, reason == TLS_WANT_WRITE);
        if (reason)
            return 0;
    }
    link->state = LINK_GREETING;
    link_want_write(net, link, 0);
    return 1;
}

#endif
