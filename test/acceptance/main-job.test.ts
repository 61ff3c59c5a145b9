import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdir, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';

import { compareFingerprints, fingerprintDatabase, type Fingerprint } from '../../demo/compare-databases.ts';
import { withClient } from '../../postgres/connect.ts';
import { testServers } from '../servers.ts';
import { Installation } from './installation.ts';
import { sampleSql } from './sample-data.ts';

const run = promisify(execFile);

interface RunResult {
  state: string;
  backupId: string;
  workflowId: string;
  error?: { code: string; message: string; hint?: string };
}

describe('the main job, by the command line', () => {
  let installation: Installation;
  const fingerprints = new Map<string, Fingerprint>();
  const backups = new Map<string, string>();

  before(async () => {
    installation = await Installation.create([
      { id: 'prod' },
      { id: 'stream', pipeline: 'streamed' },
      { id: 'hml', stage: 'homologation', productionOf: 'prod' },
      { id: 'new' },
    ]);
    for (const id of ['prod', 'stream', 'hml']) await installation.createEnvironmentDatabase(id, sampleSql(5_000));
    await installation.startWorker();
  });

  after(async () => await installation.remove());

  for (const environment of ['prod', 'stream', 'hml']) {
    it(`backs up ${environment}, complete and verified`, async () => {
      fingerprints.set(environment, await fingerprintDatabase(installation.target(environment)));
      const result = await installation.json<RunResult>(['backup', environment]);
      assert.equal(result.state, 'complete', JSON.stringify(result));
      backups.set(environment, result.backupId);
      const folder = join(installation.backups, environment, result.backupId);
      const entries = (await readdir(folder)).sort();
      assert.equal(entries.at(-1), 'manifest.json');
      assert.equal(entries.length, 2, 'one attempt and the manifest');
      const [object] = await readdir(join(folder, entries[0] ?? ''));
      assert.equal(object, environment === 'stream' ? 'database.dump.zst' : 'database.tar');
      assert.deepEqual(await readdir(join(installation.spool, environment)), [], 'nothing is left in the spool');
    });
  }

  for (const environment of ['prod', 'stream']) {
    it(`restores ${environment} with stock commands alone, without Cofre`, async () => {
      const { postgres } = testServers();
      const name = `${installation.id}_stock`;
      await withClient(installation.admin, (client) => client.query(`CREATE DATABASE "${name}" TEMPLATE template0`));
      const folder = join(installation.backups, environment, backups.get(environment) ?? '');
      const [attempt] = await readdir(folder);
      const object = join(folder, attempt ?? '', environment === 'stream' ? 'database.dump.zst' : 'database.tar');
      const restore = 'pg_restore --exit-on-error --no-owner -d "$TARGET"';
      // The one-liners of the public interface, as an operator would paste them.
      const commands =
        environment === 'stream'
          ? `zstd -dc "${object}" | ${restore}`
          : `d=$(mktemp -d) && tar xf "${object}" -C "$d" && find "$d" -name '*.zst' -print0 | xargs -0r zstd -dq --rm && ${restore} -Fd -j4 "$d"; s=$?; rm -rf "$d"; exit $s`;
      await run('bash', ['-o', 'pipefail', '-c', commands], {
        env: {
          ...process.env,
          TARGET: name,
          PGHOST: postgres.host,
          PGPORT: String(postgres.port),
          PGUSER: postgres.user,
          PGPASSWORD: postgres.password,
        },
      });
      const count = (database: string): Promise<unknown> =>
        withClient({ ...installation.admin, database }, async (client) => {
          const { rows } = await client.query(
            `SELECT (SELECT md5(string_agg(c::text, ',' ORDER BY id)) FROM vendas.cliente c) AS clientes, (SELECT sum(dobro) FROM vendas."Nota Fiscal") AS soma, (SELECT count(*) FROM pg_largeobject_metadata) AS objetos`,
          );
          return rows[0];
        });
      assert.deepEqual(await count(name), await count(installation.database(environment)));
      await withClient(installation.admin, (client) => client.query(`DROP DATABASE "${name}" WITH (FORCE)`));
    });

    it(`brings ${environment} back when its database is gone, and eight callers join one run`, async () => {
      await installation.dropDatabase(environment);
      const answers = await Promise.all(
        Array.from({ length: 8 }, () => installation.json<RunResult>(['ensure', environment])),
      );
      const states = new Set(answers.map(({ state }) => state));
      assert.ok(
        [...states].every((state) => state === 'restored' || state === 'exists'),
        JSON.stringify(answers[0]),
      );
      assert.ok(states.has('restored'));
      const before = fingerprints.get(environment);
      assert.ok(before !== undefined);
      assert.deepEqual(compareFingerprints(before, await fingerprintDatabase(installation.target(environment))), []);
      const client = await installation.client();
      const restored: string[] = [];
      for await (const execution of client.workflow.list({
        query: `WorkflowType = 'ensureDatabase' AND CofreEnvironment = '${environment}'`,
      })) {
        restored.push(execution.workflowId);
      }
      await client.connection.close();
      assert.equal(restored.length, 1);
    });
  }

  it('finds one value that was changed', async () => {
    const before = fingerprints.get('prod');
    assert.ok(before !== undefined);
    await withClient(installation.target('prod'), (client) =>
      client.query(`UPDATE vendas.cliente SET nome = nome || '.' WHERE id = 7`),
    );
    const differences = compareFingerprints(before, await fingerprintDatabase(installation.target('prod')));
    assert.match(JSON.stringify(differences), /vendas\.cliente/);
  });

  it('restores a backup over a live database and keeps the old one, closed', async () => {
    const backup = backups.get('prod') ?? '';
    const result = await installation.json<RunResult>([
      'restore',
      '--from',
      'prod',
      '--backup',
      backup,
      '--to',
      'prod',
      '--yes',
    ]);
    assert.equal(result.state, 'restored', JSON.stringify(result));
    const before = fingerprints.get('prod');
    assert.ok(before !== undefined);
    assert.deepEqual(compareFingerprints(before, await fingerprintDatabase(installation.target('prod'))), []);
    const { rows } = await withClient(installation.admin, (client) =>
      client.query<{ datallowconn: boolean }>(`SELECT datallowconn FROM pg_database WHERE datname LIKE $1`, [
        `${installation.id}\\_prod\\_\\_old\\_%`,
      ]),
    );
    assert.deepEqual(rows, [{ datallowconn: false }]);
  });

  it('marks a damaged copy and takes the next good backup', async () => {
    const newest = await installation.json<RunResult>(['backup', 'prod']);
    const folder = join(installation.backups, 'prod', newest.backupId);
    const [attempt] = await readdir(folder);
    await truncate(join(folder, attempt ?? '', 'database.tar'), 5_000);
    const damaged = await installation.json<RunResult>([
      'restore',
      '--from',
      'prod',
      '--latest',
      '--to',
      'prod',
      '--yes',
    ]);
    assert.equal(damaged.error?.code, 'bad-content', JSON.stringify(damaged));
    assert.match((await installation.cofre(['status', 'prod'])).stdout, /1 copy is missing, damaged or not proven yet/);
    const good = await installation.json<RunResult>(['restore', '--from', 'prod', '--latest', '--to', 'prod', '--yes']);
    assert.equal(good.state, 'restored', JSON.stringify(good));
    assert.equal(good.backupId, backups.get('prod'));
  });

  it('leaves no login or half-made database behind', async () => {
    const restores = await withClient({ ...installation.admin, database: `${installation.id}_catalog` }, (client) =>
      client.query<{ id: string }>('SELECT id FROM cofre.restores'),
    );
    // Other tests restore on the same server.
    const logins = restores.rows.map(({ id }) => `cofre_restore_${id.slice(-8)}`);
    assert.ok(logins.length > 0);
    const { rows } = await withClient(installation.admin, (client) =>
      client.query(
        `SELECT rolname AS name FROM pg_roles WHERE rolname = ANY($2) UNION SELECT datname FROM pg_database WHERE datname LIKE $1`,
        [`${installation.id}\\_%\\_\\_restore\\_%`, logins],
      ),
    );
    assert.deepEqual(rows, []);
  });

  it('refuses data of another environment, and a homologation database its production data, with exit code 3', async () => {
    const other = await installation.cofre(['restore', '--from', 'prod', '--latest', '--to', 'hml', '--yes']);
    assert.equal(other.code, 3, other.stderr);
    await installation.dropDatabase('hml');
    const ensure = await installation.cofre(['ensure', 'hml']);
    assert.equal(ensure.code, 3, ensure.stderr);
    assert.equal(await installation.databaseExists('hml'), false);
    const own = await installation.json<RunResult>(['restore', '--from', 'hml', '--latest', '--to', 'hml', '--yes']);
    assert.equal(own.state, 'restored', JSON.stringify(own));
  });

  it('says no-backup for a new environment, at once the second time, and makes it empty when asked', async () => {
    const first = await installation.json<RunResult>(['ensure', 'new']);
    assert.equal(first.error?.code, 'no-backup', JSON.stringify(first));
    const second = await installation.cofre(['ensure', 'new']);
    assert.equal(second.code, 3, second.stderr);
    const client = await installation.client();
    const runs: string[] = [];
    for await (const execution of client.workflow.list({
      query: `WorkflowType = 'ensureDatabase' AND CofreEnvironment = 'new'`,
    }))
      runs.push(execution.runId);
    await client.connection.close();
    assert.equal(runs.length, 1, 'the second caller was answered without a new run');
    const created = await installation.json<RunResult>(['ensure', 'new', '--create-empty']);
    assert.equal(created.state, 'created', JSON.stringify(created));
    assert.equal((await installation.cofre(['ensure', 'new'])).code, 0);
  });

  it('restores what the old jobs wrote, by path', async () => {
    const { postgres } = testServers();
    const dump = join(installation.folder, 'database_latest.dump.gz');
    await run('bash', ['-o', 'pipefail', '-c', `pg_dump -Fc -Z6 --no-owner --no-acl "$SOURCE" | gzip > "${dump}"`], {
      env: {
        ...process.env,
        SOURCE: installation.database('prod'),
        PGHOST: postgres.host,
        PGPORT: String(postgres.port),
        PGUSER: postgres.user,
        PGPASSWORD: postgres.password,
      },
    });
    const result = await installation.json<RunResult>(['restore', '--file', dump, '--to', 'new', '--yes']);
    assert.equal(result.state, 'restored', JSON.stringify(result));
    const { rows } = await withClient(installation.target('new'), (client) =>
      client.query('SELECT count(*)::int AS n FROM vendas.cliente'),
    );
    assert.deepEqual(rows, [{ n: 5_000 }]);
    await writeFile(dump, 'not a dump');
    const bad = await installation.json<RunResult>(['restore', '--file', dump, '--to', 'new', '--yes']);
    assert.equal(bad.error?.code, 'bad-content', JSON.stringify(bad));
    assert.equal((await installation.cofre(['ensure', 'new'])).code, 0, 'the live database is as it was');
  });
});
