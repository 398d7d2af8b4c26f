"""What links and their reactor ask of the kernel."""

from libc.stdint cimport uint32_t, uint64_t


cdef extern from "sys/epoll.h" nogil:
    ctypedef union epoll_data_t:
        uint64_t u64
    struct epoll_event:
        uint32_t events
        epoll_data_t data
    int epoll_create1(int flags)
    int epoll_ctl(int epfd, int operation, int fd, epoll_event *event)
    int epoll_wait(int epfd, epoll_event *events, int count, int timeout_ms)
    enum:
        EPOLL_CLOEXEC
        EPOLL_CTL_ADD
        EPOLL_CTL_MOD
        EPOLL_CTL_DEL
        EPOLLIN
        EPOLLOUT
        EPOLLERR
        EPOLLHUP

cdef extern from "sys/socket.h" nogil:
    ssize_t recv(int fd, void *data, size_t size, int flags)
    int shutdown(int fd, int how)
    int setsockopt(int fd, int level, int option, const void *value, uint32_t size)
    enum:
        MSG_DONTWAIT
        SHUT_WR
        SHUT_RDWR

cdef extern from "netinet/in.h" nogil:
    enum:
        IPPROTO_TCP

cdef extern from "netinet/tcp.h" nogil:
    enum:
        TCP_NODELAY

cdef extern from "fcntl.h" nogil:
    int fcntl(int fd, int command, int value)
    enum:
        F_GETFL
        F_SETFL
        O_NONBLOCK

cdef extern from "unistd.h" nogil:
    int close_fd "close"(int fd)


# What the kernel said of a link, which it knows by index and generation.
cdef struct Event:
    uint32_t index
    uint32_t generation
    uint32_t events


cdef inline Event event_of(epoll_event *told) noexcept:
    cdef Event event
    event.index = <uint32_t>told.data.u64
    event.generation = <uint32_t>(told.data.u64 >> 32)
    event.events = told.events
    return event
