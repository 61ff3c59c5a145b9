import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { Secret } from '../../config/secret.ts';
import { fingerprintDatabase, type Fingerprint } from '../../demo/compare-databases.ts';
import { checkTarget } from '../../sources/postgres/check-target.ts';
import type { RestoreTarget } from '../../sources/postgres/restore-target.ts';
import { isLong } from '../long.ts';
import { startVersion, type Major, type VersionServer } from '../postgres-version.ts';
import { backUp, clientsFor, makeSource, restoreOver, type Source, type VersionBackup } from './round-trip.ts';

/** From the oldest to the newest and, at full size, from each to the next. */
const WAYS: readonly (readonly [from: Major, to: readonly Major[]])[] = isLong
  ? [
      [12, [13, 14, 18]],
      [13, [14]],
      [14, [15]],
      [15, [16]],
      [16, [17]],
      [17, [18]],
    ]
  : [
      [12, [14, 18]],
      [15, [16]],
    ];

/** What is the same whatever the server's version: rows, sequences and large objects. */
async function contentOf(source: Source['target'], major: Major): Promise<Partial<Fingerprint>> {
  const { pgDump } = await clientsFor(major)(major * 10_000);
  const { tables, sequences, largeObjects, totals } = await fingerprintDatabase(source, pgDump);
  return { tables, sequences, largeObjects, totals };
}

for (const [from, to] of WAYS) {
  describe(`a backup of a PostgreSQL ${from} server`, () => {
    let server: VersionServer;
    let source: Source;
    let backup: VersionBackup;
    let folder: string;
    const targetOn = ({ superuser }: VersionServer): RestoreTarget => {
      const { database, owner, second } = source.names;
      const roles = [owner, second].map((name) => ({ name, password: new Secret('x') }));
      return { admin: superuser, database, owner, roles, trusted: false };
    };

    before(async () => {
      folder = await mkdtemp(join(tmpdir(), 'cofre-versions-'));
      server = await startVersion(from);
      source = await makeSource(server);
      backup = await backUp(source.target, from, from % 2 === 0 ? 'staged' : 'streamed', folder);
    });
    after(async () => {
      await server.stop();
      await rm(folder, { recursive: true, force: true });
    });

    for (const major of to) {
      test(`is restored to PostgreSQL ${major}, with every row`, async (t) => {
        const newer = await startVersion(major);
        t.after(() => newer.stop());
        await restoreOver(backup, targetOn(newer), major, folder);
        const { database } = source.names;
        const restored = await contentOf({ ...newer.superuser, database }, major);
        assert.deepEqual(restored, await contentOf(source.target, from));
      });
    }

    if (from === 17) {
      test('case 88: a backup is refused by an older server, naming both', async (t) => {
        const older = await startVersion(16);
        t.after(() => older.stop());
        await assert.rejects(checkTarget(targetOn(older), { ...backup, extensions: backup.facts.extensions }), {
          code: 'tool-version',
          message: 'the backup was made on PostgreSQL 17, and this server is PostgreSQL 16',
          hint: 'restore to a server of version 17 or newer',
        });
      });
    }
  });
}
