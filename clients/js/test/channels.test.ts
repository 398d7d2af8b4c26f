import assert from "node:assert/strict";
import { test } from "node:test";
import { isPattern, patternMatches } from "../src/channels.js";

const CASES: [pattern: string, channel: string, matches: boolean][] = [
  ["sport/#", "sport", true],
  ["sport/#", "sport/tennis/player1", true],
  ["sport/#", "sports", false],
  ["sport/+", "sport", false],
  ["sport/+", "sport/", true],
  ["sport/+", "sport/a/b", false],
  ["+/+", "/finance", true],
  ["/+", "/finance", true],
  ["+", "/finance", false],
  ["#", "a/b", true],
  ["#", "$user/ada", false],
  ["+/ada", "$user/ada", false],
  ["$user/+", "$user/ada", true],
  ["a/b", "a/b", true],
  ["a/b", "a/c", false],
];

for (const [pattern, channel, matches] of CASES) {
  test(`${pattern} ${matches ? "matches" : "does not match"} ${channel}`, () => {
    assert.equal(patternMatches(pattern, channel), matches);
  });
}

test("a name with a wildcard is a pattern", () => {
  assert.deepEqual(["a/b", "a/+", "#"].map(isPattern), [false, true, true]);
});
