import assert from "node:assert/strict";
import { test } from "node:test";
import type { State } from "../src/api.js";
import type { Input } from "../src/state.js";
import { TRANSITIONS, advance } from "../src/state.js";

const INPUTS: Input[] = ["dial", "accept", "resume", "catch_up", "lose", "refuse", "quit"];

test("every pair of state and input is in the table or refused by name", () => {
  for (const state of Object.keys(TRANSITIONS) as State[]) {
    for (const input of INPUTS) {
      const next = TRANSITIONS[state][input];
      if (next) assert.equal(advance(state, input), next);
      else assert.throws(() => advance(state, input), new RegExp(`"${input}".*${state}`));
    }
  }
});

test("the user can quit from every state, and every state is reached", () => {
  for (const state of Object.keys(TRANSITIONS) as State[]) assert.equal(advance(state, "quit"), "offline");
  const reached = new Set(Object.values(TRANSITIONS).flatMap((row) => Object.values(row)));
  assert.deepEqual([...reached].sort(), Object.keys(TRANSITIONS).sort());
});
