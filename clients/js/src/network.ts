/** What a browser tells about the network and the page; elsewhere nothing is told and the network counts as there. */

export interface PageEvents {
  /** The network came back or is another one, or the page did: nothing is sure about the connection. */
  doubt(): void;
  offline(): void;
  /** The page is looked at, or not. */
  visible(yes: boolean): void;
  /** Nothing runs here from now on, until `doubt`. */
  freeze(): void;
}

interface Page {
  addEventListener?(name: string, listener: (event: { persisted?: boolean }) => void): void;
  removeEventListener?(name: string, listener: (event: { persisted?: boolean }) => void): void;
  readonly visibilityState?: string;
}

interface Navigator {
  readonly onLine?: boolean;
  readonly connection?: Page & { readonly saveData?: boolean };
}

const here = globalThis as { navigator?: Navigator; document?: Page } & Page;

export function isOnline(): boolean {
  return here.navigator?.onLine !== false;
}

/** Whether the person asked the browser to use little data. */
export function savesData(): boolean {
  return here.navigator?.connection?.saveData === true;
}

export function isHidden(): boolean {
  return here.document?.visibilityState === "hidden";
}

/** @returns what stops watching */
export function watchPage(events: PageEvents): () => void {
  const { document: page, navigator } = here;
  const doubt = (): void => events.doubt();
  const stops = [
    listen(here, "online", doubt),
    listen(here, "offline", () => events.offline()),
    listen(here, "pageshow", (event) => event.persisted && events.doubt()),
    listen(navigator?.connection, "change", doubt),
    listen(page, "visibilitychange", () => events.visible(!isHidden())),
    listen(page, "freeze", () => events.freeze()),
    listen(page, "resume", doubt),
  ];
  return () => stops.forEach((stop) => stop());
}

function listen(target: Page | undefined, name: string, listener: (event: { persisted?: boolean }) => void): () => void {
  target?.addEventListener?.(name, listener);
  return () => target?.removeEventListener?.(name, listener);
}
