/** Loads the code of a page when it is first opened. */

import { signal } from "@preact/signals";
import type { ComponentType, JSX } from "preact";
import { useEffect } from "preact/hooks";
import { hubUrl } from "./hub";
import { type Page, page } from "./router";
import { t } from "./texts";

const LOADERS: Record<Page, () => Promise<ComponentType>> = {
  "": async () => (await import("../home/home")).Home,
  "apps/client": async () => (await import("../apps/client/client")).Client,
  "apps/chat": async () => (await import("../apps/chat/chat")).Chat,
};

const loaded = signal<ReadonlyMap<Page, ComponentType>>(new Map());
const failed = signal<Page | null>(null);

async function load(wanted: Page): Promise<void> {
  failed.value = null;
  try {
    const component = await LOADERS[wanted]();
    loaded.value = new Map(loaded.value).set(wanted, component);
  } catch {
    failed.value = wanted;
  }
}

export function Content(): JSX.Element {
  const wanted = page.value;
  useEffect(() => {
    if (wanted !== null && !loaded.value.has(wanted)) void load(wanted);
  }, [wanted]);
  if (wanted === null) return <NotFound />;
  const Component = loaded.value.get(wanted);
  if (Component) return <Component />;
  return failed.value === wanted ? <Failed /> : <p class="notice" role="status">{t.value.loading}</p>;
}

function NotFound(): JSX.Element {
  return (
    <div class="notice">
      <h1>{t.value.notFoundTitle}</h1>
      <p>{t.value.notFound}</p>
      <p><a class="button" href={hubUrl("")}>{t.value.toHome}</a></p>
    </div>
  );
}

/** A module that failed to load is not asked for again by the browser, so trying again means loading the page anew. */
function Failed(): JSX.Element {
  return (
    <div class="notice" role="alert">
      <p>{t.value.loadFailed}</p>
      <p><button type="button" class="button" onClick={() => location.reload()}>{t.value.retry}</button></p>
    </div>
  );
}
