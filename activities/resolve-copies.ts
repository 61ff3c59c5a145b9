import { getBackup } from '../catalog/backup-list.ts';
import {
  findDebts,
  missingCopies,
  runningBackups,
  unverifiedCopies,
  type MissingCopy,
} from '../catalog/missing-copies.ts';
import type { Catalog } from '../catalog/open.ts';
import { durationMs } from '../config/duration.ts';
import type { AppliedConfig } from '../config/schema.ts';
import { selectEnvironments } from '../config/select-environments.ts';
import { CofreError } from '../errors/error.ts';
import { hostsOf, namedDestination, otherDestinations, putBack, readApplied, resolveEnvironment } from './applied.ts';
import type { CopyPlan } from './plans.ts';

export interface CopyRequest {
  readonly environment: string;
  readonly to: readonly string[];
  readonly from?: string;
  readonly backup?: string;
  readonly repair?: boolean;
  readonly onlyIn?: string;
  readonly endsAt?: string;
  readonly startedAt: string;
}

/**
 * Resolves a run that makes further copies, from the configuration that is current now.
 * @throws CofreError `not-known`; `refused` for a backup of another environment, or without a verified copy.
 */
export async function resolveCopies(catalog: Catalog, request: CopyRequest): Promise<CopyPlan> {
  const { version, config } = await readApplied(catalog);
  const { id, environment, policy } = resolveEnvironment(config, request.environment);
  const to = [...new Set(request.to)].map((name) => namedDestination(config, name));
  const first = request.from === undefined ? [] : [namedDestination(config, request.from).name];
  const order = [...new Set([...first, ...policy.copies.to, ...Object.keys(config.destinations)])];
  if (request.backup !== undefined) await requireCopyable(catalog, request.backup, id, request, config);
  const endsAt = new Date(Date.parse(request.startedAt) + durationMs(policy.endsWithin)).toISOString();
  return {
    configVersion: version,
    environment: { id, stage: environment.stage },
    hosts: [...new Set([...hostsOf(config, environment), ...Object.keys(config.hosts)])],
    to,
    from: order.map((name) => namedDestination(config, name)),
    complete: policy.copies.complete ?? policy.copies.to.length,
    endsAt: request.endsAt !== undefined && request.endsAt < endsAt ? request.endsAt : endsAt,
  };
}

/** What a destination lacks now, and which backups run that may be next. */
export async function whatIsMissing(
  catalog: Catalog,
  question: {
    environment: string;
    destination: string;
    backup?: string | undefined;
    before: string;
    /** What should be there already, and nothing else. */
    repair?: boolean | undefined;
    /** Only backups of which no other configured destination has a verified copy. */
    onlyIn?: string | undefined;
  },
): Promise<{ missing: MissingCopy[]; running: string[] }> {
  const repair = question.repair === true;
  const { onlyIn } = question;
  const { config } = await readApplied(catalog);
  const configured = Object.keys(config.destinations);
  const others = onlyIn === undefined ? undefined : otherDestinations(config, onlyIn);
  const missing = await (repair ? unverifiedCopies : missingCopies)(catalog, { ...question, configured, others });
  const running =
    question.backup === undefined && !repair
      ? await runningBackups(catalog, question.environment, question.before)
      : [];
  return { missing, running };
}

/** The debts of a routine's environments in destinations that the configuration still has. */
export async function payableDebts(
  catalog: Catalog,
  routine: string,
): Promise<{ environment: string; to: string[] }[]> {
  const { config } = await readApplied(catalog);
  const selected = selectEnvironments(config, config.routines[routine]?.environments ?? {});
  return await findDebts(catalog, selected, Object.keys(config.destinations));
}

/** A copy that is not proven yet can be proven where it is, without another. */
async function requireCopyable(
  catalog: Catalog,
  backupId: string,
  environment: string,
  { to, repair = false }: CopyRequest,
  config: AppliedConfig,
): Promise<void> {
  const backup = await getBackup(catalog, backupId);
  if (backup.environment !== environment)
    throw new CofreError('refused', `the backup ${backupId} is of ${backup.environment}, not of ${environment}`);
  if (repair) return;
  const verified = backup.copies.filter(({ state }) => state === 'verified').map(({ destination }) => destination);
  if (verified.length > 0 && !verified.some((name) => Object.hasOwn(config.destinations, name)))
    throw new CofreError('refused', `the backup ${backupId} has no verified copy in a configured destination`, {
      hint: putBack(verified),
    });
  if (verified.length === 0)
    throw new CofreError('refused', `the backup ${backupId} has no verified copy: there is nothing to copy`, {
      hint: `cofre backups ${environment} lists the others`,
    });
  for (const { destination, state } of backup.copies.filter((copy) => to.includes(copy.destination))) {
    if (state === 'suspect')
      throw new CofreError('refused', `the copy of ${backupId} in ${destination} is damaged, and nothing is replaced`, {
        hint: `cofre sync ${destination} --repair replaces it, once another copy was read in full`,
      });
    if (state === 'deleting' || state === 'deleted')
      throw new CofreError('refused', `the copy of ${backupId} in ${destination} was given up, and is not made again`, {
        hint: 'name another destination',
      });
  }
}
