/** Catches what nobody caught, in Node and in a page. @returns the errors so far, and what stops catching */
export function catchUncaught(): { errors: unknown[]; stop: () => void } {
  const errors: unknown[] = [];
  if (typeof process !== "undefined") {
    const note = (error: unknown) => errors.push(error);
    const others = process.listeners("uncaughtException");
    process.removeAllListeners("uncaughtException").on("uncaughtException", note);
    const stop = () => {
      process.off("uncaughtException", note);
      for (const listener of others) process.on("uncaughtException", listener);
    };
    return { errors, stop };
  }
  const note = (event: ErrorEvent) => {
    event.preventDefault();
    errors.push(event.error);
  };
  addEventListener("error", note);
  return { errors, stop: () => removeEventListener("error", note) };
}
