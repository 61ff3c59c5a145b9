import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { examineServers } from '../../cli/doctor/servers.ts';
import { configSchema, type Config } from '../../config/schema.ts';
import { Secret } from '../../config/secret.ts';
import { compareFingerprints, fingerprintDatabase, type Fingerprint } from '../../demo/compare-databases.ts';
import type { CofreError } from '../../errors/error.ts';
import { withClient, type PostgresTarget } from '../../postgres/connect.ts';
import { checkSource } from '../../sources/postgres/check-source.ts';
import type { RestoreTarget } from '../../sources/postgres/restore-target.ts';
import { startVersion, type Major, type VersionServer } from '../postgres-version.ts';
import { PASSWORD, runDocumented } from './documented-sql.ts';
import { backUp, clientsFor, makeSource, restoreOver, run, type Source } from './round-trip.ts';

const LEFT = `the setting lo_compat_privileges of cofre_backup could not be restored; as a superuser: ALTER ROLE "cofre_backup" IN DATABASE "acme" SET "lo_compat_privileges" TO 'on';`;

for (const major of [12, 13, 15, 17] as const satisfies readonly Major[]) {
  describe(`both roles of a PostgreSQL ${major} server, with all the SQL of docs/operations.md`, () => {
    let server: VersionServer;
    let source: Source;
    let role: PostgresTarget;
    let config: Config;
    let folder: string;
    before(async () => {
      folder = await mkdtemp(join(tmpdir(), 'cofre-versions-'));
      server = await startVersion(major);
      // Its types belong to a superuser. Before 13 only a superuser makes extensions.
      const extra = major >= 13 ? 'CREATE EXTENSION tablefunc' : '';
      source = await makeSource(server, { extensions: major >= 13, extra });
      await runDocumented(source.target, 'The backup role** reads', (sql) =>
        major < 14 ? sql.replace(/^GRANT pg_read_all_data.*$/m, '') : sql,
      );
      if (major < 14) await runDocumented(source.target, 'have no `pg_read_all_data`');
      await runDocumented(source.target, 'Before 18 there is no such right');
      await runDocumented(server.superuser, major >= 16 ? 'The admin role** restores' : 'PostgreSQL 12 to 15:');
      // The documented block has the owner; the other role owns something too.
      if (major >= 16)
        await run(server.superuser, 'GRANT outra_app, grupo TO cofre_admin WITH ADMIN TRUE, INHERIT TRUE, SET TRUE');
      role = { ...source.target, user: 'cofre_backup', password: new Secret(PASSWORD) };
      config = configOf(server);
    });
    after(async () => {
      await server.stop();
      await rm(folder, { recursive: true, force: true });
    });

    test('the doctor finds nothing to mend, and what the one backs up the other restores', async () => {
      await nothingToMend();
      const before = await fingerprint();
      const backup = await backUp(role, major, 'staged', folder);
      assert.deepEqual(await restoreOver(backup, targetOf('cofre_admin'), major, folder), [LEFT]);
      await assert.rejects(checkSource(role, { find: clientsFor(major) }), /large object \d+/);
      await run(server.superuser, LEFT.replace(/^.* as a superuser: /, ''));
      assert.deepEqual(compareFingerprints(before, await fingerprint()), []);
      await nothingToMend();
    });

    test('a superuser restores it without a word, though the environment is not trusted', async () => {
      const before = await fingerprint();
      const backup = await backUp(role, major, 'streamed', folder);
      assert.deepEqual(await restoreOver(backup, targetOf('postgres'), major, folder), []);
      assert.deepEqual(compareFingerprints(before, await fingerprint()), []);
      await nothingToMend();
    });

    if (major < 15) {
      test('a right on public that the backup role was given beside PUBLIC’s does not take a superuser', async () => {
        await run(source.target, 'GRANT USAGE ON SCHEMA public TO cofre_backup');
        await nothingToMend();
        const before = await fingerprint();
        const backup = await backUp(role, major, 'staged', folder);
        assert.deepEqual(await restoreOver(backup, targetOf('cofre_admin'), major, folder), [LEFT]);
        await run(server.superuser, LEFT.replace(/^.* as a superuser: /, ''));
        const differences = compareFingerprints(before, await fingerprint());
        assert.deepEqual(
          differences.map(({ where }) => where),
          ['schema ACL SCHEMA public'],
        );
        await nothingToMend();
        await backUp(role, major, 'staged', folder);
        assert.deepEqual(await restoreOver(backup, targetOf('postgres'), major, folder), []);
        assert.deepEqual(compareFingerprints(before, await fingerprint()), []);
      });

      test('others’ rights on public do, and so does what PUBLIC lost there', async (t) => {
        t.after(() =>
          run(source.target, 'REVOKE ALL ON SCHEMA public FROM outra_app; GRANT ALL ON SCHEMA public TO PUBLIC'),
        );
        for (const sql of [
          'REVOKE CREATE ON SCHEMA public FROM PUBLIC',
          'GRANT ALL ON SCHEMA public TO PUBLIC, outra_app',
        ]) {
          await run(source.target, sql);
          assert.match((await unwell()).join('\n'), /a restore is refused: .* to change the schema public/);
        }
      });
    }

    if (major < 14) {
      test('the hint of a refused backup gives what is missing and nothing on public', async () => {
        await run(source.target, `CREATE ROLE leitor LOGIN PASSWORD '${PASSWORD}' BYPASSRLS`);
        const reader = { ...role, user: 'leitor' };
        const refusal = await checkSource(reader, { find: clientsFor(major) }).then(
          () => assert.fail('it was not refused'),
          (error: CofreError) => error,
        );
        assert.match(refusal.message, /schema (app|outra)/);
        await run(source.target, String(refusal.hint).replace('as a superuser: ', ''));
        await checkSource(reader, { find: clientsFor(major) });
        const acl = await withClient(
          source.target,
          async (client) =>
            (await client.query<{ acl: string }>('SELECT nspacl::text AS acl FROM pg_namespace WHERE oid = 2200')).rows,
        );
        assert.doesNotMatch(acl[0]?.acl ?? '', /leitor/);
      });
    }

    async function fingerprint(): Promise<Fingerprint> {
      const { pgDump } = await clientsFor(major)(major * 10_000);
      return await fingerprintDatabase(source.target, pgDump);
    }

    function targetOf(user: string): RestoreTarget {
      const password = user === 'postgres' ? server.superuser.password : new Secret(PASSWORD);
      const { database, owner } = source.names;
      return { admin: { ...server.superuser, user, password }, database, owner, roles: [], trusted: false };
    }

    /** What the doctor says; there are no clients without holes for most servers here, so the source is asked with others. */
    async function unwell(): Promise<string[]> {
      await checkSource(role, { find: clientsFor(major) });
      const checks = await examineServers(config, undefined);
      return checks.flatMap(({ state, message }) => (state === 'ok' || /pg_dump/.test(message) ? [] : [message]));
    }

    async function nothingToMend(): Promise<void> {
      assert.deepEqual(await unwell(), []);
    }
  });
}

/** As an operator writes it, with the two documented logins. */
function configOf({ superuser: { host, port } }: VersionServer): Config {
  process.env['TEST_ROLE_PASSWORD'] = PASSWORD;
  const password = 'env:TEST_ROLE_PASSWORD';
  const [backup, admin] = ['cofre_backup', 'cofre_admin'].map((user) => ({ user, password }));
  const database = { server: 'pg', name: 'acme', owner: 'acme' };
  return configSchema.parse({
    catalog: { host, database: 'none', user: 'none', password },
    ...{ hosts: {}, destinations: {}, policies: {} },
    servers: { pg: { host, port, backup, admin } },
    environments: { acme: { stage: 'production', customer: 'acme', policy: 'none', database } },
  });
}
