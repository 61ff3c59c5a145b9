import type { Client } from '@temporalio/client';

import { openWindow } from '../../activities/time-of-day.ts';
import type { Queries } from '../../catalog/open.ts';
import { verifiedSince } from '../../catalog/verified-backup.ts';
import type { AppliedConfig } from '../../config/schema.ts';
import { selectEnvironments } from '../../config/select-environments.ts';
import { timeInWords } from '../routine.ts';
import { joinRun, type RunId } from '../start.ts';
import type { ScheduleStep } from './schedules.ts';

/** A night that Temporal has lost with the schedule of its routine, and that can still be finished. */
export interface MissingNight {
  readonly routine: string;
  /** The slot: from then on a backup counts. */
  readonly since: Date;
  readonly timezone: string;
  readonly environments: readonly string[];
}

/**
 * The nights to be finished: of routines that were applied before and whose schedules are gone, while what their last
 * slot should have started would still be started. A routine that is new waits for its first slot.
 */
export async function planMissing(
  catalog: Queries,
  applied: AppliedConfig,
  schedules: readonly ScheduleStep[],
  formerly: readonly string[],
  now = new Date(),
): Promise<MissingNight[]> {
  const nights: MissingNight[] = [];
  for (const { routine, action } of schedules) {
    const config = applied.routines[routine];
    if (action !== 'create' || config?.run !== 'backupDatabase' || !formerly.includes(routine)) continue;
    const window = openWindow(now, config);
    if (window === null) continue;
    const selected = selectEnvironments(applied, config.environments);
    const done = await verifiedSince(catalog, selected, window.since.toISOString());
    const environments = selected.filter((environment) => !done.has(environment));
    if (environments.length > 0) nights.push({ routine, since: window.since, timezone: config.timezone, environments });
  }
  return nights;
}

export function missingInWords({ routine, since, timezone, environments }: MissingNight): string {
  const named = environments.slice(0, 10).join(', ') + (environments.length > 10 ? ', …' : '');
  return `run ${routine} now for what has no backup since ${timeInWords(since, timezone)}: ${environments.length} of its environments (${named})`;
}

/** Of the run that `runMissing` starts: one at a time. */
export function missingRunId(routine: string): string {
  return `runRoutine/${routine}`;
}

/** Starts what is missing of a routine's last slot, or joins the run that does it already. */
export async function runMissing(client: Client, routine: string): Promise<RunId> {
  return await joinRun(client, {
    workflow: 'runRoutine',
    input: { routine, missing: true },
    subject: routine,
    summary: `${routine}: what is missing`,
  });
}
