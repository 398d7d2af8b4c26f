// The promise of the client, over many random histories: 100 cuts in a row lose and double nothing acknowledged.
import assert from "node:assert/strict";
import { test } from "node:test";
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
