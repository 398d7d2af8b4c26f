import assert from "node:assert/strict";
import { test } from "node:test";
import type { Client, Position } from "../src/api.js";
import type { OutboxStorage, StoredEntry } from "../src/durable.js";
import { StoredOutbox } from "../src/durable.js";
import { LocalError } from "../src/errors.js";
import type { ClientOptions } from "../src/options.js";
import { seeded } from "./fake_clock.js";
import { MemoryNetwork, record } from "./memory_network.js";

const SOON = 100;
const kind = (wanted: string) => (error: unknown) => error instanceof LocalError && error.kind === wanted;

/** What the pages of a browser share: entries that outlive them, and who owns which. */
class Disk {
  readonly entries = new Map<string, StoredEntry>();
  readonly owned = new Set<string>();
  readonly waiting = new Map<string, (() => void)[]>();
  full = false;

  release(page: string): void {
    this.owned.delete(page);
    this.waiting.get(page)?.shift()?.();
  }
}

class DiskStorage implements OutboxStorage {
  gone = false;
  constructor(private readonly disk: Disk, readonly page: string) {}

  async open(): Promise<void> {
    await this.#access();
    this.disk.owned.add(this.page);
  }

  async load(page: string): Promise<StoredEntry[]> {
    await this.#access();
    const own = [...this.disk.entries.values()].filter((entry) => entry.page === page);
    return structuredClone(own.sort((a, b) => a.n - b.n));
  }

  async put(entries: readonly StoredEntry[]): Promise<void> {
    await this.#access();
    if (this.disk.full) throw new DOMException("no room", "QuotaExceededError");
    for (const entry of entries) this.disk.entries.set(`${entry.page} ${entry.n}`, structuredClone(entry));
  }

  async delete(entries: readonly StoredEntry[]): Promise<void> {
    await this.#access();
    for (const { page, n } of entries) this.disk.entries.delete(`${page} ${n}`);
  }

  async watch(adopt: (page: string) => Promise<void>): Promise<void> {
    await this.#access();
    for (const page of new Set([...this.disk.entries.values()].map((entry) => entry.page))) {
      if (page === this.page) continue;
      const take = async () => {
        this.disk.owned.add(page);
        await adopt(page);
        this.disk.release(page);
      };
      if (this.disk.owned.has(page)) this.disk.waiting.set(page, [...(this.disk.waiting.get(page) ?? []), take]);
      else void take();
    }
  }

  close(): void {
    this.gone = true;
    this.disk.release(this.page);
  }

  /** A page that crashed gets no answer any more. */
  async #access(): Promise<void> {
    await null;
    if (this.gone) await new Promise(() => undefined);
  }
}

interface Page {
  readonly client: Client;
  readonly outbox: StoredOutbox;
  crash(): void;
}

function open(network: MemoryNetwork, disk: Disk, page: string, options: ClientOptions = {}, limits = {}): Page {
  const storage = new DiskStorage(disk, page);
  const outbox = new StoredOutbox(storage, limits, () => network.clock.wall());
  let crashed = false;
  const transport: ClientOptions["transport"] = (url, events) => {
    const live = <A extends unknown[]>(call: (...args: A) => void) => (...args: A) => crashed || call(...args);
    const { onOpen, onMessage, onClose } = events;
    const cable = network.transport(url, { onOpen: live(() => onOpen()), onMessage: live((frame) => onMessage(frame)), onClose: live((code, reason) => onClose(code, reason)) });
    return { ...cable, send: (frame) => crashed || cable.send(frame) };
  };
  const client = network.client({ outbox, transport, ...options });
  return {
    client,
    outbox,
    crash: () => {
      network.cutAll();
      crashed = true;
      storage.close();
    },
  };
}

const stored = (network: MemoryNetwork, channel = "c") => network.hub.channel(channel).log.map(({ data }) => data);

