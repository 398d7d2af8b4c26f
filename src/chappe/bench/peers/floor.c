/* The floor: a bare C server over epoll, the least that moving the bytes costs on this machine.
 *
 * /echo returns every message to its sender, /room/N (0 to 4095) sends it to everybody in room N, any other path to
 * everybody on such a path. It checks nothing, has no limits and no close handshake, and writes once for each message
 * and reader: for measuring only.   cc -O2 -o floor floor.c; ./floor PORT
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ROOMS = 4096, EVERYBODY = ROOMS, ECHO = ROOMS + 1, EVENTS = 512, SCRATCH = 1 << 18 };

typedef struct {
    int fd, is_open, room;
    uint8_t *rest; /* of a head or frame that did not all come */
    size_t rest_size;
} Conn;

typedef struct {
    int *fds;
    size_t count, capacity;
} Room;

static const char ANSWER[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                             "Sec-WebSocket-Accept: x\r\n\r\n";
static Room rooms[ROOMS + 1];
static uint8_t scratch[SCRATCH], out[SCRATCH + 16];
static int epoll_fd;

static void enter(Room *room, int fd) {
    if (room->count == room->capacity) {
        room->capacity = room->capacity ? room->capacity * 2 : 16;
        room->fds = realloc(room->fds, room->capacity * sizeof *room->fds);
        if (!room->fds) abort();
    }
    room->fds[room->count++] = fd;
}

static void leave(Room *room, int fd) {
    for (size_t i = 0; i < room->count; i++) {
        if (room->fds[i] == fd) {
            room->fds[i] = room->fds[--room->count];
            return;
        }
    }
}

static void end(Conn *conn) {
    if (conn->is_open && conn->room != ECHO) leave(&rooms[conn->room], conn->fd);
    close(conn->fd);
    free(conn->rest);
    free(conn);
}

static void keep(Conn *conn, const uint8_t *data, size_t size) {
    free(conn->rest);
    conn->rest = size ? malloc(size) : NULL;
    conn->rest_size = size;
    if (size) memcpy(conn->rest, data, size);
}

/* Answer the opening handshake once its head is whole; returns the bytes that are done with. */
static size_t open_conn(Conn *conn, const uint8_t *data, size_t size) {
    const uint8_t *found = memmem(data, size, "\r\n\r\n", 4);
    if (!found) return 0;
    conn->room = EVERYBODY;
    if (size > 9 && !memcmp(data, "GET /echo", 9)) conn->room = ECHO;
    else if (size > 10 && !memcmp(data, "GET /room/", 10)) conn->room = atoi((const char *)data + 10) & (ROOMS - 1);
    if (conn->room != ECHO) enter(&rooms[conn->room], conn->fd);
    conn->is_open = 1;
    send(conn->fd, ANSWER, sizeof ANSWER - 1, MSG_NOSIGNAL);
    return (size_t)(found + 4 - data);
}

/* Pass the first frame of some bytes on; returns its size, 0: it is not whole. */
static size_t pass_on(Conn *conn, const uint8_t *data, size_t size) {
    size_t head = 2, length, o = 0;
    const uint8_t *mask;
    if (size < 6) return 0;
    length = data[1] & 127;
    if (length == 126) {
        if (size < 8) return 0;
        length = (size_t)data[2] << 8 | data[3];
        head = 4;
    } else if (length == 127) {
        if (size < 14) return 0;
        length = 0;
        for (int i = 0; i < 8; i++) length = length << 8 | data[2 + i];
        head = 10;
    }
    if (size < head + 4 + length) return 0;
    out[o++] = data[0];
    memcpy(out + o, data + 1, head - 1);
    out[o] &= 127;
    o += head - 1;
    mask = data + head;
    for (size_t i = 0; i < length; i++) out[o + i] = mask[4 + i] ^ mask[i & 3];
    if (conn->room == ECHO) {
        send(conn->fd, out, o + length, MSG_DONTWAIT | MSG_NOSIGNAL);
    } else {
        Room *room = &rooms[conn->room];
        for (size_t i = 0; i < room->count; i++) send(room->fds[i], out, o + length, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    return head + 4 + length;
}

static void serve(Conn *conn) {
    size_t size = conn->rest_size, done = 0;
    ssize_t got;
    if (size) memcpy(scratch, conn->rest, size);
    got = recv(conn->fd, scratch + size, sizeof scratch - size, MSG_DONTWAIT);
    if (got <= 0) {
        end(conn);
        return;
    }
    size += (size_t)got;
    if (!conn->is_open) done = open_conn(conn, scratch, size);
    while (conn->is_open && done < size) {
        size_t frame = pass_on(conn, scratch + done, size - done);
        if (!frame) break;
        done += frame;
    }
    if (done < size || conn->rest_size) keep(conn, scratch + done, size - done);
}

static void accept_one(int listener) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK), one = 1;
    struct epoll_event event = {.events = EPOLLIN};
    if (fd < 0) return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    event.data.ptr = calloc(1, sizeof(Conn));
    if (!event.data.ptr) abort();
    ((Conn *)event.data.ptr)->fd = fd;
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

int main(int argc, char **argv) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event event = {.events = EPOLLIN}, events[EVENTS];
    struct rlimit files;
    int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    if (argc < 2) return 2;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    address.sin_port = htons((uint16_t)atoi(argv[1]));
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4096)) {
        perror("floor");
        return 1;
    }
    epoll_fd = epoll_create1(0);
    event.data.ptr = NULL;
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int count = epoll_wait(epoll_fd, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr) serve(events[i].data.ptr);
            else accept_one(listener);
        }
    }
}
