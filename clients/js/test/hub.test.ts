// Against a running hub (`chappe serve --dev`): its address in CHAPPE_URL, for example ws://127.0.0.1:8080/ws.
import assert from "node:assert/strict";
import { after, before, test as nodeTest } from "node:test";
import type { Client, Publication } from "../src/api.js";
import { connect } from "../src/client.js";
import type { ClientOptions, TransportName } from "../src/options.js";
import type { Cuttable } from "./sockets.js";
import { cutOff, cuttable, until } from "./sockets.js";

const url = process.env["CHAPPE_URL"] ?? "ws://127.0.0.1:8080/ws";
const clients: Client[] = [];
const run = `js${process.pid}`;
let channels = 0;

/** All of this over each transport: `CHAPPE_TRANSPORT` names it. */
const transports = [(process.env["CHAPPE_TRANSPORT"] ?? "websocket") as TransportName];

function open(options: ClientOptions = {}): { client: Client } & Cuttable {
  const network = cuttable();
  const { WebSocket, fetch } = network;
  const times = { reconnectIntervalMs: 5, reconnectMaxMs: 100, pollRetryMs: 5 };
  const client = connect(url, { WebSocket, fetch, transports, ...times, ...options });
  clients.push(client);
  return { client, ...network };
}

/** To begin again over requests takes several of them. */
const CUTS = transports[0] === "websocket" ? 100 : 30;

const channel = () => `test/${run}/${++channels}`;

async function take<T>(source: AsyncIterable<Publication<T>>, count: number): Promise<T[]> {
  const items: T[] = [];
  const iterator = source[Symbol.asyncIterator]();
  while (items.length < count) items.push((await iterator.next()).value.data);
  return items;
}

/** Whatever hangs is named by its test, and soon. */
const test = (name: string, body: () => Promise<void>, timeout = 10_000) => nodeTest(name, { timeout }, body);

before(async () => {
  const { client } = open({ maxAttempts: 5 });
  const gone = new Promise((_, reject) => client.on("gave_up", () => reject(new Error(`no hub answers at ${url}`))));
  await Promise.race([client.connected(), gone]);
});
after(() => clients.forEach((client) => client.disconnect()));

test("the hub accepts the session and tells who we are", async () => {
  const { client } = open({ name: `Ada-${run}` });
  const info = await client.connected();
  assert.deepEqual([info.name, info.resumed, client.state], [`Ada-${run}`, false, "live"]);
  assert.ok(info.session && info.ping > 0);
  assert.equal(client.transport, transports[0]);
  assert.ok((await client.ping()) >= 0);
});

test("a publisher that is subscribed receives its own publication, with its position and sender", async () => {
  const { client } = open();
  const name = channel();
  const news = client.subscribe<any>(name);
  await news.subscribed();
  const position = await client.publish(name, { hello: "wörld", deep: [1, { a: null }] });
  for await (const publication of news) {
    assert.deepEqual(publication.data, { hello: "wörld", deep: [1, { a: null }] });
    assert.deepEqual({ epoch: publication.epoch, offset: publication.offset }, position);
    assert.equal(publication.from?.session, client.session);
    assert.match(publication.time ?? "", /^\d{4}-\d\d-\d\dT.*Z$/);
    break;
  }
});

test("bytes are published and received as bytes", async () => {
  const { client } = open();
  const name = channel();
  const raw = client.subscribe<Uint8Array>(name);
  await raw.subscribed();
  await client.publish(name, Uint8Array.from([0, 255, 7]));
  assert.deepEqual(await take(raw, 1), [Uint8Array.from([0, 255, 7])]);
});

test("history has the newest, oldest first, and since brings them to a subscriber", async () => {
  const { client } = open();
  const name = channel();
  for (const n of [1, 2, 3, 4]) await client.publish(name, n);
  const page = await client.history<number>(name, { limit: 3 });
  assert.deepEqual(page.publications.map(({ data }) => data), [2, 3, 4]);
  const second = page.publications[0]!;
  const log = client.subscribe<number>(name, { since: { epoch: second.epoch!, offset: second.offset! } });
  assert.deepEqual([await take(log, 2), log.recovered], [[3, 4], true]);
  log.unsubscribe();
  assert.deepEqual(await take(client.subscribe<number>(name, { since: "latest" }), 1), [4]);
});

test("an unknown epoch is reported as not recovered", async () => {
  const { client } = open();
  const news = client.subscribe(channel(), { since: { epoch: "nobody-knows", offset: 3 } });
  await news.subscribed();
  assert.equal(news.recovered, false);
});

test("presence tells oneself, who comes and who goes", async () => {
  const name = channel();
  const { client: ada } = open({ name: `P-Ada-${run}` });
  const { client: blaise } = open({ name: `P-Blaise-${run}` });
  const room = ada.subscribe(name, { presence: true });
  await until(room, ["join", "presence"], () => room.count === 1);
  blaise.subscribe(name);
  await until(room, ["join", "presence"], () => room.count === 2);
  assert.deepEqual(room.members.map((who) => who.name).sort(), [`P-Ada-${run}`, `P-Blaise-${run}`]);
  assert.equal((await ada.presence(name)).count, 2);
  blaise.disconnect();
  await until(room, ["leave", "presence"], () => room.count === 1);
});

test("a name in use, in another case, is refused on a connection that stays", async () => {
  const { client: first } = open({ name: `Émilie-${run}` });
  await first.connected();
  const { client: second } = open({ name: `éMILIE-${run}` });
  await assert.rejects(second.connected(), { code: 115 });
  assert.equal((await second.claim(`Other-${run}`)).name, `Other-${run}`);
});

