/** Channel names and patterns, as in MQTT 5 section 4.7: `+` is one segment, `#` all that follow. */

export function isPattern(name: string): boolean {
  return /[+#]/.test(name);
}

/** Whether a pattern matches a channel. A wildcard in front does not match `$`-channels (4.7.2). */
export function patternMatches(pattern: string, channel: string): boolean {
  if (channel.startsWith("$") && /^[+#]/.test(pattern)) return false;
  const wanted = pattern.split("/");
  const segments = channel.split("/");
  for (const [index, segment] of wanted.entries()) {
    // `sport/#` also matches its parent `sport` (4.7.1.2).
    if (segment === "#") return true;
    if (index >= segments.length || (segment !== "+" && segment !== segments[index])) return false;
  }
  return wanted.length === segments.length;
}
