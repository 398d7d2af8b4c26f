/** Asks for a name and a room. */

import { useSignal } from "@preact/signals";
import { type ComponentChildren, type JSX, type TargetedSubmitEvent } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";
import { askedRoom, enter, lastName, leave, refusal, visit } from "./chat_state";
import { ConnectionBanner, StateChip, wordsOf } from "./connection_state";
import { MAX_NAME, channelOf, isNameInUse, isRoom } from "./room";
import { t } from "./texts";

export function Door(): JSX.Element {
  const name = useSignal(lastName());
  const room = useSignal(askedRoom());
  const tried = useSignal(false);
  const nameField = useRef<HTMLInputElement>(null);
  const entering = visit.value !== null;
  const nameFault = refusedName(name.value) ?? (tried.value ? faultOfName(name.value) : null);
  const roomFault = isRoom(room.value.trim()) ? null : t.value.roomBad;

  useEffect(() => {
    if (!entering) nameField.current?.focus();
  }, [entering]);

  const submit = (event: TargetedSubmitEvent<HTMLFormElement>): void => {
    event.preventDefault();
    tried.value = true;
    if (faultOfName(name.value) === null && isRoom(room.value.trim())) enter(name.value.trim(), room.value.trim());
    else nameField.current?.focus();
  };

  return (
    <div class="door">
      <form class="card door-card" onSubmit={submit} noValidate>
        <h1>{t.value.title}</h1>
        <p class="lead">{t.value.lead}</p>
        <Refusal />
        <Field label={t.value.name} hint={t.value.nameHint} fault={nameFault}>
          {(field) => (
            <input
              {...field}
              ref={nameField}
              name="name"
              autoComplete="nickname"
              disabled={entering}
              value={name.value}
              onInput={(event) => (name.value = event.currentTarget.value)}
            />
          )}
        </Field>
        <Field label={t.value.room} hint={t.value.roomHint(channelOf(room.value.trim()))} fault={roomFault}>
          {(field) => (
            <input
              {...field}
              name="room"
              autoComplete="off"
              disabled={entering}
              value={room.value}
              onInput={(event) => (room.value = event.currentTarget.value)}
            />
          )}
        </Field>
        <div class="door-actions">
          <button type="submit" class="button primary" disabled={entering}>
            {entering ? t.value.joining : t.value.join}
          </button>
          {entering && <button type="button" class="button" onClick={leave}>{t.value.cancel}</button>}
          {visit.value && <StateChip connection={visit.value.connection.value} />}
        </div>
        {visit.value && <ConnectionBanner room={visit.value} />}
      </form>
    </div>
  );
}

/** Everything the hub refuses but a name in use, which is told beside the field. */
function Refusal(): JSX.Element | null {
  const error = refusal.value?.error;
  if (!error || isNameInUse(error)) return null;
  return <p class="banner bad" role="alert"><strong>{t.value.refused}</strong> {wordsOf(error)}</p>;
}

function refusedName(name: string): string | null {
  const refused = refusal.value;
  if (refused === null || !isNameInUse(refused.error) || refused.name !== name.trim()) return null;
  return t.value.nameInUse(refused.name);
}

function faultOfName(name: string): string | null {
  if (name.trim() === "") return t.value.nameMissing;
  return [...name.trim()].length > MAX_NAME ? t.value.nameTooLong : null;
}

interface FieldProps {
  readonly label: string;
  readonly hint: string;
  readonly fault: string | null;
  readonly children: (field: Record<string, string | boolean>) => ComponentChildren;
}

function Field({ label, hint, fault, children }: FieldProps): JSX.Element {
  const id = useId();
  const field = { id, class: "input", "aria-describedby": `${id}-hint`, "aria-invalid": fault !== null };
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {children(field)}
      <p id={`${id}-hint`} class={fault ? "hint bad" : "hint"} role={fault ? "alert" : undefined}>{fault ?? hint}</p>
    </div>
  );
}