test("compare-and-set tells the loser where the channel is", async () => {
  const { client } = open();
  const name = channel();
  const first = await client.publish(name, 1);
  await client.publish(name, 2, { expect: first });
  await assert.rejects(client.publish(name, 3, { expect: first }), { code: 114 });
});

test("a key that was used is answered again, and nothing is stored twice", async () => {
  const { client } = open();
  const name = channel();
  const first = await client.publish(name, 1, { key: "k" });
  assert.deepEqual(await client.publish(name, 1, { key: "k" }), first);
  assert.equal((await client.history(name)).publications.length, 1);
});

test("the retained publication greets a newcomer", async () => {
  const { client } = open();
  const name = channel();
  await client.publish(name, "on", { retain: true });
  for await (const { data, retained } of client.subscribe(name)) {
    assert.deepEqual([data, retained], ["on", true]);
    break;
  }
});

test("a history of more than a mebibyte comes in pages, and as a gap at once", async () => {
  const { client } = open();
  const name = channel();
  const text = "é".repeat(20_000);
  const positions = await Promise.all(Array.from({ length: 40 }, (_, n) => client.publish(name, `${n}${text}`)));
  const { publications } = await client.history<string>(name, { limit: 40 });
  assert.ok(publications.length > 20 && publications.length < 40);
  assert.equal(publications.at(-1)?.data, `39${text}`);
  const gap = client.subscribe<string>(name, { since: positions[0]! });
  assert.deepEqual((await take(gap, 39)).map((data) => Number.parseInt(data)), Array.from({ length: 39 }, (_, n) => n + 1));
});

test("a hundred and fifty publications at once come back in order", async () => {
  const { client } = open();
  const name = channel();
  const news = client.subscribe<number>(name);
  await news.subscribed();
  const published = Array.from({ length: 150 }, (_, n) => client.publish(name, n));
  assert.deepEqual(await take(news, 150), Array.from({ length: 150 }, (_, n) => n));
  await Promise.all(published);
});

test("a token that is none refuses the session, and a newer one that is none leaves it as it is", async () => {
  const { client } = open({ token: "no.such.token" });
  await assert.rejects(client.connected(), { code: 101 });
  assert.equal(client.state, "refused");
  const { client: other } = open();
  await other.connected();
  await assert.rejects(other.refresh("no.such.token"), { code: 101 });
  assert.ok((await other.ping()) >= 0);
});

test("errors have their code: a channel that is none, a method that is none", async () => {
  const { client } = open();
  await assert.rejects(client.publish("a/#", 1), { code: 107 });
  await assert.rejects(client.subscribe("a\u0000b").subscribed(), { code: 107 });
  await assert.rejects(client.call("no-such-method"), (error: any) => error.code >= 100);
});

test("a lock is held once", async () => {
  const { client: ada } = open();
  const { client: blaise } = open();
  const resource = `${run}/lock`;
  const lock = await ada.lock(resource, { ttl: 30 });
  assert.equal(lock.owner, ada.session);
  await assert.rejects(blaise.lock(resource), { code: 118 });
  await ada.unlock(resource);
  assert.ok((await blaise.lock(resource)).token > lock.token);
  await blaise.unlock(resource);
});

test("a cut is followed by resume, recovery and everything that was missed", async () => {
  const name = channel();
  const { client: reader, cut, heal } = open({ name: `R-${run}`, reconnectIntervalMs: 300, jitter: "none" });
  const { client: writer } = open();
  const news = reader.subscribe<number>(name);
  await news.subscribed();
  await writer.publish(name, 1);
  const states: string[] = [];
  reader.on("state", (state) => states.push(state));
  cut();
  await until(reader, ["disconnected"], () => reader.state !== "live");
  heal();
  for (const n of [2, 3]) await writer.publish(name, n);
  assert.deepEqual(await take(news, 3), [1, 2, 3]);
  assert.equal(news.recovered, true);
  await until(reader, ["state"], () => reader.state === "live");
  assert.deepEqual(states, ["offline", "connecting", "catching-up", "live"]);
});

test("whoever disconnects, with whatever code, is gone at once", async () => {
  const name = channel();
  const room = open().client.subscribe(name, { presence: true });
  const gone: (string | null)[] = [];
  room.on("leave", (member) => gone.push(member.name));
  await room.subscribed();
  for (const [who, code] of [["Bob", 1000], ["Eve", 4999]] as const) {
    const { client } = open({ name: `${who}-${run}` });
    await client.subscribe(name).subscribed();
    client.disconnect(code, "enough");
    await until(room, ["leave"], () => gone.includes(`${who}-${run}`));
  }
});

test(`${CUTS} cuts in a row lose and double nothing acknowledged`, async () => {
  const name = channel();
  const { client: writer, ...writers } = open({ name: `W-${run}` });
  const { client: reader, ...readers } = open();
  const news = reader.subscribe<number>(name);
  const seen: number[] = [];
  let last = 0;
  news.on("publication", ({ data, offset }) => (seen.push(data), (last = offset!)));
  const losses: unknown[] = [];
  news.on("subscribed", (recovered) => !recovered && losses.push(recovered));
  await Promise.all([writer.connected(), news.subscribed()]);
  const acknowledged: Promise<{ offset: number }>[] = [];
  for (let cuts = 0; cuts < CUTS; cuts++) {
    acknowledged.push(writer.publish(name, cuts * 2), writer.publish(name, cuts * 2 + 1));
    await Promise.all([cutOff(writer, writers), cutOff(reader, readers)]);
  }
  const end = Math.max(...(await Promise.all(acknowledged)).map(({ offset }) => offset));
  await until(news, ["publication"], () => last >= end);
  assert.deepEqual(seen, Array.from({ length: 2 * CUTS }, (_, n) => n));
  assert.equal(losses.length, 1, "only the first subscribe had nothing to recover");
}, 50_000);
