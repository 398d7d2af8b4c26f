/** Light, dark, or what the system says. */

import { effect, signal } from "@preact/signals";
import { readPreference, writePreference } from "./preferences";

export const THEMES = ["system", "light", "dark"] as const;
export type Theme = (typeof THEMES)[number];

export const theme = signal<Theme>("system");

export function startTheme(): void {
  const stored = readPreference("theme");
  theme.value = THEMES.find((each) => each === stored) ?? "system";
  effect(() => {
    if (theme.value === "system") delete document.documentElement.dataset["theme"];
    else document.documentElement.dataset["theme"] = theme.value;
  });
}

export function chooseTheme(chosen: Theme): void {
  theme.value = chosen;
  writePreference("theme", chosen === "system" ? null : chosen);
}
