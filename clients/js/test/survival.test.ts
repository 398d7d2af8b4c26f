// The promise of the client, over many random histories: 100 cuts in a row lose and double nothing acknowledged.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ChappeError } from "../src/errors.js";
import { TRANSITIONS } from "../src/state.js";
import { seeded } from "./fake_clock.js";
import { MemoryNetwork } from "./memory_network.js";

const CUTS = 100;

for (let seed = 1; seed <= 20; seed++) {
  test(`100 cuts in a row lose and double nothing acknowledged (seed ${seed})`, async () => {
    const random = seeded(seed);
    const network = new MemoryNetwork();
    network.hub.step = 1 + (seed % 3);
    const options = { jitter: "full", random, reconnectIntervalMs: 20 } as const;
    const writer = network.client(options);
    const reader = network.client(options);
    const acknowledged = new Map<number, number>();
    const seen: { data: number; offset: number }[] = [];
    const recovered: boolean[] = [];
    const news = reader.subscribe<number>("news", { queueSize: seed % 2 ? 4 : 1_024 });
    news.on("subscribed", (ok) => recovered.push(ok));
    const loop = (async () => {
      for await (const { data, offset } of news) seen.push({ data, offset: offset! });
    })();
    await network.clock.advance(100);

    let n = 0;
    for (let cuts = 0; cuts < CUTS; cuts++) {
      for (let burst = Math.floor(random() * 6); burst > 0; burst--) {
        const value = n++;
        void writer.publish("news", value).then(({ offset }) => acknowledged.set(value, offset));
        await network.clock.advance(Math.floor(random() * 4));
      }
      await network.clock.advance(Math.floor(random() * 60));
      for (const cable of [...network.cables]) if (random() < 0.7) network.cut(cable);
    }
    await network.clock.advance(60_000);
    news.unsubscribe();
    await loop;

    const stored = network.hub.channel("news").log.map(({ data, offset }) => ({ data, offset }));
    assert.equal(acknowledged.size, n, "every publish was acknowledged in the end");
    assert.deepEqual(stored.map(({ data }) => data), Array.from({ length: n }, (_, i) => i), "each was stored once, in order");
    assert.deepEqual(seen, stored, "each was seen once, in order");
    for (const { data, offset } of stored) assert.equal(acknowledged.get(data as number), offset);
    assert.ok(recovered.slice(1).every(Boolean), "each return was a recovery");
  });
}

test("each loss of the hub's memory is reported, and what follows is complete", async () => {
  const random = seeded(99);
  const network = new MemoryNetwork();
  const reader = network.client({ random, reconnectIntervalMs: 20 });
  const epochs = new Map<string, number[]>();
  const news = reader.subscribe<number>("news");
  let losses = 0;
  news.on("subscribed", (ok) => (losses += ok ? 0 : 1));
  news.on("publication", ({ epoch, offset }) => epochs.set(epoch!, [...(epochs.get(epoch!) ?? []), offset!]));
  await network.clock.advance(100);
  for (let life = 2; life < 30; life++) {
    for (let n = 0; n < 5; n++) network.hub.publish("news", n);
    await network.clock.advance(50);
    network.hub.channel("news").restart(`e${life}`);
    network.cutAll();
    await network.clock.advance(500);
  }
  assert.equal(losses, 1 + 28, "the first subscribe, and each new epoch");
  for (const offsets of epochs.values()) assert.deepEqual(offsets, [1, 2, 3, 4, 5]);
});

for (let seed = 1; seed <= 40; seed++) {
  test(`whatever the user and the network do, states follow the table and nothing is left behind (seed ${seed})`, async () => {
    const random = seeded(1_000 + seed);
    const pick = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)]!;
    const network = new MemoryNetwork();
    const client = network.client({ name: "Ada", random, backgroundDisconnect: pick([false, 0, 50] as const), maxAttempts: pick([0, 2]), publishQueue: 10 });
    const rival = network.client({ name: "Rival", random });
    let state = client.state;
    client.on("state", (next) => {
      assert.ok(state === next || Object.values(TRANSITIONS[state]).includes(next), `${state} to ${next}`);
      state = next;
    });
    const open: Promise<unknown>[] = [];
    const keep = (promise: Promise<unknown>) => void open.push(promise.catch((error) => assert.ok(error instanceof ChappeError)));
    const moves: (() => void)[] = [
      () => client.redial(),
      () => client.background(random() < 0.5),
      () => network.cutAll(pick([1000, 1006, 3001, 3012, 3500, 4000, 4509])),
      () => network.freezeAll(),
      () => (network.reachable = random() < 0.7),
      () => keep(client.publish("c", 1)),
      () => keep(client.call("add", { a: 1, b: 2 })),
      () => keep(client.ping()),
      () => keep(client.claim(pick(["Ada", "Rival", "Blaise"]))),
      () => client.subscriptions.get("c")?.unsubscribe(),
      () => client.subscriptions.has("c") || client.subscribe("c", { queueSize: 2, overflow: pick(["recover", "drop_oldest", "fail"]) }),
      () => void network.hub.publish("c", 2),
    ];
    for (let n = 0; n < 150; n++) {
      pick(moves)();
      await network.clock.advance(pick([0, 1, 7, 40, 1_500, 12_000]));
    }
    client.disconnect();
    rival.disconnect();
    await Promise.all(open);
    await network.clock.advance(100_000);
    assert.deepEqual([client.state, client.reason, client.unacknowledged, client.subscriptions.size], ["offline", null, 0, 0]);
    assert.equal(network.clock.pending, 0, "no timer is left");
  });
}
