import { isCancellation, upsertSearchAttributes } from '@temporalio/workflow';

import { sees, type NamedDestination, type VerifyPlan } from '../activities/plans.ts';
import type { Proof } from '../catalog/oldest-proofs.ts';
import { TOLD } from './copy-to.ts';
import { failRun, reasonOf, type Reason } from './failure.ts';
import type { VerifyInput } from './inputs.ts';
import { chooseHost, onHost } from './on-host.ts';
import { beforeAll, openRun, showSubject } from './opening.ts';
import { showPhase } from './phase.ts';
import { searchAttributes } from './search-attributes.ts';
import { control, heavy, probe } from './steps.ts';
import { describeProofs, type ProofsProgress } from './verify-text.ts';
import { DESTINATION_TROUBLE, waitingForRoom, type Wait } from './waits.ts';

/** A copy that was to be read again, and what came of it. `unread`: nothing is known of it that was not known before. */
export interface ProofOutcome extends Proof {
  readonly state: 'verified' | 'suspect' | 'unread';
  readonly reason?: Reason;
}

export interface VerifyResult {
  readonly environment: string;
  /** `incomplete`: a copy is damaged, or could not be read. */
  readonly state: 'complete' | 'incomplete';
  /** Of the copies that are whole. */
  readonly sizeBytes: number;
  readonly copies: readonly ProofOutcome[];
}

/**
 * Reads copies of one environment back where they lie, those first whose proof is oldest, each destination by itself. What is
 * damaged is marked, and no restore chooses it any more.
 */
export async function verifyCopies(input: VerifyInput): Promise<VerifyResult> {
  openRun(
    'verifyCopies',
    input,
    { environment: 'name', 'backup?': 'backup', 'in?': 'names', 'routine?': 'name', 'endsAt?': 'time' },
    '{"environment": "acme-prod"}',
  );
  const startedAt = new Date(Date.now()).toISOString();
  showSubject(input);
  const plan = await beforeAll(`Proofs of ${input.environment}`, () => control.resolveVerify({ ...input, startedAt }));
  upsertSearchAttributes([{ key: searchAttributes.stage, value: plan.environment.stage }]);
  const progress: ProofsProgress = { plan, waits: new Map(), under: new Map(), copies: [] };
  try {
    show(progress, 'copies');
    await Promise.all(plan.destinations.map((destination) => readAll(destination, progress)));
  } catch (error) {
    const reason = reasonOf(error);
    progress.waits.clear();
    progress.under.clear();
    const needs = reason.code === 'cancelled' ? 'nothing' : 'operator';
    showPhase('failed', describeProofs(progress, reason), needs);
    throw isCancellation(error) ? error : failRun(reason);
  }
  show(progress, 'done');
  const { copies } = progress;
  return {
    environment: plan.environment.id,
    state: copies.every(({ state }) => state === 'verified') ? 'complete' : 'incomplete',
    sizeBytes: copies.reduce((sum, { state, sizeBytes }) => sum + (state === 'verified' ? sizeBytes : 0), 0),
    copies,
  };
}

/** The copies in one destination, the oldest proof first. */
async function readAll(destination: NamedDestination, progress: ProofsProgress): Promise<void> {
  const { plan, under } = progress;
  for (const proof of plan.due.filter(({ destination: name }) => name === destination.name)) {
    under.set(destination.name, proof);
    show(progress, 'copies');
    const outcome = await readOne(proof, destination, progress);
    under.delete(destination.name);
    progress.copies = [...progress.copies, outcome];
  }
  show(progress, 'copies');
}

/** Never throws for the trouble of the destination or of the copy: the outcome says it, and the others go on. */
async function readOne(proof: Proof, destination: NamedDestination, progress: ProofsProgress): Promise<ProofOutcome> {
  const { plan, waits } = progress;
  if (Date.now() >= Date.parse(plan.endsAt)) {
    const reason = { code: 'busy', message: 'its turn did not come before the end of the run' };
    return { ...proof, state: 'unread', reason };
  }
  const wait: Wait = {
    endsAt: new Date(plan.endsAt),
    what: `the destination ${destination.name}`,
    waits,
    show: () => show(progress, 'copies'),
  };
  try {
    const damage = await waitingForRoom(wait, () => readOnOneHost(plan, proof, destination), DESTINATION_TROUBLE);
    return damage === null ? { ...proof, state: 'verified' } : { ...proof, state: 'suspect', reason: damage };
  } catch (error) {
    if (isCancellation(error)) throw error;
    return { ...proof, state: 'unread', reason: reasonOf(error) };
  }
}

async function readOnOneHost(
  plan: VerifyPlan,
  { backupId }: Proof,
  destination: NamedDestination,
): Promise<Reason | null> {
  const able = plan.hosts.filter((host) => sees(host, destination.config));
  const { host } = await chooseHost(able, (candidate) => probe(candidate, `is ${candidate} there?`).checkHost());
  const step = { plan: { ...plan, due: [] }, backupId, destination };
  const what = `verify ${backupId} in ${destination.name} again`;
  const { damage } = await onHost(host, () => heavy(host, new Date(plan.endsAt), what, TOLD).verifyAgain(step));
  return damage === null ? null : { code: damage.code, message: damage.message };
}

function show(progress: ProofsProgress, step: 'copies' | 'done'): void {
  const waiting = progress.waits.size > 0;
  const inTrouble = progress.copies.some(({ state }) => state === 'suspect') || step === 'done';
  const toMend = inTrouble && progress.copies.some(({ state }) => state !== 'verified');
  const needs = waiting ? 'resource' : toMend ? 'operator' : 'nothing';
  showPhase(waiting ? 'waiting' : step, describeProofs(progress, step), needs);
}
