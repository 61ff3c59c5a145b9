import {
  ParentClosePolicy,
  isCancellation,
  startChild,
  upsertSearchAttributes,
  uuid4,
  workflowInfo,
} from '@temporalio/workflow';
import {
  SearchAttributeType,
  WorkflowExecutionAlreadyStartedError,
  defineSearchAttributeKey,
} from '@temporalio/common';

import type { Removal } from '../activities/old-databases.ts';
import { removalRunId, type NamedDestination, type RoutinePlan } from '../activities/plans.ts';
import { newBackupId } from '../catalog/backup-id.ts';
import { copyBackups } from './copy-backups.ts';
import { dropOldDatabase } from './drop-old-database.ts';
import { reasonOf } from './failure.ts';
import type { RoutineInput } from './inputs.ts';
import { Night, type RoutineResult } from './night.ts';
import { chooseHost } from './on-host.ts';
import { beforeAll, openRun } from './opening.ts';
import { searchAttributes } from './search-attributes.ts';
import { control, light, probe, soon } from './steps.ts';
import { syncTonight } from './sync-tonight.ts';

/** Set by Temporal on what a schedule starts. */
const SCHEDULED_AT = defineSearchAttributeKey('TemporalScheduledStartTime', SearchAttributeType.DATETIME);

/**
 * One night: first what earlier runs have left undone, then a child for each environment, under limits, and at last the
 * copies that are missing.
 */
export async function runRoutine(input: RoutineInput): Promise<RoutineResult> {
  openRun('runRoutine', input, { routine: 'name', 'missing?': 'flag' }, '{"routine": "nightly"}');
  upsertSearchAttributes([{ key: searchAttributes.routine, value: input.routine }]);
  const startedAt = new Date(Date.now()).toISOString();
  const scheduledAt = workflowInfo().typedSearchAttributes.get(SCHEDULED_AT)?.toISOString();
  const { settled, plan } = await beforeAll(`Routine ${input.routine}`, async () => ({
    settled: await control.settleLostRuns(),
    plan: await control.resolveRoutine({
      ...input,
      startedAt,
      ...(scheduledAt === undefined ? {} : { scheduledAt }),
    }),
  }));
  if (plan.work.run === 'syncCatalog') return await syncTonight(input.routine, plan);
  const night = new Night(input.routine, { ...plan, work: plan.work });
  if (settled.closed > 0) night.note('closed, because no run owned them', settled.rows.join(', '));
  await startRemovals(settled.removals);
  // Beside the night, so that a host that does not answer delays nothing.
  const tidied = Promise.all(plan.hosts.map((host) => tidy(host, night)));
  await night.run();
  if (plan.work.run === 'backupDatabase') {
    await payDebts(input.routine, night);
    await keepCatalog(plan, night);
  }
  await tidied;
  return night.end();
}

/** Temporal has lost the runs that would have removed these databases. */
async function startRemovals(removals: readonly Removal[]): Promise<void> {
  for (const removal of removals) {
    try {
      await startChild(dropOldDatabase, {
        workflowId: removalRunId(removal.environment, removal.restoreId),
        args: [removal],
        parentClosePolicy: ParentClosePolicy.ABANDON,
        staticSummary: `removes ${removal.database}`,
      });
    } catch (error) {
      // Another night's run has done it in this moment.
      if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
    }
  }
}

/**
 * Copies that could not be made, tonight or before, are made from others as soon as their destination is back: by runs of their
 * own, which wait for it, so that no night waits for another's debts.
 */
async function payDebts(routine: string, night: Night): Promise<void> {
  const debts = await control.findDebts({ routine });
  for (const { environment, to } of debts) {
    try {
      await startChild(copyBackups, {
        workflowId: `copyBackups/${environment}/debts`,
        args: [{ environment, to, routine }],
        parentClosePolicy: ParentClosePolicy.ABANDON,
        staticSummary: `${routine}: copies that ${environment} lacks`,
      });
    } catch (error) {
      // That of the night before still waits for its destination.
      if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
    }
  }
  if (debts.length > 0)
    night.note('missing copies are made by runs of their own', debts.map(({ environment }) => environment).join(', '));
}

/** With what the night has entered. One destination that has it is enough for the night; which have not is told. */
async function keepCatalog({ catalogTo }: RoutinePlan, night: Night): Promise<void> {
  const id = newBackupId(new Date(Date.now()), uuid4());
  const byHost = new Map<string, NamedDestination[]>();
  const kept: string[] = [];
  const failed: string[] = [];
  const lacks = (destinations: readonly NamedDestination[], why: unknown): void =>
    void failed.push(`${destinations.map(({ name }) => name).join(', ')}: ${reasonOf(why).message}`);
  for (const { hosts, destination } of catalogTo) {
    try {
      const { host } = await chooseHost(hosts, (one) => probe(one, `is ${one} there?`).checkHost());
      byHost.set(host, [...(byHost.get(host) ?? []), destination]);
    } catch (error) {
      if (isCancellation(error)) throw error;
      lacks([destination], error);
    }
  }
  for (const [host, destinations] of byHost) {
    try {
      const done = await light(host, soon(), 'back up the catalog').backUpCatalog({ id, destinations });
      kept.push(...done.kept);
      failed.push(...done.failed.map(({ destination, message }) => `${destination}: ${message}`));
    } catch (error) {
      if (isCancellation(error)) throw error;
      lacks(destinations, error);
    }
  }
  if (kept.length > 0) night.note('the catalog is backed up in', kept.join(', '));
  if (failed.length > 0) night.note('the catalog is not backed up in', failed.join('; '));
  if (kept.length === 0 && failed.length > 0) night.lacksCatalog();
}

/** A host that cannot be tidied makes no night fail; it is told on the page. */
async function tidy({ host, servers }: RoutinePlan['hosts'][number], night: Night): Promise<void> {
  try {
    const { removed, kept } = await probe(host, `tidy ${host}`).tidyHost({ servers });
    if (removed.length > 0) night.note(`removed on ${host}, left by runs that ended`, removed.join(', '));
    if (kept.length > 0) night.note(`kept on ${host}`, kept.join('; '));
  } catch (error) {
    if (!isCancellation(error)) night.note(`${host} was not tidied`, reasonOf(error).message);
  }
}
