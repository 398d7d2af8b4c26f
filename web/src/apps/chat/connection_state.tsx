/** How the connection stands, always in sight: nobody may write into the void without knowing. */

import type { JSX } from "preact";
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
  if (state !== "offline" || reason === null) return null;
  return <p class="banner warn" role="status">{t.value[`offline_${reason}`]}</p>;
}
