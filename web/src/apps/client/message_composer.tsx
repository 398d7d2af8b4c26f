/** Writes and sends one frame: text, JSON, bytes or a file. */

import { useSignal } from "@preact/signals";
import type { JSX, TargetedKeyboardEvent } from "preact";
import { useRef } from "preact/hooks";
import { formatSize } from "../../i18n/language";
import { SendIcon } from "../../ui/icons";
import { Segmented } from "../../ui/segmented";
import { MODES, draft, history, mode, socket } from "./client_state";
import { EXAMPLES } from "./examples";
import { parseHex } from "./hex";
import { checkJson, formatJson } from "./json_check";
import { t } from "./texts";

export function MessageComposer(): JSX.Element {
  const field = useRef<HTMLTextAreaElement>(null);
  const file = useSignal<File | null>(null);
  const verdict = judge();

  const send = async (): Promise<void> => {
    if (mode.value === "file") {
      if (file.value) socket.send(new Uint8Array(await file.value.arrayBuffer()));
      return;
    }
    // A blank line is not sent; one that is not what it claims to be stays where it can be corrected.
    if (draft.value.trim() === "" || verdict?.bad) return;
    const text = draft.value;
    if (!socket.send(mode.value === "hex" ? bytesOf(text) : text)) return;
    history.add(text);
    draft.value = "";
    field.current?.focus();
  };

  return (
    <form class="client-composer" onSubmit={(event) => { event.preventDefault(); void send(); }}>
      <div class="compose-tools">
        <Segmented
          legend={t.value.mode}
          value={mode.value}
          onChoose={(chosen) => (mode.value = chosen)}
          choices={MODES.map((each) => ({ value: each, label: t.value[`mode_${each}`] }))}
        />
        {mode.value === "json" && (
          <button type="button" class="button quiet small" onClick={() => (draft.value = formatJson(draft.value) ?? draft.value)}>
            {t.value.format}
          </button>
        )}
        <Examples onPick={() => field.current?.focus()} />
        {verdict && <span class={verdict.bad ? "hint bad" : "hint"} role="status">{verdict.text}</span>}
      </div>
      <div class="composer-line">
        {mode.value === "file" ? (
          <input
            class="input file-field"
            type="file"
            name="file"
            aria-label={t.value.file}
            onChange={(event) => (file.value = event.currentTarget.files?.[0] ?? null)}
          />
        ) : (
          <textarea
            ref={field}
            class={mode.value === "text" ? "input client-field" : "input client-field mono"}
            name="message"
            rows={2}
            spellcheck={false}
            aria-label={t.value.compose}
            aria-describedby="client-hint"
            aria-invalid={verdict?.bad ?? false}
            placeholder={t.value[`placeholder_${mode.value}`]}
            value={draft.value}
            onInput={(event) => (draft.value = event.currentTarget.value)}
            onKeyDown={(event) => onKey(event, () => void send())}
          />
        )}
        <button type="submit" class="button primary">
          <SendIcon />
          <span class="composer-send">{t.value.send}</span>
        </button>
      </div>
      <p id="client-hint" class="hint composer-hint">{mode.value === "file" ? t.value.fileHint : t.value.hint}</p>
    </form>
  );
}

function Examples({ onPick }: { onPick: () => void }): JSX.Element {
  const pick = (text: string): void => {
    mode.value = "json";
    draft.value = text;
    onPick();
  };
  return (
    <select
      class="input small-select"
      name="examples"
      aria-label={t.value.examples}
      value=""
      onChange={(event) => {
        pick(event.currentTarget.value);
        event.currentTarget.value = "";
      }}
    >
      <option value="" disabled>{t.value.examples}</option>
      {EXAMPLES.map(({ protocol, examples }) => (
        <optgroup key={protocol} label={protocol}>
          {examples.map(({ title, text }) => <option key={title} value={text}>{title}</option>)}
        </optgroup>
      ))}
    </select>
  );
}

/** What to say of the draft while it is typed; null when there is nothing to say. */
function judge(): { text: string; bad: boolean } | null {
  if (draft.value.trim() === "") return null;
  if (mode.value === "json") {
    const result = checkJson(draft.value);
    if (result.ok) return { text: t.value.jsonGood, bad: false };
    const { place } = result;
    return { text: place ? t.value.jsonBadAt(place.line, place.column) : t.value.jsonBad, bad: true };
  }
  if (mode.value !== "hex") return null;
  const result = parseHex(draft.value);
  if ("bytes" in result) return { text: formatSize(result.bytes.length), bad: false };
  return { text: result.fault === "odd" ? t.value.hexOdd : t.value.hexBad(result.what), bad: true };
}

function bytesOf(text: string): Uint8Array<ArrayBuffer> {
  const result = parseHex(text);
  return "bytes" in result ? result.bytes : new Uint8Array();
}

/** Enter sends; arrows at the first and last line go through what was sent before. */
function onKey(event: TargetedKeyboardEvent<HTMLTextAreaElement>, send: () => void): void {
  if (event.isComposing || event.shiftKey || event.ctrlKey || event.altKey || event.metaKey) return;
  const { value, selectionStart, selectionEnd } = event.currentTarget;
  if (event.key === "Enter") {
    event.preventDefault();
    send();
    return;
  }
  let found: string | null = null;
  if (event.key === "ArrowUp" && !value.slice(0, selectionStart).includes("\n")) found = history.previous(value);
  if (event.key === "ArrowDown" && !value.slice(selectionEnd).includes("\n")) found = history.next();
  if (found === null) return;
  event.preventDefault();
  draft.value = found;
}
