// What users install: built once, then used as each kind of user would.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { before, after, test } from "node:test";
import { createContext, runInContext } from "node:vm";
import { FakeClock } from "./fake_clock.js";
import { LittleHttp } from "./little_http.js";

const root = process.cwd();
let project = "";

before(() => {
  execFileSync(process.execPath, ["tools/build.mjs"], { stdio: "pipe" });
  project = mkdtempSync(join(tmpdir(), "chappe-js-"));
  mkdirSync(join(project, "node_modules"));
  symlinkSync(root, join(project, "node_modules", "chappe"));
});
after(() => rmSync(project, { recursive: true, force: true }));

function node(name: string, code: string): string {
  writeFileSync(join(project, name), code);
  return execFileSync(process.execPath, [name], { cwd: project, encoding: "utf8" }).trim();
}

test("it is imported as an ES module and required as CommonJS", () => {
  assert.equal(node("a.mjs", 'import { connect } from "chappe"; console.log(typeof connect)'), "function");
  assert.equal(node("a.cjs", 'console.log(typeof require("chappe").connect)'), "function");
});

test("its types are found by both kinds of module, under strict", () => {
  const code = 'import { connect, type Client } from "chappe";\nexport const client: Client = connect("ws://h/ws");\nexport const data: Promise<number> = client.call<number>("add", { a: 1 });\n';
  for (const name of ["b.mts", "b.cts"]) writeFileSync(join(project, name), code);
  const options = ["--noEmit", "--strict", "--module", "nodenext", "--target", "es2022", "--lib", "es2022,dom", "--types", ""];
  execFileSync(join(root, "node_modules/.bin/tsc"), [...options, "b.mts", "b.cts"], { cwd: project, stdio: "pipe" });
});

test("one file gives a page the global chappe, and touches nothing else of it", () => {
  const page = createContext({ URL, TextEncoder, queueMicrotask, performance, setTimeout, clearTimeout, crypto });
  const before = Object.keys(page);
  runInContext(readFileSync("dist/chappe.js", "utf8"), page);
  assert.deepEqual(Object.keys(page).filter((name) => !before.includes(name)), ["chappe"]);
  assert.deepEqual(Object.keys(page["chappe"]).sort(), ["ChappeError", "Code", "LocalError", "VERSION", "connect", "errorText"]);
});

for (const transport of ["sse", "polling"]) {
  test(`the page's file, whose inner names are shortened, says on the wire what the protocol says: ${transport}`, async () => {
    const page = createContext({ URL, TextEncoder, TextDecoder, AbortController, queueMicrotask, performance, crypto });
    runInContext(readFileSync("dist/chappe.js", "utf8"), page);
    const clock = new FakeClock();
    const http = new LittleHttp(clock);
    const client = page["chappe"].connect("ws://hub.test/ws", { clock, fetch: http.fetch, transports: [transport] });
    const seen: unknown[] = [];
    client.subscribe("news").on("publication", ({ data }: { data: unknown }) => seen.push(data));
    for (let n = 0; n < 3; n++) {
      void client.publish("news", n);
      await clock.advance(100);
    }
    const before = http.asked.length;
    await clock.advance(20_000);
    // Whoever does not acknowledge is told the same again, and asks again at once.
    assert.deepEqual([client.state, seen, http.asked.length - before], ["live", [0, 1, 2], 0]);
    client.disconnect();
    await clock.advance(100);
    assert.deepEqual([http.boxes.size, clock.pending], [0, 0]);
  });
}

test("it needs nothing at run time, and the lock file names no place", () => {
  const manifest = JSON.parse(readFileSync("package.json", "utf8"));
  assert.equal(manifest.dependencies, undefined);
  assert.equal(runtimeVersion(), manifest.version);
  assert.doesNotMatch(readFileSync("package-lock.json", "utf8"), /"resolved"|https?:\/\/[^"]*\.tgz/);
});

test("each module has its test, of the same name or of the noun it serves", () => {
  const served: Record<string, string> = { abort: "client", indexeddb: "durable", seats: "switchboard", tabs: "switchboard", react: "hooks", preact: "hooks", api: "client", calls: "client", connection: "client", network: "client", options: "client", commands: "outbox", clock: "heartbeat", events: "subscription", errors: "protocol", subscriptions: "subscription", transport: "sockets", index: "packaging", page: "packaging", frames: "batch" };
  const tests = new Set(readdirSync("test"));
  for (const name of readdirSync("src").map((file) => file.replace(/(\.generated)?\.ts$/, ""))) {
    assert.ok(tests.has(`${name}.test.ts`) || tests.has(`${served[name]}.test.ts`), name);
  }
});

function runtimeVersion(): string {
  return node("v.mjs", 'import { VERSION } from "chappe"; console.log(VERSION)');
}
