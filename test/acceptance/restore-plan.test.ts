import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';

import { withClient } from '../../postgres/connect.ts';
import { Installation } from './installation.ts';

interface RunResult {
  readonly state: string;
  readonly backupId: string;
  readonly error?: { readonly code: string; readonly message: string; readonly hint?: string };
}

describe('what a restore would do is said before it does it', () => {
  let installation: Installation;
  let reader: string;
  let group: string;

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

  async function backUp(): Promise<void> {
    const result = await installation.json<RunResult>(['backup', 'prod']);
    assert.equal(result.state, 'complete', JSON.stringify(result));
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
           UNION ALL SELECT oid, rolname FROM pg_roles WHERE rolname ~ '^(${installation.id}|cofre_restore_)' ORDER BY 1`);

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
});
