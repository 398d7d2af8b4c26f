/* What a measurement is asked for, and what it found. */
#ifndef CHAPPE_LOAD_OPTIONS_H
#define CHAPPE_LOAD_OPTIONS_H

#include <stdint.h>

enum load_mode {
    MODE_ECHO,    /* each connection sends and waits for its own message */
    MODE_FANOUT,  /* one sends, all receive; with `rate` in an open loop */
    MODE_PUBLISH, /* each connection sends and waits for any answer */
    MODE_ROOMS,   /* each connection sends to its room and waits for its own message */
    MODE_BURST,   /* one sends many at once, all receive all of them */
    MODE_IDLE,    /* nobody sends */
    MODE_CONNECT, /* opening the connections is what is measured */
    MODE_PAIRS,   /* MQTT: each even connection publishes to the odd one behind it */
};

enum load_error {
    LOAD_OK,
    LOAD_SYSTEM,      /* the system refused something; `reason` says what */
    LOAD_REFUSED,     /* the server answered otherwise than with an upgrade; `reason` is its first line */
    LOAD_FILES,       /* more connections than the process may have files open */
    LOAD_NO_TLS,      /* libssl.so.3 is not on this machine */
    LOAD_SILENT,      /* no connection became ready for ten seconds */
    LOAD_INTERRUPTED, /* the caller's wish */
};

enum { INITS = 128, PIDS = 4, REASON_BYTES = 200 };

struct load_options {
    enum load_mode mode;
    const char *host;
    int port;
    const char *path;           /* %i and %r are the numbers of the connection and its room */
    const char *stream_path;    /* of Server-Sent Events */
    const char *bystander_path;
    const char *headers;        /* further lines of the request, each with its CRLF */
    const char *subprotocol;    /* or empty */
    const char *first[INITS];   /* messages sent when the connection is open */
    int first_count;
    int bystander_first_count;  /* how many of them a bystander sends */
    const char *answer;         /* what a message contains that answers one of them; empty: none is waited for */
    const char *message;        /* what is sent; %s is the stamped payload */
    int connections, rooms, bystanders;
    int parallel;               /* handshakes under way at once */
    int payload_bytes, inflight, burst;
    double seconds, warmup_s, settle_s, rate;
    int first_source, links_per_source;
    int tls, deflate, sse, polls, engine_io;
    int mqtt;                   /* level of the protocol: 4 or 5; 0: none */
    int qos;                    /* of MQTT: 0 or 1 */
    int keep_alive_s;           /* of MQTT: PINGREQ comes three times in two of them */
    const char *topic;          /* of MQTT: where messages go; `first` are the filters */
    const char *user, *password; /* of MQTT, or empty */
    int pids[PIDS];             /* the processes of the server */
    int pid_count;
    int (*interrupted)(void *); /* asked ten times a second; not zero ends the run */
    void *interrupted_with;
};

struct load_memory {
    long pss_kb;     /* of the server */
    long buffers_kb; /* in sockets, of the whole machine */
    long objects_kb; /* kernel objects, of the whole machine */
};

struct load_result {
    enum load_error error;
    char reason[REASON_BYTES];
    long files_max; /* -1: no limit */
    int opened;
    double opening_s, opening_cpu_s, opening_p50_us, opening_p99_us;
    double seconds, server_cpu_s, generator_cpu_s;
    uint64_t deliveries, sent, bytes_in; /* within `seconds` */
    double p50_us, p99_us, p999_us, max_us;
    double late_p99_us, late_max_us; /* open loop: how late messages left */
    int64_t lost;                    /* outstanding three seconds after the end */
    uint64_t repeated;               /* delivered twice, or out of order */
    uint64_t compressed;             /* frames */
    uint64_t polls;                  /* answered with something, within `seconds` */
    int closed, close_code;          /* connections that ended, and the code of the first */
    struct load_memory before, after;
};

#endif
