import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';

import { compareFingerprints, fingerprintDatabase } from '../../demo/compare-databases.ts';
import { openClient, withClient } from '../../postgres/connect.ts';
import { isLong } from '../long.ts';
import { until } from '../until.ts';
import { Installation } from './installation.ts';
import { sampleSql } from './sample-data.ts';

/** Enough rows that a dump and a load take some seconds, so that there is a middle. */
const ROWS = 400_000;
/** The streamed pipeline is killed everywhere in the crash matrix, with fewer rows. */
const dumped = isLong ? ['big', 'stream'] : ['big'];

describe('a worker that is killed', () => {
  let installation: Installation;

  before(async () => {
    installation = await Installation.create([{ id: 'big' }, { id: 'stream', pipeline: 'streamed' }]);
    for (const id of dumped) await installation.createEnvironmentDatabase(id, sampleSql(ROWS));
  });

  after(async () => await installation.remove());

  for (const environment of dumped) {
    it(`in the middle of the dump of ${environment}: the run finishes by itself with one complete backup`, async () => {
      const killed = await installation.startWorker();
      const backup = installation.json<{ state: string; backupId: string }>(['backup', environment]);
      await until('the dump has written something', () => bytesIn(join(installation.spool, environment)) > 1_000_000);
      await installation.endWorker(killed, 'SIGKILL');
      await until('its tools are gone', () => toolsOf(installation).length === 0);
      const worker = await installation.startWorker();
      const result = await backup;
      assert.equal(result.state, 'complete', JSON.stringify(result));
      assert.deepEqual(await readdir(join(installation.backups, environment)), [result.backupId]);
      assert.equal(
        (await readdir(join(installation.backups, environment, result.backupId))).length,
        2,
        'one attempt and the manifest',
      );
      assert.deepEqual(await readdir(join(installation.spool, environment)), []);
      await installation.endWorker(worker, 'SIGTERM');
    });
  }

  it('in the middle of the restore: the run finishes by itself with one complete database', async () => {
    const before = await fingerprintDatabase(installation.target('big'));
    await installation.dropDatabase('big');
    const killed = await installation.startWorker();
    const ensure = installation.json<{ state: string }>(['ensure', 'big']);
    await until('the load is under way', async () => (await loadingBytes(installation)) > 30_000_000);
    await installation.endWorker(killed, 'SIGKILL');
    assert.equal(await installation.databaseExists('big'), false, 'nothing half-made has the live name');
    const worker = await installation.startWorker();
    const result = await ensure;
    assert.equal(result.state, 'restored', JSON.stringify(result));
    assert.deepEqual(compareFingerprints(before, await fingerprintDatabase(installation.target('big'))), []);
    assert.equal(await loadingBytes(installation), 0, 'no half-made database is left');
    await installation.endWorker(worker, 'SIGTERM');
  });

  it('case 128: a run that is cancelled in the middle of the dump leaves nothing behind', async (context) => {
    const worker = await installation.startWorker();
    const before = await readdir(join(installation.backups, 'big'));
    // A table that somebody else has locked keeps the dump in its middle for as long as the test needs.
    const locker = await openClient(installation.target('big'));
    context.after(() => locker.end());
    await locker.query('BEGIN; LOCK TABLE vendas.cliente IN ACCESS EXCLUSIVE MODE');
    const backup = installation.json<{ state: string; workflowId: string }>(['backup', 'big']);
    await until('the dump runs', () => toolsOf(installation).some((words) => words.includes('pg_dump')));
    let running: string | undefined;
    await until('the run is listed', async () => {
      const runs = await installation.json<{ workflowId: string; state: string }[]>(['runs', '--environment', 'big']);
      running = runs.find(
        (one) => one.workflowId.startsWith('backupDatabase/big/') && one.state === 'running',
      )?.workflowId;
      return running !== undefined;
    });
    const cancelled = await installation.cofre(['cancel', running ?? '', '--yes']);
    assert.equal(cancelled.code, 0, cancelled.stderr);
    const result = await backup;
    assert.equal(result.state, 'cancelled', JSON.stringify(result));
    assert.deepEqual(toolsOf(installation), []);
    assert.deepEqual(await readdir(join(installation.spool, 'big')), []);
    assert.deepEqual(await readdir(join(installation.backups, 'big')), before);
    await locker.query('ROLLBACK');
    const again = await installation.json<{ state: string }>(['backup', 'big']);
    assert.equal(again.state, 'complete', 'the environment is free again');
    await installation.endWorker(worker, 'SIGTERM');
  });
});

function bytesIn(folder: string): number {
  try {
    return readdirSync(folder, { withFileTypes: true, recursive: true })
      .filter((entry) => entry.isFile())
      .reduce((sum, entry) => sum + sizeOf(join(entry.parentPath, entry.name)), 0);
  } catch {
    return 0;
  }
}

function sizeOf(path: string): number {
  try {
    return statSync(path).size;
  } catch {
    return 0;
  }
}

/** Processes that work on this installation's folder or databases, found by what they were started with. */
function toolsOf(installation: Installation): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').join(' ');
        const environment = readFileSync(`/proc/${pid}/environ`, 'utf8');
        const ours = words.includes(installation.folder) || environment.includes(`PGDATABASE=${installation.id}`);
        return ours && /pg_dump|pg_restore|zstd|tar /.test(words) ? [words] : [];
      } catch {
        return [];
      }
    });
}

async function loadingBytes(installation: Installation): Promise<number> {
  const { rows } = await withClient(installation.admin, (client) =>
    client.query<{ bytes: string }>(
      `SELECT coalesce(sum(pg_database_size(oid)), 0) AS bytes FROM pg_database WHERE datname LIKE $1`,
      [`${installation.id}\\_%\\_\\_restore\\_%`],
    ),
  );
  return Number(rows[0]?.bytes ?? 0);
}
