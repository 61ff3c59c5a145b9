import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

import { WorkflowNotFoundError } from '@temporalio/client';

import { withClient } from '../../postgres/connect.ts';
import { runningTools, type RunningTool } from '../acceptance/running-tools.ts';
import { until } from '../until.ts';
import type { CrashSite } from './site.ts';

/** The backups of an environment that anybody can see in the destination that it is backed up to. */
export async function visibleBackups(site: CrashSite, environment: string): Promise<string[]> {
  return await backupsIn(join(site.homeOf(environment), environment));
}

async function backupsIn(folder: string): Promise<string[]> {
  return (await readdir(folder).catch(() => [])).sort();
}

/** Nothing is left in the spool of a host. */
export async function assertSpoolEmpty(spool: string, environments: readonly string[]): Promise<void> {
  for (const environment of environments)
    assert.deepEqual(await readdir(join(spool, environment)).catch(() => []), [], `${spool}/${environment}`);
}

/** Nothing of any run is left where others can see it: objects, locks, logins, databases, sessions, rows. */
export async function assertNothingLeft(site: CrashSite, environment: string): Promise<void> {
  assert.equal(await isLocked(site, environment), false, `op/${environment} is held`);
  const held = await heldBackups(site, environment);
  for (const place of site.places.values()) {
    for (const backup of await backupsIn(join(place, environment)))
      await assertWhole(join(place, environment, backup), held.has(backup));
  }
  const rows = await withClient(site.catalog, async (client) => {
    const found = await client.query<{ id: string; state: string }>(
      `SELECT id, state FROM cofre.backups WHERE environment = $1
        UNION ALL SELECT id, state FROM cofre.restores WHERE environment = $1`,
      [environment],
    );
    return found.rows;
  });
  assert.deepEqual(
    rows.filter(({ state }) => state === 'running'),
    [],
    `the catalog has runs of ${environment} that go on`,
  );
  const database = site.target(environment).database;
  const left = await withClient(site.server, async (client) => {
    const found = await client.query<{ name: string }>(
      `SELECT datname AS name FROM pg_database WHERE starts_with(datname, $1 || '__')
        UNION ALL SELECT format('session %s of %s', pid, application_name) FROM pg_stat_activity
         WHERE datname = $1 AND usename <> current_user
        UNION ALL SELECT rolname FROM pg_roles WHERE rolname = ANY($2)`,
      [database, rows.map(({ id }) => `cofre_restore_${id.slice(-8)}`)],
    );
    return found.rows.map(({ name }) => name);
  });
  assert.deepEqual(left, [], `on the server of ${environment}`);
}

async function heldBackups(site: CrashSite, environment: string): Promise<Set<string>> {
  return await withClient(site.catalog, async (client) => {
    const { rows } = await client.query<{ id: string }>(
      `SELECT b.id FROM cofre.backups b JOIN cofre.holds h ON h.backup_id = b.id WHERE b.environment = $1 AND h.ended IS NULL`,
      [environment],
    );
    return new Set(rows.map(({ id }) => id));
  });
}

async function assertWhole(folder: string, isHeld: boolean): Promise<void> {
  const entries = (await readdir(folder)).sort();
  const others = [...(isHeld ? ['hold.json'] : []), 'manifest.json'];
  assert.deepEqual(entries.slice(1), others, `one attempt and ${others.join(' and ')} in ${folder}: ${entries.join()}`);
  assert.equal((await readdir(join(folder, entries[0] ?? ''))).length, 1, `one object in ${folder}/${entries[0]}`);
}

/** Of the whole installation, while nothing runs. */
export async function assertHostClean(site: CrashSite): Promise<void> {
  const run = join(site.installation.spool, '.run');
  await until('no tool runs', () => toolsOf(site).length === 0).catch(() => assert.deepEqual(toolsOf(site), []));
  for (const folder of ['groups', 'scratch']) {
    // A step clears up after its tools have ended.
    const entries = async (): Promise<string[]> => await readdir(join(run, folder)).catch(() => []);
    await until(`${folder} of the spool is empty`, async () => (await entries()).length === 0).catch(async () =>
      assert.deepEqual(await entries(), [], `${folder} of the spool`),
    );
  }
}

/** Processes that work for this installation. */
export function toolsOf(site: CrashSite): readonly RunningTool[] {
  return runningTools(site.installation);
}

async function isLocked(site: CrashSite, environment: string): Promise<boolean> {
  try {
    const { status } = await site.client.workflow.getHandle(`op/${environment}`).describe();
    return status.name === 'RUNNING';
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return false;
    throw error;
  }
}
