/** What was sent, to be brought back with the arrow keys; what was being typed is kept at the end. */

const KEPT = 200;

export class InputHistory {
  private entries: string[] = [];
  /** Where the reader stands; `entries.length` is the line being typed. */
  private at = 0;
  private draft = "";

  add(text: string): void {
    if (this.entries.at(-1) !== text) this.entries = [...this.entries, text].slice(-KEPT);
    this.at = this.entries.length;
    this.draft = "";
  }

  /** The entry before, or null at the oldest. @param current what is being typed, kept for the way back */
  previous(current: string): string | null {
    if (this.at === this.entries.length) this.draft = current;
    if (this.at === 0) return null;
    this.at -= 1;
    return this.entries[this.at] ?? null;
  }

  /** The entry after, at the end the line that was being typed; null when already there. */
  next(): string | null {
    if (this.at >= this.entries.length) return null;
    this.at += 1;
    return this.entries[this.at] ?? this.draft;
  }
}
