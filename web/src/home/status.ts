/** What anybody may know of the hub: is it ready, which version, how fast does it answer. */

import { signal } from "@preact/signals";
import { hubUrl } from "../shell/hub";

export interface HubStatus {
  readonly readiness: "checking" | "ready" | "notReady" | "unreachable";
  readonly version: string | null;
  readonly answerMs: number | null;
}

export const status = signal<HubStatus>({ readiness: "checking", version: null, answerMs: null });

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
    return { readiness: ready.ok ? "ready" : "notReady", version: await askVersion(), answerMs };
  } catch {
    return { readiness: "unreachable", version: status.value.version, answerMs: null };
  }
}

async function askVersion(): Promise<string | null> {
  const answer = await fetch(hubUrl("version"));
  if (!answer.ok) return null;
  const told: unknown = await answer.json();
  return typeof told === "object" && told !== null && "version" in told ? String(told.version) : null;
}
