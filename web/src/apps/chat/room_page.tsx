/** Inside a room: its messages, the people, the line to write on. */

import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { formatCount } from "../../i18n/language";
import { PeopleIcon } from "../../ui/icons";
import { leave } from "./chat_state";
import { Composer } from "./composer";
import { ConnectionBanner, StateChip } from "./connection_state";
import { MessageList } from "./message_list";
import { People } from "./people";
import type { Room } from "./room";
import { t } from "./texts";

export function RoomPage({ room }: { room: Room }): JSX.Element {
  // Narrow screens show the people only when asked to.
  const peopleShown = useSignal(false);
  const count = formatCount(room.count.value);
  return (
    <div class="room fills">
      <header class="page-head room-head">
        <h1 class="room-name"><span class="room-mark" aria-hidden="true">#</span>{room.room}</h1>
        <StateChip connection={room.connection.value} />
        <span class="grow" />
        <button
          type="button"
          class="button quiet people-toggle"
          aria-expanded={peopleShown.value}
          aria-controls="people"
          aria-label={t.value.showPeople(count)}
          onClick={() => (peopleShown.value = !peopleShown.value)}
        >
          <PeopleIcon />
          {count}
        </button>
        <button type="button" class="button" onClick={leave}>{t.value.leave}</button>
      </header>
      <div class="room-middle">
        <ConnectionBanner room={room} />
        <MessageList room={room} />
        <Composer room={room} />
      </div>
      <People room={room} shown={peopleShown.value} />
    </div>
  );
}
