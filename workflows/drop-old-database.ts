import { isCancellation, sleep, upsertSearchAttributes } from '@temporalio/workflow';

import type { RestorePlan } from '../activities/plans.ts';
import { durationMs } from '../config/duration.ts';
import { beforeAll } from './opening.ts';
import { showPhase } from './phase.ts';
import { searchAttributes } from './search-attributes.ts';
import { light } from './steps.ts';
import { timeInWords } from './words.ts';

export interface DropInput {
  readonly environment: string;
  readonly host: string;
  readonly database: string;
  readonly oid: number;
  readonly keepFor: string;
  readonly plan: RestorePlan;
}

/** Removes the database that a restore replaced, after its time of grace. Cancelling this run keeps the database. */
export async function dropOldDatabase(input: DropInput): Promise<void> {
  const { database, environment, host, keepFor, oid, plan } = input;
  const title = `**The replaced database of ${environment}** (${database} on ${plan.server.name})`;
  const until = new Date(Date.now() + durationMs(keepFor)).toISOString();
  upsertSearchAttributes([{ key: searchAttributes.environment, value: environment }]);
  showPhase('waiting', {
    title,
    state: `**Kept** until ${timeInWords(until)}, closed to everybody; then it is dropped.`,
    next: `none. Cancel this run to keep the database for good; \`ALTER DATABASE ${database} ALLOW_CONNECTIONS true\` opens it.`,
  });
  try {
    await sleep(durationMs(keepFor), { summary: `keeps ${database}` });
  } catch (error) {
    if (isCancellation(error)) {
      const next = 'drop it by hand when nobody needs it any more.';
      showPhase('done', { title, state: '**Cancelled:** the database is kept for good.', next });
    }
    throw error;
  }
  const endsAt = new Date(Date.now() + 7 * 86_400_000);
  await beforeAll(`Drop of ${database}`, () =>
    light(host, endsAt, `drop ${database}`).dropDatabase({ plan, database, oid }),
  );
  showPhase('done', { title, state: '**Done.** The database was dropped.', next: 'none.' });
}
