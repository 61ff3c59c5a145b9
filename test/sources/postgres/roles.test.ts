import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import type { RoleFacts } from '../../../catalog/manifest.ts';
import { Secret } from '../../../config/secret.ts';
import { checkTarget } from '../../../sources/postgres/check-target.ts';
import { nameWithSuffix, restoreLoginName, type RestoreTarget } from '../../../sources/postgres/restore-target.ts';
import { createDatabase, discardLoad } from '../../../sources/postgres/create-database.ts';
import { createRestoreLogin, dropRestoreLogin, ensureRoles } from '../../../sources/postgres/roles.ts';
import { scramVerifier } from '../../../sources/postgres/scram.ts';
import { admin, Bench, newId, roleList, sql } from './restore-fixture.ts';

const plain = { login: false, superuser: false, inherit: true, createRole: false, createDatabase: false } as const;
const facts = (name: string, more: Partial<RoleFacts> = {}): RoleFacts => ({
  ...{ name, ...plain, replication: false, bypassRowSecurity: false, connectionLimit: -1 },
  ...more,
});

describe('the roles of a restore', () => {
  let bench: Bench;
  before(async () => void (bench = await Bench.open()));
  after(() => bench.close());

  test('missing ones are made once by restores that run at the same time, and the application can log in', async () => {
    const [app, owner, group] = ['Aplicação', 'dono', 'grupo'].map((name) => bench.role(name));
    assert.ok(app !== undefined && owner !== undefined && group !== undefined);
    const password = 'sênha "secreta" \\ 1º';
    const target: RestoreTarget = {
      admin,
      database: 'x',
      owner,
      roles: [{ name: app, password: new Secret(password) }],
      trusted: false,
    };
    const recorded = {
      roles: [facts(app), facts(group, { superuser: true, createRole: true, bypassRowSecurity: true })],
      memberships: [
        { role: group, member: app, admin: false },
        { role: 'pg_execute_server_program', member: app, admin: false },
      ],
    };
    const results = await Promise.all(Array.from({ length: 4 }, () => ensureRoles(target, recorded)));
    assert.deepEqual(results.flatMap(({ created }) => created).sort(), [app, owner, group].sort());
    assert.deepEqual(results[0]?.leftOut, [{ role: 'pg_execute_server_program', member: app, admin: false }]);
    assert.deepEqual(
      await sql('postgres', 'SELECT current_user::text AS me', { user: app, password: new Secret(password) }),
      [{ me: app }],
    );
    const rows = await sql(
      'postgres',
      `SELECT rolname, rolcanlogin, rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls OR rolreplication AS more
         FROM pg_roles WHERE rolname LIKE '%${bench.id}' ORDER BY rolcanlogin`,
    );
    assert.equal(rows.filter((row) => row['more'] === true).length, 0);
    assert.deepEqual(
      rows.map((row) => row['rolcanlogin']),
      [false, false, true],
    );
    assert.equal((await sql('postgres', `SELECT FROM pg_auth_members WHERE roleid = '${group}'::regrole`)).length, 1);
  });

  test('case 78: restores at once that make the same roles and extensions all finish, beside a script that makes them too', async () => {
    for (let round = 1; round <= 3; round += 1) {
      const [app, group] = [`app${round}`, `grupo${round}`].map((name) => bench.role(name));
      assert.ok(app !== undefined && group !== undefined);
      const password = new Secret('x');
      const recorded = {
        roles: [facts(app), facts(group)],
        memberships: [{ role: group, member: app, admin: false }],
      };
      const restores = ['um', 'dois', 'tres'].map(async (name) => {
        const database = `${name}${round} ${bench.id}`;
        const target: RestoreTarget = { admin, database, owner: app, roles: [{ name: app, password }], trusted: false };
        const id = newId();
        await ensureRoles(target, recorded);
        const login = await createRestoreLogin(admin, id);
        const extensions = ['citext', 'pg_trgm'].map((extension) => ({
          name: extension,
          version: null,
          schema: 'ext',
        }));
        const replacement = await createDatabase(target, { id, login, shape: null, extensions });
        const found = await sql(replacement.name, 'SELECT extname::text AS name FROM pg_extension ORDER BY 1');
        await discardLoad(target, { id, made: { login, replacement } });
        return found.map((row) => row['name']);
      });
      // As an entrypoint does it: looks, then creates, without any lock.
      const scripts = Array.from({ length: 3 }, () =>
        sql(
          'postgres',
          `DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '${group}') THEN CREATE ROLE ${group}; END IF; END $$;
           GRANT ${group} TO CURRENT_USER`,
        ).catch((error: unknown) => assert.match(String(error), /already exists|duplicate key|concurrently/)),
      );
      assert.deepEqual(
        await Promise.all(restores),
        Array.from(restores, () => ['citext', 'pg_trgm']),
      );
      await Promise.all(scripts);
      const [row] = await sql(
        'postgres',
        `SELECT pg_has_role('${app}', '${group}', 'member') AS member, (SELECT rolcanlogin FROM pg_roles WHERE rolname = '${app}') AS login`,
      );
      assert.deepEqual(row, { member: true, login: true });
    }
  });

  test('a membership that would give more than an application may, be it through another role, is left out and said', async () => {
    const [app, group, strong] = ['cliente', 'inocente', 'forte'].map((name) => bench.role(name));
    assert.ok(app !== undefined && group !== undefined && strong !== undefined);
    await sql(
      'postgres',
      `CREATE ROLE ${app}; CREATE ROLE ${strong} CREATEROLE; CREATE ROLE ${group} IN ROLE ${strong}`,
    );
    const target: RestoreTarget = { admin, database: 'x', owner: app, roles: [], trusted: false };
    const recorded = { roles: [facts(app), facts(group)], memberships: [{ role: group, member: app, admin: true }] };
    const { leftOut } = await ensureRoles(target, recorded);
    assert.deepEqual(leftOut, recorded.memberships);
    assert.deepEqual(await sql('postgres', `SELECT pg_has_role('${app}', '${strong}', 'member') AS has`), [
      { has: false },
    ]);
  });

  test('one that exists is left as it is, its password too', async () => {
    const name = bench.role('existente');
    await sql('postgres', `CREATE ROLE ${name} LOGIN PASSWORD 'velha' CREATEDB`);
    const target: RestoreTarget = {
      admin,
      database: 'x',
      owner: name,
      roles: [{ name, password: new Secret('nova') }],
      trusted: false,
    };
    const before = await roleList(bench);
    await ensureRoles(target, { roles: [facts(name)], memberships: [] });
    assert.equal(await roleList(bench), before);
    await sql('postgres', 'SELECT 1', { user: name, password: new Secret('velha') });
    const report = await checkTarget(
      { ...target, roles: [] },
      {
        facts: null,
        serverVersionNumber: 120_000,
        extensions: [{ name: 'pg_trgm', version: '0.1', schema: 'public' }],
      },
    );
    assert.match(report.warnings.join(), /pg_trgm was 0\.1 at the source/);
    assert.deepEqual(report.roles.toCreate, []);
  });

  test('the login that restores is not a superuser, ends within a day, and is gone afterwards', async () => {
    const id = newId();
    const first = await createRestoreLogin(admin, id);
    const second = await createRestoreLogin(admin, id);
    assert.equal(first.user, restoreLoginName(id));
    await assert.rejects(sql('postgres', 'SELECT 1', first), /authentication failed/);
    await sql('postgres', 'SELECT 1', second);
    const [row] = await sql(
      'postgres',
      `SELECT rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls,
              rolvaliduntil BETWEEN now() AND now() + interval '25 hours' AS soon FROM pg_roles WHERE rolname = '${first.user}'`,
    );
    assert.deepEqual(row, {
      rolsuper: false,
      rolcreaterole: false,
      rolcreatedb: false,
      rolreplication: false,
      rolbypassrls: true,
      soon: true,
    });
    assert.equal(await dropRestoreLogin(admin, id), true);
    assert.equal(await dropRestoreLogin(admin, id), true);
    await assert.rejects(sql('postgres', 'SELECT 1', second), /authentication failed/);
  });

  test('an older server and missing extensions are refused by name', async () => {
    const target: RestoreTarget = { admin, database: 'x', owner: 'x', roles: [], trusted: false };
    await assert.rejects(
      checkTarget(target, { facts: null, serverVersionNumber: 990_000, extensions: [] }),
      /made on PostgreSQL 99/,
    );
    const extensions = [{ name: 'nao_existe', version: '3.1', schema: 'public' }];
    await assert.rejects(
      checkTarget(target, { facts: null, serverVersionNumber: null, extensions }),
      /nao_existe 3\.1/,
    );
    const user = bench.role('fraco');
    await sql('postgres', `CREATE ROLE ${user} LOGIN PASSWORD 'x' CREATEDB`);
    const weak = { ...target, admin: { ...admin, user, password: new Secret('x') } };
    await assert.rejects(
      checkTarget(weak, { facts: null, serverVersionNumber: null, extensions: [] }),
      /fraco_\w+ is no superuser, .*: to create roles; to end the sessions of others$/,
    );
  });

  test('the verifier of a password is the one PostgreSQL makes itself', async () => {
    const name = bench.role('verificador');
    for (const password of ['simples', 'ﬁm ª ½', 'a\u00a0b\u00adc']) {
      await sql(
        'postgres',
        `SET password_encryption = 'scram-sha-256'; DROP ROLE IF EXISTS ${name}; CREATE ROLE ${name} PASSWORD '${password}'`,
      );
      const [row] = await sql<{ verifier: string }>(
        'postgres',
        `SELECT rolpassword AS verifier FROM pg_authid WHERE rolname = '${name}'`,
      );
      const salt = Buffer.from(row?.verifier.split(/[:$]/)[2] ?? '', 'base64');
      assert.equal(scramVerifier(new Secret(password), salt), row?.verifier);
    }
  });

  test('a suffix always survives the limit of 63 bytes', () => {
    assert.equal(Buffer.byteLength(nameWithSuffix('ç'.repeat(40), '__restore_12345678')), 62);
    assert.equal(nameWithSuffix('erp', '__old_1'), 'erp__old_1');
  });
});
