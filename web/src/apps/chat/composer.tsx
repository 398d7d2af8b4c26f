/** The line to write on. Works offline too: what is sent then waits. */

import { useSignal } from "@preact/signals";
import type { JSX, TargetedKeyboardEvent } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { SendIcon } from "../../ui/icons";
import type { Room } from "./room";
import { t } from "./texts";

/** Stays below the hub's 64 KiB for a message, whatever the letters. */
const MAX_TEXT = 32_000;
const MAX_HEIGHT_PX = 160;

/** Drafts by channel: what was begun is still there after a visit to another page. */
const drafts = new Map<string, string>();

export function Composer({ room }: { room: Room }): JSX.Element {
  const text = useSignal(drafts.get(room.channel) ?? "");
  const field = useRef<HTMLTextAreaElement>(null);
  const tooLong = new TextEncoder().encode(text.value).length > MAX_TEXT;

  useEffect(() => field.current?.focus(), [room]);
  useEffect(() => fit(field.current), [text.value]);

  const write = (value: string): void => {
    text.value = value;
    drafts.set(room.channel, value);
  };
  const send = (): void => {
    if (text.value.trim() === "" || tooLong) return;
    room.say(text.value.trim());
    write("");
    field.current?.focus();
  };
  const onKeyDown = (event: TargetedKeyboardEvent<HTMLTextAreaElement>): void => {
    // While an input method composes, Enter chooses a character.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    send();
  };

  return (
    <form class="composer" onSubmit={(event) => { event.preventDefault(); send(); }}>
      <div class="composer-line">
        <textarea
          ref={field}
          class="input composer-field"
          rows={1}
          value={text.value}
          placeholder={t.value.write(room.room)}
          aria-label={t.value.write(room.room)}
          aria-describedby="composer-hint"
          aria-invalid={tooLong}
          onInput={(event) => write(event.currentTarget.value)}
          onKeyDown={onKeyDown}
        />
        <button type="submit" class="button primary" disabled={text.value.trim() === "" || tooLong}>
          <SendIcon />
          <span class="composer-send">{t.value.send}</span>
        </button>
      </div>
      <p id="composer-hint" class={tooLong ? "hint bad" : "hint composer-hint"}>{tooLong ? t.value.tooLong : t.value.hint}</p>
    </form>
  );
}

/** Grows the field with its text, up to a limit. */
function fit(field: HTMLTextAreaElement | null): void {
  if (!field) return;
  field.style.height = "auto";
  field.style.height = `${Math.min(field.scrollHeight + 2, MAX_HEIGHT_PX)}px`;
}
