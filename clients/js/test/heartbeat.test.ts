import assert from "node:assert/strict";
import { test } from "node:test";
import { Heartbeat } from "../src/heartbeat.js";
import { FakeClock } from "./fake_clock.js";

function start(silenceMs = 30_000) {
  const clock = new FakeClock();
  const log: unknown[] = [];
  const heartbeat = new Heartbeat(
    { clock, silenceMs: () => silenceMs, pongTimeoutMs: 10_000 },
    { sendPing: () => log.push("ping"), dead: (doubted) => log.push(doubted ? "dead, as feared" : "dead"), latency: (ms) => log.push(ms) },
  );
  return { clock, log, heartbeat };
}

test("30 s of silence are followed by a ping, and no answer in 10 s by death", async () => {
  const { clock, log } = start();
  await clock.advance(29_999);
  assert.deepEqual(log, []);
  await clock.advance(1);
  assert.deepEqual(log, ["ping"]);
  await clock.advance(10_000);
  assert.deepEqual(log, ["ping", "dead"]);
});

test("traffic is a sign of life: no ping while it flows", async () => {
  const { clock, log, heartbeat } = start();
  for (let n = 0; n < 10; n++) {
    await clock.advance(20_000);
    heartbeat.heard();
  }
  assert.deepEqual(log, []);
  await clock.advance(30_000);
  assert.deepEqual(log, ["ping"]);
});

test("a pong tells the latency", async () => {
  const { clock, log, heartbeat } = start();
  await clock.advance(30_000);
  await clock.advance(42);
  heartbeat.heard();
  heartbeat.pong();
  await clock.advance(20_000);
  assert.deepEqual(log, ["ping", 42]);
});

test("any frame after the ping saves the connection", async () => {
  const { clock, log, heartbeat } = start();
  await clock.advance(30_500);
  heartbeat.heard();
  await clock.advance(10_000);
  assert.deepEqual(log, ["ping"]);
});

test("pings of the user are answered in order, and a pong nobody asked for is nothing", async () => {
  const { clock, heartbeat } = start();
  const times: number[] = [];
  heartbeat.ping((ms) => times.push(ms));
  await clock.advance(5);
  heartbeat.ping((ms) => times.push(ms));
  await clock.advance(5);
  for (let n = 0; n < 3; n++) heartbeat.pong();
  assert.deepEqual(times, [10, 5]);
});

test("a machine that slept longer than the heartbeat is noticed within 5 s, and the connection probed for 2 s", async () => {
  const { clock, log } = start();
  await clock.advance(12_000);
  clock.slept += 29_000;
  await clock.advance(4_000);
  assert.deepEqual(log, []);
  clock.slept += 31_000;
  await clock.advance(5_000);
  assert.deepEqual(log, ["ping"]);
  await clock.advance(2_000);
  assert.deepEqual(log, ["ping", "dead, as feared"]);
});

test("a clock that was set back is no sleep", async () => {
  const { clock, log } = start();
  clock.slept -= 3_600_000;
  await clock.advance(29_000);
  assert.deepEqual(log, []);
});

test("in background one timer is enough, and coming back counts from the last frame heard", async () => {
  let silenceMs = 300_000;
  const clock = new FakeClock();
  const pings: number[] = [];
  const heartbeat = new Heartbeat(
    { clock, pongTimeoutMs: 10_000, silenceMs: () => silenceMs },
    { sendPing: () => pings.push(clock.now()), dead: () => undefined, latency: () => undefined },
  );
  await clock.advance(20_000);
  heartbeat.heard();
  silenceMs = 60_000;
  heartbeat.retime();
  await clock.advance(59_000);
  assert.deepEqual(pings, []);
  await clock.advance(1_000);
  assert.deepEqual(pings, [80_000]);
});

test("after the end no timer is left", () => {
  const { clock, heartbeat } = start();
  heartbeat.ping();
  heartbeat.stop();
  assert.equal(clock.pending, 0);
});
