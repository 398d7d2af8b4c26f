import assert from "node:assert/strict";
import { test } from "node:test";
import type { Publication } from "../src/api.js";
import { LocalError } from "../src/errors.js";
import { live, MemoryNetwork, record, SOON } from "./memory_network.js";

const kind = (wanted: string) => (error: unknown) => error instanceof LocalError && error.kind === wanted;

test("connect says who we are, and the hub who we became", async () => {
  const network = new MemoryNetwork();
  const client = network.client({ token: "t", name: "Ada", client: { name: "page", version: "2" } });
  const log = record(client, "state", "connected", "reconnecting");
  assert.equal(client.state, "connecting");
  await network.clock.advance(SOON);
  const { id, ...said } = network.hub.commands[0] as { id: number };
  assert.deepEqual(said, { type: "connect", token: "t", name: "Ada", client: { name: "page", version: "2" } });
  assert.deepEqual(log.map(([name, what]) => [name, name === "connected" ? (what as any).name : what]), [["state", "live"], ["connected", "Ada"]]);
  assert.equal(client.session, "s1");
  assert.equal((await client.connected()).session, "s1");
});

test("one can subscribe, publish and call before there is a connection", async () => {
  const network = new MemoryNetwork();
  const client = network.client();
  const seen: unknown[] = [];
  client.subscribe("news").on("publication", ({ data }) => seen.push(data));
  const published = client.publish("news", { hello: "world" });
  const sum = client.call<number>("add", { a: 1, b: 2 });
  await network.clock.advance(SOON);
  assert.deepEqual(await published, { epoch: "e1", offset: 1 });
  assert.equal(await sum, 3);
  assert.deepEqual(seen, [{ hello: "world" }]);
});

test("what is published is the value at the time of the call", async () => {
  const network = new MemoryNetwork();
  const value = { n: 1 };
  void network.client().publish("c", value);
  value.n = 2;
  await network.clock.advance(SOON);
  assert.deepEqual(network.hub.channel("c").log[0]?.data, { n: 1 });
});

test("the other commands have the answers of the hub", async () => {
  const { network, client } = await live({ name: "Ada" });
  client.subscribe("c");
  void client.publish("c", 7);
  await network.clock.advance(SOON);
  const answers = Promise.all([
    client.history<number>("c", { limit: 1 }), client.presence("c"), client.lock("r", { ttl: 5 }), client.unlock("r"), client.refresh("t"), client.ping(),
  ]);
  await network.clock.advance(SOON);
  const [history, presence, lock, , , ms] = await answers;
  assert.deepEqual([history.publications[0]?.data, history.offset, presence.count, presence.members[0]?.name], [7, 1, 1, "Ada"]);
  assert.deepEqual(lock, { owner: "s1", token: 17, expires: null });
  assert.deepEqual([ms, client.latencyMs], [10, 10]);
});

test("after a cut the client is back after the first interval, resumes, and has what it missed", async () => {
  const { network, client } = await live();
  const news = client.subscribe<number>("news");
  const seen: number[] = [];
  news.on("publication", ({ data }) => seen.push(data));
  await network.clock.advance(SOON);
  network.hub.publish("news", 1);
  await network.clock.advance(SOON);
  const log = record(client, "state", "reconnecting", "disconnected");
  const subscribed = record(news, "subscribed");
  network.cutAll();
  await network.clock.advance(1);
  for (const n of [2, 3]) network.hub.publish("news", n);
  await network.clock.advance(999 + SOON);
  assert.deepEqual(log, [
    ["state", "offline", "hub_down"],
    ["disconnected", 1006, ""],
    ["reconnecting", 1, 0, 1_000],
    ["state", "connecting", null],
    ["state", "catching-up", null],
    ["state", "live", null],
  ]);
  assert.deepEqual(seen, [1, 2, 3]);
  assert.deepEqual(subscribed, [["subscribed", true, { epoch: "e1", offset: 1 }]]);
  const said = network.hub.commands.filter(({ type }) => type === "connect").at(-1);
  assert.equal(said?.["resume"], "r-s1");
  assert.deepEqual(news.position, { epoch: "e1", offset: 3 });
});