test("what was published offline is sent by the next page, in order, before what that one publishes", async () => {
  const [network, disk] = [new MemoryNetwork(), new Disk()];
  network.reachable = false;
  const page = open(network, disk, "tab");
  for (const n of [1, 2, 3]) page.client.publish("c", n).catch(() => undefined);
  await network.clock.advance(SOON);
  page.crash();
  network.reachable = true;
  const next = open(network, disk, "tab");
  const last = next.client.publish("c", 4);
  await network.clock.advance(SOON);
  await last;
  assert.deepEqual(stored(network), [1, 2, 3, 4]);
  assert.deepEqual([disk.entries.size, next.client.unacknowledged], [0, 0]);
});

test("a crash between the store and the acknowledgement stores nothing twice: the key is the same", async () => {
  const [network, disk] = [new MemoryNetwork(), new Disk()];
  const page = open(network, disk, "tab", { name: "Ada" });
  await network.clock.advance(SOON);
  page.client.publish("c", 1).catch(() => undefined);
  await network.clock.advance(7);
  page.crash();
  assert.deepEqual([stored(network), disk.entries.size], [[1], 1]);
  const sent: [unknown, Position][] = [];
  open(network, disk, "tab", { name: "Ada" }, { onSent: ({ data }: StoredEntry, position: Position) => sent.push([data, position]) });
  await network.clock.advance(SOON);
  assert.deepEqual([stored(network), disk.entries.size, sent], [[1], 0, [["1", { epoch: "e1", offset: 1 }]]]);
});

test("what the hub cannot recognise any more is reported as unconfirmed, and not sent", async () => {
  for (const late of [false, true]) {
    const [network, disk] = [new MemoryNetwork(), new Disk()];
    const name = late ? { name: "Ada" } : {};
    const page = open(network, disk, "tab", name);
    await network.clock.advance(SOON);
    page.client.publish("c", 1).catch(() => undefined);
    await network.clock.advance(7);
    page.crash();
    if (late) await network.clock.advance(271_000);
    const next = open(network, disk, "tab", name);
    const errors: unknown[] = [];
    next.client.on("error", (error) => errors.push((error as LocalError).kind));
    await network.clock.advance(SOON);
    assert.deepEqual([errors, stored(network), disk.entries.size], [["unconfirmed"], [1], 0]);
  }
});

test("another tab takes over what a tab left that is gone, and leaves alone what is of a tab that lives", async () => {
  const [network, disk] = [new MemoryNetwork(), new Disk()];
  network.reachable = false;
  const [first, second] = [open(network, disk, "one"), open(network, disk, "two")];
  first.client.publish("c", "of one").catch(() => undefined);
  second.client.publish("c", "of two").catch(() => undefined);
  await network.clock.advance(SOON);
  first.crash();
  network.reachable = true;
  await network.clock.advance(5_000);
  assert.deepEqual(stored(network).sort(), ["of one", "of two"]);
  assert.equal(disk.entries.size, 0);
});

test("another user's entries wait for that user", async () => {
  const [network, disk] = [new MemoryNetwork(), new Disk()];
  network.hub.intercept = ({ type, token }) =>
    type === "connect" ? { type: "reply", session: token, resume: "r", user: token, name: token, ping: 25, version: "0", node: "n", resumed: false } : undefined;
  const ada = open(network, disk, "tab", { token: "ada" });
  await network.clock.advance(SOON);
  network.reachable = false;
  network.cutAll();
  ada.client.publish("c", "of ada").catch(() => undefined);
  await network.clock.advance(SOON);
  ada.crash();
  network.reachable = true;
  const blaise = open(network, disk, "tab", { token: "blaise" });
  await network.clock.advance(SOON);
  assert.deepEqual([stored(network), disk.entries.size], [[], 1]);
  blaise.crash();
  open(network, disk, "tab", { token: "ada" });
  await network.clock.advance(SOON);
  assert.deepEqual([stored(network), disk.entries.size], [["of ada"], 0]);
});

