import { CancellationScope, isCancellation } from '@temporalio/workflow';

import type { Adopted } from '../activities/adopt-dump.ts';
import type { DumpFound, DumpsFound } from '../activities/find-dumps.ts';
import type { NamedDestination } from '../activities/plans.ts';
import { TOLD } from './copy-to.ts';
import { reasonOf, type Reason } from './failure.ts';
import { onAnyHost } from './on-host.ts';
import { control, heavy } from './steps.ts';
import { DESTINATION_TROUBLE, waitingForRoom, type Wait } from './waits.ts';

/** A dump of another job that became a backup, or why it did not. */
export interface AdoptedDump {
  readonly destination: string;
  readonly key: string;
  /** Null, like the next one, for what is none that could be taken. */
  readonly environment: string | null;
  readonly backupId: string | null;
  /** What is odd about it, in words. */
  readonly anomaly: string | null;
  readonly reason?: Reason;
}

/**
 * Makes backups of the dumps that other jobs left in a destination, one after the other. One that cannot be taken leaves the others
 * alone. `more`: how many are left for the next run.
 */
export async function adoptDumps(
  destination: NamedDestination,
  hosts: readonly string[],
  wait: Wait,
  tell: (dump: AdoptedDump) => void,
): Promise<{ more: number }> {
  const { name } = destination;
  const found = await waitingForRoom(
    wait,
    (): Promise<DumpsFound> =>
      onAnyHost(hosts, (host) =>
        heavy(host, wait.endsAt, `look for dumps in ${name}`, TOLD).findDumps({ destination }),
      ),
    DESTINATION_TROUBLE,
  );
  for (const { key, why } of found.refused) {
    const reason = { code: 'bad-content', message: why };
    tell({ destination: name, key, environment: null, backupId: null, anomaly: null, reason });
  }
  for (const dump of found.dumps) {
    const { key, backupId } = dump;
    const of = { destination: name, key, environment: dump.environment.id, backupId };
    try {
      const { anomaly } = await waitingForRoom(
        wait,
        (): Promise<Adopted> =>
          onAnyHost(hosts, (host) => heavy(host, wait.endsAt, `adopt ${key}`, TOLD).adoptDump({ destination, dump })),
        DESTINATION_TROUBLE,
      );
      tell({ ...of, anomaly });
    } catch (error) {
      const reason = reasonOf(error);
      await CancellationScope.nonCancellable(() => close(dump, reason));
      if (isCancellation(error)) throw error;
      tell({ ...of, anomaly: null, reason });
    }
  }
  return { more: found.more };
}

/** What it stored stays for the next run, which goes on with it. */
async function close({ backupId }: DumpFound, reason: Reason): Promise<void> {
  // It belongs to another run, or is closed by that.
  if (reason.code === 'refused') return;
  try {
    await control.finishBackup({ backupId, state: 'failed', reason });
  } catch (error) {
    // Closed by the step itself, or not begun.
    if (!['refused', 'not-known'].includes(reasonOf(error).code)) throw error;
  }
}
