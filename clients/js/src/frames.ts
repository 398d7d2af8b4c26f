/** Several frames as one, within the size a hub takes. */

/** A hub takes frames of 1 MiB; a character has at most 3 bytes of UTF-8. */
const MAX_CHARACTERS = 300_000;

/** Takes frames from the front of the queue: one as it is, several as one array. @returns "" if there is none */
export function takeFrame(queue: string[]): string {
  let size = 0;
  let count = 0;
  while (count < queue.length) {
    size += (queue[count] as string).length;
    if (count > 0 && size > MAX_CHARACTERS) break;
    count += 1;
  }
  const taken = queue.splice(0, count);
  // A batch in a batch would be none.
  return count > 1 ? `[${taken.map((frame) => frame.replace(/^\[(.*)\]$/s, "$1")).join(",")}]` : (taken[0] ?? "");
}
