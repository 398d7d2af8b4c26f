/* The load generator: one thread, one epoll set, no allocation per message. `load_run` measures and returns.
 *
 * load_options.h says what can be asked for and what comes out, load_session.h what happens on a connection; here is
 * the order of a run: open all connections, settle, warm up, measure, wait for the rest.
 */
#ifndef CHAPPE_LOAD_H
#define CHAPPE_LOAD_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <netdb.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "load_session.h"

enum {
    EVENTS = 1024,
    SPARE_FILES = 64,            /* what the process has open beside its connections */
    BUSY_RATE = 10,              /* publications a second from which a generator does not sleep: see poll_events */
    SPIN_NS = 100000,            /* an open loop polls this long before a message is due: sleepers wake late, in a
                                    virtual machine by tens of microseconds */
    CHECK_NS = 100000000,        /* how often a run asks whether it shall stop */
};
#define DRAIN_NS (3 * NS_PER_S)
#define OPENING_PATIENCE_NS (10 * NS_PER_S) /* without any connection becoming ready */

/* --- Turns of the loop -------------------------------------------------------------------------------------------- */

static int interrupted(struct load *load, uint64_t now)
{
    if (now >= load->next_check && load->options->interrupted) {
        load->next_check = now + CHECK_NS;
        if (load->options->interrupted(load->options->interrupted_with))
            load_fail(load, LOAD_INTERRUPTED, "");
    }
    return load->result->error != LOAD_OK;
}

/* Send what is due by now in an open loop; each message is stamped with the time it was due. */
static void send_due(struct load *load, uint64_t now)
{
    while (load->due <= now && load->due < load->last_due) {
        histogram_add(&load->lateness, now - load->due);
        publish(load, load->due);
        load->due = load->first_due + (uint64_t)((double)++load->due_count * 1e9 / load->options->rate);
    }
}

/* Wait for events at most until a moment, and handle them. */
static void turn(struct load *load, uint64_t until)
{
    struct epoll_event events[EVENTS];
    if (load->due < load->last_due && load->due < until + SPIN_NS)
        until = load->due > SPIN_NS ? load->due - SPIN_NS : 0;
    int count = load->never_sleeps ? poll_events(load->net.epoll, events, EVENTS, until, &load->idle_ns)
                                   : wait_events(load->net.epoll, events, EVENTS, until);
    uint64_t now = monotonic_ns();
    if (load->pings_began && now < load->stop)
        mqtt_ping_due(load, now);
    if (load->due < load->last_due)
        send_due(load, now);
    for (int i = 0; i < count; i++) {
        struct link *link = &load->links[events[i].data.u32];
        session_ready(load, link, events[i].events, &now);
        if (load->due <= now && load->due < load->last_due)
            send_due(load, now);
    }
}

/* Let the load run until a moment, or until nothing is outstanding any more if that is wanted. */
static void run_until(struct load *load, uint64_t until, int settled)
{
    for (;;) {
        uint64_t now = monotonic_ns();
        if (now >= until || interrupted(load, now) || (settled && !load->outstanding && !load->pongs_due))
            return;
        turn(load, until < now + CHECK_NS ? until : now + CHECK_NS);
    }
}

/* --- Opening ------------------------------------------------------------------------------------------------------ */

static void resolve(struct load *load)
{
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found = NULL;
    if (getaddrinfo(load->options->host, NULL, &hints, &found) || !found) {
        load_fail(load, LOAD_SYSTEM, "no IPv4 address of that name");
        return;
    }
    memcpy(&load->net.server, found->ai_addr, sizeof load->net.server);
    load->net.server.sin_port = htons((uint16_t)load->options->port);
    freeaddrinfo(found);
}

/* Raise the limit of open files as far as this user may. */
static void take_files(struct load *load)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
        getrlimit(RLIMIT_NOFILE, &limit);
    }
    load->result->files_max = limit.rlim_cur == RLIM_INFINITY ? -1 : (long)limit.rlim_cur;
    if (limit.rlim_cur != RLIM_INFINITY && (rlim_t)load->total + SPARE_FILES > limit.rlim_cur)
        load_fail(load, LOAD_FILES, "");
}

