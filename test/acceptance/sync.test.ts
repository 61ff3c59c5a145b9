import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { readdir, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';

import type { Client } from '@temporalio/client';

import type { BackupSummary } from '../../catalog/backup-list.ts';
import { compareFingerprints, fingerprintDatabase, type Fingerprint } from '../../demo/compare-databases.ts';
import { withClient } from '../../postgres/connect.ts';
import { CONTROL_QUEUE } from '../../workflows/queues.ts';
import type { SyncResult } from '../../workflows/sync-catalog.ts';
import { DAMAGES } from '../damage.ts';
import { until } from '../until.ts';
import { Installation } from './installation.ts';

interface RunResult {
  state: string;
  backupId: string;
  sync?: SyncResult;
  error?: { code: string; message: string };
}

describe('the catalog and what its destinations have, by the command line', () => {
  let installation: Installation;
  let client: Client;
  let fingerprint: Fingerprint;
  const folders: Record<string, string> = {};
  const ids: string[] = [];

  before(async () => {
    const weekly = { at: '05:00', run: 'syncCatalog' };
    installation = await Installation.create([{ id: 'shop' }], { weekly }, (config) => {
      const destinations = config['destinations'] as Record<string, object>;
      const volume = destinations['volume'] as { path: string };
      folders['volume'] = volume.path;
      for (const name of ['second', 'old']) {
        const path = join(volume.path, '..', name);
        mkdirSync(path, { mode: 0o700 });
        destinations[name] = { ...volume, path };
        folders[name] = path;
      }
      const policies = config['policies'] as Record<string, object>;
      policies['staged'] = { ...policies['staged'], copies: { to: ['volume', 'second'] }, endsWithin: '20h' };
    });
    const sql = `CREATE TABLE public.t AS SELECT g AS id, md5(random()::text) AS body FROM generate_series(1, 5000) g`;
    await installation.createEnvironmentDatabase('shop', sql);
    fingerprint = await fingerprintDatabase(installation.target('shop'));
    await installation.startWorker();
    client = await installation.client();
    for (let made = 0; made < 3; made += 1) ids.push((await installation.json<RunResult>(['backup', 'shop'])).backupId);
  });

  after(async () => {
    await client.connection.close();
    await installation.remove();
  });

  function folderOf(destination: string, id: string): string {
    return join(folders[destination] ?? '', 'shop', id);
  }

  async function archiveOf(destination: string, id: string): Promise<string> {
    const files = await readdir(folderOf(destination, id), { recursive: true });
    return join(folderOf(destination, id), files.find((file) => file.endsWith('.tar')) ?? 'none');
  }

  async function contentOf(destination: string): Promise<Record<string, string>> {
    const root = folders[destination] ?? '';
    const files = (await readdir(root, { recursive: true })).filter((file) => /(\.tar|manifest\.json)$/.test(file));
    const hashes = await Promise.all(
      files.map(async (file) => [file, (await readFile(join(root, file))).toString('base64')]),
    );
    return Object.fromEntries(hashes.sort()) as Record<string, string>;
  }

  async function statesOf(id: string): Promise<Record<string, string>> {
    const found = (await installation.json<BackupSummary[]>(['backups', 'shop'])).find((backup) => backup.id === id);
    return Object.fromEntries((found?.copies ?? []).map(({ destination, state }) => [destination, state]));
  }

  /** What one destination differs in: its counts without the zeros, and what is told of each. */
  async function sync(...args: string[]): Promise<{ code: string; sync: SyncResult; told: string[] }> {
    const result = await installation.json<RunResult>(['sync', ...args]);
    assert.ok(result.sync, JSON.stringify(result));
    const told = result.sync.compared.flatMap(({ destination, differences }) =>
      differences.map(({ kind, backupId, what }) => `${destination} ${kind} ${backupId ?? '-'}: ${what}`),
    );
    return { code: result.state, sync: result.sync, told: told.sort() };
  }

  it('finds nothing where nothing differs', async () => {
    const { code, sync: result, told } = await sync();
    assert.deepEqual([code, told, result.unverified], ['complete', [], 0]);
    assert.deepEqual(result.compared.map(({ compared }) => compared).sort(), [0, 3, 3]);
  });

  it('case 47: what was deleted, cut, renamed and added by hand is told exactly, and repair mends it', async () => {
    const before = { volume: await contentOf('volume'), second: await contentOf('second') };
    const [gone = '', cut = '', renamed = ''] = ids;
    await rm(folderOf('second', gone), { recursive: true });
    const cutFile = await archiveOf('second', cut);
    await truncate(cutFile, 2_000);
    const renamedFile = await archiveOf('volume', renamed);
    await rename(renamedFile, `${renamedFile}.old`);
    await writeFile(join(folders['volume'] ?? '', 'notes.txt'), 'hello');
    const nameIn = (file: string, id: string): string => file.slice(folderOf('volume', id).length + 1);
    const [cutName, renamedName] = [cutFile.slice(folderOf('second', cut).length + 1), nameIn(renamedFile, renamed)];
    const sizeOf = (name: 'volume' | 'second', id: string, file: string): number =>
      Buffer.from(before[name][`shop/${id}/${file}`] ?? '', 'base64').length;
    const goneName = (await archiveOf('volume', gone)).slice(folderOf('volume', gone).length + 1);

    const expected = [
      `second missing ${gone}: ${goneName} is not there, manifest.json is not there`,
      `second damaged ${cut}: ${cutName} has 2000 bytes and should have ${sizeOf('second', cut, cutName)}`,
      `volume missing ${renamed}: ${renamedName} is not there`,
      `volume extra ${renamed}: shop/${renamed}/${renamedName}.old, ${sizeOf('volume', renamed, renamedName)} bytes`,
      'volume extra -: notes.txt, 5 bytes',
    ].sort();
    const found = await sync();
    assert.deepEqual(found.told, expected);
    assert.deepEqual([found.code, found.sync.unverified], ['incomplete', 3]);
    assert.deepEqual(await statesOf(gone), { second: 'missing', volume: 'verified' });
    assert.deepEqual(await statesOf(cut), { second: 'suspect', volume: 'verified' });
    assert.deepEqual(await statesOf(renamed), { second: 'verified', volume: 'missing' });
    assert.match(
      (await installation.cofre(['status', 'shop'])).stdout,
      /3 copies are missing, damaged or not proven yet/,
    );
    assert.deepEqual(
      (await sync('second')).told,
      expected.filter((line) => line.startsWith('second')),
      'again the same',
    );

    const routine = await installation.cofre(['run', 'weekly']);
    assert.equal(routine.code, 1);
    assert.match(routine.stderr, /copies missing, damaged or not proven: 3\n.*cofre sync --repair/);

    const repaired = await installation.cofre(['sync', '--repair']);
    assert.equal(repaired.code, 0, repaired.stderr);
    assert.match(repaired.stderr, /repair of shop: 3 verified, 0 could not be/);
    for (const id of ids) assert.deepEqual(await statesOf(id), { second: 'verified', volume: 'verified' });
    await rm(`${renamedFile}.old`);
    await rm(join(folders['volume'] ?? '', 'notes.txt'));
    assert.deepEqual({ volume: await contentOf('volume'), second: await contentOf('second') }, before);
  });

  it('what was put back by hand is there again, and is proven where it is', async () => {
    const [id = ''] = ids;
    await rename(folderOf('second', id), `${folders['second']}/away`);
    await sync('second');
    assert.equal((await statesOf(id))['second'], 'missing');
    await rename(`${folders['second']}/away`, folderOf('second', id));
    assert.deepEqual((await sync('second')).told, [`second found ${id}: it is there again, and not proven yet`]);
    assert.equal((await statesOf(id))['second'], 'uploaded');
    assert.equal((await sync('second', '--repair')).code, 'complete');
    assert.equal((await statesOf(id))['second'], 'verified');
  });

  it('a destination that is retired gives what only it has to another one, and is forgotten; nothing is removed there', async () => {
    const [, , copied = ''] = ids;
    const only = (await installation.json<RunResult>(['backup', 'shop', '--to', 'old'])).backupId;
    const damaged = (await installation.json<RunResult>(['backup', 'shop', '--to', 'old'])).backupId;
    await installation.cofre(['copy', copied, '--to', 'old']);
    const inUse = await installation.cofre(['destination', 'retire', 'second', '--to', 'volume', '--yes']);
    assert.equal(inUse.code, 3, inUse.stderr);
    assert.match(inUse.stderr, /second still gets copies: policies\.staged/);

    const file = await archiveOf('old', damaged);
    const whole = await readFile(file);
    await truncate(file, 2_000);
    const retire = ['destination', 'retire', 'old', '--to', 'second', '--yes'];
    const inPart = await installation.cofre(retire);
    assert.equal(inPart.code, 5, inPart.stderr);
    assert.match(
      inPart.stderr,
      new RegExp(`2 copies in old forgotten.*\\n.*only old has something of them: ${damaged}\\n`),
    );
    assert.deepEqual(await statesOf(only), { old: 'deleted', second: 'verified' });
    assert.deepEqual(await statesOf(copied), { old: 'deleted', second: 'verified', volume: 'verified' });
    assert.equal((await statesOf(damaged))['old'], 'suspect');

    await writeFile(file, whole);
    await sync('old', '--repair');
    const before = await contentOf('old');
    const done = await installation.json<RunResult>(retire);
    assert.equal(done.state, 'complete', JSON.stringify(done));
    assert.deepEqual(await statesOf(damaged), { old: 'deleted', second: 'verified' });
    assert.deepEqual(await contentOf('old'), before);
    const { code, told } = await sync('old');
    assert.equal(code, 'complete');
    assert.deepEqual(
      told,
      [only, damaged, copied]
        .sort()
        .map((id) => `old extra ${id}: it was deleted or given up here, and its manifest is there`),
    );
    await assertNotTakenOut('second');
    const again = await installation.cofre(['copy', only, '--to', 'old']);
    assert.equal(again.code, 3, again.stderr);
    assert.match(again.stderr, /in old was given up, and is not made again\n.*name another destination/);
  });

  /** From the configuration: only there some backups are. */
  async function assertNotTakenOut(name: string): Promise<void> {
    const written = structuredClone(installation.config);
    const config = installation.config as Record<string, Record<string, object>>;
    delete config['destinations']?.[name];
    for (const policy of Object.values(config['policies'] ?? {})) Object.assign(policy, { copies: { to: ['volume'] } });
    config['routines'] = {};
    await installation.writeConfig();
    const refused = await installation.cofre(['apply', '--yes']);
    Object.assign(installation.config, written);
    await installation.writeConfig();
    assert.equal(refused.code, 3, refused.stderr);
    assert.match(
      refused.stderr,
      new RegExp(`${name} is not in the file any more, and no other destination has .*\\n.*retire ${name} --to`),
    );
  }

  it('repair never removes what may be the last of a backup: another copy is read in full first', async () => {
    const [cut = '', both = ''] = ids;
    await truncate(await archiveOf('second', cut), 3_000);
    // Of the same size: only who reads it sees it, and the catalog says that this copy is verified.
    await DAMAGES['flip']?.(await archiveOf('volume', cut), 5_000);
    for (const name of ['volume', 'second']) await truncate(await archiveOf(name, both), 4_000);
    const before = { volume: await contentOf('volume'), second: await contentOf('second') };
    const repaired = await sync('--repair');
    assert.equal(repaired.code, 'incomplete');
    assert.deepEqual({ volume: await contentOf('volume'), second: await contentOf('second') }, before);
    for (const id of [cut, both]) assert.deepEqual(await statesOf(id), { second: 'suspect', volume: 'suspect' });
  });

  it('a destination that is away is named and waited for, and nothing of it is marked', async () => {
    const [, , whole = ''] = ids;
    await rename(folders['second'] ?? '', `${folders['second']}.away`);
    try {
      const run = await client.workflow.start('syncCatalog', {
        taskQueue: CONTROL_QUEUE,
        workflowId: 'syncCatalog/away/1',
        args: [{ endsAt: new Date(Date.now() + 1_000).toISOString() }],
      });
      const { state, notCompared, compared } = (await run.result()) as SyncResult;
      assert.equal(state, 'incomplete');
      assert.deepEqual(
        notCompared.map(({ destination, reason }) => [destination, reason.code]),
        [['second', 'not-mounted']],
      );
      assert.deepEqual(compared.map(({ destination }) => destination).sort(), ['old', 'volume']);
      assert.equal((await statesOf(whole))['second'], 'verified');
      const waiting = await installation.json<{ workflowId: string }>(['sync', 'second', '--no-follow']);
      const handle = client.workflow.getHandle(waiting.workflowId);
      await until('it waits by name', async () => {
        const { currentDetails } = await handle.query<{ currentDetails: string }>('__temporal_workflow_metadata');
        return /Waits for the destination second:.*not mounted/.test(currentDetails);
      });
      await handle.cancel();
    } finally {
      await rename(`${folders['second']}.away`, folders['second'] ?? '');
    }
  });

  it('case 67: a catalog that is two backups behind takes in what is newer, and what runs there was lost', async () => {
    const newer = (await installation.json<RunResult>(['backup', 'shop'])).backupId;
    const lost = (await installation.json<RunResult>(['backup', 'shop'])).backupId;
    const before = { volume: await contentOf('volume'), second: await contentOf('second') };
    await withClient(installation.catalog, async (admin) => {
      for (const table of ['manifests', 'copies'])
        await admin.query(`DELETE FROM cofre.${table} WHERE backup_id = ANY($1)`, [[newer, lost]]);
      await admin.query('DELETE FROM cofre.backups WHERE id = $1', [newer]);
      await admin.query(`UPDATE cofre.backups SET state = 'running', finished_at = NULL WHERE id = $1`, [lost]);
    });
    const found = await sync();
    assert.deepEqual(
      found.told.filter((line) => / imported /.test(line)),
      ['second', 'volume'].flatMap((name) =>
        [newer, lost].sort().map((id) => `${name} imported ${id}: it is not proven yet`),
      ),
    );
    await sync('--repair');
    for (const id of [newer, lost]) assert.deepEqual(await statesOf(id), { second: 'verified', volume: 'verified' });
    assert.deepEqual({ volume: await contentOf('volume'), second: await contentOf('second') }, before);
  });

  it('case 66: a catalog that is lost is made whole again from the destinations alone, and a restore works', async () => {
    const refused = await installation.cofre(['catalog', 'rebuild', '--yes']);
    assert.equal(refused.code, 3, refused.stderr);
    assert.match(refused.stderr, /the catalog is not empty: it has backups\n.*cofre sync --repair/);
    const known = (await installation.json<BackupSummary[]>(['backups'])).map(({ id }) => id);
    const { database } = installation.catalog;
    await withClient(installation.admin, async (admin) => {
      await admin.query(`DROP DATABASE "${database}" WITH (FORCE)`);
      await admin.query(`CREATE DATABASE "${database}" TEMPLATE template0`);
    });
    const [cut = '', both = ''] = ids;
    const rebuilt = await installation.cofre(['catalog', 'rebuild', '--yes']);
    // Of two backups both copies were damaged above, and are told again.
    assert.equal(rebuilt.code, 5, rebuilt.stderr);
    const backups = await installation.json<BackupSummary[]>(['backups']);
    assert.deepEqual(
      backups.map(({ id }) => id),
      known,
    );
    for (const { id, state, copies } of backups) {
      const damaged = id === cut || id === both;
      assert.equal(state, damaged ? 'incomplete' : 'complete', id);
      assert.deepEqual(new Set(copies.map((copy) => copy.state)), new Set([damaged ? 'suspect' : 'verified']), id);
    }
    await installation.dropDatabase('shop');
    const restored = await installation.json<RunResult>([
      ...['restore', '--from', 'shop', '--latest', '--to', 'shop', '--yes'],
    ]);
    assert.equal(restored.state, 'restored', JSON.stringify(restored));
    assert.deepEqual(compareFingerprints(fingerprint, await fingerprintDatabase(installation.target('shop'))), []);
  });

  it('a backup that lies nowhere any more is told by the repair at once, and there is nothing to verify', async () => {
    const { backupId } = await installation.json<RunResult>(['backup', 'shop', '--to', 'volume']);
    await rm(folderOf('volume', backupId), { recursive: true });
    const repaired = await installation.cofre(['sync', '--repair', 'volume']);
    assert.equal(repaired.code, 5, repaired.stderr);
    assert.match((await installation.cofre(['show', backupId])).stdout, /no other copy of \S+ is verified/);
    const verified = await installation.cofre(['verify', backupId]);
    assert.equal(verified.code, 3, verified.stderr);
    assert.match(verified.stderr, /no copy of \S+ was proven before, to be read again \(volume: missing\)/);
  });
});
