import assert from "node:assert/strict";
import { test } from "node:test";
import type { SubscribeOptions } from "../src/api.js";
import { LocalError } from "../src/errors.js";
import { MemoryNetwork, record, SOON } from "./memory_network.js";
import { catchUncaught } from "./uncaught.js";

async function subscribed(options: SubscribeOptions = {}, channel = "news") {
  const network = new MemoryNetwork();
  const client = network.client({ name: "Ada" });
  const subscription = client.subscribe<any>(channel, options);
  await network.clock.advance(SOON);
  return { network, client, hub: network.hub, subscription };
}

async function take(subscription: AsyncIterable<{ data: any }>, count: number): Promise<any[]> {
  const items: any[] = [];
  const iterator = subscription[Symbol.asyncIterator]();
  while (items.length < count) items.push((await iterator.next()).value.data);
  return items;
}

test("since brings the newest, a count of them, or what followed a position", async () => {
  const { network, hub, client } = await subscribed();
  for (const n of [1, 2, 3, 4]) hub.publish("log", n);
  const newest = client.subscribe("log", { since: "latest" });
  await network.clock.advance(SOON);
  assert.deepEqual(await take(newest, 1), [4]);
  newest.unsubscribe();
  const three = client.subscribe("log", { since: 3 });
  await network.clock.advance(SOON);
  assert.deepEqual(await take(three, 3), [2, 3, 4]);
  three.unsubscribe();
  const rest = client.subscribe("log", { since: { epoch: "e1", offset: 3 } });
  await network.clock.advance(SOON);
  assert.deepEqual([await take(rest, 1), rest.recovered], [[4], true]);
});

test("a second subscribe to the same channel is refused, after unsubscribe it is a new one", async () => {
  const { network, client, hub, subscription } = await subscribed();
  assert.throws(() => client.subscribe("news"), { code: 105 });
  assert.equal(client.subscriptions.get("news"), subscription);
  subscription.unsubscribe();
  const again = client.subscribe<number>("news");
  await network.clock.advance(SOON);
  hub.publish("news", 1);
  await network.clock.advance(SOON);
  assert.deepEqual(await take(again, 1), [1]);
});

test("unsubscribing ends the loop after what was queued", async () => {
  const { network, hub, subscription } = await subscribed();
  const log = record(subscription, "unsubscribed");
  for (const n of [1, 2]) hub.publish("news", n);
  await network.clock.advance(SOON);
  subscription.unsubscribe();
  const items: number[] = [];
  for await (const { data } of subscription) items.push(data);
  await network.clock.advance(SOON);
  assert.deepEqual([items, log, hub.channel("news").subscribers.size], [[1, 2], [["unsubscribed", 2000, ""]], 0]);
});

test("presence: the state without oneself, then everybody's joins and leaves, one's own included", async () => {
  const { network, client, subscription } = await subscribed({ presence: true });
  const log = record(subscription, "join", "leave");
  const blaise = network.client({ name: "Blaise" });
  blaise.subscribe("news");
  await network.clock.advance(SOON);
  assert.deepEqual(subscription.members.map(({ name }) => name), ["Ada", "Blaise"]);
  blaise.disconnect();
  await network.clock.advance(SOON);
  assert.deepEqual(log.map(([event, who]) => [event, (who as any).name]), [["join", "Blaise"], ["leave", "Blaise"]]);
  assert.equal(subscription.count, 1);
  network.cutAll();
  await network.clock.advance(1_100);
  assert.deepEqual(subscription.members.map(({ session }) => session), [client.session]);
});

test("a count above the limit replaces the list", async () => {
  const { network, hub, subscription } = await subscribed({ presence: true });
  const log = record(subscription, "presence");
  [...hub.sessions][0]!.say({ type: "presence", channel: "news", count: 5_000 });
  await network.clock.advance(SOON);
  assert.deepEqual([log, subscription.count], [[["presence", [], 5_000]], 5_000]);
});

test("a refused subscription ends with the hub's error, everywhere", async () => {
  const { network, client, hub } = await subscribed();
  hub.intercept = ({ type }) => (type === "subscribe" ? { type: "error", code: 103, reason: "permission denied", retry: false } : undefined);
  const secret = client.subscribe("secret");
  const log = record(secret, "error", "unsubscribed");
  const first = assert.rejects(secret.subscribed(), { code: 103 });
  await network.clock.advance(SOON);
  await first;
  await assert.rejects(take(secret, 1), { code: 103 });
  assert.deepEqual([log.length, client.subscriptions.has("secret"), client.state], [2, false, "live"]);
});

test("an error that may pass is tried again", async () => {
  const { network, client, hub } = await subscribed();
  let refusals = 2;
  hub.intercept = ({ type }) => (type === "subscribe" && refusals-- > 0 ? { type: "error", code: 108, reason: "not available", retry: true } : undefined);
  const later = client.subscribe("later");
  await network.clock.advance(4_000);
  assert.ok(later.active);
});

test("unsubscribed with 2500 and above comes back with what was missed, below it is the end", async () => {
  const { network, client, hub, subscription } = await subscribed();
  hub.publish("news", 1);
  await network.clock.advance(SOON);
  const [session] = hub.sessions;
  hub.channel("news").subscribers.clear();
  session!.say({ type: "unsubscribed", channel: "news", code: 2500, reason: "insufficient state" });
  await network.clock.advance(SOON);
  hub.publish("news", 2);
  await network.clock.advance(1_100);
  assert.deepEqual([await take(subscription, 2), subscription.recovered, subscription.active], [[1, 2], true, true]);
  session!.say({ type: "unsubscribed", channel: "news", code: 2001, reason: "permission withdrawn" });
  await network.clock.advance(SOON);
  await assert.rejects(take(subscription, 1), { code: 2001 });
  assert.equal(client.subscriptions.size, 0);
});

