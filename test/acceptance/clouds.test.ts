import assert from 'node:assert/strict';
import { readdir, rename, rm } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';

import type { BackupSummary } from '../../catalog/backup-list.ts';
import { withClient } from '../../postgres/connect.ts';
import { GcsServer } from '../gcs-server.ts';
import { markedFolder, obscured, rclone, RcloneRemotes } from '../rclone.ts';
import { Installation } from './installation.ts';

const ROWS = 20_000;

describe('an installation that keeps its copies in a GCS bucket and on an encrypted rclone remote alone', () => {
  let server: GcsServer;
  let remotes: RcloneRemotes;
  let driveFolder: string;
  let installation: Installation;
  let backupId: string;

  before(async () => {
    server = await GcsServer.start();
    driveFolder = await markedFolder();
    const drive = { type: 'crypt', remote: `here:${driveFolder}/sealed`, password: obscured('Canary-Crypt-0452') };
    remotes = await RcloneRemotes.make({ here: { type: 'local' }, drive });
    rclone('--config', remotes.file, 'mkdir', 'drive:cofre');
    const places = { bucket: await server.bucket({ prefix: 'acme' }), drive: remotes.config('drive:cofre') };
    installation = await Installation.create([{ id: 'far' }], {}, (config) => {
      Object.assign(config['destinations'] as object, places);
      const policies = config['policies'] as Record<string, object>;
      policies['staged'] = { ...policies['staged'], copies: { to: ['bucket', 'drive'] } };
    });
    const sql = `CREATE TABLE public.t AS SELECT g AS id, md5(g::text) AS body FROM generate_series(1, ${ROWS}) g`;
    await installation.createEnvironmentDatabase('far', sql);
    await installation.startWorker();
  });

  after(async () => {
    await installation.remove();
    await server.stop();
    await remotes.remove();
    await rm(driveFolder, { recursive: true, force: true });
  });

  async function assertRestored(...args: string[]): Promise<void> {
    await installation.dropDatabase('far');
    const { code, stderr } = await installation.cofre(['restore', ...args, '--to', 'far', '--yes']);
    assert.equal(code, 0, stderr);
    const { rows } = await withClient(installation.target('far'), (client) =>
      client.query<{ rows: number }>('SELECT count(*)::int AS rows FROM public.t'),
    );
    assert.deepEqual(rows, [{ rows: ROWS }]);
  }

  it('a backup is complete with a verified copy in each, and what lies there is what the catalog says', async () => {
    const doctor = await installation.cofre(['doctor']);
    for (const name of ['bucket', 'drive']) assert.match(doctor.stdout, new RegExp(`ok +destination: ${name}: `));
    const run = await installation.json<{ state: string; backupId: string }>(['backup', 'far']);
    assert.equal(run.state, 'complete', JSON.stringify(run));
    ({ backupId } = run);
    const [backup] = await installation.json<BackupSummary[]>(['backups', 'far']);
    assert.deepEqual(
      backup?.copies.map(({ destination, state }) => [destination, state]),
      [
        ['bucket', 'verified'],
        ['drive', 'verified'],
      ],
    );
    const { sync } = await installation.json<{ sync: { compared: { differences: unknown[] }[] } }>(['sync']);
    for (const { differences } of sync.compared) assert.deepEqual(differences, []);
  });

  it('a hold lies beside both copies, and is found there by a catalog that lost it', async () => {
    const hold = ['hold', backupId, '--reason', 'tax audit', '--until', '2027-06-30', '--yes'];
    assert.equal((await installation.cofre(hold)).code, 0);
    for (const place of ['drive', 'bucket']) {
      await withClient(installation.catalog, (catalog) => catalog.query('DELETE FROM cofre.holds'));
      assert.match(
        (await installation.cofre(['sync', place])).stderr,
        new RegExp(`${backupId}.*held until.*tax audit`),
      );
    }
    assert.match((await installation.cofre(['show', backupId])).stdout, /held.*tax audit/s);
    assert.equal((await installation.cofre(['release', backupId, '--yes'])).code, 0);
  });

  it('each of them alone gives the database back, without catalog and Temporal too', async () => {
    await assertRestored('--standalone', 'bucket:latest');
    await assertRestored('--standalone', 'drive:latest');
    await rename(driveFolder, `${driveFolder}.away`);
    await assertRestored('--from', 'far', '--latest');
    await rename(`${driveFolder}.away`, driveFolder);
    await server.stop();
    await assertRestored('--from', 'far', '--backup', backupId);
    assert.deepEqual(await readdir(installation.backups), ['cofre.json'], 'nothing went to the volume');
  });
});
