import assert from "node:assert/strict";
import { test } from "node:test";
import { connect } from "../src/client.js";
import type { ClientOptions, TransportName } from "../src/options.js";
import { FakeClock } from "./fake_clock.js";
import { LittleHttp } from "./little_http.js";
import { record } from "./memory_network.js";

const SOON = 100;

function open(name: TransportName, options: ClientOptions = {}) {
  const clock = new FakeClock();
  const http = new LittleHttp(clock);
  const client = connect("ws://hub.test/ws", { clock, fetch: http.fetch, transports: [name], jitter: "none", ...options });
  return { clock, http, client };
}

async function live(name: TransportName, options: ClientOptions = {}) {
  const all = open(name, options);
  await all.clock.advance(SOON);
  assert.deepEqual([all.client.state, all.client.transport], ["live", name]);
  return all;
}

test("addresses stand beside the hub's, with its parameters, headers and credentials", async () => {
  const clock = new FakeClock();
  const http = new LittleHttp(clock);
  const options = { clock, fetch: http.fetch, transports: ["polling"], headers: { Authorization: "Bearer t" }, credentials: "include" } as const;
  connect("wss://hub.test/realtime/ws?lang=fr", options).connected().catch(() => undefined);
  await clock.advance(1);
  const { path, query, init } = http.asked[0]!;
  assert.deepEqual([path, query.get("lang"), init.cache, init.credentials], ["/realtime/poll", "fr", "no-store", "include"]);
  assert.deepEqual(init.headers, { Authorization: "Bearer t" });
});

for (const name of ["polling", "sse"] as const) {
  test(`${name}: a conversation, and a goodbye that the hub hears`, async () => {
    const { clock, http, client } = await live(name);
    const seen: number[] = [];
    client.subscribe<number>("news").on("publication", ({ data }) => seen.push(data));
    const answers = Promise.all([client.publish("news", 1), client.call("add", { a: 2, b: 3 }), client.ping()]);
    await clock.advance(SOON);
    assert.deepEqual([(await answers)[0].offset, (await answers)[1], seen], [1, 5, [1]]);
    const last = client.publish("news", 2);
    client.disconnect();
    await assert.rejects(last, { kind: "disconnected" });
    await clock.advance(SOON);
    assert.equal(http.hub.channel("news").offset, 2, "what waited was sent");
    assert.deepEqual([http.boxes.size, http.count("DELETE", "/poll"), clock.pending], [0, 1, 0]);
  });

  test(`${name}: whoever ends with a code of the application is forgotten as well, whoever comes back is not`, async () => {
    const { clock, http, client } = await live(name, { backgroundDisconnect: 1_000 });
    client.background(true);
    await clock.advance(1_000 + SOON);
    assert.deepEqual([client.state, http.count("DELETE", "/poll")], ["offline", 0]);
    client.background(false);
    await clock.advance(SOON);
    assert.deepEqual([client.state, client.info?.resumed], ["live", true]);
    client.disconnect(4999, "the game is over");
    await clock.advance(SOON);
    assert.equal(http.count("DELETE", "/poll"), 1);
  });

  test(`${name}: one POST at a time, and what is queued meanwhile in one array`, async () => {
    const { clock, http, client } = await live(name);
    http.bodies.length = 0;
    for (let n = 0; n < 5; n++) void client.publish("c", n);
    await clock.advance(SOON);
    assert.deepEqual(http.bodies.map((body) => [JSON.parse(body)].flat().length), [1, 4]);
    assert.deepEqual(http.hub.channel("c").log.map(({ data }) => data), [0, 1, 2, 3, 4]);
    const numbers = http.asked.filter(({ path }) => path === "/send").map(({ query }) => [query.get("seq"), query.get("replies")]);
    assert.deepEqual(numbers, [["0", "push"], ["1", "push"], ["2", "push"]]);
  });

  test(`${name}: a POST whose answer is lost is repeated under its number, and carried out once`, async () => {
    const { clock, http, client } = await live(name);
    let losses = 2;
    http.intercept = ({ path }) => (path === "/send" && losses-- > 0 ? "lost" : undefined);
    const sum = client.call("add", { a: 1, b: 1 });
    await clock.advance(SOON);
    assert.equal(await sum, 2);
    await clock.advance(12_000);
    assert.deepEqual(http.asked.filter(({ path }) => path === "/send").map(({ query }) => query.get("seq")), ["0", "1", "1", "1"]);
    assert.equal(http.hub.commands.filter(({ type }) => type === "rpc").length, 1);
    assert.equal(client.state, "live");
  });

  test(`${name}: the hub's end has its code and its advice`, async () => {
    const { clock, http, client } = await live(name);
    const log = record(client, "disconnected", "reconnecting", "error");
    http.end(3001, "the hub is shutting down; reconnect after 1234 ms");
    await clock.advance(20);
    const [code, delay] = [(log[0] as any)[1], (log.find(([what]) => what === "reconnecting") as any)[3]];
    assert.deepEqual([code, delay], [3001, 1_234]);
    await clock.advance(2_000);
    assert.equal(client.state, "live");
    http.end(3503, "");
    await clock.advance(20);
    assert.equal(client.state, "refused");
  });

  test(`${name}: a session that the hub has forgotten begins again, and nothing is lost`, async () => {
    const { clock, http, client } = await live(name);
    const seen: number[] = [];
    const news = client.subscribe<number>("news");
    news.on("publication", ({ data }) => seen.push(data));
    void client.publish("news", 1);
    await clock.advance(SOON);
    for (const box of http.boxes.values()) box.stream?.close();
    http.boxes.clear();
    void client.publish("news", 2);
    await clock.advance(70_000);
    assert.deepEqual([client.state, seen, news.recovered], ["live", [1, 2], true]);
  });

  test(`${name}: a 503 says when to come back`, async () => {
    const { clock, http, client } = open(name);
    const log = record(client, "reconnecting");
    http.intercept = () => new Response("busy", { status: 503, headers: { "Retry-After": "7" } });
    await clock.advance(SOON);
    assert.deepEqual(log, [["reconnecting", 1, 0, 7_000]]);
    http.intercept = () => undefined;
    await clock.advance(7_000);
    assert.equal(client.state, "live");
  });

  test(`${name}: too many connections are refused for good`, async () => {
    const { clock, http, client } = open(name);
    http.intercept = () => Response.json({ code: 3504, detail: "connection limit" }, { status: 429 });
    await clock.advance(SOON);
    assert.equal(client.state, "refused");
  });
}

