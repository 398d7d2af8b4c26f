import assert from "node:assert/strict";
import { test } from "node:test";
import { seeded } from "./fake_clock.js";
import { record } from "./memory_network.js";
import { SeveralCarriers } from "./several_carriers.js";

async function below(options = {}) {
  const carriers = new SeveralCarriers();
  carriers.broken.add("websocket");
  const client = carriers.client({ name: "Ada", ...options });
  await carriers.clock.advance(100);
  assert.equal(client.transport, "sse");
  return { carriers, client, hub: carriers.network.hub, clock: carriers.clock };
}

const upwards = (dials: string[]) => dials.filter((dial) => dial.startsWith("websocket")).slice(1).map((dial) => Math.round(Number(dial.split(" ")[2]) / 1_000));

test("the first is tried again after a minute, then at twice the distance up to ten minutes", async () => {
  const { carriers, client, clock } = await below();
  await clock.advance(45 * 60_000);
  assert.deepEqual(upwards(carriers.dials), [60, 180, 420, 900, 1_500, 2_100, 2_700]);
  assert.equal(client.state, "live");
  client.disconnect();
  assert.equal(clock.pending, 0);
});

test("the session moves: same id, nothing lost, nothing doubled, and no loss to be seen", async () => {
  const { carriers, client, hub, clock } = await below();
  const news = client.subscribe<number>("news", { presence: true });
  const seen: number[] = [];
  news.on("publication", ({ data }) => seen.push(data));
  await clock.advance(100);
  const { session } = client;
  const log = record(client, "state", "transport", "connected", "disconnected", "error");
  carriers.broken.clear();
  let n = 0;
  const published: Promise<unknown>[] = [];
  while (clock.now() < 61_000) {
    await clock.advance(1);
    if (clock.now() > 59_900 && n < 300) published.push(client.publish("news", ++n));
  }
  await Promise.all(published);
  assert.deepEqual([client.transport, client.session, hub.sessions.size], ["websocket", session, 1]);
  assert.deepEqual(seen, Array.from({ length: 300 }, (_, i) => i + 1));
  assert.deepEqual(log, [["state", "catching-up", null], ["transport", "websocket"], ["state", "live", null]]);
  assert.deepEqual([news.recovered, news.members.map(({ name }) => name)], [true, ["Ada"]]);
  await clock.advance(600_000);
  assert.deepEqual(upwards(carriers.dials), [60]);
});

test("a call that is under way is waited for, and one that begins meanwhile is made up there", async () => {
  const { carriers, client, hub, clock } = await below();
  let slow: any = null;
  hub.intercept = (message, session) => (message["type"] === "rpc" && slow === null ? ((slow = { session, id: message["id"] }), {}) : undefined);
  carriers.broken.clear();
  await clock.advance(59_900);
  const first = client.call("add", { a: 1, b: 1 });
  await clock.advance(100);
  const second = client.call("add", { a: 2, b: 2 });
  await clock.advance(1_000);
  assert.equal(client.transport, "sse");
  slow.session.say({ type: "reply", id: slow.id, result: "slow" });
  await clock.advance(100);
  assert.deepEqual([await first, await second, client.transport], ["slow", 4, "websocket"]);
});

test("a call that takes too long holds nobody up: the session stays, and tries later", async () => {
  const { carriers, client, hub, clock } = await below({ commandTimeoutMs: 300_000 });
  hub.intercept = ({ type, method }) => (type === "rpc" && method === "slow" ? {} : undefined);
  carriers.broken.clear();
  await clock.advance(59_800);
  void client.call("slow").catch(() => undefined);
  await clock.advance(150);
  const other = client.call("add", { a: 1, b: 1 });
  await clock.advance(2_200);
  assert.deepEqual([await other, client.transport, hub.sessions.size], [2, "sse", 1]);
  hub.intercept = () => undefined;
  client.disconnect();
});

test("who holds a lock stays, for a lock does not follow", async () => {
  const { carriers, client, clock } = await below();
  const lock = client.lock("r", { ttl: 100 });
  await clock.advance(50);
  await lock;
  carriers.broken.clear();
  await clock.advance(60_000);
  assert.equal(client.transport, "sse");
  await clock.advance(120_000);
  assert.equal(client.transport, "websocket");
});

