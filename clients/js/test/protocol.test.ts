import assert from "node:assert/strict";
import { test } from "node:test";
import { ChappeError, LocalError, errorText } from "../src/errors.js";
import { decode, encode, encodeData, history, hubError, presence, publication } from "../src/protocol.js";

test("a frame is one message or an array of them, in order", () => {
  assert.deepEqual(decode('{"type":"pong"}').map(({ type }) => type), ["pong"]);
  assert.deepEqual(decode('[{"type":"a"},{"type":"b"}]').map(({ type }) => type), ["a", "b"]);
});

for (const frame of ["", "nonsense", "7", "null", '"text"', "{}", '{"type":7}', '[{"type":"a"},3]', "[[]]"]) {
  test(`what is no message is an error that names what came: ${frame || "empty"}`, () => {
    assert.throws(() => decode(frame), (error) => error instanceof LocalError && error.kind === "bad_frame");
  });
}

test("data that is encoded already is put in as it is", () => {
  assert.deepEqual(JSON.parse(encode({ type: "publish", id: 1 }, '{"a":[1]}')), { type: "publish", id: 1, data: { a: [1] } });
});

test("bytes come back as bytes", () => {
  const bytes = Uint8Array.from([0, 255, 128]);
  assert.deepEqual(publication({ channel: "c", data: JSON.parse(encodeData(bytes)) }).data, bytes);
});

test("what only looks like bytes stays a value", () => {
  for (const data of [{ $base64: "AP8B", more: 1 }, { $base64: 7 }, { $base64: "***" }]) {
    assert.deepEqual(publication({ channel: "c", data }).data, data);
  }
});

test("undefined is published as null", () => assert.equal(encodeData(undefined), "null"));

test("a publication without a place in the log has neither offset nor epoch", () => {
  for (const fields of [{}, { offset: 0, epoch: "e" }]) {
    const { offset, epoch } = publication({ channel: "c", data: 1, ...fields }, "e");
    assert.deepEqual([offset, epoch], [null, null]);
  }
});

test("a publication without an epoch has its subscription's", () => {
  assert.equal(publication({ channel: "c", data: 1, offset: 3 }, "e7").epoch, "e7");
});

test("members above the limit are a count alone", () => {
  assert.deepEqual(presence({ type: "presence", count: 201 }), { members: null, count: 201 });
});

test("a page of history has publications with their channel", () => {
  const page = history({ type: "reply", channel: "c", epoch: "e", offset: 9, publications: [{ data: 1, offset: 8 }] });
  assert.deepEqual([page.offset, page.publications[0]?.channel, page.publications[0]?.epoch], [9, "c", "e"]);
});

test("any JSON value in any member is read without an exception", () => {
  const values = [null, true, 0, -1, 1e300, "", "x", [], {}, [[]], { a: 1 }];
  for (const value of values) {
    const names = ["channel", "data", "offset", "epoch", "time", "from", "id", "headers", "retained", "members", "count"];
    const message = { type: "publication", ...Object.fromEntries(names.map((name) => [name, value])), publications: value };
    publication(message);
    presence(message);
    history(message);
    hubError(message);
  }
});

test("an error of the hub is worded in the language where it is shown", () => {
  const error = hubError({ type: "error", code: 115, reason: "name in use", retry: false });
  assert.equal(errorText(error, "fr"), "Ce nom d'utilisateur est déjà utilisé");
  assert.equal(errorText(new ChappeError(1234, "out of cheese"), "fr"), "out of cheese");
  assert.match(errorText(new LocalError("timed_out", { ms: 7 }), "fr"), /pas de réponse en 7 ms/);
  assert.equal(new LocalError("timed_out", { ms: 7 }).message, "no answer within 7 ms");
});
