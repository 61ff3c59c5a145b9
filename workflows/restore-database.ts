import { uuid4, upsertSearchAttributes, workflowInfo } from '@temporalio/workflow';

import type { RestorePlan } from '../activities/plans.ts';
import { newBackupId } from '../catalog/backup-id.ts';
import { failRun } from './failure.ts';
import type { RestoreInput } from './inputs.ts';
import { beforeAll, endEarly, openRun } from './opening.ts';
import { showPhase } from './phase.ts';
import { check, restoreInto, type RestoreResult } from './restore-into.ts';
import { asFacts, planRows } from './restore-text.ts';
import { searchAttributes } from './search-attributes.ts';
import { control } from './steps.ts';

const FIELDS = {
  'backup?': 'backup',
  'file?': 'path',
  to: 'name',
  'reason?': 'text',
  'ticket?': 'text',
  'requestedBy?': 'text',
} as const;
const EXAMPLE = '{"backup": "20261120T210000Z-1f3a9c04", "to": "acme-prod"}';

/** What `planRestore` says: the rows in words; whether a database that exists would be replaced. */
export interface RestorePreview {
  readonly plan: RestorePlan;
  readonly host: string;
  readonly rows: readonly (readonly [string, string])[];
  readonly replaces: boolean;
}

/** Restores one backup of Cofre's, or a dump by path, into the environment it came from. */
export async function restoreDatabase(input: RestoreInput): Promise<RestoreResult> {
  const plan = await resolve('restoreDatabase', input);
  const at = await beforeAll(`Restore into ${input.to}`, () => check(plan));
  return await restoreInto({ plan, ...at, order: input, whenExists: 'replace' });
}

/** Says what a restore would do, and does nothing. */
export async function planRestore(input: RestoreInput): Promise<RestorePreview> {
  const plan = await resolve('planRestore', input);
  const { host, checked } = await beforeAll(`Plan of a restore into ${input.to}`, () => check(plan));
  const rows = planRows(plan, checked);
  showPhase('done', {
    title: `**Plan of a restore into ${input.to}**`,
    state: '**Done.** Nothing was changed: this is what a restore would do.',
    next: `\`restoreDatabase\` with the same input carries it out.`,
    facts: asFacts(rows),
  });
  return { plan, host, rows, replaces: checked.liveOid !== null };
}

async function resolve(workflow: string, input: RestoreInput): Promise<RestorePlan> {
  openRun(workflow, input, FIELDS, EXAMPLE);
  if ((input.backup === undefined) === (input.file === undefined)) {
    const message = `${workflow}: give either "backup" or "file"`;
    throw endEarly(
      workflow,
      failRun({ code: 'bad-input', message, hint: `give it one JSON object such as ${EXAMPLE}` }),
    );
  }
  const { workflowId, firstExecutionRunId: runId } = workflowInfo();
  const startedAt = new Date(Date.now());
  upsertSearchAttributes([
    { key: searchAttributes.environment, value: input.to },
    { key: searchAttributes.kind, value: 'database' },
  ]);
  showPhase('preflight', {
    title: `**Restore into ${input.to}**`,
    state: '**Now:** looks whether it can be restored. Nothing is changed yet.',
    next: 'none for you.',
  });
  return await beforeAll(`Restore into ${input.to}`, () =>
    control.planRestore({
      ...input,
      restoreId: newRestoreId(startedAt),
      workflowId,
      runId,
      startedAt: startedAt.toISOString(),
    }),
  );
}

/** Of the form of a backup's id, so that both sort by time; never the same as one. */
export function newRestoreId(now: Date): string {
  return `r${newBackupId(now, uuid4())}`;
}
