/** Checks and formats JSON that a person types. */

export type JsonResult =
  | { readonly ok: true; readonly value: unknown }
  /** Counted from 1; null where the browser does not tell. */
  | { readonly ok: false; readonly place: { readonly line: number; readonly column: number } | null };

export function checkJson(text: string): JsonResult {
  try {
    return { ok: true, value: JSON.parse(text) };
  } catch (error) {
    return { ok: false, place: placeOf(error instanceof Error ? error.message : "", text) };
  }
}

/** Two spaces a level; null when the text is no JSON. */
export function formatJson(text: string): string | null {
  const result = checkJson(text);
  return result.ok ? JSON.stringify(result.value, null, 2) : null;
}

/** Browsers tell "line 1 column 2" or "position 12", or that the text ended too soon. */
function placeOf(message: string, text: string): { line: number; column: number } | null {
  const pair = /line (\d+) column (\d+)/.exec(message);
  if (pair) return { line: Number(pair[1]), column: Number(pair[2]) };
  const position = /position (\d+)/.exec(message)?.[1] ?? (/end of/i.test(message) ? text.length : null);
  if (position === null) return null;
  const before = text.slice(0, Number(position)).split("\n");
  return { line: before.length, column: (before.at(-1) ?? "").length + 1 };
}
