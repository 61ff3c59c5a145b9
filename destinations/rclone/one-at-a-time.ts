/** The last of those who wait, for each name. */
const last = new Map<string, Promise<unknown>>();

/** Lets those who work on one thing do it one after the other; only those of this process know of each other. */
export async function oneAtATime<T>(name: string, work: () => Promise<T>): Promise<T> {
  const before = last.get(name) ?? Promise.resolve();
  const own = before.then(work);
  const settled = own.catch(() => undefined);
  last.set(name, settled);
  try {
    return await own;
  } finally {
    if (last.get(name) === settled) last.delete(name);
  }
}
