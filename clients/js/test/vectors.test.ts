// The vectors that the hub's own tests hold its encoder and decoder to, read by this client.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import * as protocol from "../src/protocol.js";
import { MemoryNetwork } from "./memory_network.js";

interface Vector {
  readonly name: string;
  readonly clause: string;
  /** Absent where only MessagePack can say it. */
  readonly json?: string;
  readonly message: Record<string, any>;
  readonly commands: Record<string, any>[];
}

const vectors = (name: string): Vector[] => JSON.parse(readFileSync(`../../spec/vectors/${name}.json`, "utf8")).vectors;

/** What a vector says, in the words of the client. */
const READERS: Record<string, (message: protocol.Message, is: Record<string, any>) => void> = {
  Connected: (message, is) => {
    const { session, user, name, ping, version, node, resumed } = protocol.sessionInfo(message);
    assert.deepEqual([session, user, name, ping, version, node, resumed], [is["session"], is["user"], is["name"], is["ping_s"], is["version"], is["node"], is["resumed"]]);
  },
  Subscribed: (message, is) => assert.deepEqual(protocol.position(message), is["position"]),
  Published: (message, is) => assert.deepEqual(protocol.position(message), { epoch: is["epoch"], offset: is["offset"] }),
  HistoryPage: (message, is) => {
    const page = protocol.history(message);
    assert.deepEqual(page.publications.map(({ offset }) => offset), is["publications"].map(({ offset }: any) => offset));
    assert.deepEqual({ epoch: page.epoch, offset: page.offset }, is["position"]);
  },
  PresenceList: (message, is) => checkMembers(protocol.presenceReply(message).members, is["members"]),
  PresenceState: (message, is) => {
    const { members, count } = protocol.presence(message);
    assert.equal(count, is["count"]);
    if (is["members"] === null) assert.equal(members, null);
    else checkMembers(members!, is["members"]);
  },
  Locked: (message, is) => assert.equal(protocol.lock(message).token, is["token"]),
  Failed: (message, is) => {
    const { code, reason, retry, detail } = protocol.hubError(message);
    assert.deepEqual([code, reason, retry, detail ?? {}], [is["code"], is["reason"], is["retry"], is["detail"]]);
  },
  Publication: (message, is) => {
    const publication = protocol.publication(message);
    assert.equal(publication.channel, is["channel"]);
    assert.deepEqual([publication.offset, publication.epoch], is["transient"] ? [null, null] : [is["offset"], is["epoch"]]);
    assert.deepEqual([publication.retained, publication.id], [is["retained"] ?? false, is["id"] ?? null]);
    assert.equal(publication.time, new Date(is["time_ms"]).toISOString());
    assert.equal(publication.from?.session ?? null, is["sender"]?.session ?? null);
    if (is["kind"] === "json") assert.deepEqual(publication.data, JSON.parse(is["payload"]));
    if (publication.data instanceof Uint8Array) assert.equal(Buffer.from(publication.data).toString("hex"), is["payload_hex"]);
  },
};

function checkMembers(members: readonly any[], wanted: any[]): void {
  // The client says null where a session has no name.
  assert.deepEqual(members, wanted.map((member) => ({ ...member, name: member.name || null })));
}

for (const { name, clause, json, message: is } of vectors("chappe.v1.messages")) {
  if (json === undefined) continue;
  test(`${clause}: ${name}`, () => {
    const [message] = protocol.decode(json);
    READERS[is["is"]]?.(message!, is);
  });
}

test("what the client sends is in the vectors of the commands, member by member", async () => {
  const known = new Map<string, Set<string>>();
  for (const { json, commands } of vectors("chappe.v1.commands")) {
    if (json === undefined || commands.length !== 1 || commands[0]!["error"]) continue;
    const { type, ...members } = JSON.parse(json);
    for (const member of Object.keys(members)) known.set(type, (known.get(type) ?? new Set()).add(member));
  }
  const network = new MemoryNetwork();
  const client = network.client({ name: "Ada", token: "t" });
  client.subscribe("news", { since: { epoch: "x1", offset: 41 }, presence: true });
  void client.publish("news", 1, { expect: { epoch: "x1", offset: 44 }, retain: true, headers: { a: "b" } });
  // The little hub knows no such epoch.
  client.history("news", { limit: 2, since: { epoch: "x1", offset: 3 }, reverse: true }).catch(() => undefined);
  void client.presence("news");
  void client.lock("doc/1", { ttl: 2.5, wait: 1 });
  void client.unlock("doc/1");
  void client.call("add", { a: 1, b: 2 });
  void client.refresh("t2");
  client.background(true);
  await network.clock.advance(50);
  network.cutAll();
  await network.clock.advance(1_100);
  client.subscriptions.get("news")?.unsubscribe();
  await network.clock.advance(50);
  const said = new Set<string>();
  for (const { type, ...members } of network.hub.commands) {
    said.add(type);
    for (const member of Object.keys(members)) assert.ok(known.get(type)?.has(member), `${type}.${member}`);
  }
  assert.deepEqual([...said].sort(), ["connect", "history", "lock", "presence", "publish", "refresh", "rpc", "state", "subscribe", "unlock", "unsubscribe"]);
});
