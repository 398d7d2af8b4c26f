import assert from "node:assert/strict";
import { test } from "node:test";
import type { ClientOptions } from "../src/options.js";
import { openSwitchboard } from "../src/switchboard.js";
import { seeded } from "./fake_clock.js";
import { MemoryNetwork, record } from "./memory_network.js";

const SOON = 100;

/** Tabs around one board at a time; when the leader goes, another board takes its place. */
class Browser {
  readonly network = new MemoryNetwork();
  #board = openSwitchboard("ws://hub.test/ws", this.network.transport);

  tab(options: ClientOptions = {}) {
    return this.network.client({ transport: (_url, events) => this.#board.plug(events), ...options });
  }

  /** As another tab notices it: lines end, the hub hears nothing. */
  leaderGone(): void {
    const board = this.#board;
    this.#board = openSwitchboard("ws://hub.test/ws", this.network.transport);
    for (const cable of this.network.cables) cable.frozen = true;
    board.close(4000, "another tab leads");
  }
}

async function two(options: ClientOptions = {}) {
  const browser = new Browser();
  const { network } = browser;
  const tabs = [browser.tab(options), browser.tab(options)] as const;
  await network.clock.advance(SOON);
  assert.deepEqual(tabs.map(({ state }) => state), ["live", "live"]);
  const soon = () => network.clock.advance(SOON);
  return { browser, network, hub: network.hub, tabs, soon };
}

function listen(subscription: { on(event: "publication", listener: (item: { data: unknown }) => void): unknown }): unknown[] {
  const seen: unknown[] = [];
  subscription.on("publication", ({ data }) => seen.push(data));
  return seen;
}

test("tabs are one session on one connection, and each asks for itself", async () => {
  const { network, hub, tabs: [a, b], soon } = await two({ name: "Ada" });
  assert.deepEqual([network.cables.size, hub.sessions.size, a.session === b.session], [1, 1, true]);
  const answers = Promise.all([a.publish("c", "a"), b.publish("c", "b"), a.call("add", { a: 1, b: 2 }), b.call("add", { a: 3, b: 4 }), b.ping()]);
  await soon();
  const [first, second, ...sums] = await answers;
  assert.deepEqual([first.offset, second.offset, sums], [1, 2, [3, 7, 10]]);
  hub.intercept = ({ type, channel }) => (type === "publish" && channel === "shut" ? { type: "error", code: 103, reason: "no" } : undefined);
  const refused = assert.rejects(b.publish("shut", 1), { code: 103 });
  const accepted = a.publish("c", 1);
  await soon();
  await Promise.all([refused, accepted]);
});

test("one subscription at the hub serves both tabs, and ends with the last", async () => {
  const { hub, tabs: [a, b], soon } = await two();
  const seen = [listen(a.subscribe("news")), listen(b.subscribe("news"))];
  await soon();
  hub.publish("news", 1);
  await soon();
  a.subscriptions.get("news")?.unsubscribe();
  await soon();
  hub.publish("news", 2);
  await soon();
  assert.deepEqual(seen, [[1], [1, 2]]);
  assert.equal(hub.commands.filter(({ type }) => type === "subscribe").length, 1);
  b.disconnect();
  await soon();
  assert.equal(hub.channel("news").subscribers.size, 0);
});

test("a second tab has the past that it asked for, and the first hears none of it again", async () => {
  const { hub, tabs: [a, b], soon } = await two();
  for (const n of [1, 2, 3]) hub.publish("news", n);
  const firsts = listen(a.subscribe("news"));
  await soon();
  const news = b.subscribe("news", { since: 2 });
  const seconds = listen(news);
  await soon();
  news.unsubscribe();
  await soon();
  const thirds = listen(b.subscribe("news", { since: { epoch: "e1", offset: 1 } }));
  await soon();
  assert.equal(b.subscriptions.get("news")?.recovered, true);
  hub.publish("news", 4);
  await soon();
  assert.deepEqual([firsts, seconds, thirds], [[4], [2, 3], [2, 3, 4]]);
});

test("what is repeated for one tab is not news for another's pattern, and a pattern's past is for who asks", async () => {
  const { hub, tabs: [a, b], soon } = await two();
  for (const n of [1, 2]) hub.publish("news/a", n);
  const all = listen(a.subscribe("news/#"));
  await soon();
  const exact = listen(b.subscribe("news/a", { since: 2 }));
  await soon();
  hub.publish("news/a", 3);
  hub.publish("news/b", 4);
  await soon();
  assert.deepEqual([all, exact], [[3, 4], [1, 2, 3]]);
});

test("a past that is not kept is not made up", async () => {
  const { hub, tabs: [a, b], soon } = await two();
  for (const n of [1, 2, 3]) hub.publish("news", n);
  hub.channel("news").log.shift();
  a.subscribe("news");
  await soon();
  const seen = listen(b.subscribe("news", { since: { epoch: "e1", offset: 1 } }));
  b.subscribe("other", { since: { epoch: "old", offset: 1 } });
  await soon();
  assert.deepEqual([b.subscriptions.get("news")?.recovered, b.subscriptions.get("other")?.recovered, seen], [false, false, []]);
});

test("who is there is told to the tabs that asked, from the beginning", async () => {
  const { network, tabs: [a, b], soon } = await two({ name: "Ada" });
  a.subscribe("room");
  await soon();
  const room = b.subscribe("room", { presence: true });
  await soon();
  const late = record(room, "join");
  const blaise = network.client({ name: "Blaise" });
  blaise.subscribe("room");
  await network.clock.advance(2_000);
  assert.deepEqual(room.members.map(({ name }) => name).sort(), ["Ada", "Blaise"]);
  assert.deepEqual([late.length, a.subscriptions.get("room")?.members.length, a.subscriptions.get("room")?.active], [1, 0, true]);
});

test("the session is in background when all its tabs are", async () => {
  const { hub, tabs: [a, b], soon } = await two();
  const told = () => hub.commands.filter(({ type }) => type === "state").map(({ background }) => background);
  a.background(true);
  await soon();
  assert.deepEqual(told(), []);
  b.background(true);
  await soon();
  a.disconnect();
  b.background(false);
  await soon();
  assert.deepEqual(told(), [true, false]);
});

test("a cut of the one connection is a cut for all tabs, and all come back", async () => {
  const { network, tabs, soon } = await two();
  network.cutAll();
  await network.clock.advance(1);
  assert.deepEqual(tabs.map(({ state }) => state), ["offline", "offline"]);
  await network.clock.advance(1_000);
  await soon();
  assert.deepEqual(tabs.map(({ state }) => state), ["live", "live"]);
  assert.equal(network.cables.size, 1);
});

test("a name in use is told to the tab that asked, and each may claim another", async () => {
  const browser = new Browser();
  const { network } = browser;
  network.client({ name: "Ada" });
  await network.clock.advance(SOON);
  const tab = browser.tab({ name: "Ada" });
  const errors = record(tab, "error");
  await network.clock.advance(SOON);
  assert.equal((errors[0]?.[1] as { code: number }).code, 115);
  const claimed = tab.claim("Blaise");
  await network.clock.advance(SOON);
  assert.equal((await claimed).name, "Blaise");
});

for (let seed = 1; seed <= 30; seed++) {
  test(`leaders go and links break, and each tab has every publication once and in order (seed ${seed})`, async () => {
    const random = seeded(seed);
    const browser = new Browser();
    const { network } = browser;
    const { hub } = network;
    hub.step = 1 + Math.floor(random() * 3);
    const tabs = [0, 1, 2].map(() => browser.tab({ name: "Ada", random, jitter: "full" }));
    const seen = tabs.map((tab) => listen(tab.subscribe("news")));
    await network.clock.advance(1_000);
    let published = 0;
    const acknowledged: Promise<unknown>[] = [];
    for (let round = 0; round < 40; round++) {
      const dice = random();
      if (dice < 0.4) hub.publish("news", ++published);
      else if (dice < 0.7) acknowledged.push(tabs[Math.floor(random() * 3)]!.publish("news", ++published));
      else if (dice < 0.85) network.cutAll();
      else if (dice < 0.95) browser.leaderGone();
      await network.clock.advance(random() * 300);
    }
    await network.clock.advance(60_000);
    await Promise.all(acknowledged);
    const log = hub.channel("news").log.map(({ data }) => data);
    assert.equal(log.length, published);
    for (const one of seen) assert.deepEqual(one, log);
    assert.equal(hub.channel("news").subscribers.size, 1);
  });
}
