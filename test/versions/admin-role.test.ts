import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { Secret } from '../../config/secret.ts';
import { compareFingerprints, fingerprintDatabase } from '../../demo/compare-databases.ts';
import { openClient, type PostgresTarget } from '../../postgres/connect.ts';
import type { RestoreTarget } from '../../sources/postgres/restore-target.ts';
import { isLong } from '../long.ts';
import { MAJORS, startVersion, type VersionServer } from '../postgres-version.ts';
import { PASSWORD, runDocumented } from './documented-sql.ts';
import { backUp, clientsFor, makeSource, restoreOver, run, type Source } from './round-trip.ts';

// Roles changed in 16, the owner of the schema public in 15; every version at full size.
for (const major of isLong ? MAJORS : ([12, 14, 16, 18] as const)) {
  describe(`an admin of a PostgreSQL ${major} server that is no superuser`, () => {
    let server: VersionServer;
    let source: Source;
    let admin: PostgresTarget;
    let folder: string;
    before(async () => {
      folder = await mkdtemp(join(tmpdir(), 'cofre-versions-'));
      server = await startVersion(major);
      // Before 13 only a superuser makes extensions.
      source = await makeSource(server, { extensions: major >= 13 });
      const words = major >= 16 ? 'The admin role** restores' : 'PostgreSQL 12 to 15:';
      await runDocumented(server.superuser, words);
      // The documented block has the owner; the other role owns something too.
      if (major >= 16)
        await run(server.superuser, 'GRANT outra_app, grupo TO cofre_admin WITH ADMIN TRUE, INHERIT TRUE, SET TRUE');
      admin = { ...server.superuser, user: 'cofre_admin', password: new Secret(PASSWORD) };
    });
    after(async () => {
      await server.stop();
      await rm(folder, { recursive: true, force: true });
    });

    const target = (): RestoreTarget => {
      const roles = [source.names.owner, source.names.second].map((name) => ({ name, password: new Secret('x') }));
      return { admin, database: source.names.database, owner: source.names.owner, roles, trusted: false };
    };

    test('restores everything over the live database, with sessions in it', async (t) => {
      const { pgDump } = await clientsFor(major)(major * 10_000);
      const before = await fingerprintDatabase(source.target, pgDump);
      const backup = await backUp(source.target, major, 'staged', folder);
      const session = await openClient({ ...source.target, user: source.names.second, password: new Secret('x') });
      t.after(() => session.end().catch(() => undefined));
      assert.deepEqual(await restoreOver(backup, target(), major, folder), []);
      assert.deepEqual(compareFingerprints(before, await fingerprintDatabase(source.target, pgDump)), []);
    });

    test('restores where neither the database nor its roles are there any more, and again over that', async () => {
      const { pgDump } = await clientsFor(major)(major * 10_000);
      const before = await fingerprintDatabase(source.target, pgDump);
      const backup = await backUp(source.target, major, 'streamed', folder);
      const { database, owner, second, group } = source.names;
      for (const lost of [`DATABASE ${database}`, `ROLE ${owner}`, `ROLE ${second}`, `ROLE ${group}`])
        await run(server.superuser, `DROP ${lost}`);
      assert.deepEqual(await restoreOver(backup, target(), major, folder), []);
      // By now it owns extensions and is a member of the owners, which the next backup must not take for the application's.
      await run(server.superuser, 'CREATE ROLE vizinha; GRANT vizinha TO cofre_admin');
      const next = await backUp(source.target, major, 'staged', folder);
      assert.deepEqual(next.facts.roles, backup.facts.roles);
      assert.deepEqual(next.facts.memberships, backup.facts.memberships);
      assert.deepEqual(await restoreOver(next, target(), major, folder), []);
      assert.deepEqual(compareFingerprints(before, await fingerprintDatabase(source.target, pgDump)), []);
    });
  });
}
