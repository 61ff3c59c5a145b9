import type { Catalog } from '../catalog/open.ts';
import { namedDestination, readApplied } from './applied.ts';
import type { SyncPlan } from './plans.ts';

export interface SyncRequest {
  readonly destinations?: readonly string[];
  readonly endsAt?: string;
  readonly startedAt: string;
}

/** A destination that is away may come back while a run waits for it; the next run looks anyway. */
const ENDS_WITHIN_MS = 12 * 3_600_000;

/**
 * Resolves a run that compares the catalog with destinations, from the configuration that is current now.
 * @throws CofreError `not-known` for a destination that is not in it.
 */
export async function resolveSync(catalog: Catalog, request: SyncRequest): Promise<SyncPlan> {
  const { version, config } = await readApplied(catalog);
  const names = request.destinations ?? Object.keys(config.destinations);
  const endsAt = new Date(Date.parse(request.startedAt) + ENDS_WITHIN_MS).toISOString();
  return {
    configVersion: version,
    destinations: [...new Set(names)].map((name) => namedDestination(config, name)),
    hosts: Object.keys(config.hosts),
    endsAt: request.endsAt !== undefined && request.endsAt < endsAt ? request.endsAt : endsAt,
  };
}
