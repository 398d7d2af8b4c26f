/** The log: a line for each frame and for what happened to the connection. */

import type { JSX } from "preact";
import { formatPrecise, formatSize } from "../../i18n/language";
import { VirtualList } from "../../ui/virtual_list";
import { log, selected } from "./client_state";
import { type Frame, isBad } from "./frame";
import { t } from "./texts";
import { previewOf } from "./wording";

/** As `.line` in client.css. */
const LINE_PX = 30;
const MARKS = { sent: "↑", received: "↓", event: "•" } as const;

export function FrameList(): JSX.Element {
  const frames = log.visible.value;
  if (frames.length === 0) return <Empty />;
  return (
    <VirtualList
      items={frames}
      keyOf={(frame) => frame.id}
      lineHeight={LINE_PX}
      label={t.value.log}
      selected={selected.value?.id ?? null}
      onSelect={(frame) => {
        if (frame.kind !== "event") selected.value = frame;
      }}
      line={(frame) => <Line frame={frame} />}
      latest={t.value.latest}
    />
  );
}

function Line({ frame }: { frame: Frame }): JSX.Element {
  const bad = frame.kind === "event" && isBad(frame.happening);
  return (
    <div class={bad ? "frame event bad" : `frame ${frame.kind}`} data-kind={frame.kind}>
      <time class="frame-time">{formatPrecise(frame.time)}</time>
      <span class="frame-mark" aria-label={t.value[frame.kind]} role="img">{MARKS[frame.kind]}</span>
      <span class="frame-size">{frame.kind === "event" ? "" : formatSize(frame.size)}</span>
      <span class="frame-text">{previewOf(frame)}</span>
    </div>
  );
}

function Empty(): JSX.Element {
  const filtered = log.length.value > 0;
  return (
    <div class="log-empty">
      {!filtered && <strong>{t.value.emptyTitle}</strong>}
      <p>{filtered ? t.value.emptyFilter : t.value.emptyText}</p>
    </div>
  );
}
