/** The part of `node:test` that the tests use, for pages: tests run one after the other once all are known. */

type Body = () => unknown;

/** What a page tells whoever drives it: `failures` by the name of their test, `passed` when all have run. */
interface Report {
  failures: Record<string, string>;
  passed: number;
  running: string | null;
  done: boolean;
}

const report: Report = { failures: {}, passed: 0, running: null, done: false };
const tests: { name: string; body: Body }[] = [];

// Promises settle before the next message of a port, as before Node's next immediate.
const turns: Body[] = [];
const { port1, port2 } = new MessageChannel();
port1.onmessage = () => turns.shift()?.();
Object.assign(globalThis, {
  chappeReport: report,
  setImmediate: (turn: Body) => {
    turns.push(turn);
    port2.postMessage(null);
  },
});

export function test(name: string, body: Body): void {
  tests.push({ name, body });
}

setTimeout(async () => {
  for (const { name, body } of tests) {
    report.running = name;
    try {
      await body();
      report.passed += 1;
    } catch (error) {
      report.failures[name] = error instanceof Error ? `${error.message}\n${error.stack}` : String(error);
    }
  }
  report.running = null;
  report.done = true;
});
