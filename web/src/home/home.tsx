/** The first page: how the hub is, what it offers, how to begin. */

import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { formatCount } from "../i18n/language";
import { hubUrl, socketUrl } from "../shell/hub";
import type { Page } from "../shell/router";
import { follow } from "../shell/shell";
import { CopyButton } from "../ui/copy_button";
import { ChatIcon, ClientIcon } from "../ui/icons";
import { Segmented } from "../ui/segmented";
import { PROGRAMS, PROGRAM_NAMES, type Program, snippet } from "./snippets";
import { type Bridge, status, watchStatus } from "./status";
import { t } from "./texts";

const TONES = { checking: "idle", ready: "ok", notReady: "warn", unreachable: "bad" } as const;

export function Home(): JSX.Element {
  useEffect(watchStatus, []);
  return (
    <div class="home">
      <header class="home-head">
        <h1>{t.value.title}</h1>
        <p class="lead">{t.value.lead}</p>
      </header>
      <Status />
      <Bridges />
      <section class="home-section" aria-labelledby="applications">
        <h2 id="applications">{t.value.applications}</h2>
        <div class="cards">
          <AppCard to="apps/chat" icon={<ChatIcon />} title={t.value.chatTitle} text={t.value.chatText} />
          <AppCard to="apps/client" icon={<ClientIcon />} title={t.value.clientTitle} text={t.value.clientText} />
        </div>
      </section>
      <Begin />
      <Endpoints />
      <Reference />
    </div>
  );
}

function Status(): JSX.Element {
  const { readiness, version, answerMs } = status.value;
  return (
    <dl class="facts">
      <div class="fact">
        <dt>{t.value.status}</dt>
        <dd><span class={`chip ${TONES[readiness]}`} role="status" data-readiness={readiness}>{t.value[readiness]}</span></dd>
      </div>
      <div class="fact">
        <dt>{t.value.version}</dt>
        <dd>{version ?? "–"}</dd>
      </div>
      <div class="fact">
        <dt>{t.value.answerTime}</dt>
        <dd>{answerMs === null ? "–" : t.value.milliseconds(formatCount(Math.max(1, Math.round(answerMs))))}</dd>
      </div>
      <div class="fact wide">
        <dt>{t.value.address}</dt>
        <dd class="mono">{socketUrl("ws")}</dd>
      </div>
    </dl>
  );
}

const BRIDGE_TONES = { connected: "ok", connecting: "warn", "standing-by": "idle", stopped: "idle" } as const;

function Bridges(): JSX.Element | null {
  const { bridges } = status.value;
  if (bridges.length === 0) return null;
  return (
    <section class="home-section" aria-labelledby="bridges">
      <h2 id="bridges">{t.value.bridges}</h2>
      <ul class="card rows">
        {bridges.map((bridge) => (
          <li key={bridge.name} class="row" data-bridge={bridge.name}>
            <span class="mono row-key">{bridge.name}{bridge.peer && ` ${bridge.peer}`}</span>
            <span class="row-text">{bridge.problem || counted(bridge)}</span>
            <span class={`chip ${BRIDGE_TONES[bridge.state]}`} data-state={bridge.state}>{t.value.bridgeStates[bridge.state]}</span>
          </li>
        ))}
      </ul>
    </section>
  );
}

/** How much came, went, waits and was lost; nothing for who may not know. */
function counted({ counts }: Bridge): string {
  if (counts === null) return "";
  const of = (name: string): string => formatCount(counts[name] ?? 0);
  return t.value.bridgeCounts(of("received"), of("sent"), of("waiting"), of("dropped"));
}

interface AppCardProps {
  readonly to: Page;
  readonly icon: JSX.Element;
  readonly title: string;
  readonly text: string;
}

function AppCard({ to, icon, title, text }: AppCardProps): JSX.Element {
  return (
    <a class="card app-card" href={hubUrl(to)} onClick={follow(to)}>
      <span class="app-icon">{icon}</span>
      <span class="app-words">
        <strong class="app-title">{title}</strong>
        <span class="app-text">{text}</span>
      </span>
    </a>
  );
}

function Begin(): JSX.Element {
  const program = useSignal<Program>("javascript");
  const addresses = { socket: socketUrl("ws"), sdk: hubUrl("chappe.js"), publish: hubUrl("api/publish") };
  const code = snippet(program.value, addresses);
  return (
    <section class="home-section" aria-labelledby="begin">
      <h2 id="begin">{t.value.begin}</h2>
      <p class="section-lead">{t.value.beginLead}</p>
      <div class="card code-card">
        <div class="code-head">
          <Segmented
            legend={t.value.code}
            value={program.value}
            onChoose={(chosen) => (program.value = chosen)}
            choices={PROGRAMS.map((each) => ({ value: each, label: PROGRAM_NAMES[each] }))}
          />
          <CopyButton text={() => code} label={PROGRAM_NAMES[program.value]} />
        </div>
        <pre class="code" tabIndex={0}><code>{code}</code></pre>
        {program.value === "curl" && <p class="hint code-note">{t.value.needsKey}</p>}
      </div>
    </section>
  );
}

function Endpoints(): JSX.Element {
  const rows = [
    [socketUrl("ws"), t.value.endpointChappe],
    [socketUrl(""), t.value.endpointRoot],
    [socketUrl("echo"), t.value.endpointEcho],
    [socketUrl("broadcast"), t.value.endpointBroadcast],
    [socketUrl("mqtt"), t.value.endpointMqtt],
    [hubUrl("api/publish"), t.value.endpointPublish],
  ] as const;
  return (
    <section class="home-section" aria-labelledby="endpoints">
      <h2 id="endpoints">{t.value.endpoints}</h2>
      <ul class="card rows">
        {rows.map(([url, text]) => (
          <li key={url} class="row">
            <span class="mono row-key">{url}</span>
            <span class="row-text">{text}</span>
            <CopyButton text={() => url} label={url} />
          </li>
        ))}
      </ul>
    </section>
  );
}

function Reference(): JSX.Element {
  const links = [
    ["openapi.json", t.value.openapi],
    ["metrics", t.value.metrics],
    ["readyz", t.value.readiness],
    ["chappe.js", t.value.sdk],
  ] as const;
  return (
    <section class="home-section" aria-labelledby="reference">
      <h2 id="reference">{t.value.reference}</h2>
      <ul class="card rows">
        {links.map(([path, text]) => (
          <li key={path} class="row">
            <a class="mono row-key" href={hubUrl(path)}>/{path}</a>
            <span class="row-text">{text}</span>
          </li>
        ))}
      </ul>
    </section>
  );
}
