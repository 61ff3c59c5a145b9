import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { readdir, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';

import pg from 'pg';

import { openClient } from '../../postgres/connect.ts';
import type { Hit } from '../secrets/canaries.ts';
import { SecretInstallation } from '../secrets/secret-installation.ts';
import { until } from '../until.ts';

interface Outcome {
  readonly state: string;
  readonly backupId: string;
  readonly workflowId: string;
  readonly error?: { readonly code: string; readonly message: string };
}

const TABLE = 'CREATE TABLE public.t AS SELECT id, md5(id::text) AS text FROM generate_series(1, 20000) id';
/** Canaries that a database holds, so that they are in its backup. */
const OF_THE_DATABASE = new Set(['user_mapping', 'subscription', 'row', 'setting', 'raised']);

describe('no secret gets anywhere, whatever runs and fails', () => {
  let here: SecretInstallation;

  before(async () => {
    here = await SecretInstallation.create([
      { id: 'staged' },
      { id: 'streamed', pipeline: 'streamed' },
      { id: 'all', trusted: true },
      { id: 'denied' },
      { id: 'gone' },
      { id: 'hostile' },
    ]);
    for (const id of ['staged', 'streamed', 'denied']) await here.createDatabase(id, TABLE);
    await here.createDatabase('all', ofTheSource());
    await here.createDatabase('hostile', hostile());
    await here.startWatching();
    await here.startWorker();
  });

  after(async () => await here.remove());

  /** Passwords that live in a database: of a foreign server, of another server's replication; and a row of it. */
  function ofTheSource(): string {
    const literal = (name: string): string => pg.escapeLiteral(here.password(name));
    const conninfo = `host=127.0.0.1 dbname=none password='${here.password('subscription').replace(/[\\']/g, '\\$&')}'`;
    return `${TABLE}; CREATE EXTENSION postgres_fdw; CREATE SERVER away FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1');
      CREATE USER MAPPING FOR PUBLIC SERVER away OPTIONS (user 'u', password ${literal('user_mapping')});
      CREATE SUBSCRIPTION elsewhere CONNECTION ${pg.escapeLiteral(conninfo)} PUBLICATION p WITH (connect = false);
      INSERT INTO public.t VALUES (0, ${literal('row')});
      ALTER DATABASE "${here.installation.database('all')}" SET app.jwt_secret = ${literal('setting')}`;
  }

  /** Comes into a backup, and fails in a restore with words that it should not say. */
  function hostile(): string {
    const body = (text: string): string =>
      `CREATE OR REPLACE FUNCTION public.f(v text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS $f$ BEGIN ${text} END $f$`;
    const words = pg.escapeLiteral(`the password is ${here.password('raised').replaceAll('%', '%%')}`);
    return `${body('RETURN v;')}; ${TABLE}; CREATE INDEX ON public.t (public.f(text)); ${body(`RAISE ${words};`)}`;
  }

  async function run(state: string, ...args: string[]): Promise<Outcome> {
    const outcome = await here.json<Outcome>(args);
    assert.equal(outcome.error?.code ?? outcome.state, state, JSON.stringify(outcome));
    return outcome;
  }

  const over = (id: string): string[] => ['restore', '--from', id, '--latest', '--to', id, '--yes'];

  it('case 96: backups, restores and ensure do their work', async () => {
    for (const id of ['staged', 'streamed', 'all', 'hostile']) await run('complete', 'backup', id);
    await run('restored', ...over('staged'));
    await run('restored', ...over('all'));
    for (const name of ['user_mapping', 'subscription', 'setting']) {
      const [found] = await here.sql(
        `SELECT concat(array(SELECT umoptions FROM pg_user_mapping)::text, array(SELECT subconninfo FROM pg_subscription)::text,
           array(SELECT setconfig FROM pg_db_role_setting)::text) AS all`,
        here.installation.database('all'),
      );
      assert.equal(
        here.canaries.find('', String(found?.['all'])).some(({ canary }) => canary === name),
        true,
        `${name} came back`,
      );
    }
    const { owner, database } = here.installation;
    await here.sql(`DROP DATABASE "${database.call(here.installation, 'streamed')}" WITH (FORCE)`);
    await here.sql(`DROP ROLE "${owner.call(here.installation, 'streamed')}"`);
    await run('restored', 'ensure', 'streamed');
  });

  it('case 96: what fails fails as it should', async () => {
    await run('server-denied', 'backup', 'denied');
    await run('database-missing', 'backup', 'gone');
    await run('no-backup', 'ensure', 'gone');
    await run('restore-failed', ...over('hostile'));
    const { backupId } = await run('complete', 'backup', 'streamed');
    const folder = join(here.installation.backups, 'streamed', backupId);
    const [attempt = ''] = await readdir(folder);
    await truncate(join(folder, attempt, 'database.dump.zst'), 2_000);
    await run('bad-content', ...over('streamed'));
    const dump = join(here.installation.folder, 'cofre.yaml');
    assert.notEqual((await here.cofre(['restore', '--file', dump, '--to', 'denied', '--yes'])).code, 0);
    assert.notEqual((await here.cofre(['restore', '--file', dump, '--to', 'staged', '--yes'])).code, 0);
  });

  it('case 96: commands answer', async () => {
    const [{ id = '' } = {}] = await here.json<{ id: string }[]>(['backups', 'all']);
    for (const args of [
      ['status'],
      ['backups'],
      ['show', id],
      ['show', id, '--commands'],
      ['runs', '--all'],
      ['doctor'],
      ['apply', '--yes'],
      ['no-such-command'],
    ]) {
      await here.cofre(args);
      await here.cofre([...args, '--json']);
    }
  });

  it('case 96: a worker that is killed leaves a password file for its successor to remove, and no tool', async () => {
    const scratch = join(here.installation.spool, '.run', 'scratch');
    const logins = (): string[] =>
      existsSync(scratch) ? readdirSync(scratch).filter((name) => name.startsWith('login-')) : [];
    const locker = await openClient({ ...here.admin, database: here.installation.database('staged') });
    try {
      await locker.query('BEGIN; LOCK TABLE public.t IN ACCESS EXCLUSIVE MODE');
      const backup = here.json<Outcome>(['backup', 'staged']);
      await until('pg_dump runs with its password file', () => logins().length === 1);
      await here.installation.killWorkers();
      assert.equal(logins().length, 1);
      const worker = await here.startWorker();
      await until('the dump begins again', () => logins().length === 1 && toolsOf(worker.pid).length > 0);
      for (const pid of [String(worker.pid), ...toolsOf(worker.pid)])
        assert.match(readFileSync(`/proc/${pid}/limits`, 'utf8'), /^Max core file size +1 +1 /m);
      const [running] = await here.json<{ workflowId: string }[]>(['runs', '--environment', 'staged']);
      await here.cofre(['cancel', running?.workflowId ?? '', '--yes']);
      assert.equal((await backup).state, 'cancelled');
    } finally {
      await locker.end();
    }
    assert.deepEqual(readdirSync(scratch), []);
  });

  it('case 96: and then no secret is in any place', async () => {
    const { watch } = here;
    assert.ok(watch);
    await watch.stop();
    // The operator put this one into the environment of `cofre`; the shell and the tracer are the test's own.
    const given = ({ canary, place }: Hit): boolean =>
      canary === 'catalog_runtime' && /^environ of (node|sh|strace)$/.test(place);
    assert.deepEqual(
      watch.processes.filter((hit) => !given(hit)),
      [],
    );
    // A restore sends what the database says of itself, as statements that only its login and a superuser can see.
    const ofTheRestore = ({ canary, place }: Hit): boolean =>
      OF_THE_DATABASE.has(canary) && /^(CREATE (FUNCTION|USER MAPPING|SUBSCRIPTION)|ALTER DATABASE) /.test(place);
    assert.deepEqual(
      watch.statements.filter((hit) => !ofTheRestore(hit)),
      [],
    );
    const passwordFile = /\/spool\/\.run\/scratch\/login-\w+\/pgpass$/;
    const dumped = new RegExp(`/spool/(all|hostile)/`);
    for (const { canary, place, mode } of watch.files) {
      if (passwordFile.test(place)) assert.equal(mode, '600', place);
      else assert.ok(dumped.test(place) && OF_THE_DATABASE.has(canary), `${canary} in ${place}`);
    }
    for (const name of ['cofre_backup', 'cofre_admin', 'restore_login'])
      assert.ok(
        watch.files.some(({ canary, place }) => canary === name && passwordFile.test(place)),
        `the watch sees the password file of ${name}`,
      );
    const hits = await here.search();
    // What is in a database is in its backup; a dump that is not compressed shows it.
    const inArchive = ({ canary, place }: Hit): boolean =>
      /\/backups\/(all|hostile)\/.*\/database\.tar$/.test(place) && !/cofre|catalog|wrong|owner|login/.test(canary);
    // It is in the code of the database, which is restored by a login that cannot change what the server logs.
    const ofItsCode = ({ canary, place }: Hit): boolean => canary === 'raised' && place === 'the log of PostgreSQL';
    assert.deepEqual(
      hits.filter((hit) => !inArchive(hit) && !ofItsCode(hit)),
      [],
    );
  });
});

/** The processes of pg_dump that a worker started: they wait as long as the lock is held. */
function toolsOf(worker: number | undefined): string[] {
  return readdirSync(`/proc/${worker}/task`)
    .flatMap((task) => readFileSync(`/proc/${worker}/task/${task}/children`, 'utf8').split(' '))
    .filter((pid) => pid !== '' && existsSync(`/proc/${pid}/comm`))
    .filter((pid) => readFileSync(`/proc/${pid}/comm`, 'utf8').trim() === 'pg_dump');
}
