/** The part of `node:assert/strict` that the tests use, for pages. */

export class AssertionError extends Error {
  override readonly name = "AssertionError";
}

type Expected = RegExp | ((error: unknown) => boolean) | Record<string, unknown>;

function fail(message = "failed"): never {
  throw new AssertionError(message);
}

function ok(value: unknown, message = `${String(value)} is not true`): void {
  if (!value) fail(message);
}

function equal(actual: unknown, expected: unknown): void {
  if (!Object.is(actual, expected)) fail(`${show(actual)} is not ${show(expected)}`);
}

function notEqual(actual: unknown, expected: unknown): void {
  if (Object.is(actual, expected)) fail(`is ${show(actual)}`);
}

function deepEqual(actual: unknown, expected: unknown): void {
  if (!same(actual, expected)) fail(`${show(actual)} is not ${show(expected)}`);
}

function match(text: string, pattern: RegExp): void {
  if (!pattern.test(text)) fail(`${show(text)} does not match ${pattern}`);
}

function throws(call: () => unknown, expected?: Expected): void {
  try {
    call();
  } catch (error) {
    return check(error, expected);
  }
  fail("nothing was thrown");
}

async function rejects(promise: Promise<unknown> | (() => Promise<unknown>), expected?: Expected): Promise<void> {
  try {
    await (typeof promise === "function" ? promise() : promise);
  } catch (error) {
    return check(error, expected);
  }
  fail("nothing was rejected");
}

function check(error: unknown, expected: Expected | undefined): void {
  if (expected === undefined) return;
  if (expected instanceof RegExp) return match(String(error), expected);
  if (typeof expected === "function") return ok(expected(error), `not the error expected: ${String(error)}`);
  for (const [name, value] of Object.entries(expected)) deepEqual((error as Record<string, unknown>)[name], value);
}

function same(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (Object.getPrototypeOf(a) !== Object.getPrototypeOf(b)) return false;
  const [names, others] = [Object.keys(a), Object.keys(b)];
  const field = (value: object, name: string) => (value as Record<string, unknown>)[name];
  return names.length === others.length && names.every((name) => name in b && same(field(a, name), field(b, name)));
}

function show(value: unknown): string {
  return JSON.stringify(value, (_, item: unknown) => (item === undefined ? "undefined" : item)) ?? String(value);
}

export default { deepEqual, equal, fail, match, notEqual, ok, rejects, throws };
