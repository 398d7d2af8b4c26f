/** Which page is shown: the path below the hub's root. */

import { computed, signal } from "@preact/signals";
import { hubRoot, hubUrl } from "./hub";

export const PAGES = ["", "apps/client", "apps/chat"] as const;
export type Page = (typeof PAGES)[number];

const path = signal("");

/** The page to show, null for an address that names none. */
export const page = computed<Page | null>(() => PAGES.find((each) => each === path.value) ?? null);

export function startRouting(): void {
  const read = (): void => {
    path.value = pathBelow(location.pathname, hubRoot.pathname);
  };
  addEventListener("popstate", read);
  pinIcon();
  read();
}

/** The icon's relative link would be read anew, and wrongly, from each address that `open` puts in place. */
function pinIcon(): void {
  const icon = document.querySelector<HTMLLinkElement>("link[rel=icon]");
  if (icon) icon.href = new URL(icon.href).href;
}

/** Goes to a page without loading anew; parameters stay behind, but for the language. */
export function open(next: Page): void {
  const language = new URLSearchParams(location.search).get("lang");
  history.pushState(null, "", hubUrl(next) + (language ? `?lang=${encodeURIComponent(language)}` : ""));
  path.value = next;
  scrollTo(0, 0);
}

/** Takes the root off a path: `/realtime/apps/chat/` under `/realtime/` is `apps/chat`. */
export function pathBelow(pathname: string, root: string): string {
  const rest = pathname.startsWith(root) ? pathname.slice(root.length) : "";
  return rest.replace(/\/+$/, "").replace(/^index\.html$/, "");
}
