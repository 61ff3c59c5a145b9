import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import type { Pipeline } from '../../catalog/manifest.ts';
import { Secret } from '../../config/secret.ts';
import { compareFingerprints, fingerprintDatabase, type Difference } from '../../demo/compare-databases.ts';
import { withClient } from '../../postgres/connect.ts';
import { MAJORS, startVersion, type VersionServer } from '../postgres-version.ts';
import { EVENT_TRIGGER_SQL } from './features.ts';
import { backUp, clientsFor, makeSource, restoreOver, run, type Source } from './round-trip.ts';

for (const major of MAJORS) {
  describe(`a PostgreSQL ${major} server`, () => {
    let server: VersionServer;
    let source: Source;
    let folder: string;
    before(async () => {
      folder = await mkdtemp(join(tmpdir(), 'cofre-versions-'));
      server = await startVersion(major);
      source = await makeSource(server, { extra: EVENT_TRIGGER_SQL });
    });
    after(async () => {
      await server.stop();
      await rm(folder, { recursive: true, force: true });
    });

    test('staged: everything its version knows comes back over the live database, to the last row and right', async () => {
      assert.deepEqual(await roundTrip('staged'), []);
    });

    test('streamed: so does it where neither the database nor its roles are there any more', async () => {
      const { database, owner, second, group } = source.names;
      const roles = await readRoles();
      const lose = `DROP DATABASE ${database}; DROP ROLE ${owner}; DROP ROLE ${second}; DROP ROLE ${group}`;
      assert.deepEqual(await roundTrip('streamed', lose.split(';')), []);
      assert.deepEqual(await readRoles(), roles);
    });

    /** Gives all that is different afterwards; `lose` runs between the backup and the restore. */
    async function roundTrip(pipeline: Pipeline, lose: readonly string[] = []): Promise<Difference[]> {
      const { names, target } = source;
      const { pgDump } = await clientsFor(major)(major * 10_000);
      const before = await fingerprintDatabase(target, pgDump);
      const backup = await backUp(target, major, pipeline, folder);
      for (const statement of lose) await run(server.superuser, statement);
      const password = new Secret('x');
      const roles = [names.owner, names.second].map((name) => ({ name, password }));
      const to = { admin: server.superuser, database: names.database, owner: names.owner, roles, trusted: true };
      assert.deepEqual(await restoreOver(backup, to, major, folder), []);
      return compareFingerprints(before, await fingerprintDatabase(target, pgDump));
    }

    /** The roles of the source with their memberships; what a role is a member of with which options, in 16 and newer. */
    async function readRoles(): Promise<unknown[]> {
      const { owner, second, group } = source.names;
      return await withClient(server.superuser, async (client) => {
        const { rows } = await client.query<{ role: unknown }>(
          `SELECT jsonb_build_array(r.rolname, to_jsonb(r) - ARRAY['oid', 'rolname', 'rolpassword', 'rolconfig'], (
              SELECT jsonb_agg(to_jsonb(m) - ARRAY['oid', 'roleid', 'member', 'grantor'] || jsonb_build_object('of', m.roleid::regrole::text))
                FROM pg_auth_members m WHERE m.member = r.oid)) AS role
             FROM pg_roles r WHERE r.rolname = ANY ($1) ORDER BY r.rolname`,
          [[owner, second, group]],
        );
        return rows;
      });
    }
  });
}
