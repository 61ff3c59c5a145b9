import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { open, readdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';

import type { BackupSummary } from '../../catalog/backup-list.ts';
import { Installation } from './installation.ts';

interface RunResult {
  workflowId: string;
  state: string;
  backupId: string;
  error?: { code: string; message: string };
}

describe('copies that are read again', () => {
  let installation: Installation;
  let offsite: string;
  const backups: string[] = [];

  before(async () => {
    const routines = {
      nightly: { at: '21:00', run: 'backupDatabase' },
      reread: { at: '03:00', run: 'verifyCopies', within: '2d' },
    };
    installation = await Installation.create([{ id: 'shop' }], routines, (config) => {
      const destinations = config['destinations'] as Record<string, object>;
      const volume = destinations['volume'] as { path: string };
      offsite = join(volume.path, '..', 'offsite');
      mkdirSync(offsite, { mode: 0o700 });
      destinations['offsite'] = { ...volume, path: offsite };
      const policies = config['policies'] as Record<string, object>;
      policies['staged'] = { ...policies['staged'], copies: { to: ['volume', 'offsite'] } };
    });
    const sql = `CREATE TABLE public.t AS SELECT g AS id, md5(random()::text) AS body FROM generate_series(1, 20000) g`;
    await installation.createEnvironmentDatabase('shop', sql);
    await installation.startWorker();
    for (const _ of [1, 2]) {
      const { backupId, state } = await installation.json<RunResult>(['backup', 'shop']);
      assert.equal(state, 'complete');
      backups.push(backupId);
    }
  });

  after(() => installation.remove());

  async function stateOf(backup: string | undefined, destination: string): Promise<string | undefined> {
    const found = (await installation.json<BackupSummary[]>(['backups', 'shop'])).find(({ id }) => id === backup);
    return found?.copies.find((copy) => copy.destination === destination)?.state;
  }

  async function archiveOf(backup: string | undefined): Promise<string> {
    const folder = join(offsite, 'shop', backup ?? '');
    const archive = (await readdir(folder, { recursive: true })).find((file) => file.endsWith('.tar'));
    assert.ok(archive);
    return join(folder, archive);
  }

  /** As a medium does it: the size stays, one bit does not. */
  async function flip(file: string): Promise<void> {
    const handle = await open(file, 'r+');
    const { size } = await handle.stat();
    const byte = Buffer.alloc(1);
    await handle.read(byte, 0, 1, Math.floor(size / 2));
    await handle.write(Buffer.from([(byte[0] ?? 0) ^ 1]), 0, 1, Math.floor(size / 2));
    await handle.close();
  }

  it('a routine reads the copies with the oldest proofs, a share in each run, and finds nothing where all is whole', async () => {
    const night = await installation.cofre(['run', 'reread']);
    assert.equal(night.code, 0, night.stderr);
    const client = await installation.client();
    const read: string[] = [];
    for await (const { workflowId } of client.workflow.list({ query: `WorkflowType = 'verifyCopies'` })) {
      const result = (await client.workflow.getHandle(workflowId).result()) as { copies: { backupId: string }[] };
      read.push(...result.copies.map(({ backupId }) => backupId));
    }
    await client.connection.close();
    // Four copies, within two runs.
    assert.deepEqual(read, [backups[0], backups[0]]);
  });

  it('case 46: a byte that was changed in a destination is found by the next one, and the copy is chosen no more', async () => {
    const archive = await archiveOf(backups[1]);
    await flip(archive);
    const night = await installation.cofre(['run', 'reread']);
    assert.equal(night.code, 1, night.stdout);
    assert.match(night.stderr, /1 of 1 environments have copies that are damaged or could not be read/);
    assert.equal(await stateOf(backups[1], 'offsite'), 'suspect');
    assert.equal(await stateOf(backups[1], 'volume'), 'verified');
    const status = await installation.cofre(['status']);
    assert.match(status.stdout, /suspect|damaged/);
    await flip(archive);
  });

  it('a copy that was marked and is whole counts again when somebody has it read', async () => {
    const whole = await installation.json<RunResult>(['verify', backups[1] ?? '']);
    assert.equal(whole.state, 'complete');
    assert.equal(await stateOf(backups[1], 'offsite'), 'verified');
  });

  it('a manifest that is gone or an object that is gone makes a copy suspect, and another manifest does, too', async () => {
    const manifest = join(offsite, 'shop', backups[1] ?? '', 'manifest.json');
    const archive = await archiveOf(backups[1]);
    for (const file of [manifest, archive]) {
      await rename(file, `${offsite}/../aside`);
      const { code, stderr } = await installation.cofre(['verify', backups[1] ?? '', '--in', 'offsite']);
      assert.equal(code, 5, stderr);
      assert.match(stderr, /offsite: suspect/);
      await rename(`${offsite}/../aside`, file);
    }
    const handle = await open(manifest, 'r+');
    const whole = (await handle.readFile()).toString();
    await handle.truncate(100);
    await handle.close();
    assert.equal((await installation.cofre(['verify', backups[1] ?? '', '--in', 'offsite'])).code, 5);
    const again = await open(manifest, 'w');
    await again.writeFile(whole);
    await again.close();
    assert.equal((await installation.cofre(['verify', backups[1] ?? ''])).code, 0);
  });
});
