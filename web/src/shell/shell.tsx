/** The frame around every page: navigation, language, theme. */

import { useSignalEffect } from "@preact/signals";
import type { JSX } from "preact";
import { chooseLanguage, language } from "../i18n/language";
import { ChatIcon, ClientIcon, HomeIcon, Logo, MoonIcon, SunIcon, SystemIcon } from "../ui/icons";
import { Segmented } from "../ui/segmented";
import { Content } from "./content";
import { hubUrl } from "./hub";
import { type Page, open, page } from "./router";
import { t } from "./texts";
import { THEMES, chooseTheme, theme } from "./theme";

const THEME_ICONS = { system: <SystemIcon />, light: <SunIcon />, dark: <MoonIcon /> };

export function Shell(): JSX.Element {
  useSignalEffect(() => {
    document.title = page.value === "" ? "Chappe" : `${titleOf(page.value)} – Chappe`;
  });
  return (
    <div class="shell">
      <a class="skip" href="#content">{t.value.skip}</a>
      <header class="side">
        <a class="brand" href={hubUrl("")} onClick={follow("")}>
          <Logo />
          <span class="brand-name">Chappe</span>
        </a>
        <Navigation />
        <Choices />
      </header>
      <main id="content" class="content" tabIndex={-1}>
        <Content />
      </main>
    </div>
  );
}

function titleOf(shown: Page | null): string {
  if (shown === "apps/client") return t.value.client;
  if (shown === "apps/chat") return t.value.chat;
  return shown === "" ? t.value.home : t.value.notFoundTitle;
}

function Navigation(): JSX.Element {
  return (
    <nav class="nav" aria-label={t.value.sections}>
      <p class="nav-group">{t.value.groupHub}</p>
      <Entry to="" label={t.value.home} short={t.value.homeShort} icon={<HomeIcon />} />
      <p class="nav-group">{t.value.groupTools}</p>
      <Entry to="apps/client" label={t.value.client} short={t.value.clientShort} icon={<ClientIcon />} />
      <p class="nav-group">{t.value.groupApps}</p>
      <Entry to="apps/chat" label={t.value.chat} icon={<ChatIcon />} />
    </nav>
  );
}

interface EntryProps {
  readonly to: Page;
  readonly label: string;
  readonly short?: string;
  readonly icon: JSX.Element;
}

function Entry({ to, label, short, icon }: EntryProps): JSX.Element {
  return (
    <a class="nav-entry" href={hubUrl(to)} onClick={follow(to)} aria-current={page.value === to ? "page" : undefined}>
      {icon}
      <span class="nav-long">{label}</span>
      <span class="nav-short" aria-hidden="true">{short ?? label}</span>
    </a>
  );
}

function Choices(): JSX.Element {
  return (
    <div class="choices">
      <Segmented
        legend={t.value.language}
        value={language.value}
        onChoose={chooseLanguage}
        choices={[
          { value: "en", label: "EN" },
          { value: "fr", label: "FR" },
        ]}
      />
      <Segmented
        legend={t.value.theme}
        value={theme.value}
        onChoose={chooseTheme}
        choices={THEMES.map((each) => ({ value: each, label: t.value[`theme_${each}`], icon: THEME_ICONS[each] }))}
      />
    </div>
  );
}

/** Follows a link inside the page; clicks that ask for another tab or window stay the browser's. */
export function follow(to: Page): (event: MouseEvent) => void {
  return (event) => {
    if (event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    open(to);
  };
}
