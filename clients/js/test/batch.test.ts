import assert from "node:assert/strict";
import { test } from "node:test";
import { Batch } from "../src/batch.js";
import { takeFrame } from "../src/frames.js";
import { FakeClock } from "./fake_clock.js";
import { MemoryNetwork } from "./memory_network.js";

function batching(batchMs: number, batchMax = 10) {
  const clock = new FakeClock();
  const frames: string[] = [];
  return { clock, frames, batch: new Batch({ clock, batchMs, batchMax }, (frame) => frames.push(frame)) };
}

test("it is off by default: each frame leaves at once and plain", () => {
  const { frames, batch } = batching(0);
  batch.add('{"a":1}', true);
  batch.add('{"a":2}', true);
  assert.deepEqual(frames, ['{"a":1}', '{"a":2}']);
});

test("what comes within the time leaves as one array; a single one plain", async () => {
  const { clock, frames, batch } = batching(200);
  batch.add('{"a":1}', true);
  batch.add('{"a":2}', true);
  await clock.advance(199);
  assert.deepEqual(frames, []);
  await clock.advance(1);
  batch.add('{"a":3}', true);
  await clock.advance(200);
  assert.deepEqual(frames, ['[{"a":1},{"a":2}]', '{"a":3}']);
});

test("the tenth does not wait, and the next begin anew", async () => {
  const { clock, frames, batch } = batching(200);
  for (let n = 0; n < 11; n++) batch.add(`{"n":${n}}`, true);
  assert.deepEqual(frames.map((frame) => JSON.parse(frame).length), [10]);
  await clock.advance(200);
  assert.deepEqual([frames[1], clock.pending], ['{"n":10}', 0]);
});

test("what may not wait takes the others along, in order", () => {
  const { frames, batch } = batching(200);
  batch.add('{"n":1}', true);
  batch.add('{"n":2}', false);
  assert.deepEqual(frames, ['[{"n":1},{"n":2}]']);
});

test("a frame stays within what a hub takes, and a batch in a batch is unpacked", () => {
  const big = JSON.stringify("x".repeat(200_000));
  const queue = [big, big, '[{"a":1},{"b":"]"}]', "{}"];
  assert.deepEqual([takeFrame(queue), JSON.parse(takeFrame(queue)).slice(1), takeFrame(queue)], [big, [{ a: 1 }, { b: "]" }, {}], ""]);
});

test("a client that batches sends ten publishes in one frame, other commands at once, and the rest at its close", async () => {
  const network = new MemoryNetwork();
  const frames: string[] = [];
  const transport: typeof network.transport = (url, events) => {
    const carrier = network.transport(url, events);
    return { ...carrier, send: (frame) => (frames.push(frame), carrier.send(frame)) };
  };
  const client = network.client({ batchMs: 200, transport });
  await network.clock.advance(50);
  frames.length = 0;
  const published = Array.from({ length: 12 }, (_, n) => client.publish("c", n));
  await network.clock.advance(20);
  assert.deepEqual(frames.map((frame) => JSON.parse(frame).length), [10]);
  await network.clock.advance(200);
  assert.equal((await Promise.all(published)).at(-1)?.offset, 12);
  const last = client.publish("c", 12);
  await Promise.resolve();
  client.disconnect();
  await assert.rejects(last, { kind: "disconnected" });
  assert.deepEqual(frames.slice(1).map((frame) => [JSON.parse(frame)].flat().length), [2, 1]);
});
