import { CancellationScope, isCancellation, sleep, upsertSearchAttributes } from '@temporalio/workflow';

import type { Removal } from '../activities/old-databases.ts';
import { onAnyHost } from './on-host.ts';
import { beforeAll } from './opening.ts';
import { showPhase } from './phase.ts';
import { searchAttributes } from './search-attributes.ts';
import { control, light } from './steps.ts';
import { HOST_OR_ROOM, waitingForRoom, waitNext, waitState, type Waits } from './waits.ts';
import { timeInWords } from './words.ts';

/** Removes the database that a restore replaced, after its time of grace. Cancelling this run keeps the database. */
export async function dropOldDatabase(input: Removal): Promise<void> {
  const { restoreId, database, environment, server, until } = input;
  const title = `**The replaced database of ${environment}** (${database} on ${server.name})`;
  upsertSearchAttributes([{ key: searchAttributes.environment, value: environment }]);
  showPhase('waiting', {
    title,
    state: `**Kept** until ${timeInWords(until)}, closed to everybody; then it is dropped.`,
    next: `none. Cancel this run to keep the database for good; \`ALTER DATABASE ${database} ALLOW_CONNECTIONS true\` opens it.`,
  });
  try {
    await sleep(Math.max(Date.parse(until) - Date.now(), 1), { summary: `keeps ${database}` });
  } catch (error) {
    if (isCancellation(error)) {
      await CancellationScope.nonCancellable(() => control.keepOldDatabase({ restoreId }));
      const next = 'drop it by hand when nobody needs it any more.';
      showPhase('done', { title, state: '**Cancelled:** the database is kept for good.', next });
    }
    throw error;
  }
  await beforeAll(`Drop of ${database}`, () => dropOnSomeHost(input, title));
  showPhase('done', { title, state: '**Done.** The database was dropped.', next: 'none.' });
}

/** On whichever host is there by then: the one that restored may be gone for good. */
async function dropOnSomeHost({ hosts, ...step }: Removal, title: string): Promise<void> {
  const { restoreId, server, database, oid } = step;
  const endsAt = new Date(Date.now() + 7 * 86_400_000);
  const waits: Waits = new Map();
  const show = (): void => {
    const waiting = waits.size > 0;
    const state = waiting ? waitState(waits) : '**Now:** drops the database.';
    const next = waiting ? waitNext(waits) : 'none for you.';
    showPhase(waiting ? 'waiting' : 'cleaning', { title, state, next }, waiting ? 'resource' : 'nothing');
  };
  show();
  await waitingForRoom(
    { endsAt, what: `a host that can drop ${database}`, waits, show },
    () =>
      onAnyHost(hosts, (host) =>
        light(host, endsAt, `drop ${database}`).dropDatabase({ restoreId, server, database, oid }),
      ),
    HOST_OR_ROOM,
  );
}
