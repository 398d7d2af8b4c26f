/** Where the hub is. The built files lie in `assets/` of its root, whatever path it is mounted under. */

export const hubRoot = new URL("../", import.meta.url);

export function hubUrl(path: string): string {
  return new URL(path, hubRoot).href;
}

/** The address of a WebSocket endpoint of this hub. */
export function socketUrl(path: string): string {
  const url = new URL(path, hubRoot);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url.href;
}
