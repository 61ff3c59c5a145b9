import type { Client } from '@temporalio/client';

import { settleOldDatabase, waitingOldDatabases, type OldDatabase } from '../catalog/old-databases.ts';
import type { Catalog } from '../catalog/open.ts';
import { hostsOf, readApplied } from './applied.ts';
import { removalRunId } from './plans.ts';
import { serverReference } from './resolve-backup.ts';
import type { DropStep } from './restore.ts';
import { describeRun } from './run-state.ts';

/** What the run that removes a replaced database is started with. */
export interface Removal extends DropStep {
  readonly environment: string;
  /** Those that may drop it, in order of preference. */
  readonly hosts: readonly string[];
  readonly until: string;
}

const MOST_AT_ONCE = 50;

/**
 * Replaced databases that nobody removes any more, because Temporal has lost the run that would have; each with what that
 * run is to be started with again. One whose run somebody ended is kept for good: who did that wanted the database.
 */
export async function forgottenOldDatabases(catalog: Catalog, client: Client): Promise<Removal[]> {
  const waiting = await waitingOldDatabases(catalog);
  if (waiting.length === 0) return [];
  const { config } = await readApplied(catalog);
  const removals: Removal[] = [];
  for (const old of waiting) {
    const state = await stateOfRemoval(client, old);
    if (state === 'completed' || state === 'ended') {
      await settleOldDatabase(catalog, old.restoreId, state === 'completed' ? 'dropped' : 'kept');
    }
    const server = config.servers[old.server];
    const environment = config.environments[old.environment];
    const hosts = environment === undefined ? Object.keys(config.hosts) : hostsOf(config, environment);
    // Without its server nobody can drop it; it waits until the configuration has that again.
    if (state !== 'lost' || server === undefined) continue;
    const { restoreId, database, oid, until } = old;
    const reference = serverReference(old.server, server);
    removals.push({ restoreId, environment: old.environment, hosts, database, oid, until, server: reference });
  }
  return removals.slice(0, MOST_AT_ONCE);
}

async function stateOfRemoval(
  client: Client,
  { environment, restoreId }: OldDatabase,
): Promise<'open' | 'completed' | 'ended' | 'lost'> {
  const found = await describeRun(client, removalRunId(environment, restoreId));
  if (found === undefined) return 'lost';
  if (found.status.name === 'RUNNING') return 'open';
  return found.status.name === 'COMPLETED' ? 'completed' : 'ended';
}
