/** Above the log: filter, copy, export, clear; below it the totals. */

import type { JSX } from "preact";
import { formatCount, formatSize } from "../../i18n/language";
import { CopyButton } from "../../ui/copy_button";
import { Segmented } from "../../ui/segmented";
import { log, selected } from "./client_state";
import { download, toNdjson } from "./export";
import type { Shown } from "./frame_log";
import { t } from "./texts";

const SHOWN: readonly Shown[] = ["all", "sent", "received", "event"];

export function LogBar(): JSX.Element {
  const clear = (): void => {
    log.clear();
    selected.value = null;
  };
  return (
    <div class="log-bar">
      <input
        class="input log-filter"
        type="search"
        name="filter"
        aria-label={t.value.filter}
        placeholder={t.value.filter}
        value={log.needle.value}
        onInput={(event) => (log.needle.value = event.currentTarget.value)}
      />
      <Segmented
        legend={t.value.show}
        value={log.shown.value}
        onChoose={(chosen) => (log.shown.value = chosen)}
        choices={SHOWN.map((each) => ({ value: each, label: t.value[`show_${each}`] }))}
      />
      <span class="log-actions">
        <CopyButton text={() => toNdjson(log.visible.value)} label={t.value.copyAllLabel} />
        <button type="button" class="button quiet small" onClick={() => download("frames.ndjson", toNdjson(log.visible.value))}>
          {t.value.export}
        </button>
        <button type="button" class="button quiet small" onClick={clear}>{t.value.clear}</button>
      </span>
    </div>
  );
}

/** Below the log: what went each way since it was last cleared. */
export function LogTotals(): JSX.Element {
  const { dropped, sent, sentBytes, received, receivedBytes } = log.totals.value;
  return (
    <p class="hint log-totals">
      <span>{t.value.sentTotal(formatCount(sent), formatSize(sentBytes))}</span>
      <span>{t.value.receivedTotal(formatCount(received), formatSize(receivedBytes))}</span>
      <span>{t.value.counted(formatCount(log.visible.value.length), formatCount(log.length.value))}</span>
      {dropped > 0 && <span>{t.value.dropped(formatCount(dropped))}</span>}
    </p>
  );
}
