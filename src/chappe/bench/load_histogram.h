/* Latencies of all samples in buckets of at most 1/128 of their value: millions of samples, 64 KB, no sorting. */
#ifndef CHAPPE_LOAD_HISTOGRAM_H
#define CHAPPE_LOAD_HISTOGRAM_H

#include <stdint.h>
#include <string.h>

enum {
    HISTOGRAM_BITS = 7, /* below 2^8 ns each value has its bucket; above, 128 buckets for every power of two */
    HISTOGRAM_STEPS = 1 << HISTOGRAM_BITS,
    HISTOGRAM_BUCKETS = (64 - HISTOGRAM_BITS + 1) * HISTOGRAM_STEPS,
};

struct histogram {
    uint64_t counts[HISTOGRAM_BUCKETS];
    uint64_t total, max;
};

static void histogram_clear(struct histogram *h) { memset(h, 0, sizeof *h); }

static void histogram_add(struct histogram *h, uint64_t value)
{
    int shift = value < 2 * HISTOGRAM_STEPS ? 0 : 63 - HISTOGRAM_BITS - __builtin_clzll(value);
    h->counts[(size_t)shift * HISTOGRAM_STEPS + (value >> shift)]++;
    h->total++;
    if (value > h->max)
        h->max = value;
}

/* The value below or at which a share of the samples lies, in microseconds: the middle of its bucket. */
static double histogram_quantile_us(const struct histogram *h, double share)
{
    if (!h->total)
        return 0.0;
    uint64_t wanted = (uint64_t)((double)(h->total - 1) * share) + 1, passed = 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        passed += h->counts[i];
        if (passed < wanted)
            continue;
        int shift = i < 2 * HISTOGRAM_STEPS ? 0 : (int)(i / HISTOGRAM_STEPS) - 1;
        uint64_t low = (uint64_t)(i - (size_t)shift * HISTOGRAM_STEPS) << shift;
        uint64_t middle = low + ((1ull << shift) >> 1);
        return (double)(middle < h->max ? middle : h->max) / 1e3;
    }
    return (double)h->max / 1e3;
}

#endif
