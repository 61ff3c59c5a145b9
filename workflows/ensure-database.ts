import { upsertSearchAttributes, workflowInfo } from '@temporalio/workflow';

import { sees, type EnsurePlan, type RestorePlan } from '../activities/plans.ts';
import { failRun, reasonOf, type Reason } from './failure.ts';
import type { EnsureInput } from './inputs.ts';
import { openRun } from './opening.ts';
import { failedState, mendFirst } from './page.ts';
import { showPhase } from './phase.ts';
import { newRestoreId } from './restore-database.ts';
import { check, restoreInto, type RestoreResult } from './restore-into.ts';
import { searchAttributes } from './search-attributes.ts';
import { control } from './steps.ts';
import { timeInWords } from './words.ts';

export type EnsureResult = { readonly state: 'exists'; readonly environment: string } | RestoreResult;

const FIRST_BACK_OFF_MS = 60_000;
const LONGEST_BACK_OFF_MS = 30 * 60_000;

/**
 * Restores the latest verified production backup if the environment's database does not exist; otherwise does nothing.
 * All callers join the run `ensureDatabase/<environment>`; after a failure they are told its reason until `retryNotBefore`.
 */
export async function ensureDatabase(input: EnsureInput): Promise<EnsureResult> {
  openRun('ensureDatabase', input, { environment: 'name', 'createEmpty?': 'flag' }, '{"environment": "acme-prod"}');
  const { environment } = input;
  upsertSearchAttributes([
    { key: searchAttributes.environment, value: environment },
    { key: searchAttributes.kind, value: 'database' },
  ]);
  showPhase('preflight', {
    title: titleOf(environment),
    state: '**Now:** looks whether the database exists.',
    next: 'none for you.',
  });
  const { workflowId, firstExecutionRunId: runId } = workflowInfo();
  const startedAt = new Date(Date.now());
  try {
    const ensure = await control.resolveEnsure({
      restoreId: newRestoreId(startedAt),
      to: environment,
      workflowId,
      runId,
      startedAt: startedAt.toISOString(),
      reason: 'the database did not exist',
    });
    return (await restoreIfMissing(ensure, input)) ?? exists(environment);
  } catch (error) {
    throw await withBackOff(environment, error);
  }
}

/** null: the database exists, and nothing was done. */
async function restoreIfMissing(ensure: EnsurePlan, input: EnsureInput): Promise<RestoreResult | null> {
  const { host, checked } = await check(ensure.plan);
  if (checked.liveOid !== null) return null;
  const plan = choose(ensure, input);
  const at = plan.source.type === 'empty' ? { host, checked } : await check(plan);
  const order = { reason: 'ensure: the database did not exist' };
  return await restoreInto({ plan, ...at, order, whenExists: 'leave' });
}

function exists(environment: string): EnsureResult {
  showPhase('done', {
    title: titleOf(environment),
    state: '**Done.** The database exists, so nothing was changed.',
    next: 'none.',
  });
  return { state: 'exists', environment };
}

/** What to restore, or why nothing may be. Asked only when the database is known to be missing. */
function choose({ plan, choice, refusal }: EnsurePlan, input: EnsureInput): RestorePlan {
  if (refusal !== null) throw failRun(refusal);
  if (choice !== null) {
    const hosts =
      choice.type === 'backup'
        ? plan.hosts.filter((host) => choice.copies.some((copy) => sees(host, copy.destination.config)))
        : plan.hosts;
    return { ...plan, source: choice, hosts };
  }
  if (input.createEmpty === true) return plan;
  throw failRun({
    code: 'no-backup',
    message: `there is no verified backup of ${input.environment}, and its database does not exist`,
    hint: `for a new environment: cofre ensure ${input.environment} --create-empty; otherwise look at cofre backups ${input.environment}`,
  });
}

/** Callers ask many times a minute: until then they get this reason instead of a new run. */
async function withBackOff(environment: string, error: unknown): Promise<unknown> {
  const reason: Reason = reasonOf(error);
  if (reason.code === 'cancelled') return error;
  const failures = await control.countFailures({ environment });
  const waitMs = Math.min(FIRST_BACK_OFF_MS * 2 ** Math.max(failures - 1, 0), LONGEST_BACK_OFF_MS);
  const retryNotBefore = new Date(Date.now() + waitMs).toISOString();
  const next = `${mendFirst(reason)}. Callers get this answer until ${timeInWords(retryNotBefore)}; then the next one tries again.`;
  showPhase('failed', { title: titleOf(environment), state: failedState(reason), next }, 'operator');
  return failRun(reason, { retryNotBefore });
}

function titleOf(environment: string): string {
  return `**Ensure that ${environment} has its database**`;
}
