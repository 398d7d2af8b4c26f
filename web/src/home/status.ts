/** What anybody may know of the hub: is it ready, which version, how fast does it answer. */

import { signal } from "@preact/signals";
import { hubUrl } from "../shell/hub";

export type BridgeState = "connected" | "connecting" | "standing-by" | "stopped";

/** A bridge; what only an operator may know is empty for others. */
export interface Bridge {
  readonly name: string;
  readonly state: BridgeState;
  readonly peer: string;
  readonly problem: string;
  readonly counts: Readonly<Record<string, number>> | null;
}

export interface HubStatus {
  readonly readiness: "checking" | "ready" | "notReady" | "unreachable";
  readonly version: string | null;
  readonly answerMs: number | null;
  readonly bridges: readonly Bridge[];
}

export const status = signal<HubStatus>({ readiness: "checking", version: null, answerMs: null, bridges: [] });

const EVERY_MS = 5_000;

/** Asks now and every five seconds, while the page is visible; returns how to stop. */
export function watchStatus(): () => void {
  const ask = async (): Promise<void> => {
    if (!document.hidden) status.value = await askStatus();
  };
  void ask();
  const timer = setInterval(() => void ask(), EVERY_MS);
  return () => clearInterval(timer);
}

export async function askStatus(): Promise<HubStatus> {
  try {
    const started = performance.now();
    const ready = await fetch(hubUrl("readyz"), { cache: "no-store" });
    const answerMs = performance.now() - started;
    const bridges = await askBridges(bridgesOf(await ready.json()));
    return { readiness: ready.ok ? "ready" : "notReady", version: await askVersion(), answerMs, bridges };
  } catch {
    return { readiness: "unreachable", version: status.value.version, answerMs: null, bridges: [] };
  }
}

async function askVersion(): Promise<string | null> {
  const answer = await fetch(hubUrl("version"));
  if (!answer.ok) return null;
  const told: unknown = await answer.json();
  return typeof told === "object" && told !== null && "version" in told ? String(told.version) : null;
}

const STATES: readonly string[] = ["connected", "connecting", "standing-by", "stopped"];

/** What `/readyz` tells everybody of bridges: names and states. */
export function bridgesOf(told: unknown): Bridge[] {
  if (typeof told !== "object" || told === null || !("bridges" in told)) return [];
  return Object.entries(told.bridges as Record<string, unknown>)
    .filter(([, state]) => STATES.includes(String(state)))
    .map(([name, state]) => ({ name, state: state as BridgeState, peer: "", problem: "", counts: null }));
}

/** What `/api/bridges` tells who may ask, in place of what everybody knows. */
async function askBridges(known: Bridge[]): Promise<Bridge[]> {
  if (known.length === 0) return known;
  const answer = await fetch(hubUrl("api/bridges"), { cache: "no-store" });
  if (!answer.ok) return known;
  const told = (await answer.json()) as { bridges: Bridge[] };
  return told.bridges;
}
