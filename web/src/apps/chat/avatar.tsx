/** The first letter of a name on one of six quiet grounds: tells people apart at a glance. */

import type { JSX } from "preact";
import { ClientIcon } from "../../ui/icons";

const GROUNDS = 6;

export function Avatar({ name, own = false }: { name: string | null; own?: boolean }): JSX.Element {
  const letter = name === null ? "?" : ([...name][0] ?? "?").toUpperCase();
  return <span class={own ? "avatar own" : `avatar ground-${groundOf(name)}`} aria-hidden="true">{letter}</span>;
}

/** Stands for a program that publishes without a name. */
export function ProgramAvatar(): JSX.Element {
  return <span class="avatar program" aria-hidden="true"><ClientIcon /></span>;
}

function groundOf(name: string | null): number {
  let sum = 0;
  for (const letter of name ?? "") sum = (sum * 31 + (letter.codePointAt(0) ?? 0)) % 9_973;
  return sum % GROUNDS;
}
