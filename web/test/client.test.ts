import { expect, test } from "vitest";
import { toNdjson } from "../src/apps/client/export";
import { FrameLog, MAX_LINES } from "../src/apps/client/frame_log";
import { hexDump, parseHex, toHex } from "../src/apps/client/hex";
import { InputHistory } from "../src/apps/client/input_history";
import { checkJson, formatJson } from "../src/apps/client/json_check";
import { Socket } from "../src/apps/client/socket";
import { describe as wording } from "../src/apps/client/wording";
import { language } from "../src/i18n/language";
import { pathBelow } from "../src/shell/router";
import { destination } from "../src/ui/virtual_list";

const atOnce = (callback: () => void): void => callback();

test("the log keeps the newest lines, counts all and says how many it dropped", () => {
  const log = new FrameLog(atOnce);
  const count = MAX_LINES + 600;
  for (let n = 0; n < count; n += 1) log.data("received", `${n}`);
  expect(log.length.value).toBeGreaterThanOrEqual(MAX_LINES);
  expect(log.length.value).toBeLessThan(MAX_LINES + 500);
  expect(log.totals.value).toMatchObject({ received: count, dropped: count - log.length.value });
  expect(log.visible.value.at(-1)).toMatchObject({ data: `${count - 1}` });
});

test("many frames between two pictures are one change", () => {
  const pictures: (() => void)[] = [];
  const log = new FrameLog((callback) => pictures.push(callback));
  const lengths: number[] = [];
  log.length.subscribe((length) => lengths.push(length));
  log.data("sent", "a");
  log.data("sent", "b");
  expect(pictures).toHaveLength(1);
  pictures[0]?.();
  expect(lengths).toEqual([0, 2]);
});

test("the filter looks at direction, text, digits of bytes and events", () => {
  const log = new FrameLog(atOnce);
  log.data("sent", "Bonjour");
  log.data("received", new Uint8Array([0xca, 0xfe]));
  log.event({ name: "closed", code: 4509, reason: "" });
  const found = (needle: string): number => ((log.needle.value = needle), log.visible.value.length);
  expect([found("bonjour"), found("ca fe"), found("4509"), found("nothing")]).toEqual([1, 1, 1, 0]);
  log.needle.value = "";
  log.shown.value = "received";
  expect(log.visible.value).toHaveLength(1);
});

test("sizes are those on the wire", () => {
  const log = new FrameLog(atOnce);
  log.data("sent", "é👋");
  expect(log.totals.value.sentBytes).toBe(6);
});

test("hexadecimal is read with and without separators and its faults are named", () => {
  expect(parseHex("48 65,6c:6C 0x6f")).toEqual({ bytes: new TextEncoder().encode("Hello") });
  expect(parseHex("4")).toEqual({ fault: "odd" });
  expect(parseHex("zz")).toEqual({ fault: "digit", what: "z" });
  expect(toHex(new Uint8Array([0, 255]))).toBe("00 ff");
  expect(hexDump(new Uint8Array([72, 0]))).toMatch(/^000000 {2}48 00 +H·$/);
});

test("the history goes back to the oldest and forth to the line being typed", () => {
  const history = new InputHistory();
  history.add("one");
  history.add("two");
  history.add("two");
  expect([history.previous("draft"), history.previous("two"), history.previous("one")]).toEqual(["two", "one", null]);
  expect([history.next(), history.next(), history.next()]).toEqual(["two", "draft", null]);
});

test("json is checked and formatted", () => {
  expect(checkJson('{"a":1}')).toEqual({ ok: true, value: { a: 1 } });
  expect(checkJson("{\n  x }").ok).toBe(false);
  expect(formatJson('{"a":[1]}')).toBe('{\n  "a": [\n    1\n  ]\n}');
  expect(formatJson("nope")).toBeNull();
});

test("what is sent while not connected goes into the log as not sent", () => {
  const log = new FrameLog(atOnce);
  expect(new Socket(log).send("hello")).toBe(false);
  expect(log.visible.value).toMatchObject([{ kind: "event", happening: { name: "notSent" } }]);
  expect(log.totals.value.sent).toBe(0);
});

test("an address that is none is refused in the log", () => {
  const log = new FrameLog(atOnce);
  const socket = new Socket(log, class { constructor() { throw new SyntaxError("bad URL"); } } as unknown as typeof WebSocket);
  socket.connect("nonsense", []);
  expect(socket.state.value).toBe("closed");
  expect(log.visible.value.at(-1)).toMatchObject({ happening: { name: "refused", message: "bad URL" } });
});

test("close codes are explained, the protocol's and the hub's, in both languages", () => {
  language.value = "en";
  expect(wording({ name: "closed", code: 1009, reason: "" })).toContain("message too big");
  expect(wording({ name: "closed", code: 4509, reason: "" })).toMatch(/4509: .+/);
  expect(wording({ name: "closed", code: 4321, reason: "bye" })).toBe("Closed with code 4321 – “bye”");
  language.value = "fr";
  expect(wording({ name: "closed", code: 1009, reason: "" })).toContain("message trop grand");
});

test("an export has one JSON object a line, bytes as base64", () => {
  const log = new FrameLog(atOnce);
  log.data("sent", "a\nb");
  log.data("received", new Uint8Array([0, 255]));
  log.event({ name: "closed", code: 1000, reason: "" });
  const lines = toNdjson(log.visible.value).trimEnd().split("\n").map((line) => JSON.parse(line) as unknown);
  expect(lines).toMatchObject([
    { kind: "sent", type: "text", bytes: 3, data: "a\nb" },
    { kind: "received", type: "binary", bytes: 2, base64: "AP8=" },
    { kind: "event", event: "closed", code: 1000 },
  ]);
});

test("arrow keys go through a list and stop at its ends", () => {
  expect([destination("ArrowUp", 0, 3), destination("ArrowDown", 2, 3)]).toEqual([0, 2]);
  expect([destination("Home", 2, 3), destination("End", 0, 3), destination("x", 0, 3)]).toEqual([0, 2, null]);
});

test("pages are found below any root", () => {
  expect(pathBelow("/", "/")).toBe("");
  expect(pathBelow("/realtime/apps/chat/", "/realtime/")).toBe("apps/chat");
  expect(pathBelow("/realtime/index.html", "/realtime/")).toBe("");
});
