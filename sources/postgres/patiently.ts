import { setTimeout as sleep } from 'node:timers/promises';

import { messageOf, nativeCode } from '../../errors/error.ts';
import { SQLSTATE } from '../../postgres/connect.ts';

const ATTEMPTS = 20;

/**
 * Others (an environment's own scripts) change roles too, without our lock: PostgreSQL then answers with a
 * duplicate key or `tuple concurrently updated`. Trying again, or finding it done, is the right answer to both.
 */
export async function patiently(statement: () => Promise<unknown>, doneCode?: string): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await statement();
      return;
    } catch (error) {
      const code = nativeCode(error);
      if (code !== undefined && code === doneCode) return;
      const raced =
        code === SQLSTATE.uniqueViolation ||
        (code === SQLSTATE.internalError && /tuple concurrently (updated|deleted)/.test(messageOf(error)));
      if (!raced || attempt === ATTEMPTS) throw error;
      await sleep(20 + Math.random() * 80);
    }
  }
}
