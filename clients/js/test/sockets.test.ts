import assert from "node:assert/strict";
import { test } from "node:test";
import { connect } from "../src/client.js";
import { cutOff, cuttable, serve, until } from "./sockets.js";

const FAST = { reconnectIntervalMs: 4, reconnectMaxMs: 20 };

test("a conversation over real sockets, with a hub that goes away and comes back", async () => {
  const first = await serve();
  const { WebSocket } = cuttable();
  const client = connect(first.url, { WebSocket, name: "Ada", ...FAST });
  const news = client.subscribe<number>("news");
  const seen: number[] = [];
  news.on("publication", ({ data }) => seen.push(data));
  await client.publish("news", 1);
  assert.equal(await client.call("add", { a: 2, b: 3 }), 5);
  assert.ok((await client.ping()) >= 0);

  await first.stop();
  await until(client, ["state"], () => client.state === "offline");
  const published = client.publish("news", 2);
  const second = await serve(Number(new URL(first.url).port), first.hub);
  assert.equal((await published).offset, 2);
  await until(news, ["publication"], () => seen.length === 2);
  assert.deepEqual([seen, news.recovered, client.state], [[1, 2], true, "live"]);
  client.disconnect();
  await second.stop();
});

test("100 cuts of real sockets in a row lose and double nothing acknowledged", async () => {
  const running = await serve();
  const network = cuttable();
  const { WebSocket } = network;
  const writer = connect(running.url, { WebSocket, ...FAST });
  const reader = connect(running.url, { WebSocket, ...FAST });
  const news = reader.subscribe<number>("news");
  const seen: number[] = [];
  const loop = (async () => {
    for await (const { data } of news) seen.push(data);
  })();
  await Promise.all([writer.connected(), news.subscribed()]);
  const acknowledged: Promise<unknown>[] = [];
  for (let cuts = 0; cuts < 100; cuts++) {
    for (let n = 0; n < 5; n++) acknowledged.push(writer.publish("news", cuts * 5 + n));
    await Promise.all([cutOff(writer, network), cutOff(reader, network)]);
  }
  await Promise.all(acknowledged);
  await until(news, ["publication"], () => running.hub.channel("news").offset === news.position?.offset);
  news.unsubscribe();
  await loop;
  assert.deepEqual(seen, Array.from({ length: 500 }, (_, n) => n));
  writer.disconnect();
  reader.disconnect();
  await running.stop();
});

test("a port where nobody listens is an offline hub, tried again", async () => {
  const running = await serve();
  await running.stop();
  const { WebSocket } = cuttable();
  const client = connect(running.url, { WebSocket, ...FAST, maxAttempts: 3 });
  const attempts = await new Promise((resolve) => client.on("gave_up", resolve));
  assert.deepEqual([attempts, client.state, client.reason], [3, "offline", "hub_down"]);
  client.disconnect();
});

test("a disconnect while dialing leaves no socket behind", async () => {
  const running = await serve();
  const { WebSocket } = cuttable();
  const client = connect(running.url, { WebSocket });
  await new Promise((resolve) => setImmediate(resolve));
  client.disconnect();
  assert.equal(client.state, "offline");
  await running.stop();
  assert.equal(running.hub.sessions.size, 0);
});

test("where there is no WebSocket class the error says what to do", async (context) => {
  // Node has one from version 22 on.
  const global = globalThis as { WebSocket?: unknown };
  const given = global.WebSocket;
  delete global.WebSocket;
  context.after(() => given && (global.WebSocket = given));
  const { connect } = await import("../src/client.js");
  const client = connect("ws://127.0.0.1:9", { WebSocket: undefined as any, transports: ["websocket"] });
  const [, error] = await new Promise<unknown[]>((resolve) => client.on("error", (error) => resolve([0, error])));
  assert.match((error as Error).message, /no WebSocket class here/);
  assert.equal(client.state, "refused");
});
