import { isCancellation, setCurrentDetails, sleep, upsertSearchAttributes } from '@temporalio/workflow';

import type { RestorePlan } from '../activities/plans.ts';
import { durationMs } from '../config/duration.ts';
import { searchAttributes } from './search-attributes.ts';
import { light } from './steps.ts';

export interface DropInput {
  readonly environment: string;
  readonly host: string;
  readonly database: string;
  readonly oid: number;
  readonly keepFor: string;
  readonly plan: RestorePlan;
}

/** Removes the database that a restore replaced, after its days of grace. Cancelling this run keeps the database. */
export async function dropOldDatabase(input: DropInput): Promise<void> {
  const until = new Date(Date.now() + durationMs(input.keepFor)).toISOString();
  upsertSearchAttributes([
    { key: searchAttributes.environment, value: input.environment },
    { key: searchAttributes.needs, value: 'nothing' },
  ]);
  setCurrentDetails(
    `Keeps **${input.database}**, which a restore replaced, until ${until}; then it is dropped.\n\nNext step: none, or cancel this run to keep the database for good.`,
  );
  try {
    await sleep(durationMs(input.keepFor), { summary: `keeps ${input.database}` });
  } catch (error) {
    if (isCancellation(error))
      setCurrentDetails(`**${input.database}** is kept for good; drop it by hand when it is not needed any more.`);
    throw error;
  }
  const endsAt = new Date(Date.now() + 7 * 86_400_000);
  await light(input.host, endsAt, `drop ${input.database}`).dropDatabase({
    plan: input.plan,
    database: input.database,
    oid: input.oid,
  });
  setCurrentDetails(`**${input.database}** was dropped.`);
}
