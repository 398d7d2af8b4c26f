/** The log of the client page: keeps the newest lines, counts all, and tells of changes once per drawn picture. */

import { computed, signal } from "@preact/signals";
import { type Frame, type FrameKind, type Happening, sizeOf } from "./frame";
import { toHex } from "./hex";

/** Lines kept, and bytes kept in them. */
export const MAX_LINES = 10_000;
export const MAX_BYTES = 64 * 1_048_576;
/** Trimmed in steps, so that a full log does not move its lines for each new one. */
const STEP = 500;
/** Of a binary frame, how much the filter looks at. */
const SEARCHED_BYTES = 1_024;

export type Shown = "all" | FrameKind;

export interface Totals {
  readonly sent: number;
  readonly sentBytes: number;
  readonly received: number;
  readonly receivedBytes: number;
  readonly dropped: number;
}

const NOTHING: Totals = { sent: 0, sentBytes: 0, received: 0, receivedBytes: 0, dropped: 0 };

export class FrameLog {
  readonly needle = signal("");
  readonly shown = signal<Shown>("all");
  private lines: Frame[] = [];
  private bytes = 0;
  private counted: { -readonly [K in keyof Totals]: Totals[K] } = { ...NOTHING };
  private made = 0;
  private waiting = false;
  private readonly changes = signal(0);

  /** @param draw calls back when the next picture is drawn: requestAnimationFrame in a page */
  constructor(private readonly draw: (callback: () => void) => void) {}

  readonly length = computed(() => (this.changes.value, this.lines.length));
  readonly totals = computed<Totals>(() => (this.changes.value, { ...this.counted }));

  /** The lines that pass the filter, oldest first. */
  readonly visible = computed<readonly Frame[]>(() => {
    void this.changes.value;
    const needle = this.needle.value.trim().toLowerCase();
    const kind = this.shown.value;
    if (needle === "" && kind === "all") return this.lines.slice();
    return this.lines.filter((frame) => (kind === "all" || frame.kind === kind) && matches(frame, needle));
  });

  data(kind: "sent" | "received", data: string | Uint8Array<ArrayBuffer>): void {
    const size = sizeOf(data);
    this.counted[kind] += 1;
    this.counted[`${kind}Bytes`] += size;
    this.append({ id: this.nextId(), time: Date.now(), kind, data, size });
  }

  event(happening: Happening): void {
    this.append({ id: this.nextId(), time: Date.now(), kind: "event", happening, size: 0 });
  }

  clear(): void {
    this.lines = [];
    this.bytes = 0;
    this.counted = { ...NOTHING };
    this.changes.value += 1;
  }

  private append(frame: Frame): void {
    this.lines.push(frame);
    this.bytes += frame.size;
    if (this.lines.length >= MAX_LINES + STEP) this.drop(this.lines.length - MAX_LINES);
    while (this.bytes > MAX_BYTES && this.lines.length > 1) this.drop(1);
    if (this.waiting) return;
    this.waiting = true;
    this.draw(() => {
      this.waiting = false;
      this.changes.value += 1;
    });
  }

  private drop(count: number): void {
    for (const frame of this.lines.splice(0, count)) this.bytes -= frame.size;
    this.counted.dropped += count;
  }

  private nextId(): number {
    this.made += 1;
    return this.made;
  }
}

function matches(frame: Frame, needle: string): boolean {
  if (needle === "") return true;
  if (frame.kind === "event") return JSON.stringify(frame.happening).toLowerCase().includes(needle);
  if (typeof frame.data === "string") return frame.data.toLowerCase().includes(needle);
  return toHex(frame.data.subarray(0, SEARCHED_BYTES)).includes(needle);
}
