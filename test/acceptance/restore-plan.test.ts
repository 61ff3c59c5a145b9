import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdir, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';

import { openClient, withClient, type PostgresTarget } from '../../postgres/connect.ts';
import { clientsFolder, startVersion } from '../postgres-version.ts';
import { until } from '../until.ts';
import { Installation } from './installation.ts';

const run = promisify(execFile);

interface RunResult {
  readonly state: string;
  readonly backupId: string;
  readonly error?: { readonly code: string; readonly message: string; readonly hint?: string };
}

describe('what a restore would do is said before it does it', () => {
  let installation: Installation;
  let reader: string;
  let group: string;
  let dumps = 0;

  before(async () => {
    installation = await Installation.create([{ id: 'prod' }]);
    reader = `${installation.id}_leitor`;
    group = `${installation.id}_grupo`;
    await admin(`CREATE ROLE ${group}; CREATE ROLE ${reader} LOGIN CREATEDB IN ROLE ${group}`);
    await installation.createEnvironmentDatabase(
      'prod',
      `CREATE TABLE public.t (a int); INSERT INTO public.t VALUES (1), (2); GRANT SELECT ON public.t TO ${reader}`,
    );
    await installation.startWorker();
    await backUp();
  });
  after(async () => await installation.remove());

  const admin = async (sql: string, database = 'postgres') =>
    (await withClient({ ...installation.admin, database }, (client) => client.query(sql))).rows as unknown[];

  async function backUp(): Promise<string> {
    const result = await installation.json<RunResult>(['backup', 'prod']);
    assert.equal(result.state, 'complete', JSON.stringify(result));
    return result.backupId;
  }

  /** The plan as a person sees it; without a terminal nothing is restored. */
  async function plan(): Promise<string> {
    const { code, stderr } = await installation.cofre(['restore', '--from', 'prod', '--latest', '--to', 'prod']);
    assert.equal(code, 2, stderr);
    return stderr.replaceAll(`${installation.id}_`, '');
  }

  async function restore(): Promise<void> {
    const args = ['restore', '--from', 'prod', '--latest', '--to', 'prod', '--yes'];
    const restored = await installation.json<RunResult>(args);
    assert.equal(restored.state, 'restored', JSON.stringify(restored));
  }

  const everythingOfRoles = (): Promise<unknown[]> =>
    admin(
      `SELECT a.*, shobj_description(a.oid, 'pg_authid') FROM pg_authid a WHERE rolname LIKE '${installation.id}%' ORDER BY 1`,
    );
  const everythingMade = (): Promise<unknown[]> =>
    admin(`SELECT oid, datname AS name FROM pg_database WHERE datname LIKE '${installation.id}%'
           UNION ALL SELECT oid, rolname FROM pg_roles WHERE rolname LIKE '${installation.id}%' ORDER BY 1`);

  it('case 77: a role that exists with other attributes is shown with the difference, and is not changed', async () => {
    await admin(
      `ALTER ROLE ${reader} NOCREATEDB CONNECTION LIMIT 3 PASSWORD 'its own'; REVOKE ${group} FROM ${reader}`,
    );
    const before = await everythingOfRoles();
    const shown = await plan();
    assert.match(
      shown,
      /note +the role leitor exists and stays as it is: createDatabase is false here, true expected, connectionLimit is 3 here, -1 expected/,
    );
    assert.match(shown, /gives memberships +leitor in grupo/);
    assert.doesNotMatch(shown, /creates roles/);
    await restore();
    assert.deepEqual(await everythingOfRoles(), before);
  });

  it('case 79: roles that the target lacks are listed with the rights they are made without, and made', async () => {
    await installation.dropDatabase('prod');
    for (const { name } of (await admin(
      `SELECT datname AS name FROM pg_database WHERE datname LIKE '${installation.id}\\_prod\\_\\_old%'`,
    )) as { name: string }[])
      await admin(`DROP DATABASE "${name}"`);
    await admin(`DROP ROLE ${reader}, ${group}, ${installation.owner('prod')}`);
    const shown = await plan();
    assert.match(shown, /creates roles +prod_owner, grupo, leitor\n/);
    assert.match(shown, /note +the role leitor is created without login: give it a password in roles:/);
    assert.match(shown, /note +the role leitor is created without CREATEDB, which it has at the source/);
    assert.doesNotMatch(shown, /the role prod_owner is created without/);
    await restore();
    assert.deepEqual(
      await admin(
        `SELECT rolcanlogin OR rolcreatedb AS more, has_table_privilege(oid, 'public.t', 'SELECT') AS reads,
                pg_get_userbyid((SELECT relowner FROM pg_class WHERE relname = 't')) AS owner FROM pg_roles WHERE rolname = '${reader}'`,
        installation.database('prod'),
      ),
      [{ more: false, reads: true, owner: installation.owner('prod') }],
    );
  });

  it('case 80: an extension that the target lacks, or has only older, is named with its versions before anything is made', async () => {
    const source = installation.database('prod');
    await admin('CREATE EXTENSION pg_trgm SCHEMA public; CREATE EXTENSION hstore SCHEMA public', source);
    const [made] = (await admin(
      `SELECT extversion AS version FROM pg_extension WHERE extname = 'pg_trgm'`,
      source,
    )) as { version: string }[];
    // As another server's packages would have it.
    await admin(
      `UPDATE pg_extension SET extversion = '1.100' WHERE extname = 'pg_trgm'; UPDATE pg_extension SET extname = 'busca_fonetica', extversion = '2.0' WHERE extname = 'hstore'`,
      source,
    );
    await backUp();
    const before = await everythingMade();
    for (const args of [[], ['--yes']]) {
      const refused = await installation.json<RunResult>(['restore', '--from', 'prod', '--to', 'prod', ...args]);
      assert.equal(refused.error?.code, 'tool-missing', JSON.stringify(refused));
      assert.match(
        refused.error.message,
        new RegExp(`busca_fonetica 2\\.0, pg_trgm 1\\.100 \\(it has only ${made?.version}\\)`),
      );
    }
    assert.deepEqual(await everythingMade(), before);
    // A newer one is a note, not an obstacle.
    await admin(
      `UPDATE pg_extension SET extversion = '1.0' WHERE extname = 'pg_trgm'; UPDATE pg_extension SET extname = 'hstore', extversion = '1.8' WHERE extname <> 'pg_trgm' AND extname <> 'plpgsql'`,
      source,
    );
    await backUp();
    assert.match(
      await plan(),
      new RegExp(
        `note +the extension pg_trgm was 1\\.0 at the source; this server has not that version and takes ${made?.version}`,
      ),
    );
  });

  /** What a job other than Cofre's would have left, by its stock commands; `NAME` is the file. */
  async function dumpBy(commands: string, target: PostgresTarget = installation.target('prod')): Promise<string> {
    const file = join(installation.folder, `dump-${(dumps += 1)}`);
    const { host, port, user, password, database } = target;
    await run('bash', ['--norc', '-e', '-o', 'pipefail', '-c', commands.replaceAll('NAME', file)], {
      env: {
        ...{ PATH: process.env['PATH'], PGHOST: host, PGPORT: String(port), PGUSER: user, PGDATABASE: database },
        PGPASSWORD: password.reveal(),
      },
    });
    return file;
  }

  /** Refused by the plan or, told to ask no more, by the restore; and nothing was made. */
  async function assertRefused(file: string, code: string, message: RegExp, ...args: string[]): Promise<void> {
    const before = await everythingMade();
    const refused = await installation.json<RunResult>(['restore', '--file', file, '--to', 'prod', ...args]);
    assert.equal(refused.error?.code, code, JSON.stringify(refused));
    assert.match(refused.error.message, message);
    assert.deepEqual(await everythingMade(), before);
  }

  it('case 88: a dump of a newer server, or of a newer pg_dump, is refused before anything is made, naming both versions', async () => {
    const newer = await startVersion(16);
    try {
      const pgDump = join(clientsFolder(16), 'pg_dump');
      const file = await dumpBy(`${pgDump} -Fc | gzip > NAME`, newer.superuser);
      await assertRefused(
        file,
        'tool-version',
        /was dumped from PostgreSQL 16\.\d+ by pg_dump 16\.\d+, and this server is PostgreSQL 15$/,
      );
      const made = await dumpBy(`${pgDump} -Fc -f NAME`);
      await assertRefused(made, 'tool-version', /the dump was made by pg_dump 16\.\d+/);
    } finally {
      await newer.stop();
    }
  });

  it('case 89: a dump in SQL text, whole or cut, plain or packed, is refused before any of it runs', async () => {
    for (const packed of ['cat', 'gzip', 'zstd -q']) {
      const whole = await dumpBy(`pg_dump | ${packed} > NAME`);
      await assertRefused(
        whole,
        'bad-content',
        /is a dump in SQL text: nothing in it says whether it is whole/,
        '--yes',
      );
      const cut = await dumpBy(`pg_dump | head -n 30 | ${packed} > NAME`);
      await assertRefused(cut, 'bad-content', /is a dump in SQL text/);
    }
    await assertRefused(await dumpBy('head -c 5000 /dev/urandom > NAME'), 'bad-content', /is not a custom-format dump/);
    await assertRefused(await dumpBy('mkfifo NAME'), 'not-found', /there is no readable file/);
  });

  it('case 90: the latest is the newest verified, and it is said which newer ones were passed over, and why', async () => {
    const [good, damaged] = [await backUp(), await backUp()];
    const folder = join(installation.backups, 'prod', damaged);
    const [attempt] = await readdir(folder);
    await truncate(join(folder, attempt ?? '', 'database.tar'), 1000);
    const tried = await installation.json<RunResult>(['restore', '--backup', damaged, '--to', 'prod', '--yes']);
    assert.equal(tried.error?.code, 'bad-content', JSON.stringify(tried));

    // Its copy is about to be sent, for as long as nobody may write that down.
    const catalog = await openClient({ ...installation.admin, database: `${installation.id}_catalog` });
    await catalog.query('BEGIN; LOCK TABLE cofre.copies IN SHARE ROW EXCLUSIVE MODE');
    const uploading = installation.json<RunResult>(['backup', 'prod']);
    let newest = '';
    await until('a backup is about to be sent', async () => {
      const { rows } = await catalog.query<{ id: string }>(
        `SELECT id FROM cofre.backups WHERE state = 'running' AND raw_bytes IS NOT NULL`,
      );
      newest = rows[0]?.id ?? '';
      return newest !== '';
    });
    const shown = await plan();
    assert.match(shown, new RegExp(`backup +${good}, data of`));
    assert.match(shown, new RegExp(`passed over +${newest}: still running`));
    assert.match(
      shown,
      new RegExp(
        `passed over +${damaged}: no copy of it is verified: volume suspect: the copy in volume does not have the hash`,
      ),
    );
    const restored = await installation.json<RunResult & { workflowId: string }>([
      'restore',
      '--from',
      'prod',
      '--latest',
      '--to',
      'prod',
      '--yes',
    ]);
    assert.equal(restored.backupId, good, JSON.stringify(restored));
    const client = await installation.client();
    const page = await client.workflow
      .getHandle(restored.workflowId)
      .query<{ currentDetails: string }>('__temporal_workflow_metadata');
    await client.connection.close();
    assert.match(page.currentDetails, new RegExp(`passed over \\| ${newest}: still running`));
    assert.match(page.currentDetails, new RegExp(`passed over \\| ${damaged}: no copy of it is verified`));
    await catalog.end();
    assert.equal((await uploading).state, 'complete');
  });
});
