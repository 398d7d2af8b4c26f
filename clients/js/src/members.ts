/** Who is present, from the state and the differences that follow it. */

import type { Member } from "./api.js";

export class Members {
  readonly #members = new Map<string, Member>();
  /** Above 200 members only the count is told. */
  #only: number | null = null;
  #list: readonly Member[] | null = null;

  get list(): readonly Member[] {
    return (this.#list ??= [...this.#members.values()]);
  }

  get count(): number {
    return this.#only ?? this.#members.size;
  }

  /** @param members null: too many to list */
  become(members: readonly Member[] | null, count: number): void {
    this.#list = null;
    this.#members.clear();
    for (const member of members ?? []) this.#members.set(key(member), member);
    this.#only = members === null ? count : null;
  }

  join(member: Member): void {
    this.#list = null;
    this.#members.set(key(member), member);
  }

  leave(member: Member): void {
    this.#list = null;
    this.#members.delete(key(member));
  }
}

/** Sessions of one authenticated user share an entry, and the leave may name another session than the join. */
function key(member: Member): string {
  return member.user === null ? `session ${member.session}` : `user ${member.user}`;
}
