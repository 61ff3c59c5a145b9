import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFile, readdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';

import { openCatalog } from '../../catalog/open.ts';
import { withClient } from '../../postgres/connect.ts';
import { Installation } from './installation.ts';

interface Backup {
  environment: string;
  state: string;
  startedAt: string;
  finishedAt: string;
}

interface CatalogNote {
  key: string;
  sha256: string;
}

describe('a routine', () => {
  let installation: Installation;
  const names = ['one', 'two', 'three', 'four'];

  before(async () => {
    // Never by itself while the test runs: only when it is told to.
    const nightly = { at: '04:00', days: ['sun'], timezone: 'America/Sao_Paulo', run: 'backupDatabase', atOnce: 3 };
    installation = await Installation.create(
      names.map((id) => ({ id })),
      { nightly },
    );
    for (const id of names) {
      if (id === 'four') continue;
      await installation.createEnvironmentDatabase(
        id,
        'CREATE TABLE public.t AS SELECT generate_series(1, 1000) AS id',
      );
    }
    await installation.startWorker();
  });

  after(async () => await installation.remove());

  it('backs up every environment in one run, and fails naming the one that has no backup', async () => {
    const result = await installation.cofre(['run', 'nightly']);
    assert.equal(result.code, 1, result.stderr);
    assert.match(result.stderr, /1 of 4 environments have no complete backup: four \(database-missing\)/);
    const backups = await installation.json<Backup[]>(['backups']);
    const states = Object.fromEntries(backups.map(({ environment, state }) => [environment, state]));
    assert.deepEqual(states, { one: 'complete', two: 'complete', three: 'complete', four: 'failed' });
  });

  it('is green when every environment has its backup, and works on no more of a server at once than allowed', async () => {
    await installation.createDatabase(installation.database('four'), 'postgres');
    await withClient(installation.target('four'), (client) => client.query('CREATE TABLE public.t AS SELECT 1 AS id'));
    const since = new Date().toISOString();
    const result = await installation.cofre(['run', 'nightly']);
    assert.equal(result.code, 0, result.stderr);
    const backups = (await installation.json<Backup[]>(['backups'])).filter(({ startedAt }) => startedAt >= since);
    assert.equal(backups.length, 4);
    const moments = backups.map(({ startedAt }) => startedAt);
    const atOnce = moments.map(
      (moment) => backups.filter(({ startedAt, finishedAt }) => startedAt <= moment && moment < finishedAt).length,
    );
    assert.ok(Math.max(...atOnce) <= 2, `at once: ${atOnce.join(', ')}`);
  });

  it('backs up the catalog each night, so that stock commands bring it back', async () => {
    const folder = join(installation.backups, '_catalog');
    const [night] = (await readdir(folder)).sort().slice(-1);
    const note = JSON.parse(await readFile(join(folder, night ?? '', 'catalog.json'), 'utf8')) as CatalogNote;
    const dump = join(folder, night ?? '', note.key);
    assert.equal(
      createHash('sha256')
        .update(await readFile(dump))
        .digest('hex'),
      note.sha256,
    );
    const name = installation.database('catalog_again');
    await installation.createDatabase(name, 'postgres');
    const { host, port, user, password } = installation.admin;
    const env = { ...process.env, PGPASSWORD: password.reveal() };
    const to = ['-h', host, '-p', String(port), '-U', user, '-d', name];
    execFileSync('pg_restore', [...to, '--no-owner', dump], { env });
    const again = await openCatalog({ ...installation.catalog, database: name });
    const catalog = await openCatalog(installation.catalog);
    try {
      for (const table of ['backups', 'copies', 'manifests', 'configurations']) {
        const question = `SELECT count(*) AS rows, md5(string_agg(t::text, ',' ORDER BY t::text)) AS content FROM cofre.${table} t`;
        assert.deepEqual(await again.query(question), await catalog.query(question), table);
      }
    } finally {
      await again.close();
      await catalog.close();
    }
  });

  it('fails where no destination has a backup of the catalog, though nothing else was to be done', async () => {
    await rename(installation.backups, `${installation.backups}.away`);
    try {
      const result = await installation.cofre(['run', 'nightly', '--missing']);
      assert.equal(result.code, 1, result.stderr);
      assert.match(result.stderr, /the catalog could not be backed up to any destination/);
    } finally {
      await rename(`${installation.backups}.away`, installation.backups);
    }
  });

  it('keeps the pause of an operator when the configuration is applied again', async () => {
    assert.equal((await installation.cofre(['pause', 'nightly', '--reason', 'inventory'])).code, 0);
    (installation.config['routines'] as Record<string, Record<string, unknown>>)['nightly']!['at'] = '05:00';
    await installation.writeConfig();
    const applied = await installation.cofre(['apply', '--yes']);
    assert.equal(applied.code, 0, applied.stderr);
    const client = await installation.client();
    const schedule = await client.schedule.getHandle('routine/nightly').describe();
    await client.connection.close();
    assert.equal(schedule.state.paused, true);
    assert.match(schedule.state.note ?? '', /inventory/);
    assert.equal((await installation.cofre(['resume', 'nightly'])).code, 0);
  });
});
