/** The parts of a conversation as they are drawn. All text goes through text nodes. */

import type { JSX } from "preact";
import { formatClock, formatDay, formatMoment, language } from "../../i18n/language";
import { Avatar, ProgramAvatar } from "./avatar";
import { wordsOf } from "./connection_state";
import type { Message, Note } from "./conversation";
import type { Room } from "./room";
import { t } from "./texts";
import { type Block, movesOf } from "./timeline";

export function TimelineBlock({ block, room }: { block: Block; room: Room }): JSX.Element {
  switch (block.kind) {
    case "day":
      return <p class="rule"><span>{dayName(block.time)}</span></p>;
    case "gap":
      return <p class="rule warn"><span>{t.value.gap}</span></p>;
    case "moves":
      return <Moves notes={block.notes} />;
    case "turn":
      return <Turn messages={block.messages} room={room} />;
  }
}

function Turn({ messages, room }: { messages: readonly [Message, ...Message[]]; room: Room }): JSX.Element {
  const [first] = messages;
  const program = first.author === null && first.session === null;
  const author = first.author ?? (program ? t.value.program : t.value.anonymous);
  return (
    <article class={first.own ? "turn own" : "turn"}>
      {program ? <ProgramAvatar /> : <Avatar name={first.author} own={first.own} />}
      <header class="turn-head">
        <span class="turn-author">{author}</span>
        {first.own && <span class="tag">{t.value.you}</span>}
        <time class="turn-time" dateTime={new Date(first.time).toISOString()} title={formatMoment(first.time)}>
          {formatClock(first.time)}
        </time>
      </header>
      {messages.map((message) => <Said key={message.key} message={message} room={room} />)}
    </article>
  );
}

function Said({ message, room }: { message: Message; room: Room }): JSX.Element {
  return (
    <div class={`said ${message.delivery}`} title={formatMoment(message.time)}>
      <p class="said-text">{message.text}</p>
      {message.delivery === "sending" && (
        <p class="said-fate">{room.connection.value.state === "live" ? t.value.sending : t.value.waiting}</p>
      )}
      {message.delivery === "failed" && <Failure message={message} room={room} />}
    </div>
  );
}

function Failure({ message, room }: { message: Message; room: Room }): JSX.Element {
  const again = (): void => {
    room.conversation.discard(message.key);
    room.say(message.text);
  };
  return (
    <p class="said-fate bad" role="alert">
      {t.value.notSent}{message.error && ` – ${wordsOf(message.error)}`}{" "}
      <button type="button" class="link" onClick={again}>{t.value.again}</button>{" "}
      <button type="button" class="link" onClick={() => room.conversation.discard(message.key)}>{t.value.discard}</button>
    </p>
  );
}

function Moves({ notes }: { notes: readonly [Note, ...Note[]] }): JSX.Element {
  const { joined, left } = movesOf(notes);
  const parts = [
    joined.length > 0 ? t.value.joined(namesOf(joined), joined.length) : null,
    left.length > 0 ? t.value.left(namesOf(left), left.length) : null,
  ].filter((part) => part !== null);
  return <p class="moves">{parts.join(" · ")}</p>;
}

function namesOf(names: readonly (string | null)[]): string {
  const shown = names.map((name) => name ?? t.value.anonymous);
  return new Intl.ListFormat(language.value, { type: "conjunction" }).format(shown);
}

function dayName(time: number): string {
  const today = new Date();
  const yesterday = new Date(today.getFullYear(), today.getMonth(), today.getDate() - 1);
  const day = new Date(time).toDateString();
  if (day === today.toDateString()) return t.value.today;
  if (day === yesterday.toDateString()) return t.value.yesterday;
  return formatDay(time);
}
