/** One frame in full: as formatted JSON, text or bytes. */

import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { formatPrecise, formatSize } from "../../i18n/language";
import { CopyButton } from "../../ui/copy_button";
import { CloseIcon } from "../../ui/icons";
import { Segmented } from "../../ui/segmented";
import { draft, mode, selected } from "./client_state";
import { type DataFrame, sizeOf } from "./frame";
import { hexDump, toHex } from "./hex";
import { formatJson } from "./json_check";
import { t } from "./texts";

type View = "json" | "text" | "hex";

/** More than this makes a page slow and no reader wiser. */
const SHOWN_CHARACTERS = 200_000;
const SHOWN_BYTES = 16_384;

export function FrameDetail({ frame }: { frame: DataFrame }): JSX.Element {
  const { data } = frame;
  const json = typeof data === "string" ? formatJson(data) : null;
  const view = useSignal<View>(json !== null ? "json" : typeof data === "string" ? "text" : "hex");
  const views: View[] = json !== null ? ["json", "text", "hex"] : ["text", "hex"];
  return (
    <aside class="detail" aria-label={t.value.detail}>
      <header class="detail-head">
        <strong>{t.value[frame.kind]}</strong>
        <span class="hint">{formatPrecise(frame.time)}, {formatSize(frame.size)}</span>
        <span class="grow" />
        <button type="button" class="button quiet small" aria-label={t.value.closeDetail} onClick={() => (selected.value = null)}>
          <CloseIcon />
        </button>
      </header>
      <div class="detail-tools">
        <Segmented
          legend={t.value.view}
          value={view.value}
          onChoose={(chosen) => (view.value = chosen)}
          choices={views.map((each) => ({ value: each, label: t.value[`view_${each}`] }))}
        />
        <CopyButton text={() => whole(frame, view.value)} label={t.value.copyOne} />
        <button type="button" class="button quiet small" onClick={() => reuse(frame)}>{t.value.reuse}</button>
      </div>
      <pre class="code detail-code" tabIndex={0}><code>{shown(frame, view.value, json)}</code></pre>
      <Cut frame={frame} view={view.value} />
    </aside>
  );
}

function Cut({ frame, view }: { frame: DataFrame; view: View }): JSX.Element | null {
  const limit = view === "hex" ? SHOWN_BYTES : SHOWN_CHARACTERS;
  if (frame.size <= limit) return null;
  return <p class="hint detail-cut">{t.value.cut(formatSize(limit), formatSize(frame.size))}</p>;
}

function bytesOf(data: DataFrame["data"]): Uint8Array {
  return typeof data === "string" ? new TextEncoder().encode(data) : data;
}

function textOf(data: DataFrame["data"]): string {
  return typeof data === "string" ? data : new TextDecoder().decode(data);
}

function shown(frame: DataFrame, view: View, json: string | null): string {
  if (view === "hex") return hexDump(bytesOf(frame.data).subarray(0, SHOWN_BYTES));
  const text = view === "json" ? (json ?? "") : textOf(frame.data);
  return text.slice(0, SHOWN_CHARACTERS);
}

function whole(frame: DataFrame, view: View): string {
  if (view === "hex") return toHex(bytesOf(frame.data));
  const text = textOf(frame.data);
  return view === "json" ? (formatJson(text) ?? text) : text;
}

/** Puts the frame where it can be changed and sent. */
function reuse({ data }: DataFrame): void {
  if (typeof data === "string") {
    mode.value = formatJson(data) === null ? "text" : "json";
    draft.value = data;
  } else {
    mode.value = "hex";
    draft.value = toHex(data);
  }
  // A field with megabytes in it would stop the page.
  if (sizeOf(draft.value) > SHOWN_CHARACTERS) draft.value = draft.value.slice(0, SHOWN_CHARACTERS);
}