static void prepare_links(struct load *load)
{
    const struct load_options *o = load->options;
    load->members = o->connections;
    int apart = o->sse || o->polls; /* who receives cannot publish */
    load->publisher = apart ? o->connections : 0;
    load->total = o->connections + apart + o->bystanders;
    load->links = calloc((size_t)load->total, sizeof *load->links);
    if (!load->links)
        abort();
    for (int i = 0; i < load->total; i++) {
        struct link *link = &load->links[i];
        link->fd = -1;
        link->index = i;
        link->state = LINK_CLOSED;
        link->role = i >= load->members ? ROLE_BYSTANDER : o->sse ? ROLE_STREAM : o->polls ? ROLE_POLLER : ROLE_MEMBER;
        if (apart && i == load->publisher)
            link->role = ROLE_PUBLISHER;
    }
}

static void read_memory(struct load *load, struct load_memory *memory)
{
    memory->pss_kb = 0;
    for (int i = 0; i < load->options->pid_count; i++)
        memory->pss_kb += process_pss_kb(load->options->pids[i]);
    memory->buffers_kb = socket_buffers_kb();
    memory->objects_kb = kernel_objects_kb();
}

/* Open all connections, at most `parallel` of them at once under way. */
static void open_all(struct load *load)
{
    int started = 0;
    uint64_t began = monotonic_ns(), progress = began;
    double cpu = servers_cpu_s(load);
    while (load->ready < load->total && load->result->error == LOAD_OK) {
        while (started < load->total && started - load->ready < load->options->parallel) {
            if (link_open(&load->net, &load->links[started++])) {
                load_fail_with_errno(load, "connect");
                return;
            }
        }
        int before = load->ready;
        uint64_t now = monotonic_ns();
        turn(load, now + CHECK_NS);
        if (load->ready > before)
            progress = now;
        if (now > progress + OPENING_PATIENCE_NS)
            load_fail(load, LOAD_SILENT, "");
        interrupted(load, now);
    }
    load->result->opened = load->ready;
    read_memory(load, &load->result->after);
    load->result->opening_s = (double)(monotonic_ns() - began) / 1e9;
    load->result->opening_cpu_s = servers_cpu_s(load) - cpu;
    load->result->opening_p50_us = histogram_quantile_us(&load->latency, 0.5);
    load->result->opening_p99_us = histogram_quantile_us(&load->latency, 0.99);
}

/* --- Measuring ---------------------------------------------------------------------------------------------------- */

static void start_load(struct load *load, uint64_t now, uint64_t stop)
{
    const struct load_options *o = load->options;
    load->stop = stop;
    load->running = 1;
    if (o->mqtt && o->keep_alive_s)
        load->pings_began = now;
    if (o->mode == MODE_IDLE)
        return;
    load->never_sleeps = o->rate <= 0 || o->rate >= BUSY_RATE;
    if (o->mode == MODE_FANOUT && o->rate > 0) {
        load->first_due = load->due = now;
        load->last_due = stop;
    } else if (o->mode == MODE_BURST) {
        publish_burst(load, now);
    } else if (o->mode == MODE_FANOUT) {
        for (int i = 0; i < o->inflight; i++)
            publish(load, now);
    } else if (o->mode == MODE_PAIRS) {
        for (int i = 0; i < load->members; i += 2)
            pair_go_on(load, &load->links[i], now);
    } else {
        for (int i = 0; i < load->members; i++)
            for (int k = 0; k < o->inflight; k++)
                send_own(load, &load->links[i], now);
    }
}

