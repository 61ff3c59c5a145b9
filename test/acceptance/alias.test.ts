import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { readFile, readdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';

import { withClient } from '../../postgres/connect.ts';
import { testServers } from '../servers.ts';
import { until } from '../until.ts';
import { Installation } from './installation.ts';

/** So far ahead clocks may be. */
const NEWER = `clock_timestamp() + interval '3 minutes'`;

interface RunResult {
  state: string;
  backupId: string;
}

describe('the alias for consumers from before Cofre', () => {
  let installation: Installation;

  before(async () => {
    installation = await Installation.create([{ id: 'shop', pipeline: 'streamed' }], {}, (config) => {
      const { volume, ...others } = config['destinations'] as { volume: { path: string } };
      const second = { ...volume, path: `${volume.path}-2` };
      mkdirSync(second.path, { mode: 0o700 });
      config['destinations'] = { volume, second, ...others };
      const { streamed } = config['policies'] as Record<string, object>;
      Object.assign(streamed ?? {}, { copies: { to: ['volume', 'second'], complete: 1, alias: ['volume', 'second'] } });
      const { shop } = config['environments'] as Record<string, object>;
      Object.assign(shop ?? {}, { namespace: 'acme' });
    });
    await installation.createEnvironmentDatabase(
      'shop',
      'CREATE TABLE public.t AS SELECT g AS id, md5(g::text) AS body FROM generate_series(1, 5000) g',
    );
    await installation.startWorker();
  });

  after(() => installation.remove());

  const alias = (): string => join(installation.backups, 'acme', 'database_latest.dump.gz');

  /** As the old consumers do. */
  async function restored(): Promise<number> {
    const name = `${installation.id}_old`;
    const { host, port, user, password } = testServers().postgres;
    await withClient(installation.admin, (client) => client.query(`DROP DATABASE IF EXISTS "${name}"`));
    await installation.createDatabase(name, user);
    const env = { ...process.env, PGHOST: host, PGPORT: String(port), PGUSER: user, PGPASSWORD: password };
    const command = 'gunzip -c "$0" | pg_restore --no-owner -d "$1"';
    execFileSync('bash', ['-o', 'pipefail', '-c', command, alias(), name], { env });
    return await withClient({ ...installation.admin, database: name }, async (client) => {
      const { rows } = await client.query<{ rows: number }>('SELECT count(*)::int AS rows FROM public.t');
      return rows[0]?.rows ?? 0;
    });
  }

  it('is the newest backup, restored with gunzip and pg_restore, and neither a copy nor an extra', async () => {
    const first = await installation.cofre(['backup', 'shop']);
    assert.equal(first.code, 0, first.stderr);
    assert.match(first.stderr, /alias in volume: published/);
    assert.equal(await restored(), 5000);
    await withClient(installation.target('shop'), (client) =>
      client.query(`INSERT INTO public.t SELECT g, 'new' FROM generate_series(5001, 6000) g`),
    );
    await installation.json<RunResult>(['backup', 'shop']);
    assert.equal(await restored(), 6000);
    assert.deepEqual(await readdir(join(installation.backups, 'acme')), ['database_latest.dump.gz']);
    assert.deepEqual(await readdir(join(installation.spool, 'shop')).catch(() => []), []);
    const { sync } = await installation.json<{ sync: object }>(['sync']);
    assert.doesNotMatch(JSON.stringify(sync), /database_latest/);
  });

  it('stays as it was when the backup is anomalous, or goes elsewhere', async () => {
    const before = await readFile(alias());
    assert.equal((await installation.cofre(['backup', 'shop', '--to', 'second'])).code, 0);
    await withClient(installation.target('shop'), (client) => client.query('DELETE FROM public.t WHERE id > 100'));
    const result = await installation.cofre(['backup', 'shop']);
    assert.match(result.stderr, /alias in volume: kept: this backup is marked as anomalous/);
    assert.ok(before.equals(await readFile(alias())));
  });

  it('that cannot be published is a debt that is told, and no failed backup', async () => {
    await withClient(installation.target('shop'), (client) =>
      client.query(`INSERT INTO public.t SELECT g, md5(g::text) FROM generate_series(1, 7000) g`),
    );
    await rm(join(installation.backups, 'acme'), { recursive: true });
    await writeFile(join(installation.backups, 'acme'), 'in the way');
    const result = await installation.cofre(['backup', 'shop', '--json']);
    const { state, backupId } = JSON.parse(result.stdout) as RunResult;
    assert.equal(state, 'complete');
    assert.equal(result.code, 5, result.stderr);
    assert.match((await installation.cofre(['show', backupId])).stdout, /complete/);
    await rm(join(installation.backups, 'acme'));
    assert.equal((await installation.cofre(['backup', 'shop'])).code, 0);
    assert.equal(await restored(), 7100);
  });

  it('is never replaced by older data: not by what is known before, nor by what comes while it is made', async () => {
    const first = await installation.json<RunResult>(['backup', 'shop']);
    const before = await readFile(alias());
    const kept = new RegExp(`alias in volume: kept: ${first.backupId} has newer data`);
    const dataFrom = (time: string): string =>
      `UPDATE cofre.manifests SET snapshot_at = ${time} WHERE backup_id = '${first.backupId}'`;
    // As when this one's host was frozen or its clock is wrong: the other is newer, whatever its id says.
    await withClient(installation.catalog, (catalog) => catalog.query(dataFrom(NEWER)));
    const older = await installation.cofre(['backup', 'shop']);
    assert.match(older.stderr, kept);
    assert.ok(before.equals(await readFile(alias())));

    await withClient(installation.catalog, (catalog) => catalog.query(dataFrom(`'2000-01-01'`)));
    await withClient(installation.target('shop'), (client) =>
      client.query(`INSERT INTO public.t SELECT g, md5(g::text) FROM generate_series(1, 300000) g`),
    );
    const overtaken = installation.cofre(['backup', 'shop']);
    await until('gzip has begun', async () => {
      const files = await readdir(installation.spool, { recursive: true }).catch(() => []);
      return files.some((file) => file.includes('database_latest.dump.gz'));
    });
    await withClient(installation.catalog, (catalog) => catalog.query(dataFrom(NEWER)));
    assert.match((await overtaken).stderr, kept);
    assert.ok(before.equals(await readFile(alias())));

    // One night's clock was wrong: it must not keep every later backup from being published.
    await withClient(installation.catalog, (catalog) => catalog.query(dataFrom(`'2999-01-01'`)));
    assert.match((await installation.cofre(['backup', 'shop'])).stderr, /alias in volume: published/);
    assert.ok(!before.equals(await readFile(alias())));
  });

  it('waits half an hour for a destination that is in trouble, when the others have theirs', async () => {
    const away = join(installation.folder, 'away');
    await rename(alias(), away);
    await symlink('/somewhere', alias());
    const second = join(`${installation.backups}-2`, 'acme', 'database_latest.dump.gz');
    const before = await readFile(second);
    const started = await installation.json<{ workflowId: string }>(['backup', 'shop', '--no-follow']);
    const client = await installation.client();
    const handle = client.workflow.getHandle(started.workflowId);
    let page = '';
    await until('it waits for the first', async () => {
      const metadata = await handle.query<{ currentDetails: string }>('__temporal_workflow_metadata');
      page = metadata.currentDetails;
      return page.includes('Waits for the alias in volume');
    });
    assert.match(page, /remove/);
    const [, end = ''] = /until (\S+ \S+) UTC, and then goes on/.exec(page) ?? [];
    const waitsMs = Date.parse(`${end.replace(' ', 'T')}Z`) - Date.now();
    assert.ok(waitsMs > 20 * 60_000 && waitsMs < 32 * 60_000, page);
    assert.ok(!before.equals(await readFile(second)));
    await rm(alias());
    const { state } = (await handle.result()) as RunResult;
    assert.equal(state, 'complete');
    assert.ok((await readFile(second)).equals(await readFile(alias())));
    await client.connection.close();
  });
});
