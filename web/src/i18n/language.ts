/** The language of the console and how texts, numbers and times are written in it. */

import { computed, effect, signal, type ReadonlySignal } from "@preact/signals";
import { readPreference, writePreference } from "../shell/preferences";

export const LANGUAGES = ["en", "fr"] as const;
export type Language = (typeof LANGUAGES)[number];

export const language = signal<Language>("en");

/** Texts of one part of the console. A key that one language lacks is a type error. */
export type Texts<T> = { readonly [K in keyof T]: T[K] extends string ? string : T[K] };

/** Picks the texts of the present language. */
export function texts<T>(all: { en: Texts<T>; fr: Texts<T> }): ReadonlySignal<Texts<T>> {
  return computed(() => all[language.value]);
}

/** Chooses: `?lang=` of the address, the user's stored choice, then the browser's languages. */
export function pickLanguage(query: string, stored: string | null, wanted: readonly string[]): Language {
  const candidates = [new URLSearchParams(query).get("lang"), stored, ...wanted];
  for (const candidate of candidates) {
    const found = LANGUAGES.find((each) => each === candidate?.toLowerCase().split("-")[0]);
    if (found) return found;
  }
  return "en";
}

export function startLanguage(): void {
  language.value = pickLanguage(location.search, readPreference("language"), navigator.languages);
  effect(() => {
    document.documentElement.lang = language.value;
  });
}

/** Takes the user's choice; an address that says otherwise is corrected. */
export function chooseLanguage(chosen: Language): void {
  language.value = chosen;
  writePreference("language", chosen);
  const url = new URL(location.href);
  if (!url.searchParams.has("lang")) return;
  url.searchParams.set("lang", chosen);
  history.replaceState(history.state, "", url);
}

const clock = computed(() => new Intl.DateTimeFormat(language.value, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" }));
const day = computed(() => new Intl.DateTimeFormat(language.value, { weekday: "long", day: "numeric", month: "long" }));
const full = computed(() => new Intl.DateTimeFormat(language.value, { dateStyle: "long", timeStyle: "medium" }));
const count = computed(() => new Intl.NumberFormat(language.value));
const tenths = computed(() => new Intl.NumberFormat(language.value, { maximumFractionDigits: 1 }));

export const formatClock = (time: number): string => clock.value.format(time);
export const formatDay = (time: number): string => day.value.format(time);
export const formatMoment = (time: number): string => full.value.format(time);
export const formatCount = (value: number): string => count.value.format(value);

/** Hours to milliseconds, the same in both languages, for logs. */
export function formatPrecise(time: number): string {
  const date = new Date(time);
  const two = (value: number): string => String(value).padStart(2, "0");
  const seconds = `${two(date.getSeconds())}.${String(date.getMilliseconds()).padStart(3, "0")}`;
  return `${two(date.getHours())}:${two(date.getMinutes())}:${seconds}`;
}

/** A size for people: 812 B, 1.5 KiB; in French 812 o, 1,5 Kio. */
export function formatSize(bytes: number): string {
  const [unit, kilo, mega] = language.value === "fr" ? ["o", "Kio", "Mio"] : ["B", "KiB", "MiB"];
  if (bytes < 1_024) return `${bytes}\u00a0${unit}`;
  if (bytes < 1_048_576) return `${tenths.value.format(bytes / 1_024)}\u00a0${kilo}`;
  return `${tenths.value.format(bytes / 1_048_576)}\u00a0${mega}`;
}
