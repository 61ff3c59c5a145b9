import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync } from 'node:fs';
import { readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';

import type { BackupSummary } from '../../catalog/backup-list.ts';
import type { Manifest } from '../../catalog/manifest.ts';
import { compareFingerprints, fingerprintDatabase, type Fingerprint } from '../../demo/compare-databases.ts';
import { withClient } from '../../postgres/connect.ts';
import type { AdoptedDump } from '../../workflows/adopt-dumps.ts';
import type { SyncResult } from '../../workflows/sync-catalog.ts';
import { testServers } from '../servers.ts';
import { Installation } from './installation.ts';

interface RunResult {
  state: string;
  backupId: string;
  sync?: SyncResult;
  error?: { code: string; message: string };
}

const SAMPLE = `CREATE EXTENSION citext; CREATE SCHEMA "My schema";
  CREATE TABLE "My schema"."Notas (fiscais)" AS SELECT g AS id, md5(g::text)::citext AS body FROM generate_series(1, 3000) g;
  CREATE TABLE public."ação" (id int PRIMARY KEY, "preço" numeric); INSERT INTO public."ação" SELECT g, g * 1.5 FROM generate_series(1, 100) g;
  CREATE TABLE public.none (); CREATE VIEW public.v AS SELECT count(*) FROM public."ação"; SELECT lo_from_bytea(0, 'large');`;

describe('dumps that another job leaves in a destination', () => {
  let installation: Installation;
  let place: string;
  let fingerprint: Fingerprint;

  before(async () => {
    installation = await Installation.create(
      [{ id: 'shop' }, { id: 'shop-hml', stage: 'homologation', productionOf: 'shop' }],
      {},
      (config) => {
        const destinations = config['destinations'] as Record<string, object>;
        const { path } = destinations['volume'] as { path: string };
        place = path;
        const dumps = ['{namespace}/database_latest.dump.gz', '{namespace}/old/database_*.dump'];
        const second = join(path, '..', 'second');
        mkdirSync(second);
        destinations['second'] = { ...destinations['volume'], path: second };
        destinations['volume'] = { ...destinations['volume'], adopt: { dumps, timezone: 'UTC' } };
        for (const environment of Object.values(config['environments'] as Record<string, object>))
          Object.assign(environment, { namespace: 'shop-ns' });
        const policies = config['policies'] as Record<string, object>;
        policies['staged'] = { ...policies['staged'], copies: { to: ['volume', 'second'], complete: 1 } };
      },
    );
    await installation.createEnvironmentDatabase('shop', SAMPLE);
    fingerprint = await fingerprintDatabase(installation.target('shop'));
    await installation.startWorker();
    mkdirSync(join(place, 'shop-ns/old'), { recursive: true });
  });

  after(() => installation.remove());

  const latest = (): string => join(place, 'shop-ns/database_latest.dump.gz');

  /** As today's practice dumps, with a clock in UTC. */
  function dumpAsPractice(path: string, { gzip = true, args = '' } = {}): void {
    const { host, port, user, password } = testServers().postgres;
    const dump = `pg_dump -Fc -Z6 --no-owner --no-acl ${args} -d "$0"`;
    const command = gzip ? `${dump} | gzip > "$1"` : `${dump} > "$1"`;
    execFileSync('bash', ['-o', 'pipefail', '-c', command, installation.database('shop'), path], {
      env: { ...process.env, TZ: 'UTC', PGHOST: host, PGPORT: String(port), PGUSER: user, PGPASSWORD: password },
    });
  }

  async function sync(
    ...args: string[]
  ): Promise<{ state: string; adopted: readonly AdoptedDump[]; result: SyncResult }> {
    const { state, sync: result, error } = await installation.json<RunResult>(['sync', ...args]);
    assert.ok(result, JSON.stringify(error));
    return { state, adopted: result.adopted, result };
  }

  async function backups(): Promise<BackupSummary[]> {
    return await installation.json<BackupSummary[]>(['backups', 'shop']);
  }

  it('become backups with a key of their own, once, whatever they are called', async () => {
    dumpAsPractice(latest());
    copyFileSync(latest(), join(place, 'shop-ns/old/database_20261126.dump'));
    const { state, adopted, result } = await sync('volume');
    assert.equal(adopted.length, 1, 'the dated one is the same dump');
    assert.deepEqual([adopted[0]?.environment, adopted[0]?.reason], ['shop', undefined]);
    assert.deepEqual([state, result.compared[0]?.counts.extra], ['complete', 0]);
    const [backup] = await backups();
    assert.deepEqual(
      [
        backup?.id,
        backup?.state,
        backup?.adopted,
        backup?.copies.map(({ destination, state: is }) => `${destination} ${is}`),
      ],
      [adopted[0]?.backupId, 'complete', true, ['second missing', 'volume verified']],
    );
    const own = join(place, 'shop', backup?.id ?? '');
    const manifest = JSON.parse(readFileSync(join(own, 'manifest.json'), 'utf8')) as Manifest;
    assert.deepEqual(readFileSync(join(own, manifest.objects[0]?.key ?? '')), readFileSync(latest()));
    assert.deepEqual(
      manifest.content.tables.map(({ schema, name, rows }) => [schema, name, rows]),
      [
        ['My schema', 'Notas (fiscais)', 3000],
        ['public', 'ação', 100],
        ['public', 'none', 0],
      ],
    );
    assert.ok(Math.abs(Date.parse(manifest.snapshotAt) - Date.now()) < 600_000, manifest.snapshotAt);
    assert.deepEqual((await sync('volume')).adopted, [], 'nothing twice');
  });

  it('are copied to other destinations as a debt, and outlive the next dump under the same name', async () => {
    const copied = await installation.json<RunResult>(['copy', (await backups())[0]?.id ?? '', '--to', 'second']);
    assert.equal(copied.state, 'complete', JSON.stringify(copied));
    await new Promise((resolve) => setTimeout(resolve, 1_000)); // A dump knows its second.
    dumpAsPractice(latest(), { args: '--exclude-table=public.none' });
    const { adopted } = await sync('volume');
    assert.equal(adopted.length, 1);
    const ids = (await backups()).map(({ id }) => id);
    assert.deepEqual([ids.length, ids[0]], [2, adopted[0]?.backupId]);
    const verified = await installation.json<{ state: string }>(['verify', ids[1] ?? '']);
    assert.equal(verified.state, 'complete', JSON.stringify(verified));
  });

  it('are taken and restored as they are, plain or in zstd', async () => {
    dumpAsPractice(join(place, 'shop-ns/old/database_plain.dump'), {
      gzip: false,
      args: '--exclude-table=public.none',
    });
    await new Promise((resolve) => setTimeout(resolve, 1_000)); // A dump knows its second.
    const wrapped = join(place, 'shop-ns/old/database_zstd.dump');
    dumpAsPractice(`${wrapped}.raw`, { gzip: false });
    execFileSync('zstd', ['-q', '--rm', `${wrapped}.raw`, '-o', wrapped]);
    const { adopted } = await sync('volume');
    const named = (name: string): AdoptedDump | undefined => adopted.find(({ key }) => key.endsWith(name));
    for (const name of ['plain.dump', 'zstd.dump']) {
      const id = named(name)?.backupId ?? '';
      const args = ['restore', '--from', 'shop', '--backup', id, '--to', 'shop', '--yes'];
      const restored = await installation.json<RunResult>(args);
      assert.equal(restored.state, 'restored', `${name}: ${JSON.stringify(restored)}`);
    }
    assert.deepEqual(compareFingerprints(fingerprint, await fingerprintDatabase(installation.target('shop'))), []);
    await rm(join(place, 'shop-ns/old'), { recursive: true });
  });

  it('are restored by ensure, and compared with what was counted', async () => {
    await rm(join(place, 'shop-ns'), { recursive: true });
    const all = await backups();
    const [newest, first] = [all[0], all.at(-1)];
    await installation.dropDatabase('shop');
    const ensured = await installation.json<RunResult>(['ensure', 'shop']);
    assert.deepEqual([ensured.state, ensured.backupId], ['restored', newest?.id], JSON.stringify(ensured));
    const restored = await installation.json<RunResult & { compared?: string }>([
      ...['restore', '--from', 'shop', '--backup', first?.id ?? '', '--to', 'shop', '--yes'],
    ]);
    assert.equal(restored.state, 'restored', JSON.stringify(restored));
    const { rows } = await withClient(installation.target('shop'), (client) =>
      client.query<{ owner: string }>(
        `SELECT DISTINCT tableowner AS owner FROM pg_tables WHERE schemaname IN ('public', 'My schema')`,
      ),
    );
    assert.deepEqual(rows, [{ owner: installation.owner('shop') }]);
    assert.deepEqual(compareFingerprints(fingerprint, await fingerprintDatabase(installation.target('shop'))), []);
  });

  it('that are cut off, no archive, made with --inserts, or of nobody are refused by name, and leave nothing', async () => {
    mkdirSync(join(place, 'shop-ns/old'), { recursive: true });
    mkdirSync(join(place, 'stranger'));
    dumpAsPractice(latest());
    await truncate(latest(), readFileSync(latest()).length - 100);
    await writeFile(join(place, 'shop-ns/old/database_text.dump'), '-- PostgreSQL database dump\n');
    await writeFile(join(place, 'shop-ns/old/database_empty.dump'), '');
    dumpAsPractice(join(place, 'shop-ns/old/database_inserts.dump'), { gzip: false, args: '--inserts' });
    await writeFile(join(place, 'stranger/database_latest.dump.gz'), 'x');
    const { state, adopted } = await sync('volume');
    const why = Object.fromEntries(adopted.map(({ key, reason }) => [key, reason?.message ?? 'adopted']));
    assert.equal(state, 'incomplete');
    assert.match(why['shop-ns/database_latest.dump.gz'] ?? '', /not a whole dump/);
    assert.match(why['shop-ns/old/database_text.dump'] ?? '', /SQL text/);
    assert.match(why['shop-ns/old/database_empty.dump'] ?? '', /not a custom-format dump/);
    assert.match(why['shop-ns/old/database_inserts.dump'] ?? '', /--inserts/);
    assert.match(why['stranger/database_latest.dump.gz'] ?? '', /no environment has the namespace stranger/);
    const states = (await backups()).map(({ state: is }) => is);
    assert.deepEqual(states.sort(), [...Array.from({ length: 4 }, () => 'complete'), 'failed', 'failed']);
    const complete = (await backups()).filter(({ state: is }) => is === 'complete').map(({ id }) => id);
    const folders = await readdir(join(place, 'shop'));
    assert.deepEqual(folders.sort(), complete.sort());
    // Whole now, under the same name.
    dumpAsPractice(latest());
    await rm(join(place, 'stranger'), { recursive: true });
    await rm(join(place, 'shop-ns/old'), { recursive: true });
    assert.deepEqual(
      (await sync('volume')).adopted.map(({ reason }) => reason),
      [undefined],
    );
  });
});
