/** What a browser tells about the network and the page; elsewhere nothing is told and the network counts as there. */

export interface NetworkEvents {
  online(): void;
  offline(): void;
  /** The page is looked at again; timers may have slept. */
  visible(): void;
}

interface Page {
  addEventListener?(name: string, listener: () => void): void;
  removeEventListener?(name: string, listener: () => void): void;
  readonly visibilityState?: string;
}

export function isOnline(): boolean {
  return (globalThis as { navigator?: { onLine?: boolean } }).navigator?.onLine !== false;
}

/** @returns what stops watching */
export function watchNetwork(events: NetworkEvents): () => void {
  const page = (globalThis as { document?: Page }).document;
  const stops = [
    listen(globalThis as Page, "online", () => events.online()),
    listen(globalThis as Page, "offline", () => events.offline()),
    listen(page ?? {}, "visibilitychange", () => page?.visibilityState === "visible" && events.visible()),
  ];
  return () => stops.forEach((stop) => stop());
}

function listen(target: Page, name: string, listener: () => void): () => void {
  target.addEventListener?.(name, listener);
  return () => target.removeEventListener?.(name, listener);
}
