/** The visit that the chat page shows. It outlives the page: going to the overview does not leave the room. */

import { signal } from "@preact/signals";
import { socketUrl } from "../../shell/hub";
import { readPreference, writePreference } from "../../shell/preferences";
import { DEFAULT_ROOM, Room, type Sessions } from "./room";

export const visit = signal<Room | null>(null);

/** Why the last visit ended, until the next begins. */
export const refusal = signal<{ readonly error: Error; readonly name: string } | null>(null);

export function enter(name: string, room: string): void {
  leave();
  refusal.value = null;
  writePreference("name", name);
  const next = new Room(socketUrl("ws"), name, room, ownSessions);
  visit.value = next;
  next.refusal.subscribe((error) => {
    if (error === null || visit.value !== next) return;
    refusal.value = { error, name };
    visit.value = null;
  });
}

export function leave(): void {
  const room = visit.value;
  // First, so that the end of the visit is not taken for a refusal.
  visit.value = null;
  room?.leave();
}

export function lastName(): string {
  return readPreference("name") ?? "";
}

/** The room that the address asks for: `?room=`. */
export function askedRoom(): string {
  return new URLSearchParams(location.search).get("room") ?? DEFAULT_ROOM;
}

const KEY = "chappe.sessions";
const KEPT = 50;

/** The public ids under which this tab spoke, so that its messages stay its own when the page is loaded anew. */
class TabSessions implements Sessions {
  private readonly ids = new Set<string>();

  constructor() {
    try {
      const stored: unknown = JSON.parse(sessionStorage.getItem(KEY) ?? "[]");
      if (Array.isArray(stored)) for (const id of stored) if (typeof id === "string") this.ids.add(id);
    } catch {
      // Nothing usable is stored: no message of the past is marked as ours.
    }
  }

  has(session: string): boolean {
    return this.ids.has(session);
  }

  add(session: string): void {
    this.ids.add(session);
    try {
      sessionStorage.setItem(KEY, JSON.stringify([...this.ids].slice(-KEPT)));
    } catch {
      // Storage refused: the id holds until the page is left.
    }
  }
}

const ownSessions = new TabSessions();
