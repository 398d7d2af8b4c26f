/** How the connection stands, always in sight: nobody may write into the void without knowing. */

import { ChappeError, errorText } from "chappe";
import type { JSX } from "preact";
import { language } from "../../i18n/language";
import type { Connection, Room } from "./room";
import { t } from "./texts";

const TONES = { connecting: "warn", live: "ok", "catching-up": "warn", offline: "idle", refused: "bad" } as const;

export function StateChip({ connection }: { connection: Connection }): JSX.Element {
  return (
    <span class={`chip ${TONES[connection.state]}`} role="status" data-state={connection.state}>
      {t.value[`state_${connection.state}`]}
    </span>
  );
}

export function ConnectionBanner({ room }: { room: Room }): JSX.Element | null {
  const { state, reason } = room.connection.value;
  if (state === "refused") return <Refused room={room} />;
  if (state !== "offline" || reason === null) return null;
  return <p class="banner warn" role="status">{t.value[`offline_${reason}`]}</p>;
}

function Refused({ room }: { room: Room }): JSX.Element {
  const error = room.complaint.value;
  return (
    <p class="banner bad" role="alert">
      <strong>{t.value.refused}</strong> {error && wordsOf(error)}{" "}
      <button type="button" class="link" onClick={() => room.redial()}>{t.value.reconnect}</button>
    </p>
  );
}

/** An error in the user's language. */
export function wordsOf(error: Error): string {
  return error instanceof ChappeError ? errorText(error, language.value) : error.message;
}