for (const name of [undefined, "Ada"]) {
  test(`an unacknowledged publish of ${name ?? "nobody"} meets a hub that does not know the session any more`, async () => {
    const { network, client } = await live(name ? { name } : {});
    const published = client.publish("news", 1);
    const outcome = name ? published : assert.rejects(published, kind("unconfirmed"));
    await network.clock.advance(8);
    network.hub.resumes = false;
    network.cutAll();
    await network.clock.advance(1_100);
    await outcome;
    assert.equal(network.hub.channel("news").log.length, 1);
  });
}

test("a hub that lost its memory is reported, and the new epoch is followed", async () => {
  const { network, client } = await live();
  const news = client.subscribe<string>("news");
  const seen: string[] = [];
  news.on("publication", ({ data }) => seen.push(data));
  await network.clock.advance(SOON);
  for (const text of ["a", "b"]) network.hub.publish("news", text);
  await network.clock.advance(SOON);
  network.cutAll();
  network.hub.channel("news").restart("e2");
  network.hub.publish("news", "lost");
  await network.clock.advance(1_100);
  assert.equal(news.recovered, false);
  network.hub.publish("news", "after");
  await network.clock.advance(SOON);
  assert.deepEqual(seen, ["a", "b", "after"]);
});

test("a gap at the end of what was announced does not hold the client in catching-up", async () => {
  const { network, client } = await live();
  client.subscribe("news");
  await network.clock.advance(SOON);
  network.cutAll();
  await network.clock.advance(1);
  network.hub.publish("news", 1);
  network.hub.channel("news").offset += 5;
  await network.clock.advance(1_030);
  assert.equal(client.state, "catching-up");
  await network.clock.advance(200);
  assert.equal(client.state, "live");
  assert.deepEqual(client.subscriptions.get("news")?.position, { epoch: "e1", offset: 6 });
});

test("attempts wait longer and longer, and the limit gives up", async () => {
  const network = new MemoryNetwork();
  network.reachable = false;
  const client = network.client({ maxAttempts: 3 });
  const log = record(client, "reconnecting", "gave_up");
  await network.clock.advance(60_000);
  assert.deepEqual(log, [
    ["reconnecting", 1, 3, 1_000], ["reconnecting", 2, 3, 2_000], ["reconnecting", 3, 3, 4_000], ["gave_up", 3],
  ]);
  assert.deepEqual([client.state, client.reason, network.clock.pending], ["offline", "hub_down", 0]);
  network.reachable = true;
  client.redial();
  await network.clock.advance(SOON);
  assert.equal(client.state, "live");
});

test("the counter restarts at a connection", async () => {
  const network = new MemoryNetwork();
  network.reachable = false;
  const client = network.client();
  const log = record(client, "reconnecting");
  await network.clock.advance(5_000);
  network.reachable = true;
  await network.clock.advance(5_000);
  network.cutAll();
  await network.clock.advance(1);
  assert.deepEqual(log.map(([, n]) => n), [1, 2, 3, 1]);
});

test("the user's own disconnect never reconnects and ends everything", async () => {
  const { network, client } = await live();
  const news = client.subscribe("news");
  const log = record(client, "state", "disconnected", "reconnecting");
  const call = client.call("never", { a: 1, b: 1 });
  const sent = client.publish("c", 1);
  client.disconnect();
  await assert.rejects(call, kind("disconnected"));
  await assert.rejects(sent, kind("disconnected"));
  await assert.rejects(client.publish("c", 1), kind("closed"));
  assert.throws(() => client.subscribe("other"), kind("closed"));
  for await (const _ of news) assert.fail();
  client.redial();
  await network.clock.advance(100_000);
  assert.deepEqual(log, [["state", "offline", null], ["disconnected", 1000, ""]]);
  assert.deepEqual([network.dials, network.clock.pending, network.hub.sessions.size], [1, 0, 0]);
});

for (const code of [3500, 3503, 4509]) {
  test(`close code ${code} stops: the state is refused, and what waits is told`, async () => {
    const { network, client } = await live();
    const errors = record(client, "error");
    network.cutAll(code, "go away");
    let waiting = Promise.resolve();
    client.on("disconnected", () => (waiting = assert.rejects(client.publish("c", 1), { code, reason: "go away" })));
    await network.clock.advance(100_000);
    await waiting;
    await assert.rejects(client.publish("c", 2), { code });
    await assert.rejects(client.connected(), { code });
    assert.deepEqual([client.state, network.dials, errors.length], ["refused", 1, 1]);
  });
}

