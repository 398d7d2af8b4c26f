/** Puts a text on the clipboard and says so. */

import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { t } from "../shell/texts";
import { CheckIcon, CopyIcon } from "./icons";

const SHOWN_MS = 1_600;

/** Copies; the older way serves pages that are not secure contexts, such as a hub reached over plain HTTP. */
export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "off-screen";
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

/** @param text called at the click, so that large texts are only made when wanted. */
export function CopyButton({ text, label }: { text: () => string; label?: string }): JSX.Element {
  const outcome = useSignal<"copied" | "copyFailed" | null>(null);
  const copy = async (): Promise<void> => {
    outcome.value = (await copyText(text())) ? "copied" : "copyFailed";
    setTimeout(() => (outcome.value = null), SHOWN_MS);
  };
  const words = t.value[outcome.value ?? "copy"];
  return (
    <button type="button" class="button quiet small" onClick={copy} aria-label={label ? `${words} – ${label}` : undefined}>
      {outcome.value === "copied" ? <CheckIcon /> : <CopyIcon />}
      <span aria-live="polite">{words}</span>
    </button>
  );
}
