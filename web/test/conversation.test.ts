import type { Publication } from "chappe";
import { expect, test } from "vitest";
import { Conversation, MAX_LINES } from "../src/apps/chat/conversation";
import { authorOf, chatData, textOf } from "../src/apps/chat/message";
import { isRoom } from "../src/apps/chat/room";
import { TURN_MS, movesOf, timeline } from "../src/apps/chat/timeline";

const NOON = Date.parse("2026-11-22T12:00:00Z");

function said(name: string, data: unknown, minutes = 0): Publication {
  const time = new Date(NOON + minutes * 60_000).toISOString();
  const from = { user: null, name, session: `s-${name}` };
  return { channel: "chat/lobby", data, offset: 1, epoch: "e", time, from, id: null, headers: {}, retained: false };
}

test("a chat message, a bare string and foreign data all have a text", () => {
  expect(textOf(chatData("hello", "Ada"))).toBe("hello");
  expect(textOf("hello")).toBe("hello");
  expect(textOf({ temperature: 21.5 })).toBe('{"temperature":21.5}');
  expect(textOf(null)).toBe("null");
});

test("the sender is who the hub says, whatever the data claims", () => {
  const conversation = new Conversation();
  conversation.deliver(said("Mallory", chatData("it is me", "Ada")), false, NOON);
  expect(conversation.lines.value).toMatchObject([{ author: "Mallory" }]);
  expect(authorOf(null)).toBeNull();
  expect(authorOf({ user: "ada", name: null, session: "1" })).toBe("ada");
});

test("an own message shows at once and its publication takes the place of the echo", () => {
  const conversation = new Conversation();
  const key = conversation.send("hello", "Ada", NOON);
  expect(conversation.lines.value).toMatchObject([{ text: "hello", delivery: "sending" }]);
  conversation.acknowledge(key);
  conversation.deliver(said("Ada", chatData("hello", "Ada")), true, NOON);
  expect(conversation.lines.value).toMatchObject([{ text: "hello", delivery: "stored" }]);
});

test("a message sent twice on purpose stays two messages", () => {
  const conversation = new Conversation();
  const keys = [conversation.send("hi", "Ada", NOON), conversation.send("hi", "Ada", NOON)];
  for (const key of keys) {
    conversation.deliver(said("Ada", "hi"), true, NOON);
    conversation.acknowledge(key);
  }
  expect(conversation.lines.value).toHaveLength(2);
});

test("a message that was refused stays in sight with the reason until it is discarded", () => {
  const conversation = new Conversation();
  const key = conversation.send("hello", "Ada", NOON);
  conversation.fail(key, new Error("too many requests"));
  conversation.deliver(said("Ada", "hello"), true, NOON);
  expect(conversation.lines.value).toHaveLength(2);
  conversation.discard(key);
  expect(conversation.lines.value).toMatchObject([{ delivery: "stored" }]);
});

test("only the newest lines are kept", () => {
  const conversation = new Conversation();
  for (let n = 0; n < MAX_LINES + 5; n += 1) conversation.deliver(said("Ada", `${n}`), false, NOON);
  expect(conversation.lines.value).toHaveLength(MAX_LINES);
  expect(conversation.lines.value[0]).toMatchObject({ text: "5" });
});

test("messages of one speaker form a turn until somebody else speaks or a pause passes", () => {
  const conversation = new Conversation();
  const pause = TURN_MS / 60_000 + 1;
  for (const [name, minutes] of [["Ada", 0], ["Ada", 1], ["Grace", 2], ["Grace", 2 + pause]] as const) {
    conversation.deliver(said(name, "…", minutes), false, NOON);
  }
  const turns = timeline(conversation.lines.value).filter((block) => block.kind === "turn");
  expect(turns.map((turn) => turn.messages.length)).toEqual([2, 1, 1]);
});

test("people who come and go are told on one line, each by the last move", () => {
  const conversation = new Conversation();
  conversation.note("join", "Ada", NOON);
  conversation.note("join", "Grace", NOON);
  conversation.note("leave", "Ada", NOON);
  const block = timeline(conversation.lines.value).find((each) => each.kind === "moves");
  expect(block && movesOf(block.notes)).toEqual({ joined: ["Grace"], left: ["Ada"] });
});

test("a room is a part of a channel name without wildcards and control characters", () => {
  expect(["lobby", "équipe/nord", "a b"].every(isRoom)).toBe(true);
  expect(["", "a+", "#", "a\u0000b"].some(isRoom)).toBe(false);
});