for (const code of [3001, 3012, 4000, 1011]) {
  test(`close code ${code} reconnects`, async () => {
    const { network, client } = await live();
    network.cutAll(code);
    await network.clock.advance(1_100);
    assert.equal(client.state, "live");
  });
}

test("a frozen connection is noticed by the heartbeat and dialed again", async () => {
  const { network, client } = await live();
  const log = record(client, "disconnected");
  network.freezeAll();
  await network.clock.advance(39_000);
  assert.equal(client.state, "live");
  await network.clock.advance(5_000);
  assert.deepEqual(log, [["disconnected", 3012, "no pong"]]);
  assert.equal(client.state, "live");
});

test("a hub that does not answer connect is given up after the timeout", async () => {
  const network = new MemoryNetwork();
  network.hub.intercept = ({ type }) => (type === "connect" ? {} : undefined);
  const client = network.client();
  const log = record(client, "reconnecting");
  await network.clock.advance(10_001);
  assert.deepEqual([client.state, log.length], ["offline", 1]);
});

test("the hub's ping is answered", async () => {
  const { network } = await live();
  const [session] = network.hub.sessions;
  const frames: unknown[] = [];
  session!.receive = (frame) => frames.push(JSON.parse(frame));
  session!.say({ type: "ping" });
  await network.clock.advance(SOON);
  assert.deepEqual(frames, [{ type: "pong" }]);
});

test("frames that are no messages, and types of the future, disturb nothing", async () => {
  const { network, client } = await live();
  const errors = record(client, "error");
  const [session] = network.hub.sessions;
  session!.wire.send("nonsense");
  session!.say({ type: "hologram", channel: "c" });
  session!.say({ type: "reply", id: 999 });
  session!.say({ type: "error", code: 107, reason: "bad request", retry: false });
  await network.clock.advance(SOON);
  assert.deepEqual(errors.map(([, error]) => (error as any).code), [0, 107]);
  assert.equal(client.state, "live");
});

test("a name in use leaves the connection, and another name may be claimed on it", async () => {
  const network = new MemoryNetwork();
  network.client({ name: "Ada" });
  await network.clock.advance(SOON);
  const client = network.client({ name: "ADA" });
  const errors = record(client, "error");
  const refused = assert.rejects(client.connected(), { code: 115 });
  await network.clock.advance(60_000);
  await refused;
  assert.deepEqual([client.state, errors.length, network.dials], ["connecting", 1, 2]);
  const claimed = client.claim("Blaise");
  await network.clock.advance(SOON);
  assert.equal((await claimed).name, "Blaise");
  assert.deepEqual([client.state, network.dials], ["live", 2]);
});

test("a name claimed while an earlier one is being asked for waits for that answer", async () => {
  const network = new MemoryNetwork();
  network.client({ name: "Ada" });
  await network.clock.advance(SOON);
  const second = network.client({ name: "Ada" });
  await network.clock.advance(8);
  const claimed = second.claim("Blaise");
  const third = network.client({ name: "Grace" });
  await network.clock.advance(8);
  const late = assert.rejects(third.claim("Hedy"), kind("named"));
  await network.clock.advance(SOON);
  await late;
  assert.deepEqual([(await claimed).name, third.info?.name], ["Blaise", "Grace"]);
});

test("the name held by our own dead connection is asked for until the hub lets it go", async () => {
  const { network, client } = await live({ name: "Ada" });
  network.hub.intercept = ({ type, resume }) => (type === "connect" && resume && network.clock.now() < 20_000 ? { type: "error", code: 115, reason: "name in use", retry: false } : undefined);
  network.cutAll();
  await network.clock.advance(10_000);
  assert.notEqual(client.state, "live");
  await network.clock.advance(30_000);
  assert.equal(client.state, "live");
});

test("a refused token is final, an expired one is fetched again", async () => {
  const network = new MemoryNetwork();
  const tokens: string[] = [];
  network.hub.intercept = ({ type, token }) => {
    if (type !== "connect" || token === "good") return undefined;
    return token === "old" ? { type: "error", code: 109, reason: "token expired", retry: false } : { type: "error", code: 101, reason: "unauthorized", retry: false };
  };
  const client = network.client({ getToken: async () => (tokens.push("x"), tokens.length === 1 ? "old" : "good") });
  const wrong = network.client({ token: "wrong" });
  const refused = assert.rejects(wrong.connected(), { code: 101 });
  await network.clock.advance(2_000);
  await refused;
  assert.deepEqual([client.state, wrong.state, tokens.length], ["live", "refused", 2]);
});

