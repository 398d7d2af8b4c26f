/** Who is in the room. */

import type { JSX } from "preact";
import { formatCount } from "../../i18n/language";
import { Avatar } from "./avatar";
import type { Room } from "./room";
import { t } from "./texts";

export function People({ room, shown }: { room: Room; shown: boolean }): JSX.Element {
  const people = room.people.value;
  const count = room.count.value;
  return (
    <aside id="people" class={shown ? "people shown" : "people"} aria-label={t.value.people}>
      <h2 class="side-title">{t.value.here(count, formatCount(count))}</h2>
      {people.length < count && <p class="hint">{t.value.manyPeople}</p>}
      <ul class="people-list">
        {people.map((person) => (
          <li key={person.key} class="person">
            <Avatar name={person.name} own={person.own} />
            <span class="person-name">{person.name ?? t.value.anonymous}</span>
            {person.own && <span class="tag">{t.value.you}</span>}
          </li>
        ))}
      </ul>
    </aside>
  );
}
