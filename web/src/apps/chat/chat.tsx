/** The chat page: the door, or the room behind it. */

import type { JSX } from "preact";
import { visit } from "./chat_state";
import { Door } from "./door";
import { RoomPage } from "./room_page";

export function Chat(): JSX.Element {
  const room = visit.value;
  return room?.entered.value ? <RoomPage key={room.channel} room={room} /> : <Door />;
}
