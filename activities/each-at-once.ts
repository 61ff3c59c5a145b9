/** Most of the time of a small object is the way there and back; a destination takes so many at once without harm. */
const AT_ONCE = 8;

/** Does the same for each of them, a few at once. The first failure ends it, when those that were begun have ended. */
export async function eachAtOnce<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const waiting = [...items].reverse();
  const lanes = Array.from({ length: AT_ONCE }, async () => {
    for (let item = waiting.pop(); item !== undefined; item = waiting.pop()) {
      try {
        await work(item);
      } catch (error) {
        waiting.length = 0;
        throw error;
      }
    }
  });
  await Promise.allSettled(lanes);
  await Promise.all(lanes);
}