test("a getToken that fails is a failed attempt, not the end", async () => {
  const network = new MemoryNetwork();
  let calls = 0;
  const client = network.client({ getToken: () => (++calls === 1 ? Promise.reject(new Error("no session")) : "t") });
  const errors = record(client, "error");
  await network.clock.advance(SOON);
  assert.deepEqual([client.state, (errors[0]?.[1] as Error).message], ["offline", "getToken failed: Error: no session"]);
  await network.clock.advance(1_000);
  assert.equal(client.state, "live");
});

test("an answer that does not come in time is an error, and so is a cut for what may not be asked twice", async () => {
  const { network, client } = await live();
  network.hub.intercept = ({ type }) => (type === "rpc" || type === "history" ? {} : undefined);
  const slow = assert.rejects(client.call("slow"), kind("timed_out"));
  await network.clock.advance(10_000);
  await slow;
  const call = assert.rejects(client.call("cut"), kind("disconnected"));
  const page = client.history("c");
  await network.clock.advance(SOON);
  network.cutAll();
  network.hub.intercept = () => undefined;
  await network.clock.advance(1_100);
  await call;
  assert.equal((await page).epoch, "e1");
});

test("a hub that goes away or has too much to do is believed about when to come back", async () => {
  const { network, client } = await live();
  const log = record(client, "reconnecting");
  network.cutAll(3001, "the hub is shutting down; reconnect after 3210 ms");
  await network.clock.advance(10);
  network.hub.intercept = ({ type }) => (type === "connect" ? { type: "error", code: 111, reason: "too many", retry: true, detail: { retry_after_s: 9 } } : undefined);
  await network.clock.advance(3_300);
  network.hub.intercept = ({ type }) => (type === "subscribe" ? { type: "error", code: 111, reason: "too many", retry: true, detail: { retry_after_s: 20 } } : undefined);
  await network.clock.advance(12_000);
  assert.deepEqual(log, [["reconnecting", 1, 0, 3_210], ["reconnecting", 2, 0, 11_000]]);
  const news = client.subscribe("news");
  await network.clock.advance(100);
  network.hub.intercept = () => undefined;
  await network.clock.advance(19_800);
  assert.equal(news.active, false);
  await network.clock.advance(300);
  assert.equal(news.active, true);
});

test("messages of the server reach their event, and a listener that is off hears nothing", async () => {
  const { network, client } = await live();
  const log: unknown[] = [];
  const off = client.on("message", (data) => log.push(data));
  const [session] = network.hub.sessions;
  session!.say({ type: "message", data: { only: "you" } });
  await network.clock.advance(SOON);
  off();
  session!.say({ type: "message", data: 2 });
  await network.clock.advance(SOON);
  assert.deepEqual(log, [{ only: "you" }]);
});

test("awaiting a call inside a message loop works", async () => {
  const { network, client } = await live();
  const news = client.subscribe<number>("news");
  const sums: number[] = [];
  const loop = (async () => {
    for await (const { data } of news as AsyncIterable<Publication<number>>) sums.push(await client.call<number>("add", { a: data, b: 1 }));
  })();
  await network.clock.advance(SOON);
  for (const n of [1, 2, 3]) network.hub.publish("news", n);
  await network.clock.advance(500);
  news.unsubscribe();
  await loop;
  assert.deepEqual(sums, [2, 3, 4]);
});

test("an address or option that cannot be is refused at once", async () => {
  const { connect } = await import("../src/client.js");
  for (const url of ["", "nonsense", "ftp://hub", "/ws"]) assert.throws(() => connect(url), kind("bad_url"));
  assert.throws(() => connect("ws://h", { heartbeatMs: -1 }), /heartbeatMs is -1/);
  const client = connect("https://hub.example/ws", { transport: () => ({ name: "none", send() {}, close() {} }) });
  assert.equal(client.url, "wss://hub.example/ws");
  client.disconnect();
});
