/** What becomes of a client when its page, its network or the caller's signal does something. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { live, MemoryNetwork, record, SOON } from "./memory_network.js";

test("a returning network and a page that is looked at again redial at once", async () => {
  const page = new EventTarget();
  const names = ["addEventListener", "removeEventListener"] as const;
  for (const name of names) (globalThis as any)[name] = page[name].bind(page);
  try {
    const network = new MemoryNetwork();
    network.reachable = false;
    const client = network.client();
    await network.clock.advance(20_000);
    network.reachable = true;
    const dials = network.dials;
    page.dispatchEvent(new Event("offline"));
    assert.deepEqual([client.state, client.reason], ["offline", "no_network"]);
    page.dispatchEvent(new Event("online"));
    await network.clock.advance(SOON);
    assert.deepEqual([client.state, network.dials - dials], ["live", 1]);
    client.disconnect();
    page.dispatchEvent(new Event("online"));
    await network.clock.advance(SOON);
    assert.equal(network.dials - dials, 1);
  } finally {
    for (const name of names) delete (globalThis as any)[name];
  }
});

test("background is told to the hub, once, and again after a reconnect", async () => {
  const { network, client } = await live();
  const told = () => network.hub.commands.filter(({ type }) => type === "state").map(({ background }) => background);
  client.background(true);
  client.background(true);
  await network.clock.advance(SOON);
  network.cutAll();
  await network.clock.advance(1_100);
  assert.deepEqual(told(), [true, true]);
  client.background(false);
  await network.clock.advance(SOON);
  assert.deepEqual(told(), [true, true, false]);
});

test("who wants to leaves after so long in background, not before, and is back at once", async () => {
  const { network, client } = await live({ backgroundDisconnect: 20_000 });
  const states = record(client, "state");
  client.background(true);
  await network.clock.advance(19_000);
  client.background(false);
  await network.clock.advance(20_000);
  assert.deepEqual(states, []);
  client.background(true);
  await network.clock.advance(20_000);
  assert.deepEqual([client.state, client.reason, network.hub.sessions.size], ["offline", "background", 0]);
  await network.clock.advance(100_000);
  assert.equal(network.dials, 1);
  client.background(false);
  await network.clock.advance(SOON);
  assert.equal(client.state, "live");
});

test("a phone pings after 60 s of silence, in background after 300 s", async () => {
  const { network, client } = await live({ heartbeat: "mobile" });
  const latencies = record(client, "latency");
  await network.clock.advance(65_000);
  assert.equal(latencies.length, 1);
  client.background(true);
  await network.clock.advance(290_000);
  assert.equal(latencies.length, 1);
  await network.clock.advance(15_000);
  assert.equal(latencies.length, 2);
});

test("to save data ephemeral publications are held back from the start", async () => {
  const { network } = await live({ saveData: true });
  assert.deepEqual(network.hub.commands.filter(({ type }) => type === "state").map(({ background }) => background), [true]);
});

test("a doubted connection that is dead is replaced after 2 s, without a pause", async () => {
  const { network, client } = await live();
  network.freezeAll();
  network.clock.slept += 60_000;
  await network.clock.advance(5_000 + 2_000 + SOON);
  assert.deepEqual([client.state, network.dials], ["live", 2]);
});

test("an aborted signal ends the waiting, takes back what was not sent, and unsubscribes", async () => {
  const network = new MemoryNetwork();
  const client = network.client();
  const controller = new AbortController();
  const { signal } = controller;
  const waits = [
    client.publish("c", 1, { signal }), client.history("c", { signal }), client.presence("c", { signal }),
    client.call("add", {}, { signal }), client.lock("r", { signal }),
  ];
  const news = client.subscribe("news", { signal });
  controller.abort(new Error("enough"));
  for (const wait of waits) await assert.rejects(wait, /enough/);
  assert.deepEqual([client.unacknowledged, client.subscriptions.size], [0, 0]);
  for await (const _ of news) assert.fail();
  await network.clock.advance(SOON);
  assert.deepEqual(network.hub.commands.map(({ type }) => type), ["connect"]);
  await assert.rejects(client.publish("c", 1, { signal }), /enough/);
  assert.throws(() => client.subscribe("news", { signal }), /enough/);
});

test("what was sent before its signal was aborted is not sent again", async () => {
  const { network, client } = await live();
  const controller = new AbortController();
  const published = assert.rejects(client.publish("c", 1, { signal: controller.signal }), { name: "AbortError" });
  controller.abort();
  network.cutAll();
  await network.clock.advance(1_100);
  await published;
  assert.equal(network.hub.channel("c").log.length, 0);
});

test("a client ends with its signal", async () => {
  const controller = new AbortController();
  const { client } = await live({ signal: controller.signal });
  controller.abort();
  assert.equal(client.state, "offline");
  assert.throws(() => new MemoryNetwork().client({ signal: controller.signal }), { name: "AbortError" });
});

test("leaving the loop leaves the channel", async () => {
  const { network, client } = await live();
  const news = client.subscribe("news");
  await network.clock.advance(SOON);
  network.hub.publish("news", 1);
  await network.clock.advance(SOON);
  for await (const _ of news) break;
  await network.clock.advance(SOON);
  assert.deepEqual([client.subscriptions.size, network.hub.channel("news").subscribers.size], [0, 0]);
});
