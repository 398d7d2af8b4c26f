/** Where to connect to, and how the connection stands. */

import type { JSX, TargetedSubmitEvent } from "preact";
import { socketUrl } from "../../shell/hub";
import { PROTOCOLS, type Protocol, connect, otherProtocols, protocol, socket, url } from "./client_state";
import { t } from "./texts";

const TONES = { closed: "idle", connecting: "warn", open: "ok", closing: "warn" } as const;

export function ConnectBar(): JSX.Element {
  const state = socket.state.value;
  const busy = state !== "closed";
  const submit = (event: TargetedSubmitEvent<HTMLFormElement>): void => {
    event.preventDefault();
    if (busy) socket.disconnect();
    else connect();
  };
  return (
    <form class="connect-bar" onSubmit={submit}>
      <h1 class="connect-title">{t.value.title}</h1>
      <span class={`chip ${TONES[state]}`} role="status" data-state={state}>
        {t.value[`state_${state}`]}
        {socket.protocol.value && <span class="chip-more">{socket.protocol.value}</span>}
      </span>
      <div class="connect-fields">
        <Address disabled={busy} />
        <ProtocolChoice disabled={busy} />
        <button type="submit" class={busy ? "button" : "button primary"} data-action={busy ? "disconnect" : "connect"}>
          {busy ? t.value.disconnect : t.value.connect}
        </button>
      </div>
    </form>
  );
}

function Address({ disabled }: { disabled: boolean }): JSX.Element {
  return (
    <>
      <input
        class="input mono connect-url"
        name="url"
        type="text"
        inputMode="url"
        spellcheck={false}
        autoComplete="off"
        autoCapitalize="off"
        list="addresses"
        aria-label={t.value.url}
        title={t.value.urlHint}
        placeholder="wss://"
        disabled={disabled}
        value={url.value}
        onInput={(event) => (url.value = event.currentTarget.value)}
      />
      <datalist id="addresses">
        {["ws", "echo", "broadcast", ""].map((path) => <option key={path} value={socketUrl(path)} />)}
      </datalist>
    </>
  );
}

function ProtocolChoice({ disabled }: { disabled: boolean }): JSX.Element {
  return (
    <>
      <select
        class="input connect-protocol"
        name="protocol"
        aria-label={t.value.protocol}
        title={t.value.protocol}
        disabled={disabled}
        value={protocol.value}
        onChange={(event) => (protocol.value = event.currentTarget.value as Protocol)}
      >
        {PROTOCOLS.map((each) => <option key={each} value={each}>{nameOf(each)}</option>)}
      </select>
      {protocol.value === "other" && (
        <input
          class="input mono connect-other"
          name="protocols"
          spellcheck={false}
          autoComplete="off"
          aria-label={t.value.protocolNames}
          placeholder={t.value.protocolNames}
          disabled={disabled}
          value={otherProtocols.value}
          onInput={(event) => (otherProtocols.value = event.currentTarget.value)}
        />
      )}
    </>
  );
}

function nameOf(each: Protocol): string {
  if (each === "none") return t.value.protocolNone;
  return each === "other" ? t.value.protocolOther : each;
}