test("a poll whose answer is lost is repeated with the cursor before, and nothing is told twice", async () => {
  const { clock, http, client } = await live("polling");
  const seen: number[] = [];
  client.subscribe<number>("news").on("publication", ({ data }) => seen.push(data));
  await clock.advance(SOON);
  let losses = 1;
  http.intercept = ({ method, path }) => (method === "GET" && path === "/poll" && losses-- > 0 ? "lost" : undefined);
  http.hub.publish("news", 1);
  await clock.advance(SOON);
  http.hub.publish("news", 2);
  await clock.advance(6_000);
  http.hub.publish("news", 3);
  await clock.advance(SOON);
  assert.deepEqual([seen, client.state], [[1, 2, 3], "live"]);
});

test("four polls in a row that fail are a lost connection", async () => {
  const { clock, http, client } = await live("polling", { heartbeatMs: 0 });
  const log = record(client, "disconnected");
  http.intercept = () => "refused";
  await clock.advance(60_000 + 14_000);
  assert.deepEqual(log, []);
  await clock.advance(1_500);
  assert.deepEqual(log, [["disconnected", 1006, "fetch failed"]]);
});

test("who answers nothing at once, again and again, is not asked in a hurry", async () => {
  const { clock, http, client } = await live("polling");
  http.intercept = ({ method, path }) => (method === "GET" && path === "/poll" ? new Response(null, { status: 204 }) : undefined);
  await clock.advance(60_000);
  const before = http.count("GET", "/poll");
  await clock.advance(20_000);
  assert.ok(http.count("GET", "/poll") - before <= 4);
  client.disconnect();
});

test("nothing gathers on the signals of requests, however many fail", async () => {
  const listeners = new Set<unknown>();
  const { prototype } = AbortSignal;
  prototype.addEventListener = function (name: string, listener: any, options?: any): void {
    listeners.add(listener);
    EventTarget.prototype.addEventListener.call(this, name, listener, options);
  };
  prototype.removeEventListener = function (name: string, listener: any): void {
    listeners.delete(listener);
    EventTarget.prototype.removeEventListener.call(this, name, listener);
  };
  try {
    const { clock, http, client } = await live("polling");
    let asked = 0;
    http.intercept = ({ path }) => (path === "/poll" && asked++ % 2 === 0 ? "refused" : undefined);
    for (let n = 0; n < 20; n++) {
      for (const session of http.hub.sessions) session.say({ type: "message", data: 1 });
      await clock.advance(6_000);
    }
    assert.ok(asked >= 40, String(asked));
    assert.ok(listeners.size <= 3, String(listeners.size));
    const polls = http.asked.flatMap(({ path, init }) => (path === "/poll" ? [init.signal] : []));
    assert.equal(new Set(polls).size, polls.length);
    client.disconnect();
    await clock.advance(SOON);
    assert.equal(listeners.size, 0);
  } finally {
    delete (prototype as Partial<AbortSignal>).addEventListener;
    delete (prototype as Partial<AbortSignal>).removeEventListener;
  }
});

test("a stream begins with one request, and is open when its first event has come", async () => {
  const { clock, http, client } = await live("sse");
  assert.deepEqual(http.asked.slice(0, 2).map(({ method, path, query }) => [method, path, query.get("session")]), [
    ["GET", "/events", ""],
    ["POST", "/send", [...http.boxes.keys()][0]],
  ]);
  assert.equal(http.count("GET", "/poll"), 0);
  client.disconnect();
  await clock.advance(SOON);
});

test("behind a proxy that holds streams back the stream is given up, and its session ends", async () => {
  const { clock, http, client } = open("sse", { transports: ["sse", "polling"], websocketTimeoutMs: 2_000 });
  http.holding = true;
  await clock.advance(1_990);
  assert.deepEqual([client.state, http.boxes.size], ["connecting", 1]);
  await clock.advance(SOON);
  assert.deepEqual([client.state, client.transport, http.boxes.size], ["live", "polling", 1]);
  client.disconnect();
  await clock.advance(SOON);
});

test("a stream that is silent for three heartbeats is dead", async () => {
  const { clock, client } = await live("sse", { heartbeatMs: 0 });
  const log = record(client, "disconnected");
  await clock.advance(44_000);
  assert.deepEqual(log, []);
  await clock.advance(1_100);
  assert.deepEqual(log, [["disconnected", 1006, "silent for 45000 ms"]]);
  await clock.advance(1_100);
  assert.equal(client.state, "live");
});

test("where a page of a proxy comes instead of the hub, it is tried again", async () => {
  const { clock, http, client } = open("polling");
  http.intercept = () => new Response("<html>log in</html>");
  await clock.advance(SOON);
  assert.equal(client.state, "offline");
  http.intercept = () => Response.json({ hello: "world" });
  await clock.advance(1_000);
  assert.equal(client.state, "offline");
  http.intercept = () => undefined;
  await clock.advance(2_100);
  assert.equal(client.state, "live");
});
