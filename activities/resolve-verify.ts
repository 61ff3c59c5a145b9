import { getBackup } from '../catalog/backup-list.ts';
import { oldestProofs, provenCopies } from '../catalog/oldest-proofs.ts';
import type { Catalog } from '../catalog/open.ts';
import { durationMs } from '../config/duration.ts';
import type { AppliedConfig } from '../config/schema.ts';
import { CofreError } from '../errors/error.ts';
import { hostsOf, namedDestination, readApplied, resolveEnvironment } from './applied.ts';
import type { VerifyPlan } from './plans.ts';

export interface VerifyRequest {
  readonly environment: string;
  readonly backup?: string;
  readonly in?: readonly string[];
  readonly routine?: string;
  readonly endsAt?: string;
  readonly startedAt: string;
}

const DAY_MS = 86_400_000;

/**
 * Resolves which copies are read again: those of one backup, or those whose proof is oldest: all of them, and for a routine the
 * share that makes its turn come round within its `within`.
 * @throws CofreError `not-known`; `refused` for a backup of another environment, or one of which no copy was ever proven.
 */
export async function resolveVerify(catalog: Catalog, request: VerifyRequest): Promise<VerifyPlan> {
  const { version, config } = await readApplied(catalog);
  const { id, environment, policy } = resolveEnvironment(config, request.environment);
  const names = [...new Set(request.in ?? Object.keys(config.destinations))];
  const destinations = names.map((name) => namedDestination(config, name));
  const endsAt = new Date(Date.parse(request.startedAt) + durationMs(policy.endsWithin)).toISOString();
  return {
    configVersion: version,
    environment: { id, stage: environment.stage },
    hosts: [...new Set([...hostsOf(config, environment), ...Object.keys(config.hosts)])],
    destinations,
    due: await dueCopies(catalog, config, id, names, request),
    endsAt: request.endsAt !== undefined && request.endsAt < endsAt ? request.endsAt : endsAt,
  };
}

async function dueCopies(
  catalog: Catalog,
  config: AppliedConfig,
  environment: string,
  destinations: readonly string[],
  { backup, routine, startedAt }: VerifyRequest,
): Promise<VerifyPlan['due']> {
  if (backup !== undefined) {
    const found = await getBackup(catalog, backup);
    if (found.environment !== environment)
      throw new CofreError('refused', `the backup ${backup} is of ${found.environment}, not of ${environment}`);
    const proven = await provenCopies(catalog, backup, destinations);
    if (proven.length > 0) return proven;
    const copies = found.copies.map(({ destination, state }) => `${destination}: ${state}`).join(', ');
    throw new CofreError(
      'refused',
      `no copy of ${backup} was proven before, to be read again (${copies || 'it has none'})`,
      {
        hint: 'cofre sync --repair proves what lies in the destinations, and makes what is missing',
      },
    );
  }
  const { nights, withinMs } = shareOf(config, routine);
  const overdue = new Date(Date.parse(startedAt) - withinMs).toISOString();
  return await oldestProofs(catalog, { environment, destinations, before: startedAt, nights, overdue });
}

/** In how many runs of the routine its turn comes round; by hand, all at once. */
function shareOf(config: AppliedConfig, name: string | undefined): { nights: number; withinMs: number } {
  const routine = name === undefined ? undefined : config.routines[name];
  if (routine === undefined) return { nights: 1, withinMs: 0 };
  const withinMs = durationMs(routine.within ?? '30d');
  const runsAWeek = routine.days === 'daily' ? 7 : routine.days.length;
  return { nights: Math.max(Math.floor((withinMs / DAY_MS / 7) * runsAWeek), 1), withinMs };
}
