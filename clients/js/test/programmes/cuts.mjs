// Publishers and subscribers of the built SDK, for tests/programmes/test_cuts_js.py:
//   node cuts.mjs URL CHANNEL JOURNAL OPTIONS
// It writes what they do and see into JOURNAL, as lines of JSON for the offline checker (chappe.testing.checker), and
// their progress to standard output. The end of standard input ends the publishing; then it waits until everybody has
// seen everything that was acknowledged.
import { createHash } from "node:crypto";
import { createWriteStream } from "node:fs";
import { once } from "node:events";
import { LocalError, connect } from "chappe";
import { WebSocket } from "ws";

const [url, channel, path, options] = process.argv.slice(2);
const PUBLISHERS = 4;
/** How far the publishers may be ahead of a subscriber: whoever comes back must be able to catch up. */
const MOST_AHEAD = 100;
const journal = createWriteStream(path);
const progress = { acknowledged: 0, unconfirmed: 0, followed: 0, iterated: 0, ended: 0 };
/** How far the acknowledgements and each subscriber are. */
const reached = { acknowledged: 0, followed: 0, iterated: 0 };
let over = false;
const waiting = [];

const now = () => (performance.timeOrigin + performance.now()) / 1_000;
const write = (event, members) => journal.write(`${JSON.stringify({ event, channel, time: now(), ...members })}\n`);
const hash = (text) => createHash("sha256").update(text).digest("hex").slice(0, 16);

function count(what) {
  progress[what] += 1;
  console.log(JSON.stringify(progress));
  for (const entry of waiting.splice(0)) entry.condition() ? entry.resolve() : waiting.push(entry);
}

/** Resolves once a condition holds, which is looked at whenever somebody is further. */
function until(condition) {
  if (condition()) return Promise.resolve();
  return new Promise((resolve) => waiting.push({ condition, resolve }));
}

const slowest = () => Math.min(reached.followed, reached.iterated);

function client() {
  const made = connect(url, { WebSocket, jitter: "none", ...JSON.parse(options) });
  made.on("gave_up", () => fail("gave up"));
  made.on("state", (state) => state === "refused" && fail("refused"));
  return made;
}

function fail(text) {
  console.error(text);
  process.exit(1);
}

async function publish(publisher, from) {
  for (let attempt = 1; ; attempt++) {
    await until(() => over || slowest() > reached.acknowledged - MOST_AHEAD);
    if (over) return;
    const data = `${publisher} ${attempt} é`;
    const told = { publisher, attempt };
    write("attempt", { ...told, hash: hash(data), key: data });
    try {
      const { epoch, offset } = await from.publish(channel, data, { key: data });
      write("ack", { ...told, epoch, offset });
      reached.acknowledged = Math.max(reached.acknowledged, offset);
      count("acknowledged");
    } catch (error) {
      // Who we are is forgotten, and our keys are too; how often that may be is the test's to say.
      if (!(error instanceof LocalError && error.kind === "unconfirmed")) throw error;
      write("failed", told);
      count("unconfirmed");
    }
  }
}

function see(subscriber, { epoch, offset, data }) {
  write("publication", { subscriber, epoch, offset, hash: hash(data) });
  reached[subscriber] = offset;
  count(subscriber);
}

/** By events: each return is a subscription of its own, which says whether it recovered. */
function follow(subscription) {
  const subscriber = "followed";
  let last = null;
  subscription.on("subscribed", (recovered, { epoch, offset }) => {
    write("subscribed", { subscriber, epoch, offset, since: last, recovered });
    if (!recovered) last = { epoch, offset };
  });
  subscription.on("publication", (publication) => {
    see(subscriber, publication);
    last = { epoch: publication.epoch, offset: publication.offset };
  });
}

/** By a loop, whose queue overflows now and then: to it all returns are one subscription. */
async function iterate(subscription) {
  const subscriber = "iterated";
  await subscription.subscribed();
  const { epoch, offset } = subscription.position;
  write("subscribed", { subscriber, epoch, offset });
  for await (const publication of subscription) see(subscriber, publication);
}

const [writer, follower, iterator] = [client(), client(), client()];
const followed = follower.subscribe(channel);
follow(followed);
await followed.subscribed();
const iterated = iterator.subscribe(channel, { queueSize: 8 });
const iterating = iterate(iterated);
await iterated.subscribed();

const publishing = Array.from({ length: PUBLISHERS }, (_, number) => publish(`p${number}`, writer));
process.stdin.resume();
await once(process.stdin, "end");
over = true;
count("ended");
await Promise.all(publishing);
await until(() => slowest() >= reached.acknowledged);
for (const subscriber of ["followed", "iterated"]) write("settled", { subscriber });
iterated.unsubscribe();
await iterating;
for (const each of [writer, follower, iterator]) each.disconnect();
journal.end();
await once(journal, "finish");
