import { getBackup, type BackupDetail } from '../catalog/backup-list.ts';
import { HOLD_MAX_YEARS } from '../catalog/hold.ts';
import { beginRelease, liveHold, setHold, type LiveHold } from '../catalog/holds.ts';
import type { Catalog } from '../catalog/open.ts';
import { CofreError } from '../errors/error.ts';
import { namedDestination, readApplied } from './applied.ts';
import { sees, type HoldPlan } from './plans.ts';

export interface HoldRequest {
  readonly backup: string;
  readonly reason: string;
  /** ISO 8601, UTC. */
  readonly until: string;
  /** The same for each try of one run. */
  readonly holdId: string;
  readonly requestedBy?: string;
  readonly startedAt: string;
}

export interface ReleaseRequest {
  readonly backup: string;
  readonly requestedBy?: string;
}

const UNKNOWN = 'unknown (started without the command line)';

/** Enters the hold, which counts from then on, and says where its file has to lie. @throws CofreError `bad-input`, `refused`. */
export async function openHold(catalog: Catalog, request: HoldRequest): Promise<HoldPlan> {
  const { backup: backupId, reason, until, holdId: id, startedAt } = request;
  requireUntil(until, startedAt);
  const backup = await getBackup(catalog, backupId);
  const { environment } = backup;
  const by = request.requestedBy ?? UNKNOWN;
  await setHold(catalog, { id, backupId, environment, reason, until, setBy: by, setAt: startedAt });
  return await planOf(catalog, backup, await liveHold(catalog, backupId));
}

/** Begins the release of what holds a backup, and says where its file has to go. What a released hold has left goes, too. */
export async function openRelease(catalog: Catalog, { backup: id, requestedBy }: ReleaseRequest): Promise<HoldPlan> {
  const backup = await getBackup(catalog, id);
  return await planOf(catalog, backup, await beginRelease(catalog, id, requestedBy ?? UNKNOWN));
}

/** @throws CofreError `bad-input` for a time that has passed, or that nobody will be there to see. */
export function requireUntil(until: string, now: string): void {
  if (until <= now) throw new CofreError('bad-input', `${until} has passed: a hold ends in the future`);
  const latest = new Date(now);
  latest.setUTCFullYear(latest.getUTCFullYear() + HOLD_MAX_YEARS);
  if (Date.parse(until) <= latest.getTime()) return;
  throw new CofreError('bad-input', `a hold lasts ${HOLD_MAX_YEARS} years at most, and this one would until ${until}`, {
    hint: 'give it an earlier end: a hold can be extended at any time by another cofre hold',
  });
}

async function planOf(catalog: Catalog, backup: BackupDetail, hold: LiveHold | undefined): Promise<HoldPlan> {
  const { version, config } = await readApplied(catalog);
  const { id: backupId, environment, copies } = backup;
  const kept = copies.filter(
    ({ destination, state }) =>
      state !== 'missing' &&
      state !== 'deleting' &&
      state !== 'deleted' &&
      Object.hasOwn(config.destinations, destination),
  );
  return {
    configVersion: version,
    environment: { id: environment, stage: config.environments[environment]?.stage ?? null },
    backupId,
    hold:
      hold === undefined
        ? null
        : { id: hold.id, reason: hold.reason, until: hold.until, setBy: hold.setBy, setAt: hold.setAt },
    places: kept.map((copy) => {
      const destination = namedDestination(config, copy.destination);
      return { destination, hosts: Object.keys(config.hosts).filter((host) => sees(host, destination.config)) };
    }),
  };
}
