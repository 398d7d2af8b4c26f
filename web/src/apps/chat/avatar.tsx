/** The first letter of a name on one of six quiet grounds: tells people apart at a glance. */

import type { JSX } from "preact";

const GROUNDS = 6;

export function Avatar({ name }: { name: string | null }): JSX.Element {
  const letter = name === null ? "?" : ([...name][0] ?? "?").toUpperCase();
  return <span class={`avatar ground-${groundOf(name)}`} aria-hidden="true">{letter}</span>;
}

function groundOf(name: string | null): number {
  let sum = 0;
  for (const letter of name ?? "") sum = (sum * 31 + (letter.codePointAt(0) ?? 0)) % 9_973;
  return sum % GROUNDS;
}
