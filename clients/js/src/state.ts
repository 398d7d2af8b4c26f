/** The states of a client and the moves between them, as data. */

import type { State } from "./api.js";

/**
 * - `dial`: a connection is attempted
 * - `accept`: the hub accepted the session, nothing was missed
 * - `resume`: the hub accepted the session, what was missed is asked for
 * - `catch_up`: everything missed has arrived, or is known to be lost
 * - `lose`: the connection, or the attempt, ended
 * - `refuse`: the hub said no for good
 * - `quit`: the user's own disconnect
 */
export type Input = "dial" | "accept" | "resume" | "catch_up" | "lose" | "refuse" | "quit";

export const TRANSITIONS: Readonly<Record<State, Readonly<Partial<Record<Input, State>>>>> = {
  connecting: {
    // A client is born connecting, before its first dial.
    dial: "connecting",
    accept: "live",
    resume: "catching-up",
    lose: "offline",
    refuse: "refused",
    quit: "offline",
  },
  // A session that moves to a better transport is accepted once more.
  live: { accept: "live", resume: "catching-up", lose: "offline", refuse: "refused", quit: "offline" },
  "catching-up": { accept: "live", resume: "catching-up", catch_up: "live", lose: "offline", refuse: "refused", quit: "offline" },
  offline: { dial: "connecting", lose: "offline", refuse: "refused", quit: "offline" },
  refused: { dial: "connecting", quit: "offline" },
};

/** @throws Error naming both, when the input is not legal in this state */
export function advance(state: State, input: Input): State {
  const next = TRANSITIONS[state][input];
  if (next === undefined) throw new Error(`"${input}" is not expected while ${state}`);
  return next;
}
