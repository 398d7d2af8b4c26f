/** Lines of the log in words. */

import { ChappeError, errorText } from "chappe";
import { formatCount, language } from "../../i18n/language";
import type { Frame, Happening } from "./frame";
import { toHex } from "./hex";
import { t } from "./texts";

/** As much as a line can show. */
const PREVIEW = 400;

export function previewOf(frame: Frame): string {
  if (frame.kind === "event") return describe(frame.happening);
  if (typeof frame.data === "string") return frame.data.slice(0, PREVIEW).replace(/\s+/g, " ");
  return toHex(frame.data.subarray(0, PREVIEW / 3));
}

export function describe(happening: Happening): string {
  const words = t.value;
  switch (happening.name) {
    case "connecting":
      return words.connecting(happening.url);
    case "opened":
      return words.opened(happening.protocol, formatCount(happening.ms));
    case "closed":
      return words.closed(happening.code, closeMeaning(happening.code), happening.reason);
    case "failed":
      return words.failed;
    case "refused":
      return words.refused(happening.message);
    case "notSent":
      return words.notSent;
  }
}

/** What a close code means: the protocol's own, then the hub's; empty when nobody says. */
export function closeMeaning(code: number): string {
  const known = new Map(Object.entries(t.value.close)).get(String(code));
  return known ?? errorText(new ChappeError(code, ""), language.value);
}