test("a full outbox rejects what comes, or gives up the oldest, as was chosen", async () => {
  for (const onFull of ["reject", "drop_oldest"]) {
    const [network, disk] = [new MemoryNetwork(), new Disk()];
    network.reachable = false;
    const { client } = open(network, disk, "tab", {}, { maxEntries: 2, onFull });
    const fates = [1, 2, 3].map((n) => client.publish("c", n).then(() => n, (error: LocalError) => error.kind));
    await network.clock.advance(SOON);
    network.reachable = true;
    client.redial();
    await network.clock.advance(SOON);
    assert.deepEqual(await Promise.all(fates), onFull === "reject" ? [1, 2, "queue_full"] : ["queue_full", 2, 3]);
  }
  const { client } = open(new MemoryNetwork(), new Disk(), "tab", {}, { maxBytes: 100 });
  await assert.rejects(client.publish("c", "x".repeat(100)), kind("queue_full"));
});

test("when the store fails the publish is kept in memory, and the client says so once", async () => {
  const [network, disk] = [new MemoryNetwork(), new Disk()];
  disk.full = true;
  const { client, outbox } = open(network, disk, "tab");
  const errors = record(client, "error");
  const fates = Promise.all([client.publish("c", 1), client.publish("c", 2)]);
  await network.clock.advance(SOON);
  await fates;
  assert.deepEqual([stored(network), outbox.durable, errors.length], [[1, 2], false, 1]);
  assert.match(String(errors[0]![1]), /QuotaExceededError/);
});

test("an aborted publish is taken out of the store too; a refused one also", async () => {
  const [network, disk] = [new MemoryNetwork(), new Disk()];
  const { client } = open(network, disk, "tab");
  await network.clock.advance(SOON);
  network.hub.intercept = ({ type }) => (type === "publish" ? { type: "error", code: 103, reason: "permission denied" } : undefined);
  const refused = assert.rejects(client.publish("c", 1), { code: 103 });
  await network.clock.advance(SOON);
  await refused;
  network.reachable = false;
  network.cutAll();
  const controller = new AbortController();
  const aborted = assert.rejects(client.publish("c", 2, { signal: controller.signal }), { name: "AbortError" });
  await network.clock.advance(SOON);
  assert.equal(disk.entries.size, 1);
  controller.abort();
  await aborted;
  await network.clock.advance(SOON);
  assert.equal(disk.entries.size, 0);
});

test("a disconnect rejects, keeps what was not sent, and a new client sends it", async () => {
  const [network, disk] = [new MemoryNetwork(), new Disk()];
  network.reachable = false;
  const { client } = open(network, disk, "tab");
  const closed = assert.rejects(client.publish("c", 1), kind("closed"));
  await network.clock.advance(SOON);
  client.disconnect();
  await closed;
  network.reachable = true;
  open(network, disk, "tab");
  await network.clock.advance(SOON);
  assert.deepEqual(stored(network), [1]);
});

for (let seed = 1; seed <= 20; seed++) {
  test(`cuts and crashes in any order: each publish is stored once, in order, or reported (seed ${seed})`, async () => {
    const random = seeded(seed);
    const [network, disk] = [new MemoryNetwork(), new Disk()];
    const failed: unknown[] = [];
    const onFailed = ({ data }: StoredEntry) => failed.push(Number(data));
    const start = () => open(network, disk, "tab", { name: "Ada" }, { onFailed });
    let page = start();
    let n = 0;
    const kept = new Set<number>();
    for (let round = 0; round < 60; round++) {
      const dice = random();
      if (dice < 0.5) {
        const mine = ++n;
        page.client.publish("c", mine).then(() => kept.add(mine), () => undefined);
      } else if (dice < 0.65) network.cutAll();
      else if (dice < 0.75) network.reachable = !network.reachable;
      else if (dice < 0.85) {
        // What has not reached the disk dies with the page.
        await network.clock.advance(random() * 3);
        page.crash();
        page = start();
      }
      await network.clock.advance(random() * 30);
    }
    await network.clock.advance(0);
    const onDisk = [...disk.entries.values()].map(({ data }) => Number(data));
    network.reachable = true;
    await network.clock.advance(60_000);
    const log = stored(network) as number[];
    assert.deepEqual(log, [...new Set(log)].sort((a, b) => a - b));
    for (const mine of [...kept, ...onDisk]) assert.ok(log.includes(mine) || failed.includes(mine), `${mine} is lost`);
    assert.deepEqual([disk.entries.size, failed], [0, []]);
  });
}
