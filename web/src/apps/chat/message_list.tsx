/** The messages of a room, newest last. Stays at the end unless the reader has scrolled up. */

import { useComputed, useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { formatCount } from "../../i18n/language";
import { DownIcon } from "../../ui/icons";
import { TimelineBlock } from "./blocks";
import type { Room } from "./room";
import { t } from "./texts";
import { timeline } from "./timeline";

/** Nearer to the end than this counts as at the end. */
const END_PX = 48;

export function MessageList({ room }: { room: Room }): JSX.Element {
  const box = useRef<HTMLDivElement>(null);
  const atEnd = useSignal(true);
  const seen = useSignal(0);
  const { conversation } = room;
  const blocks = useComputed(() => timeline(conversation.lines.value));
  const unread = atEnd.value ? 0 : conversation.received.value - seen.value;

  const toEnd = (): void => {
    if (box.current) box.current.scrollTop = box.current.scrollHeight;
  };
  useLayoutEffect(() => {
    const last = conversation.lines.value.at(-1);
    const justSent = last?.kind === "message" && last.delivery === "sending";
    if (atEnd.value || justSent) toEnd();
  }, [blocks.value]);
  useEffect(() => {
    // The field below grows with its text and the window changes: the end stays the end.
    const observer = new ResizeObserver(() => atEnd.value && toEnd());
    if (box.current) observer.observe(box.current);
    return () => observer.disconnect();
  }, []);

  const onScroll = (): void => {
    const element = box.current;
    if (!element) return;
    const end = element.scrollHeight - element.scrollTop - element.clientHeight < END_PX;
    if (!end && atEnd.value) seen.value = conversation.received.value;
    atEnd.value = end;
  };

  return (
    <div class="messages-frame">
      <div
        ref={box}
        class="messages"
        role="log"
        aria-live="polite"
        aria-label={t.value.conversation}
        aria-busy={room.connection.value.state === "catching-up"}
        tabIndex={0}
        onScroll={onScroll}
      >
        {blocks.value.length === 0 && <p class="messages-empty">{t.value.empty}</p>}
        {blocks.value.map((block) => <TimelineBlock key={block.key} block={block} room={room} />)}
      </div>
      {!atEnd.value && (
        <button type="button" class="button to-latest" onClick={toEnd}>
          <DownIcon />
          {unread > 0 ? t.value.unread(unread, formatCount(unread)) : t.value.latest}
        </button>
      )}
    </div>
  );
}
