import assert from "node:assert/strict";
import { test } from "node:test";
import { Backlog } from "../src/backlog.js";

const nothing = () => undefined;

test("items come out in order, to takers in the order they asked", async () => {
  const backlog = new Backlog<number>(4, nothing);
  const early = [backlog.next(), backlog.next()];
  for (const item of [1, 2, 3]) backlog.push(item);
  assert.deepEqual((await Promise.all([...early, backlog.next()])).map(({ value }) => value), [1, 2, 3]);
});

test("it is full at its size, unless somebody waits", () => {
  const backlog = new Backlog<number>(1, nothing);
  void backlog.next();
  assert.ok(!backlog.full);
  backlog.push(1);
  assert.ok(!backlog.full);
  backlog.push(2);
  assert.ok(backlog.full);
});

test("what came before the end is still taken, then every taker is told", async () => {
  const backlog = new Backlog<number>(4, nothing);
  backlog.push(1);
  backlog.end();
  assert.deepEqual(await backlog.next(), { value: 1, done: false });
  assert.deepEqual(await backlog.next(), { value: undefined, done: true });
  assert.deepEqual(await backlog.next(), { value: undefined, done: true });
});

test("an end with an error throws once", async () => {
  const backlog = new Backlog<number>(4, nothing);
  const waiting = backlog.next();
  backlog.end(new Error("over"));
  await assert.rejects(waiting, /over/);
  assert.equal((await backlog.next()).done, true);
});
