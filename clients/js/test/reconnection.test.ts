import assert from "node:assert/strict";
import { test } from "node:test";
import { Reconnection, advisedMs, delayMs, reconnects } from "../src/reconnection.js";
import { seeded } from "./fake_clock.js";

const backoff = { reconnectIntervalMs: 1_000, reconnectMaxMs: 30_000, jitter: "none", maxAttempts: 0, random: () => 0.5 } as const;

test("attempt n waits interval x 2^(n-1), at most the maximum", () => {
  const delays = [1, 2, 3, 4, 5, 6, 7, 2_000].map((n) => delayMs(n, backoff));
  assert.deepEqual(delays, [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
});

test("full jitter spreads over the whole interval, from zero", () => {
  const random = seeded(7);
  const delays = Array.from({ length: 2_000 }, () => delayMs(3, { ...backoff, jitter: "full", random }));
  assert.ok(Math.min(...delays) < 40 && Math.max(...delays) > 3_960 && Math.max(...delays) < 4_000);
  const mean = delays.reduce((a, b) => a + b) / delays.length;
  assert.ok(Math.abs(mean - 2_000) < 100, `mean ${mean}`);
});

test("attempts are limited, and counted from the last connection on", () => {
  const reconnection = new Reconnection({ ...backoff, maxAttempts: 2 });
  assert.deepEqual(reconnection.next(), { n: 1, of: 2, delayMs: 1_000 });
  assert.deepEqual(reconnection.next(), { n: 2, of: 2, delayMs: 2_000 });
  assert.equal(reconnection.next(), null);
  reconnection.reset();
  assert.equal(reconnection.next()?.n, 1);
});

test("close codes say whether to come back", () => {
  for (const code of [1000, 1001, 1006, 1009, 1011, 3000, 3001, 3012, 3499, 4000, 4499]) assert.ok(reconnects(code), `${code}`);
  for (const code of [3500, 3503, 3999, 4500, 4509, 4999]) assert.ok(!reconnects(code), `${code}`);
});

test("the hub's advice is taken instead of the first delay, and added to each later one", () => {
  const reconnection = new Reconnection(backoff);
  assert.deepEqual([1, 2, 3].map(() => reconnection.next(700)?.delayMs), [700, 2_700, 4_700]);
  assert.equal(reconnection.next()?.delayMs, 8_000);
});

test("advice is read from a close reason, and never sends away for longer than ten minutes", () => {
  const said = ["the hub is shutting down; reconnect after 1234 ms", "reconnect after 0 ms", "bye", "reconnect after -1 ms", "reconnect after 999999999 ms", "reconnect after 12345678901234567890 ms"];
  assert.deepEqual(said.map(advisedMs), [1_234, 0, 0, 0, 600_000, 0]);
});
