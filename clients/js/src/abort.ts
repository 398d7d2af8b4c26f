/** AbortSignals: they end the waiting, and whatever of the request can still be taken back. */

/** @throws the signal's reason if it was aborted before; `abort` is called at most once. @returns what stops listening */
export function onAbort(signal: AbortSignal | undefined, abort: (reason: unknown) => void): () => void {
  signal?.throwIfAborted();
  const listener = (): void => abort(signal?.reason);
  signal?.addEventListener("abort", listener, { once: true });
  return () => signal?.removeEventListener("abort", listener);
}
