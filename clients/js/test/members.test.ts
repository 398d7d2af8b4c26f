import assert from "node:assert/strict";
import { test } from "node:test";
import { Members } from "../src/members.js";

const ada = { session: "1", user: "ada", name: "Ada" };
const blaise = { session: "2", user: null, name: "Blaise" };

test("the state and the differences make the list", () => {
  const members = new Members();
  members.become([ada], 1);
  members.join(blaise);
  assert.deepEqual(members.list, [ada, blaise]);
  members.leave(ada);
  assert.deepEqual([members.list, members.count], [[blaise], 1]);
});

test("a user of several sessions is one member, whichever session comes or goes", () => {
  const members = new Members();
  members.join(ada);
  members.join({ ...ada, session: "9" });
  assert.equal(members.count, 1);
  members.leave({ ...ada, session: "9" });
  assert.equal(members.count, 0);
});

test("above the limit there is a count and no list", () => {
  const members = new Members();
  members.become([ada, blaise], 2);
  members.become(null, 201);
  assert.deepEqual([members.list, members.count], [[], 201]);
  members.become([ada], 1);
  assert.deepEqual([members.list, members.count], [[ada], 1]);
});