test("a hub that refuses the session up there leaves it where it is", async () => {
  const { carriers, client, hub, clock } = await below();
  carriers.broken.clear();
  hub.intercept = ({ type }) => (type === "connect" ? { type: "error", code: 100, reason: "no", retry: true } : undefined);
  await clock.advance(61_000);
  const sum = client.call("add", { a: 1, b: 1 });
  await clock.advance(100);
  assert.deepEqual([await sum, client.state, client.transport, hub.sessions.size], [2, "live", "sse", 1]);
});

test("a cut between the two ends in a new connection, not in a refusal", async () => {
  const { carriers, client, hub, clock } = await below();
  carriers.broken.clear();
  // The hub takes the session over, tells the old connection so, and the new one breaks before its answer.
  hub.intercept = ({ type }, session) => {
    if (type !== "connect") return undefined;
    hub.intercept = () => undefined;
    const [old] = [...carriers.network.cables].filter((cable) => cable.session !== session);
    carriers.network.cut(old!, 3502, "stale");
    clock.after(20, () => carriers.network.cutAll());
    return {};
  };
  const log = record(client, "disconnected");
  await clock.advance(63_000);
  assert.deepEqual([client.state, log], ["live", [["disconnected", 1006, "moved"]]]);
});

test("a ping that is under way is answered up there", async () => {
  const { carriers, client, hub, clock } = await below();
  carriers.broken.clear();
  await clock.advance(59_900 - 1);
  const session = [...hub.sessions][0]!;
  const receive = session.receive.bind(session);
  session.receive = (frame) => void (frame.includes('"ping"') || receive(frame));
  let ms = 0;
  void client.ping().then((it) => (ms = it));
  await clock.advance(200);
  assert.equal(client.transport, "websocket");
  assert.ok(ms > 0);
});

test("a network that comes back is reason enough to try", async () => {
  const target = new EventTarget();
  const page = globalThis as { addEventListener?: unknown; removeEventListener?: unknown };
  page.addEventListener = target.addEventListener.bind(target);
  page.removeEventListener = target.removeEventListener.bind(target);
  const { carriers, client, clock } = await below();
  carriers.broken.clear();
  target.dispatchEvent(new Event("online"));
  await clock.advance(200);
  assert.equal(client.transport, "websocket");
  client.disconnect();
  delete page.addEventListener;
  delete page.removeEventListener;
});

for (let seed = 1; seed <= 30; seed++) {
  test(`up and down at random, with cuts: each publication is stored once and seen once (seed ${seed})`, async () => {
    const random = seeded(seed);
    const carriers = new SeveralCarriers();
    const { clock, network } = carriers;
    const client = carriers.client({ random, jitter: "full", reconnectIntervalMs: 50 });
    const seen: number[] = [];
    const calls: Promise<unknown>[] = [];
    client.subscribe<number>("news").on("publication", ({ data }) => seen.push(data));
    const published: Promise<unknown>[] = [];
    for (let step = 0; step < 150; step++) {
      for (const name of ["websocket", "sse"] as const) {
        carriers.broken.delete(name);
        if (random() < 0.5) carriers.broken.add(name);
      }
      if (random() < 0.2) network.cutAll();
      for (let burst = random() * 4; burst > 1; burst--) published.push(client.publish("news", published.length));
      if (random() < 0.3) calls.push(client.call("add", { a: step, b: 0 }).catch((error) => error.kind));
      await clock.advance(random() < 0.3 ? random() * 90_000 : random() * 40);
    }
    carriers.broken.clear();
    await clock.advance(700_000);
    await Promise.all(published);
    const stored = network.hub.channel("news").log.map(({ data }) => data);
    assert.deepEqual(stored, published.map((_, n) => n));
    assert.deepEqual(seen, stored);
    for (const answer of await Promise.all(calls)) assert.ok(typeof answer === "number" || answer === "disconnected", String(answer));
    assert.deepEqual([client.state, client.transport, network.hub.sessions.size], ["live", "websocket", 1]);
    client.disconnect();
  });
}
