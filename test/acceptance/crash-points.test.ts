import assert from 'node:assert/strict';
import { chmod, mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';

import type { BackupSummary } from '../../catalog/backup-list.ts';
import { openClient, withClient } from '../../postgres/connect.ts';
import { until } from '../until.ts';
import { CatalogGate } from './catalog-gate.ts';
import { Installation } from './installation.ts';

type Environment = 'unread' | 'half-read' | 'unrecorded';

/** What stood where when the worker was killed. */
interface Left {
  readonly id: string;
  readonly listed: BackupSummary | undefined;
  readonly inDestination: readonly string[];
  readonly inSpool: readonly string[];
}

/** The decoder of a verification (a staged dump needs no other) stops as `mode` says: before it has read, or in the middle. */
const HELD_ZSTD = `#!/bin/bash
here=$(dirname "$0")
hold() { touch "$here/$1"; while [ -e "$here/mode" ]; do sleep 0.05; done; }
[ "$1" = -d ] && case $(cat "$here/mode" 2>/dev/null) in
  unread) hold unread ;;
  half-read) { head -c 50000; hold half-read; cat; } | /usr/bin/zstd "$@"; exit ;;
esac
exec /usr/bin/zstd "$@"
`;

describe('a worker that is killed at the end of a backup', () => {
  let installation: Installation;
  const left = new Map<Environment, Left>();
  const results = new Map<Environment, { state: string; backupId: string }>();

  before(async () => {
    installation = await Installation.create(
      [{ id: 'unread' }, { id: 'half-read' }, { id: 'unrecorded' }],
      {},
      (config) => {
        (config['hosts'] as Record<string, Record<string, unknown>>)['h1']!['heavy'] = 4;
      },
    );
    // Random, so that there is a middle after compression, too.
    const sql = `CREATE TABLE public.t AS SELECT g AS id, md5(random()::text) || md5(random()::text) AS body FROM generate_series(1, 10000) g`;
    for (const id of ['unread', 'half-read', 'unrecorded']) await installation.createEnvironmentDatabase(id, sql);
    const bin = join(installation.folder, 'bin');
    await mkdir(bin);
    await writeFile(join(bin, 'zstd'), HELD_ZSTD);
    await chmod(join(bin, 'zstd'), 0o755);
    const path = { PATH: `${bin}:${process.env['PATH']}` };

    const worker = await installation.startWorker(path);
    const runs = new Map<Environment, Promise<{ state: string; backupId: string }>>();
    for (const environment of ['unread', 'half-read'] as const) {
      await writeFile(join(bin, 'mode'), environment);
      runs.set(environment, installation.json(['backup', environment]));
      await until(`the verification of ${environment} is held`, () => exists(join(bin, environment)));
    }
    for (const environment of ['unread', 'half-read'] as const) left.set(environment, await look(environment));
    await writeFile(join(bin, 'mode'), 'nobody else');
    runs.set('unrecorded', installation.json(['backup', 'unrecorded']));
    const stopped = await stopBeforeLocalFilesAreRecorded();
    left.set('unrecorded', await look('unrecorded', stopped.listed));
    await installation.endWorker(worker, 'SIGKILL');
    await stopped.open();

    await writeFile(join(bin, 'mode'), '');
    await installation.startWorker();
    for (const [environment, run] of runs) results.set(environment, await run);
  });

  after(async () => await installation.remove());

  async function runningBackup(environment: Environment): Promise<string> {
    const read = () =>
      withClient(installation.catalog, (client) =>
        client.query<{ id: string }>(`select id from cofre.backups where environment = $1`, [environment]),
      );
    await until(`the backup of ${environment} is in the catalog`, async () => (await read()).rows.length > 0);
    return (await read()).rows[0]?.id ?? '';
  }

  /**
   * Removing the local files ends with a look into the catalog: the run stands there, after the files are gone and before
   * anybody knows. Gives what the catalog says then, because it can be asked no more.
   */
  async function stopBeforeLocalFilesAreRecorded(): Promise<{ listed: BackupSummary; open: () => Promise<void> }> {
    const backupId = await runningBackup('unrecorded');
    const gate = await CatalogGate.close(installation.catalog, backupId);
    for (const step of ['dump', 'uploading', 'uploaded', 'verified'])
      await gate.passOne().catch((cause: unknown) => {
        throw new Error(`at the record ${step}`, { cause });
      });
    await gate.reached();
    const lock = await openClient(installation.catalog);
    await lock.query('begin');
    const locked = lock.query('lock table cofre.backups in access exclusive mode');
    await until('the lock waits for the last record', async () => {
      const { rows } = await withClient(installation.admin, (client) =>
        client.query(
          `select from pg_stat_activity where wait_event_type = 'Lock' and query ilike 'lock table cofre.backups%'`,
        ),
      );
      return rows.length > 0;
    });
    await gate.open();
    await locked;
    await until(
      'the local files are gone',
      async () => (await foldersOf(join(installation.spool, 'unrecorded'))).length === 0,
    );
    const { rows } = await lock.query<BackupSummary>('select id, environment, state from cofre.backups where id = $1', [
      backupId,
    ]);
    const { rows: copies } = await lock.query<BackupSummary['copies'][number]>(
      'select destination, state from cofre.copies where backup_id = $1',
      [backupId],
    );
    return { listed: { ...rows[0]!, copies }, open: async () => await lock.end() };
  }

  async function look(environment: Environment, listed?: BackupSummary): Promise<Left> {
    const [found] = listed === undefined ? await readBackups(environment) : [listed];
    const id = found?.id ?? '';
    return {
      ...{ id, listed: found },
      inDestination: await foldersOf(join(installation.backups, environment, id)),
      inSpool: await foldersOf(join(installation.spool, environment, id)),
    };
  }

  async function readBackups(environment: Environment): Promise<BackupSummary[]> {
    return await installation.json<BackupSummary[]>(['backups', environment]);
  }

  async function isWhole(environment: Environment): Promise<void> {
    const { id } = left.get(environment)!;
    assert.deepEqual(results.get(environment), { ...results.get(environment), state: 'complete', backupId: id });
    const entries = await foldersOf(join(installation.backups, environment, id));
    assert.deepEqual(entries.map((entry) => entry.replace(/a\d+-[0-9a-f]{8}/, 'attempt')).sort(), [
      'attempt',
      'attempt/database.tar',
      'manifest.json',
    ]);
    assert.deepEqual(await readdir(join(installation.spool, environment)), []);
    const [backup] = await readBackups(environment);
    assert.deepEqual([backup?.state, backup?.copies[0]?.state], ['complete', 'verified']);
  }

  it('case 50: in the middle of the verification: the copy stays uploaded, and is verified later', async () => {
    const { listed, inDestination } = left.get('half-read')!;
    assert.deepEqual([listed?.state, listed?.copies.map(({ state }) => state)], ['running', ['uploaded']]);
    assert.ok(!inDestination.includes('manifest.json'), 'nothing makes it a backup');
    await isWhole('half-read');
  });

  it('case 53: after the upload and before anything was read back: the local file is kept', async () => {
    const { listed, inDestination, inSpool } = left.get('unread')!;
    assert.deepEqual([listed?.state, listed?.copies.map(({ state }) => state)], ['running', ['uploaded']]);
    assert.ok(inDestination.some((name) => name.endsWith('database.tar')) && !inDestination.includes('manifest.json'));
    assert.ok(
      inSpool.some((name) => name.endsWith('database.tar')),
      inSpool.join(),
    );
    await isWhole('unread');
  });

  it('case 54: between removing the local files and anybody knowing: that they are gone already is fine', async () => {
    const { listed, inDestination, inSpool } = left.get('unrecorded')!;
    assert.deepEqual([listed?.state, listed?.copies.map(({ state }) => state)], ['complete', ['verified']]);
    assert.ok(inDestination.includes('manifest.json'));
    assert.deepEqual(inSpool, []);
    await isWhole('unrecorded');
  });
});

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

/** Everything below a folder; nothing where there is none. */
async function foldersOf(folder: string): Promise<string[]> {
  return await readdir(folder, { recursive: true }).catch(() => []);
}
