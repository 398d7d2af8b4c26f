import assert from "node:assert/strict";
import { test } from "node:test";
import { Commands } from "../src/commands.js";
import { LocalError } from "../src/errors.js";
import { Outbox } from "../src/outbox.js";
import { FakeClock, settled } from "./fake_clock.js";

class Line {
  readonly sent: any[] = [];
  readonly commands = new Commands((frame) => this.sent.push(JSON.parse(frame)));
  answer(index: number, fields: object = { type: "reply", epoch: "e", offset: index + 1 }): void {
    this.commands.receive({ type: "reply", id: this.sent[index].id, ...fields });
  }
  get data(): unknown[] {
    return this.sent.map(({ data }) => data);
  }
}

function start(size = 1_000) {
  const clock = new FakeClock();
  const outbox = new Outbox(clock, size);
  const add = (data: number, resend = true) => {
    const promise = outbox.add({ command: { type: "publish", channel: "c", key: `k${data}` }, data: `${data}`, resend });
    promise.catch(() => undefined);
    return promise;
  };
  return { clock, outbox, add };
}

const kind = (wanted: string) => (error: unknown) => error instanceof LocalError && error.kind === wanted;

test("publishes wait for a connection and leave in order", async () => {
  const { outbox, add } = start();
  const first = add(1);
  add(2);
  const line = new Line();
  outbox.connected(line.commands, true);
  assert.deepEqual(line.data, [1, 2]);
  line.answer(0);
  assert.deepEqual(await first, { epoch: "e", offset: 1 });
  assert.equal(outbox.length, 1);
});

test("what was not acknowledged is sent again before what is newer, with the same key", () => {
  const { outbox, add } = start();
  const line = new Line();
  outbox.connected(line.commands, true);
  for (const n of [1, 2, 3]) add(n);
  line.answer(1);
  outbox.cut();
  add(4);
  const again = new Line();
  outbox.connected(again.commands, true);
  assert.deepEqual(again.data, [1, 3, 4]);
  assert.equal(again.sent[0].key, line.sent[0].key);
});

test("without resend a cut leaves the outcome unknown, and says so", async () => {
  const { outbox, add } = start();
  const line = new Line();
  outbox.connected(line.commands, true);
  const lost = add(1, false);
  outbox.cut();
  await assert.rejects(lost, kind("disconnected"));
});

test("the queue is bounded with a clear error", async () => {
  const { add } = start(2);
  add(1);
  add(2);
  await assert.rejects(add(3), (error: LocalError) => error.kind === "queue_full" && error.retry && /2 publishes/.test(error.message));
});

test("no more than the window is in flight", () => {
  const { outbox, add } = start();
  const line = new Line();
  outbox.connected(line.commands, true);
  for (let n = 0; n < Outbox.WINDOW + 5; n++) add(n);
  assert.equal(line.sent.length, Outbox.WINDOW);
  line.answer(0);
  assert.equal(line.sent.length, Outbox.WINDOW + 1);
});

test("a publish turned back by the rate limit is sent again after the advised pause", async () => {
  const { clock, outbox, add } = start();
  const line = new Line();
  outbox.connected(line.commands, true);
  const promise = add(1);
  line.answer(0, { type: "error", code: 111, reason: "too many", retry: true, detail: { retry_after_s: 2 } });
  add(2);
  await clock.advance(1_999);
  assert.equal(line.sent.length, 1);
  await clock.advance(1);
  assert.deepEqual(line.data, [1, 1, 2]);
  line.answer(1);
  assert.equal((await promise).offset, 2);
});

test("beyond the hub's memory for keys a publish is not repeated: nobody knows, and the error says so", async () => {
  const { clock, outbox, add } = start();
  outbox.connected(new Line().commands, true);
  const promise = add(1);
  outbox.cut();
  await clock.advance(Outbox.CONFIRM_WITHIN_MS + 1);
  const again = new Line();
  outbox.connected(again.commands, true);
  await assert.rejects(promise, kind("unconfirmed"));
  assert.deepEqual(again.sent, []);
});

test("a publish is not repeated to a hub that takes us for somebody else", async () => {
  const { outbox, add } = start();
  outbox.connected(new Line().commands, true);
  const sent = add(1);
  outbox.cut();
  add(2);
  const again = new Line();
  outbox.connected(again.commands, false);
  await assert.rejects(sent, kind("unconfirmed"));
  assert.deepEqual(again.data, [2]);
});

test("other errors are the caller's", async () => {
  const { outbox, add } = start();
  const line = new Line();
  outbox.connected(line.commands, true);
  const promise = add(1);
  line.answer(0, { type: "error", code: 103, reason: "permission denied", retry: false });
  await assert.rejects(promise, { code: 103 });
  await settled();
  assert.equal(outbox.length, 0);
});