/* The window in which deliveries, CPU and latency count. */
static void measure_window(struct load *load)
{
    struct load_result *r = load->result;
    histogram_clear(&load->latency);
    histogram_clear(&load->lateness);
    uint64_t deliveries = load->deliveries, sent = load->sent, bytes = load->bytes_in, began = monotonic_ns();
    uint64_t idle_ns = load->idle_ns, polls = load->polls;
    double cpu = servers_cpu_s(load), own = thread_cpu_s();
    run_until(load, load->stop, 0);
    r->seconds = (double)(monotonic_ns() - began) / 1e9;
    r->server_cpu_s = servers_cpu_s(load) - cpu;
    r->generator_cpu_s = thread_cpu_s() - own - (double)(load->idle_ns - idle_ns) / 1e9;
    r->deliveries = load->deliveries - deliveries;
    r->sent = load->sent - sent;
    r->bytes_in = load->bytes_in - bytes;
    r->polls = load->polls - polls;
}

static void report(struct load *load)
{
    struct load_result *r = load->result;
    r->p50_us = histogram_quantile_us(&load->latency, 0.5);
    r->p99_us = histogram_quantile_us(&load->latency, 0.99);
    r->p999_us = histogram_quantile_us(&load->latency, 0.999);
    r->max_us = (double)load->latency.max / 1e3;
    r->late_p99_us = histogram_quantile_us(&load->lateness, 0.99);
    r->late_max_us = (double)load->lateness.max / 1e3;
    r->lost = load->outstanding + load->missing + load->pongs_due;
    r->repeated = load->repeated;
    r->closed = load->closed;
    r->close_code = load->close_code;
    r->compressed = load->compressed;
}

static void measure(struct load *load)
{
    const struct load_options *o = load->options;
    run_until(load, monotonic_ns() + (uint64_t)(o->settle_s * 1e9), 0);
    uint64_t now = monotonic_ns(), warm = now + (uint64_t)(o->warmup_s * 1e9);
    start_load(load, now, warm + (uint64_t)(o->seconds * 1e9));
    run_until(load, warm, 0);
    if (load->result->error == LOAD_OK)
        measure_window(load);
    load->due = load->last_due = 0;
    if (load->result->error == LOAD_OK)
        run_until(load, monotonic_ns() + DRAIN_NS, 1);
    load->running = 0;
    report(load);
    if (o->mode == MODE_IDLE)
        read_memory(load, &load->result->after);
}

static void close_all(struct load *load)
{
    for (int i = 0; i < load->total; i++)
        link_release(&load->net, &load->links[i]);
    free(load->links);
    if (load->net.epoll >= 0)
        close(load->net.epoll);
    if (load->net.tls)
        tls_close(load->net.tls);
    bytes_release(&load->message.text);
    bytes_release(&load->message.frame);
    bytes_release(&load->scratch);
    bytes_release(&load->answers);
    free(load->sent_at);
    free(load->buffer);
}

/* Run a whole measurement in the calling thread. Returns the error of the result, LOAD_OK for none. */
static int load_run(const struct load_options *options, struct load_result *result)
{
    struct load *load = calloc(1, sizeof *load);
    struct tls tls = {0};
    memset(result, 0, sizeof *result);
    if (!load || !(load->buffer = malloc(READ_BYTES)) || !(load->sent_at = calloc(TIMES, sizeof *load->sent_at)))
        abort();
    load->options = options;
    load->result = result;
    load->message.sender = -1;
    load->net.first_source = options->first_source;
    load->net.links_per_source = options->links_per_source;
    load->net.epoll = epoll_create1(EPOLL_CLOEXEC);
    prepare_links(load);
    take_files(load);
    if (result->error == LOAD_OK)
        resolve(load);
    if (options->tls) {
        load->net.tls = &tls;
        if (!tls_open(&tls))
            load_fail(load, LOAD_NO_TLS, "");
    }
    int slack = prctl(PR_GET_TIMERSLACK);
    prctl(PR_SET_TIMERSLACK, 1L); /* else the kernel may wake this thread 50 us late on purpose */
    read_memory(load, &result->before);
    if (result->error == LOAD_OK)
        open_all(load);
    if (result->error == LOAD_OK && options->mode != MODE_CONNECT)
        measure(load);
    prctl(PR_SET_TIMERSLACK, (long)slack);
    close_all(load);
    free(load);
    return result->error;
}

#endif
