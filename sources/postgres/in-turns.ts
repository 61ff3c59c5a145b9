/**
 * Lets several workers, such as sessions, take items one after the other from the same list, so that none is idle while
 * there is more. When one fails no other takes another item, and the first failure is thrown after all have ended.
 */
export async function inTurns<T>(
  items: readonly T[],
  workers: number,
  work: (rest: Iterable<T>) => Promise<void>,
): Promise<void> {
  // A loop that is left by a failure ends its generator, for everybody.
  const rest = (function* () {
    yield* items;
  })();
  const count = Math.max(1, Math.min(workers, items.length));
  await settleAll(Array.from({ length: count }, () => work(rest)));
}

/** Waits for all of them, and then throws the failure of the first that has failed. */
export async function settleAll(works: readonly Promise<void>[]): Promise<void> {
  for (const end of await Promise.allSettled(works)) if (end.status === 'rejected') throw end.reason;
}
