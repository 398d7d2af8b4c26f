/** Server-Sent Events, without I/O: text to events, as WHATWG HTML 9.2.5 and 9.2.6 say. */

export interface StreamedEvent {
  /** "" for an event without a name. */
  readonly name: string;
  readonly data: string;
}

/** One for each stream. Text may come in pieces of any size; what has no end yet waits for the next piece. */
export class EventParser {
  #rest = "";
  /** The last piece ended with CR: an LF at the start of the next one belongs to it. */
  #afterCr = false;
  #name = "";
  #data: string[] = [];

  /** @param text decoded from UTF-8, without the byte order mark */
  push(text: string): StreamedEvent[] {
    if (text === "") return [];
    const lines = (this.#rest + (this.#afterCr ? text.replace(/^\n/, "") : text)).split(/\r\n|\r|\n/);
    this.#afterCr = text.endsWith("\r");
    this.#rest = lines.pop() as string;
    return lines.flatMap((line) => this.#take(line));
  }

  #take(line: string): StreamedEvent[] {
    if (line === "") return this.#dispatch();
    const [, field, value] = /^([^:]*)(?:: ?(.*))?$/su.exec(line) as unknown as [string, string, string | undefined];
    if (field === "event") this.#name = value ?? "";
    if (field === "data") this.#data.push(value ?? "");
    return [];
  }

  #dispatch(): StreamedEvent[] {
    const events = this.#data.length > 0 ? [{ name: this.#name, data: this.#data.join("\n") }] : [];
    this.#name = "";
    this.#data = [];
    return events;
  }
}
