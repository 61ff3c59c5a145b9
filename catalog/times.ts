import type { z } from 'zod';

/** As of what lies in a destination: PostgreSQL has no year 0, and no clock of ours was ever so wrong. */
export const since1970 = (time: z.ZodISODateTime) =>
  time.refine((text) => text >= '1970', 'a time from the year 1970 on');

/** So far the clocks of several machines may be apart. */
export const CLOCKS_APART_MS = 5 * 60_000;

/** Whether something says that it was made at a time that is still to come, or at none that there is. */
export function liesAhead(madeAt: Date): boolean {
  return !(madeAt.getTime() <= Date.now() + CLOCKS_APART_MS);
}
