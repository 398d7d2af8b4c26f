import assert from "node:assert/strict";
import { test } from "node:test";
import { ChannelCursor, PatternCursor } from "../src/cursor.js";

const at = (offset: number, epoch = "e1") => ({ epoch, offset });

test("without a wish the place is where the hub let us in", () => {
  const cursor = new ChannelCursor(undefined);
  assert.equal(cursor.since, undefined);
  cursor.accepted({ ...at(44), recovered: false });
  assert.deepEqual([cursor.position, cursor.caughtUp], [at(44), true]);
});

test("after a recovery the place moves with the publications, not with the answer", () => {
  const cursor = new ChannelCursor(at(41));
  cursor.accepted({ ...at(44), recovered: true });
  assert.deepEqual([cursor.since, cursor.caughtUp], [at(41), false]);
  assert.ok(cursor.take("c", "e1", 42));
  assert.deepEqual(cursor.since, at(42), "a cut now misses 43 and 44");
  assert.ok(cursor.take("c", "e1", 44));
  assert.ok(cursor.caughtUp);
});

test("what was seen is dropped, and a gap in the offsets is none in the channel", () => {
  const cursor = new ChannelCursor(at(41));
  cursor.accepted({ ...at(41), recovered: true });
  assert.deepEqual([41, 40, 45, 45, 44, 60].map((offset) => cursor.take("c", "e1", offset)), [false, false, true, false, false, true]);
});

test("when the position is lost the answer's place counts, even a lower one", () => {
  const cursor = new ChannelCursor(at(41));
  cursor.accepted({ ...at(7, "e2"), recovered: false });
  assert.deepEqual(cursor.position, at(7, "e2"));
  assert.ok(cursor.take("c", "e2", 8));
});

test("a publication of another epoch starts anew", () => {
  const cursor = new ChannelCursor(at(41));
  cursor.accepted({ ...at(41), recovered: true });
  assert.ok(cursor.take("c", "e2", 1));
  assert.deepEqual(cursor.position, at(1, "e2"));
});

test("a wish for the newest is repeated until something was seen", () => {
  const cursor = new ChannelCursor(10);
  cursor.accepted({ ...at(44), recovered: false });
  assert.deepEqual([cursor.since, cursor.caughtUp], [10, false]);
  assert.ok(cursor.take("c", "e1", 35));
  assert.deepEqual(cursor.since, at(35));
});

test("an empty channel leaves nothing to wait for", () => {
  const cursor = new ChannelCursor("latest");
  cursor.accepted({ ...at(0), recovered: false });
  assert.deepEqual([cursor.since, cursor.caughtUp], [at(0), true]);
});

test("completing closes the gap between the last publication and the announced end", () => {
  const cursor = new ChannelCursor(at(41));
  cursor.accepted({ ...at(44), recovered: true });
  cursor.take("c", "e1", 42);
  cursor.complete();
  assert.deepEqual([cursor.position, cursor.caughtUp], [at(44), true]);
});

test("publications without a place always pass and move nothing", () => {
  const cursor = new ChannelCursor(at(41));
  cursor.accepted({ ...at(41), recovered: true });
  assert.ok(cursor.take("c", null, null) && cursor.take("c", null, null));
  assert.deepEqual(cursor.position, at(41));
});

test("a retained publication that was seen live is known", () => {
  const cursor = new ChannelCursor(at(41));
  cursor.accepted({ ...at(50), recovered: false });
  assert.deepEqual([cursor.knew("c", "e1", 40), cursor.knew("c", "e1", 45), cursor.knew("c", "e2", 3)], [true, false, false]);
});

test("a pattern's place is the log position of an answer whose gap has arrived", () => {
  const cursor = new PatternCursor();
  cursor.accepted({ position: "p1", recovered: false });
  assert.deepEqual(cursor.since, { position: "p1" });
  cursor.accepted({ position: "p2", recovered: true });
  assert.deepEqual([cursor.since, cursor.caughtUp], [{ position: "p1" }, false], "a cut now asks from p1 again");
  cursor.complete();
  assert.deepEqual(cursor.since, { position: "p2" });
});

test("a pattern repeats what it must and drops what was seen, channel by channel", () => {
  const cursor = new PatternCursor();
  assert.ok(cursor.take("a", "e", 3) && cursor.take("b", "e", 2));
  assert.deepEqual([cursor.take("a", "e", 3), cursor.take("b", "e", 3), cursor.take("a", "f", 1)], [false, true, true]);
});

test("a pattern remembers a bounded number of channels", () => {
  const cursor = new PatternCursor();
  for (let n = 0; n <= PatternCursor.MAX_CHANNELS; n++) cursor.take(`c/${n}`, "e", 1);
  assert.deepEqual([cursor.take("c/0", "e", 1), cursor.take("c/9999", "e", 1)], [true, false]);
});
