/** Lays the lines of a conversation out: days, turns of one speaker, and people coming and going on one line. */

import type { Line, Message, Note } from "./conversation";

export type Block =
  | { readonly kind: "day"; readonly key: string; readonly time: number }
  | { readonly kind: "turn"; readonly key: string; readonly messages: readonly [Message, ...Message[]] }
  | { readonly kind: "moves"; readonly key: string; readonly notes: readonly [Note, ...Note[]] }
  | { readonly kind: "gap"; readonly key: string };

/** A speaker who pauses longer than this begins a new turn. */
export const TURN_MS = 5 * 60_000;

export function timeline(lines: readonly Line[]): Block[] {
  const blocks: Block[] = [];
  let day = "";
  for (const line of lines) {
    const today = new Date(line.time).toDateString();
    if (today !== day) blocks.push({ kind: "day", key: `day-${line.key}`, time: line.time });
    day = today;
    const joined = merge(blocks.at(-1), line);
    if (joined) blocks[blocks.length - 1] = joined;
    else blocks.push(begin(line));
  }
  return blocks;
}

function begin(line: Line): Block {
  if (line.kind === "message") return { kind: "turn", key: line.key, messages: [line] };
  if (line.kind === "gap") return { kind: "gap", key: line.key };
  return { kind: "moves", key: line.key, notes: [line] };
}

/** The last block with the line in it, or null when the line begins a block of its own. */
function merge(last: Block | undefined, line: Line): Block | null {
  if (last?.kind === "turn" && line.kind === "message" && sameTurn(last.messages.at(-1) ?? last.messages[0], line)) {
    return { ...last, messages: [...last.messages, line] };
  }
  if (last?.kind === "moves" && (line.kind === "join" || line.kind === "leave")) {
    return { ...last, notes: [...last.notes, line] };
  }
  return null;
}

function sameTurn(before: Message, line: Message): boolean {
  if (line.time - before.time > TURN_MS) return false;
  if (before.own && line.own) return true;
  return before.own === line.own && before.author === line.author && before.session === line.session;
}

/** Who came and who went, each once, by their last move. */
export function movesOf(notes: readonly Note[]): { joined: (string | null)[]; left: (string | null)[] } {
  const last = new Map(notes.map((note) => [note.name, note.kind]));
  const names = [...last.keys()];
  return {
    joined: names.filter((name) => last.get(name) === "join"),
    left: names.filter((name) => last.get(name) === "leave"),
  };
}
