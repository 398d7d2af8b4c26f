import assert from "node:assert/strict";
import { test } from "node:test";
import { connect } from "../src/client.js";
import type { Store } from "../src/fallback.js";
import { Fallback } from "../src/fallback.js";
import { record } from "./memory_network.js";
import { SeveralCarriers } from "./several_carriers.js";

const MINUTES = 60_000;

function remembering() {
  const items = new Map<string, string>();
  const store: Store = { getItem: (key) => items.get(key) ?? null, setItem: (key, value) => void items.set(key, value) };
  const time = { now: 1_700_000_000_000 };
  const fallback = (count = 3, host = "hub") => new Fallback(count, host, () => store, () => time.now);
  return { items, time, fallback, store };
}

/** The order of one attempt. */
function order(fallback: Fallback): number[] {
  fallback.begin();
  const tried = [fallback.at];
  while (fallback.next()) tried.push(fallback.at);
  return tried;
}

test("all are tried once, from the first, and then the attempt has failed", () => {
  const { fallback } = remembering();
  assert.deepEqual(order(fallback()), [0, 1, 2]);
  assert.deepEqual(order(fallback(1)), [0]);
});

test("what worked is where the next attempt begins, in another page too, for ten minutes from its discovery", () => {
  const { time, fallback } = remembering();
  const first = fallback();
  first.begin();
  first.next();
  first.worked();
  assert.deepEqual([order(first), order(fallback()), order(fallback(3, "other"))], [[1, 2, 0], [1, 2, 0], [0, 1, 2]]);
  time.now += 9 * MINUTES;
  first.begin();
  first.worked();
  time.now += 1 * MINUTES;
  assert.deepEqual(order(fallback()), [0, 1, 2]);
});

test("a better one that worked makes it forgotten", () => {
  const { fallback } = remembering();
  const it = fallback();
  it.begin();
  it.next();
  it.worked();
  it.at = 0;
  it.worked();
  assert.deepEqual([order(it), order(fallback())], [[0, 1, 2], [0, 1, 2]]);
});

test("nonsense in the store, of another version or of the future, is not believed", () => {
  const { items, time, fallback } = remembering();
  const it = fallback();
  it.begin();
  it.next();
  it.worked();
  const [key] = items.keys();
  for (const value of ["", "1", "sse", `9 ${time.now}`, `-1 ${time.now}`, `NaN ${time.now}`, `1 ${time.now + MINUTES}`, "{}", "1 x"]) {
    items.set(key!, value);
    assert.deepEqual(order(fallback())[0], 0, value);
  }
});

test("a store that throws is none, and where there is none the client remembers", () => {
  const forbidden = () => {
    throw new Error("SecurityError");
  };
  for (const store of [() => ({ getItem: forbidden, setItem: forbidden }), forbidden, () => undefined]) {
    const it = new Fallback(3, "hub", store);
    assert.deepEqual(order(it), [0, 1, 2]);
    it.worked();
    assert.deepEqual(order(it), [2, 0, 1], "it is remembered as long as the page");
  }
});

test("a transport that never opens has 5 s, and is passed over at the next reconnect", async () => {
  const carriers = new SeveralCarriers();
  carriers.mute.add("websocket");
  const client = carriers.client();
  const log = record(client, "state", "transport", "reconnecting");
  await carriers.clock.advance(5_100);
  assert.deepEqual(log, [["state", "live", null], ["transport", "sse"]]);
  assert.equal(client.transport, "sse");
  carriers.network.cutAll();
  await carriers.clock.advance(1_100);
  assert.deepEqual([client.state, carriers.dials], ["live", ["websocket at 0", "sse at 5000", "sse at 6100"]]);
  client.disconnect();
  assert.equal(client.transport, null);
});

test("one that is refused is followed by the next at once, without a loss to be seen", async () => {
  const carriers = new SeveralCarriers();
  carriers.broken.add("websocket").add("sse");
  const client = carriers.client();
  const log = record(client, "state", "transport");
  await carriers.clock.advance(100);
  assert.deepEqual(log, [["state", "live", null], ["transport", "polling"]]);
  assert.deepEqual(carriers.dials, ["websocket at 0", "sse at 1", "polling at 2"]);
});

test("one that opens and brings nothing is followed by the next as well", async () => {
  const carriers = new SeveralCarriers();
  const { hub } = carriers.network;
  let first = true;
  hub.intercept = ({ type }) => (type === "connect" && first ? ((first = false), {}) : undefined);
  const client = carriers.client();
  await carriers.clock.advance(10_100);
  assert.deepEqual([client.state, client.transport, carriers.dials.length], ["live", "sse", 2]);
});

test("a hub that is down is one failed attempt for all of them, and the first comes first again", async () => {
  const carriers = new SeveralCarriers();
  carriers.network.reachable = false;
  const client = carriers.client();
  const log = record(client, "reconnecting");
  await carriers.clock.advance(4_000);
  assert.deepEqual(log.map(([, n, , delay]) => [n, delay]), [[1, 1_000], [2, 2_000], [3, 4_000]]);
  assert.deepEqual(carriers.dials.map((dial) => dial.split(" ")[0]), Array(3).fill(["websocket", "sse", "polling"]).flat());
  carriers.network.reachable = true;
  await carriers.clock.advance(4_000);
  assert.deepEqual([client.state, client.transport], ["live", "websocket"]);
});

test("what the hub itself refuses is refused on every transport, and not tried on the next", async () => {
  const carriers = new SeveralCarriers();
  carriers.network.hub.intercept = () => ({ type: "error", code: 101, reason: "unauthorized", retry: false });
  const client = carriers.client();
  await carriers.clock.advance(20_000);
  assert.deepEqual([client.state, carriers.dials], ["refused", ["websocket at 0"]]);
});

test("a token is asked for once for each attempt", async () => {
  const carriers = new SeveralCarriers();
  carriers.broken.add("websocket").add("sse");
  let asked = 0;
  carriers.client({ getToken: () => `t${++asked}` });
  await carriers.clock.advance(100);
  assert.deepEqual([asked, carriers.network.hub.commands[0]!["token"]], [1, "t1"]);
});

test("a token that never comes is not the fault of a transport", async () => {
  const carriers = new SeveralCarriers();
  const client = carriers.client({ getToken: () => new Promise(() => undefined) });
  const log = record(client, "reconnecting");
  await carriers.clock.advance(10_100);
  assert.deepEqual([log, carriers.dials, client.state], [[["reconnecting", 1, 0, 1_000]], [], "offline"]);
});

test("where there is no WebSocket class, streams and polls are left", async () => {
  const global = globalThis as { WebSocket?: unknown };
  const given = global.WebSocket;
  delete global.WebSocket;
  try {
    const carriers = new SeveralCarriers();
    const client = carriers.client({ transports: ["websocket", carriers.network.transport] });
    await carriers.clock.advance(100);
    assert.deepEqual([client.state, client.transport], ["live", "memory"]);
  } finally {
    if (given) global.WebSocket = given;
  }
});

test("a transport that there is not is named", () => {
  assert.throws(() => connect("ws://h/ws", { transports: ["websockets" as "websocket"] }), /"websockets", expected some of websocket, sse, polling/);
  assert.throws(() => connect("ws://h/ws", { transports: [] }), { kind: "bad_transport" });
});
