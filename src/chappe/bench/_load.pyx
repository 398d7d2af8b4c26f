# cython: language_level=3
# distutils: libraries = dl
"""The load generator in C, called from Python: one whole measurement without the GIL."""

from cpython.exc cimport PyErr_CheckSignals


cdef extern from "load.h" nogil:
    ctypedef enum load_mode "enum load_mode":
        pass
    ctypedef enum load_error "enum load_error":
        LOAD_OK
        LOAD_INTERRUPTED
    enum: INITS
    enum: PIDS

    struct load_options:
        load_mode mode
        const char *host
        int port
        const char *path
        const char *stream_path
        const char *bystander_path
        const char *headers
        const char *subprotocol
        const char *first[128]
        int first_count, bystander_first_count
        const char *answer
        const char *message
        int connections, rooms, bystanders, parallel
        int payload_bytes, inflight, burst
        double seconds, warmup_s, settle_s, rate
        int first_source, links_per_source
        int tls, deflate, sse, polls, engine_io
        int mqtt, qos, keep_alive_s
        const char *topic
        const char *user
        const char *password
        int pids[4]
        int pid_count
        int (*interrupted)(void *) noexcept nogil
        void *interrupted_with

    struct load_memory:
        long pss_kb, buffers_kb, objects_kb

    struct load_result:
        load_error error
        char reason[200]
        long files_max
        int opened
        double opening_s, opening_cpu_s, opening_p50_us, opening_p99_us
        double seconds, server_cpu_s, generator_cpu_s
        unsigned long long deliveries, sent, bytes_in
        double p50_us, p99_us, p999_us, max_us, late_p99_us, late_max_us
        long long lost
        unsigned long long repeated, compressed, polls
        int closed, close_code
        load_memory before, after

    int load_run(const load_options *, load_result *)


TEXTS = (
    *("host", "path", "stream_path", "bystander_path", "headers", "subprotocol", "answer", "message"),
    *("topic", "user", "password"),
)


cdef int signalled(void *raised) noexcept with gil:
    """Let Python handle its signals; keep what a handler raised (KeyboardInterrupt) for the end of the run."""
    try:
        PyErr_CheckSignals()
    except BaseException as error:
        (<list>raised).append(error)
        return 1
    return 0


cdef void set_texts(load_options *to, dict wanted, list kept):
    """Point the texts of the options at bytes that `kept` keeps alive."""
    cdef bytes encoded
    texts = {}
    for name in TEXTS:
        encoded = wanted[name].encode()
        kept.append(encoded)
        texts[name] = encoded
    to.host, to.path, to.stream_path = texts["host"], texts["path"], texts["stream_path"]
    to.bystander_path, to.headers, to.subprotocol = texts["bystander_path"], texts["headers"], texts["subprotocol"]
    to.answer, to.message = texts["answer"], texts["message"]
    to.topic, to.user, to.password = texts["topic"], texts["user"], texts["password"]
    to.first_count = len(wanted["first"])
    for i, text in enumerate(wanted["first"]):
        encoded = text.encode()
        kept.append(encoded)
        to.first[i] = encoded


cdef void set_numbers(load_options *to, dict wanted):
    to.mode = <load_mode><int>wanted["mode"]
    to.port, to.connections, to.rooms = wanted["port"], wanted["connections"], wanted["rooms"]
    to.bystanders, to.bystander_first_count = wanted["bystanders"], wanted["bystander_first_count"]
    to.parallel, to.payload_bytes, to.inflight = wanted["parallel"], wanted["payload_bytes"], wanted["inflight"]
    to.burst, to.seconds, to.warmup_s = wanted["burst"], wanted["seconds"], wanted["warmup_s"]
    to.settle_s, to.rate = wanted["settle_s"], wanted["rate"]
    to.first_source, to.links_per_source = wanted["first_source"], wanted["links_per_source"]
    to.tls, to.deflate, to.sse = wanted["tls"], wanted["deflate"], wanted["sse"]
    to.polls, to.engine_io = wanted["polls"], wanted["engine_io"]
    to.mqtt, to.qos, to.keep_alive_s = wanted["mqtt"], wanted["qos"], wanted["keep_alive_s"]
    to.pid_count = len(wanted["pids"])
    for i, pid in enumerate(wanted["pids"]):
        to.pids[i] = pid


def run(wanted: dict) -> dict:
    """Run one measurement in this thread and return its result: the fields of `load_options.h`, by name.

    A signal handler that raises (Ctrl-C) ends the run within a tenth of a second, and its exception comes out here.

    Raises:
        ValueError: more first messages or processes than there is room for.
    """
    cdef load_options options
    cdef load_result result
    cdef list kept = [], raised = []
    if len(wanted["first"]) > INITS or len(wanted["pids"]) > PIDS:
        raise ValueError(f"expected at most {INITS} first messages and {PIDS} processes")
    set_texts(&options, wanted, kept)
    set_numbers(&options, wanted)
    options.interrupted = signalled
    options.interrupted_with = <void *>raised
    with nogil:
        load_run(&options, &result)
    if raised:
        raise raised[0]
    return result
