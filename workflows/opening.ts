import { upsertSearchAttributes } from '@temporalio/workflow';

import { failRun, reasonOf } from './failure.ts';
import { checkInput, type Field } from './inputs.ts';
import { failedState, mendFirst } from './page.ts';
import { showPhase } from './phase.ts';
import { searchAttributes } from './search-attributes.ts';

/**
 * The first line of each workflow that people start: checks what was typed. The Temporal UI's form offers the search
 * attributes of an earlier run, its host and state included, so they are forgotten before the run sets its own.
 * @throws ApplicationFailure `bad-input`, not retryable.
 */
export function openRun(
  workflow: string,
  input: unknown,
  fields: Readonly<Record<string, Field>>,
  example: string,
): void {
  const { phase, needs, bytes, ...words } = searchAttributes;
  upsertSearchAttributes([
    { key: phase, value: 'starting' },
    { key: needs, value: 'nothing' },
    { key: bytes, value: null },
    ...Object.values(words).map((key) => ({ key, value: null })),
  ]);
  try {
    checkInput(workflow, input, fields, example);
  } catch (error) {
    throw endEarly(workflow, error);
  }
}

/**
 * Does what comes before a run has anything to clean up. A failure there is told on the run's page, and becomes the
 * run's own: Temporal would wrap it, and show the wrapping.
 */
export async function beforeAll<T>(title: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw endEarly(title, error);
  }
}

/** Tells on the page why a run ends before it began, and gives what to throw. */
export function endEarly(title: string, error: unknown): unknown {
  const reason = reasonOf(error);
  const cancelled = reason.code === 'cancelled';
  const next = cancelled
    ? 'none; nothing was changed.'
    : `${mendFirst(reason)}; then start it again. Nothing was changed.`;
  const page = { title: `**${title}**`, state: failedState(reason), next };
  showPhase('failed', page, cancelled ? 'nothing' : 'operator');
  return cancelled ? error : failRun(reason);
}

/** What a run works on, for lists to be filtered by; its stage is known with the plan. */
export function showSubject(input: {
  readonly environment: string;
  readonly backup?: string;
  readonly routine?: string;
}): void {
  upsertSearchAttributes([
    { key: searchAttributes.environment, value: input.environment },
    { key: searchAttributes.kind, value: 'database' },
    { key: searchAttributes.backupId, value: input.backup ?? null },
    { key: searchAttributes.routine, value: input.routine ?? null },
  ]);
}
