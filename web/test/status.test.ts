import { expect, test } from "vitest";
import { bridgesOf } from "../src/home/status";

test("bridges are read from what everybody may know", () => {
  const told = { ready: true, reasons: {}, bridges: { maison: "connected", usine: "standing-by", odd: "dancing" } };
  expect(bridgesOf(told).map(({ name, state, counts }) => [name, state, counts])).toEqual([
    ["maison", "connected", null],
    ["usine", "standing-by", null],
  ]);
});

test("a hub without bridges tells of none", () => {
  for (const told of [{ ready: true, reasons: {} }, null, "no"]) expect(bridgesOf(told)).toEqual([]);
});
