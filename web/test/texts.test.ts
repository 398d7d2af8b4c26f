import { expect, test } from "vitest";
import * as chat from "../src/apps/chat/texts";
import * as client from "../src/apps/client/texts";
import * as home from "../src/home/texts";
import { type Language, language, pickLanguage, formatSize } from "../src/i18n/language";
import * as shell from "../src/shell/texts";

const PARTS = { chat, client, home, shell };

/** Every text of a part; those with parameters are filled with samples. */
function textsOf(part: unknown, path = ""): Map<string, string> {
  const found = new Map<string, string>();
  for (const [key, value] of Object.entries(part as Record<string, unknown>)) {
    const place = `${path}${key}`;
    if (typeof value === "string") found.set(place, value);
    else if (typeof value === "function") found.set(place, String(value("3", 3, "3")));
    else for (const [inner, text] of textsOf(value, `${place}.`)) found.set(inner, text);
  }
  return found;
}

function inLanguage(chosen: Language): Map<string, string> {
  language.value = chosen;
  return new Map(Object.entries(PARTS).flatMap(([name, { t }]) => [...textsOf(t.value, `${name}.`)]));
}

test("both languages have the same texts and none is empty", () => {
  const [english, french] = [inLanguage("en"), inLanguage("fr")];
  expect([...french.keys()].sort()).toEqual([...english.keys()].sort());
  for (const [key, text] of [...english, ...french]) expect(text.trim(), key).not.toBe("");
});

test("french has its spaces before punctuation and its apostrophes", () => {
  for (const [key, text] of inLanguage("fr")) {
    expect(text.replace(/wss?:\/\/|48 65.*|\{"[^}]*\}/g, ""), key).not.toMatch(/[^\u202f][;!?]|[^\u202f]:(?!\/)|«(?!\u00a0)|(?<!\u00a0)»|'/);
  }
});

test("the language is the address's, then the stored one, then the browser's, then english", () => {
  expect(pickLanguage("?lang=fr", "en", ["en"])).toBe("fr");
  expect(pickLanguage("", "fr", ["en"])).toBe("fr");
  expect(pickLanguage("?lang=xx", null, ["de", "fr-CA", "en"])).toBe("fr");
  expect(pickLanguage("", null, ["de"])).toBe("en");
});

test("sizes are written as each language writes them", () => {
  language.value = "en";
  expect([formatSize(812), formatSize(1_536)]).toEqual(["812\u00a0B", "1.5\u00a0KiB"]);
  language.value = "fr";
  expect([formatSize(812), formatSize(1_536)]).toEqual(["812\u00a0o", "1,5\u00a0Kio"]);
});
