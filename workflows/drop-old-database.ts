import { isCancellation, sleep, upsertSearchAttributes } from '@temporalio/workflow';

import type { RestorePlan } from '../activities/plans.ts';
import { durationMs } from '../config/duration.ts';
import { chooseHost, onHost } from './on-host.ts';
import { beforeAll } from './opening.ts';
import { showPhase } from './phase.ts';
import { searchAttributes } from './search-attributes.ts';
import { light, probe } from './steps.ts';
import { HOST_OR_ROOM, waitingForRoom, waitNext, waitState, type Waits } from './waits.ts';
import { timeInWords } from './words.ts';

export interface DropInput {
  readonly environment: string;
  readonly database: string;
  readonly oid: number;
  readonly keepFor: string;
  readonly plan: RestorePlan;
}

/** Removes the database that a restore replaced, after its time of grace. Cancelling this run keeps the database. */
export async function dropOldDatabase(input: DropInput): Promise<void> {
  const { database, environment, keepFor, plan } = input;
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
  await beforeAll(`Drop of ${database}`, () => dropOnSomeHost(input, title));
  showPhase('done', { title, state: '**Done.** The database was dropped.', next: 'none.' });
}

/** On whichever host is there by then: the one that restored may be gone for good. */
async function dropOnSomeHost({ database, oid, plan }: DropInput, title: string): Promise<void> {
  const endsAt = new Date(Date.now() + 7 * 86_400_000);
  const waits: Waits = new Map();
  const show = (): void => {
    const waiting = waits.size > 0;
    const state = waiting ? waitState(waits) : '**Now:** drops the database.';
    const next = waiting ? waitNext(waits, endsAt.toISOString()) : 'none for you.';
    showPhase(waiting ? 'waiting' : 'cleaning', { title, state, next }, waiting ? 'resource' : 'nothing');
  };
  show();
  await waitingForRoom(
    { endsAt, what: `a host that can drop ${database}`, waits, show },
    async () => {
      const { host } = await chooseHost(plan.hosts, (one) => probe(one, `is ${one} there?`).checkHost());
      await onHost(host, () => light(host, endsAt, `drop ${database}`).dropDatabase({ plan, database, oid }));
    },
    HOST_OR_ROOM,
  );
}