test("a session that kept its subscription is asked to begin it anew, and nothing is missed", async () => {
  const { network, hub, subscription } = await subscribed();
  hub.publish("news", 1);
  await network.clock.advance(SOON);
  network.cutAll();
  await network.clock.advance(1);
  hub.publish("news", 2);
  hub.intercept = ({ type }, session) => {
    if (type !== "connect") return undefined;
    hub.channel("news").subscribers.set(session, { presence: false });
    hub.intercept = () => undefined;
    // A live publication arrives before the subscription is asked for again.
    queueMicrotask(() => hub.publish("news", 3));
    return undefined;
  };
  await network.clock.advance(1_100);
  assert.deepEqual(await take(subscription, 3), [1, 2, 3]);
});

test("the retained publication comes apart from history, and not again after a reconnect", async () => {
  const { network, client, hub } = await subscribed();
  hub.publish("lamp", "on", null, true);
  const lamp = client.subscribe("lamp");
  const log: unknown[] = [];
  lamp.on("publication", ({ data, retained }) => log.push([data, retained]));
  await network.clock.advance(SOON);
  hub.publish("lamp", "off", null, true);
  await network.clock.advance(SOON);
  network.cutAll();
  await network.clock.advance(1_100);
  assert.deepEqual(log, [["on", true], ["off", false]]);
});

test("a pattern and a channel that both match get the one copy", async () => {
  const { network, client, hub } = await subscribed({}, "maison/#");
  const both: unknown[] = [];
  const exact = client.subscribe("maison/salon");
  for (const it of client.subscriptions.values()) it.on("publication", ({ data }) => both.push([it.channel, data]));
  await network.clock.advance(SOON);
  hub.publish("maison/salon", 21);
  hub.publish("maison/cuisine", 19);
  await network.clock.advance(SOON);
  assert.deepEqual(both, [["maison/salon", 21], ["maison/#", 21], ["maison/#", 19]]);
  assert.equal(exact.position?.offset, 1);
});

test("a full queue leaves the channel and comes back without a loss", async () => {
  const { network, hub, subscription } = await subscribed({ queueSize: 10 });
  for (let n = 0; n < 35; n++) hub.publish("news", n);
  await network.clock.advance(SOON);
  assert.deepEqual([subscription.active, hub.channel("news").subscribers.size], [false, 0]);
  const items: number[] = [];
  while (items.length < 35) {
    items.push(...(await take(subscription, Math.min(5, 35 - items.length))));
    await network.clock.advance(SOON);
  }
  assert.deepEqual(items, Array.from({ length: 35 }, (_, n) => n));
  assert.ok(subscription.active && subscription.recovered);
});

test("or drops the oldest and counts them, or fails, as declared", async () => {
  const { network, hub, client, subscription } = await subscribed({ queueSize: 3, overflow: "drop_oldest" });
  const strict = client.subscribe("strict", { queueSize: 3, overflow: "fail" });
  await network.clock.advance(SOON);
  const missed = record(subscription, "missed");
  for (const n of [1, 2, 3, 4, 5]) for (const name of ["news", "strict"]) hub.publish(name, n);
  await network.clock.advance(SOON);
  assert.deepEqual([await take(subscription, 3), missed.length], [[3, 4, 5], 2]);
  const items: unknown[] = [];
  await assert.rejects(
    async () => {
      for await (const { data } of strict) items.push(data);
    },
    (error) => error instanceof LocalError && error.kind === "overflow",
  );
  assert.deepEqual(items, [1, 2, 3]);
});

test("listeners need no iterator: nothing is queued for them", async () => {
  const { network, hub, subscription } = await subscribed({ queueSize: 3 });
  hub.publish("news", 0);
  await network.clock.advance(SOON);
  const seen: number[] = [];
  subscription.on("publication", ({ data }) => seen.push(data));
  for (let n = 1; n < 20; n++) hub.publish("news", n);
  await network.clock.advance(SOON);
  assert.deepEqual(seen, Array.from({ length: 20 }, (_, n) => n));
  assert.ok(subscription.active);
});

test("what the hub dropped for a slow reader is told", async () => {
  const { network, hub, client, subscription } = await subscribed();
  const log = [record(client, "missed"), record(subscription, "missed")];
  [...hub.sessions][0]!.say({ type: "missed", channel: "news", count: 7 });
  await network.clock.advance(SOON);
  assert.deepEqual(log, [[["missed", "news", 7]], [["missed", 7]]]);
});

test("a listener that throws disturbs neither the others nor the connection", async () => {
  const { network, hub, client, subscription } = await subscribed();
  const { errors: uncaught, stop } = catchUncaught();
  try {
    const seen: unknown[] = [];
    subscription.on("publication", () => {
      throw new Error("mine");
    });
    subscription.on("publication", ({ data }) => seen.push(data));
    hub.publish("news", 1);
    await network.clock.advance(SOON);
    assert.deepEqual([seen, uncaught.length, client.state], [[1], 1, "live"]);
  } finally {
    stop();
  }
});
