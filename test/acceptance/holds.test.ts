import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { mkdir, readdir, readFile, rename, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';

import type { BackupSummary } from '../../catalog/backup-list.ts';
import type { LiveHold } from '../../catalog/holds.ts';
import type { Status } from '../../cli/status.ts';
import { withClient } from '../../postgres/connect.ts';
import type { HoldResult } from '../../workflows/hold-backup.ts';
import type { SyncResult } from '../../workflows/sync-catalog.ts';
import { Installation } from './installation.ts';

interface RunResult {
  readonly state: string;
  readonly backupId: string;
  readonly hold?: HoldResult;
  readonly sync?: SyncResult;
}

describe('a backup that is held, by the command line', () => {
  let installation: Installation;
  const folders: Record<string, string> = {};
  let id: string;
  let until: string;

  before(async () => {
    installation = await Installation.create([{ id: 'shop' }], {}, (config) => {
      const destinations = config['destinations'] as Record<string, object>;
      const volume = destinations['volume'] as { path: string };
      folders['volume'] = volume.path;
      for (const name of ['second', 'third']) {
        folders[name] = join(volume.path, '..', name);
        mkdirSync(folders[name], { mode: 0o700 });
        destinations[name] = { ...volume, path: folders[name] };
      }
      const policies = config['policies'] as Record<string, object>;
      policies['staged'] = { ...policies['staged'], copies: { to: ['volume', 'second'] } };
    });
    await installation.createEnvironmentDatabase('shop', 'CREATE TABLE public.t AS SELECT 1 AS id');
    await installation.startWorker();
    id = (await installation.json<RunResult>(['backup', 'shop'])).backupId;
    until = `${new Date().getUTCFullYear() + 2}-03-31`;
  });

  after(() => installation.remove());

  async function isWritten(destination: string): Promise<boolean> {
    return (await readdir(join(folders[destination] ?? '', 'shop', id))).includes('hold.json');
  }

  async function away<T>(destination: string, work: () => Promise<T>): Promise<T> {
    const folder = folders[destination] ?? '';
    await rename(folder, `${folder}.away`);
    try {
      return await work();
    } finally {
      await rename(`${folder}.away`, folder);
    }
  }

  async function holds(): Promise<Status['holds']> {
    return (await installation.json<Status>(['status'])).holds;
  }

  it('counts at once, also where a destination is away: that is a debt, which a comparison pays', async () => {
    const refused = await installation.cofre(['hold', id, '--reason', 'court case 4711', '--until', until]);
    assert.equal(refused.code, 2, 'nobody said yes');
    assert.match(refused.stderr, /because|court case 4711/);
    const hold = ['hold', id, '--reason', 'court case 4711', '--until', until, '--yes'];
    const held = await away('second', () => installation.cofre([...hold, '--json']));
    assert.equal(held.code, 5, held.stderr);
    const { state, hold: result } = JSON.parse(held.stdout) as RunResult;
    assert.deepEqual([state, result?.destinations], ['incomplete', ['volume']]);
    assert.deepEqual(
      result?.missing.map(({ destination, reason }) => [destination, reason.code]),
      [['second', 'not-mounted']],
    );
    // In São Paulo, where the environment is, that day ends three hours later.
    assert.match(result?.hold?.until ?? '', /-04-01T03:00:00\.000Z$/);
    assert.deepEqual([await isWritten('volume'), await isWritten('second')], [true, false]);
    const debt = await holds();
    assert.deepEqual([debt?.held, debt?.missing], [1, [{ backupId: id, destination: 'second' }]]);
    const shown = await installation.cofre(['show', id]);
    assert.match(
      shown.stdout,
      /held +until .*\nbecause +court case 4711\n +hold\.json is missing in second: cofre sync/,
    );
    const inTheWay = join(folders['second'] ?? '', 'shop', id, 'hold.json');
    await mkdir(inTheWay);
    const unwritten = await installation.cofre(['sync']);
    await rmdir(inTheWay);
    assert.equal(unwritten.code, 5, unwritten.stderr);
    assert.match(
      unwritten.stderr,
      /and it could not be written: [^]*the hold is missing beside 1 copy\nnext: look why/,
    );

    const { sync } = await installation.json<RunResult>(['sync']);
    assert.deepEqual(
      sync?.compared.flatMap(({ differences }) => differences.map(({ kind, what }) => [kind, what])),
      [['hold', 'hold.json was not there; it was written']],
    );
    assert.ok(await isWritten('second'));
  });

  it('is told to a copy that is made later, and is not shortened', async () => {
    const copied = await installation.json<RunResult>(['copy', id, '--to', 'third']);
    assert.equal(copied.state, 'complete', JSON.stringify(copied));
    const files = await Promise.all(
      Object.values(folders).map(async (folder) => await readFile(join(folder, 'shop', id, 'hold.json'), 'utf8')),
    );
    assert.deepEqual(new Set(files).size, 1);
    const shorter = await installation.cofre(['hold', id, '--reason', 'less', '--until', '2027-01-01', '--yes']);
    assert.equal(shorter.code, 3, shorter.stderr);
    assert.match(shorter.stderr, /a hold may be extended and not shortened: cofre release/);
  });

  it('case 66: is known to a catalog that was rebuilt from the destinations, where nothing is pruned until somebody confirms', async () => {
    const { database } = installation.catalog;
    await withClient(installation.admin, async (admin) => {
      await admin.query(`DROP DATABASE "${database}" WITH (FORCE)`);
      await admin.query(`CREATE DATABASE "${database}" TEMPLATE template0`);
    });
    const rebuilt = await installation.cofre(['catalog', 'rebuild', '--yes']);
    assert.equal(rebuilt.code, 0, rebuilt.stderr);
    assert.match(rebuilt.stderr, /nothing is pruned until somebody confirms the holds\nnext: cofre catalog confirm/);
    const [backup] = await installation.json<BackupSummary[]>(['backups', 'shop']);
    assert.deepEqual([backup?.held, backup?.copies.length], [true, 3]);
    assert.match(
      (await installation.cofre(['status'])).stdout,
      /held: 1 backup; .*\nholds are not confirmed since .*cofre catalog confirm/,
    );
    const retired = await installation.cofre(['destination', 'retire', 'third', '--to', 'volume', '--yes']);
    assert.equal(retired.code, 3, retired.stderr);
    assert.match(retired.stderr, /the holds of this catalog are not confirmed/);

    const unasked = await installation.cofre(['catalog', 'confirm']);
    assert.equal(unasked.code, 2, unasked.stderr);
    assert.match(unasked.stderr, new RegExp(`shop +${id} +.*T03:00:00.000Z +.* court case 4711`));
    const confirmed = await installation.json<{ changed: boolean; holds: LiveHold[] }>(['catalog', 'confirm', '--yes']);
    assert.deepEqual([confirmed.changed, confirmed.holds.map(({ backupId }) => backupId)], [true, [id]]);
  });

  it('stays held as long as a destination is away when it is released, and is free when the last file is gone', async () => {
    const released = await away('second', () => installation.cofre(['release', id, '--yes']));
    assert.equal(released.code, 5, released.stderr);
    assert.match(released.stderr, /still held: .*; removed from third, volume\n +second: .*not mounted/);
    assert.deepEqual([(await holds())?.held, await isWritten('volume'), await isWritten('second')], [1, false, true]);
    const again = await installation.json<RunResult>(['release', id, '--yes']);
    assert.equal(again.state, 'complete', JSON.stringify(again));
    assert.equal(await isWritten('second'), false);
    assert.deepEqual(await holds(), { held: 0, missing: [], unconfirmedSince: null });
  });
});
