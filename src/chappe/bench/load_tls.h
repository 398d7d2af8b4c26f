/* TLS for the load generator: libssl is opened when it is asked for, so that building needs no OpenSSL headers. */
#ifndef CHAPPE_LOAD_TLS_H
#define CHAPPE_LOAD_TLS_H

#include <dlfcn.h>
#include <stddef.h>

/* Values of OpenSSL's interface that its headers would give; they are part of the ABI of libssl.so.3. */
enum {
    TLS_WANT_READ = 2,
    TLS_WANT_WRITE = 3,
    TLS_CTRL_MODE = 33,
    TLS_PARTIAL_WRITE = 1,
    TLS_MOVING_WRITE_BUFFER = 2,
};

struct tls {
    void *library, *context;
    const void *(*client_method)(void);
    void *(*new_context)(const void *);
    long (*context_control)(void *, int, long, void *);
    void (*free_context)(void *);
    void *(*new_session)(void *);
    int (*set_fd)(void *, int);
    int (*connect)(void *);
    int (*read)(void *, void *, int);
    int (*write)(void *, const void *, int);
    int (*get_error)(const void *, int);
    void (*free_session)(void *);
    void (*clear_errors)(void);
};

/* Load the library and make one context for all links; 0 without libssl.so.3. Certificates are not verified: what is
 * measured is a server of one's own, which has a certificate of its own making. */
static int tls_open(struct tls *tls)
{
    tls->library = dlopen("libssl.so.3", RTLD_NOW | RTLD_LOCAL);
    if (!tls->library)
        return 0;
    const struct {
        const char *name;
        void *where;
    } symbols[] = {
        {"TLS_client_method", &tls->client_method}, {"SSL_CTX_new", &tls->new_context},
        {"SSL_CTX_ctrl", &tls->context_control},    {"SSL_CTX_free", &tls->free_context},
        {"SSL_new", &tls->new_session},             {"SSL_set_fd", &tls->set_fd},
        {"SSL_connect", &tls->connect},             {"SSL_read", &tls->read},
        {"SSL_write", &tls->write},                 {"SSL_get_error", &tls->get_error},
        {"SSL_free", &tls->free_session},           {"ERR_clear_error", &tls->clear_errors},
    };
    for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++) {
        void *found = dlsym(tls->library, symbols[i].name);
        if (!found)
            return 0;
        *(void **)symbols[i].where = found;
    }
    tls->context = tls->new_context(tls->client_method());
    if (!tls->context)
        return 0;
    tls->context_control(tls->context, TLS_CTRL_MODE, TLS_PARTIAL_WRITE | TLS_MOVING_WRITE_BUFFER, NULL);
    return 1;
}

static void tls_close(struct tls *tls)
{
    if (tls->context)
        tls->free_context(tls->context);
    if (tls->library)
        dlclose(tls->library);
}

#endif
