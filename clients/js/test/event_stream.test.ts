import assert from "node:assert/strict";
import { test } from "node:test";
import { EventParser } from "../src/event_stream.js";
import { seeded } from "./fake_clock.js";

const parse = (...pieces: string[]) => {
  const parser = new EventParser();
  return pieces.flatMap((piece) => parser.push(piece));
};
const event = (name: string, data: string) => ({ name, data });

test("the examples of WHATWG HTML 9.2.6", () => {
  assert.deepEqual(parse("data: YHOO\ndata: +2\ndata: 10\n\n"), [event("", "YHOO\n+2\n10")]);
  assert.deepEqual(parse(": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n").map(({ data }) => data), ["first event", "second event", " third event"]);
  assert.deepEqual(parse("data\n\ndata\ndata\n\ndata:").map(({ data }) => data), ["", "\n"]);
  assert.deepEqual(parse("data:test\n\ndata: test\n\n"), [event("", "test"), event("", "test")]);
});

test("names, comments, unknown fields, and an end that never came", () => {
  assert.deepEqual(parse("event: add\ndata: 1\n\ndata: 2\n\n"), [event("add", "1"), event("", "2")]);
  assert.deepEqual(parse(": hi\nevent: gone\n\ndata: 1\nretry: 5\nwhat: ever\n\n"), [event("", "1")]);
  assert.deepEqual(parse("data: a:b: c\nevent:x\n"), []);
  assert.deepEqual(parse("data: a\u2028b\n\n"), [event("", "a\u2028b")]);
});

test("any split of the text, and any kind of line end, gives the same events", () => {
  const random = seeded(5);
  const lines = [": beat", "event: reply", 'data: {"a":1}', "", "data: x", "data: y", "", "", "id: 7", "data:", "", "event: close", "data: é\u{1f600}", ""];
  const expected = [event("reply", '{"a":1}'), event("", "x\ny"), event("", ""), event("close", "é\u{1f600}")];
  for (let round = 0; round < 500; round++) {
    // One kind in each stream: a CR and the LF of an empty line behind it would be one end.
    const end = ["\n", "\r", "\r\n"][round % 3]!;
    const text = lines.map((line) => line + end).join("");
    const pieces: string[] = [];
    for (let at = 0; at < text.length; ) {
      const size = 1 + Math.floor(random() * 6);
      pieces.push(text.slice(at, at + size));
      at += size;
    }
    assert.deepEqual(parse(...pieces), expected);
  }
});
