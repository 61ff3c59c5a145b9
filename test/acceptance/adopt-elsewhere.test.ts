import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { after, before, describe, it } from 'node:test';

import type { BackupSummary } from '../../catalog/backup-list.ts';
import { withClient, type PostgresTarget } from '../../postgres/connect.ts';
import type { SyncResult } from '../../workflows/sync-catalog.ts';
import { clientsFolder, startVersion, type VersionServer } from '../postgres-version.ts';
import { S3Server } from '../s3-server.ts';
import { SshServer } from '../ssh-server.ts';
import { Installation } from './installation.ts';

const MAJORS = [16, 17, 18] as const;
type Major = (typeof MAJORS)[number];

const OWNER = 'shop';
const SAMPLE = `CREATE TABLE public.notas AS SELECT g AS id, md5(g::text) AS body FROM generate_series(1, 2000) g;
  ALTER TABLE public.notas ADD PRIMARY KEY (id);`;

/** The rows, and what is made of the table. */
async function contentOf(database: PostgresTarget): Promise<unknown> {
  const { rows } = await withClient(database, (client) =>
    client.query(`SELECT md5(string_agg(n::text, ',' ORDER BY id)) AS rows,
      (SELECT string_agg(pg_get_constraintdef(c.oid), ',') FROM pg_constraint c WHERE conrelid = 'public.notas'::regclass) AS keys,
      (SELECT tableowner FROM pg_tables WHERE tablename = 'notas') AS owner FROM public.notas n`),
  );
  return rows;
}

describe('dumps of newer servers that another job leaves in a bucket or on an SFTP server', () => {
  const servers = new Map<Major, VersionServer>();
  const contents = new Map<Major, unknown>();
  let bucket: S3Server;
  let offsite: SshServer;
  let folders: Record<'bucket' | 'offsite', string>;
  let installation: Installation;

  const target = (major: Major, database = OWNER): PostgresTarget => ({ ...superuser(major), database });
  const superuser = (major: Major): PostgresTarget => (servers.get(major) as VersionServer).superuser;

  before(async () => {
    [bucket, offsite] = [await S3Server.start(), await SshServer.start()];
    const s3 = await bucket.bucket();
    const sftp = offsite.config(await offsite.root('dumps'));
    folders = { bucket: join(bucket.root, s3.bucket), offsite: join(offsite.folder, 'dumps') };
    for (const major of MAJORS) {
      servers.set(major, await startVersion(major));
      const password = superuser(major).password.reveal();
      await withClient(superuser(major), async (client) => {
        await client.query(`CREATE ROLE ${OWNER} LOGIN PASSWORD '${password}'`);
        await client.query(`CREATE DATABASE ${OWNER} OWNER ${OWNER} TEMPLATE template0`);
      });
      await withClient({ ...target(major), user: OWNER }, (client) => client.query(SAMPLE));
      contents.set(major, await contentOf(target(major)));
      process.env[`COFRE_TEST_PG_${major}`] = password;
    }
    installation = await Installation.create(
      MAJORS.map((major) => ({ id: `shop-${major}` })),
      {},
      (config) => {
        const adopt = { dumps: ['{namespace}/database_latest.dump.gz'], timezone: 'UTC' };
        Object.assign(config['destinations'] as object, { bucket: { ...s3, adopt }, offsite: { ...sftp, adopt } });
        const policies = config['policies'] as Record<string, object>;
        policies['staged'] = { ...policies['staged'], copies: { to: ['bucket', 'offsite'], complete: 1 } };
        Object.assign((config['hosts'] as { h1: object }).h1, { unfixedClients: 'warn' });
        for (const major of MAJORS) {
          const { host, port, user } = superuser(major);
          const password = `env:COFRE_TEST_PG_${major}`;
          const login = { user, password };
          Object.assign(config['servers'] as object, { [`pg${major}`]: { host, port, backup: login, admin: login } });
          Object.assign((config['environments'] as Record<string, object>)[`shop-${major}`] ?? {}, {
            namespace: `ns-${major}`,
            database: { server: `pg${major}`, name: OWNER, owner: OWNER, roles: { [OWNER]: { password } } },
          });
        }
      },
    );
    const path = [...MAJORS.map(clientsFolder), process.env['PATH']].join(delimiter);
    await installation.startWorker({ PATH: path });
  });

  after(async () => {
    await installation.remove();
    for (const server of servers.values()) await server.stop();
    await bucket.stop();
    await offsite.remove();
  });

  /** As today's practice dumps, with the clients of the server's own version. */
  function dumpAsPractice(major: Major, folder: string): void {
    const { host, port, user, password } = superuser(major);
    const path = join(folder, `ns-${major}`, 'database_latest.dump.gz');
    mkdirSync(join(folder, `ns-${major}`));
    const command = `"${join(clientsFolder(major), 'pg_dump')}" -Fc -Z6 --no-owner --no-acl | gzip > "$0"`;
    execFileSync('bash', ['--norc', '-o', 'pipefail', '-c', command, path], {
      env: {
        ...{ PATH: process.env['PATH'], TZ: 'UTC', PGHOST: host, PGPORT: String(port), PGUSER: user },
        ...{ PGPASSWORD: password.reveal(), PGDATABASE: OWNER },
      },
    });
  }

  for (const [major, place] of [
    [16, 'offsite'],
    [17, 'bucket'],
    [18, 'offsite'],
  ] as const) {
    it(`one of PostgreSQL ${major} becomes a backup in ${place}, and the database is made of it where it is missing`, async () => {
      dumpAsPractice(major, folders[place]);
      const { sync } = await installation.json<{ sync: SyncResult }>(['sync', place]);
      assert.deepEqual(
        sync.adopted.map(({ environment, reason }) => [environment, reason]),
        [[`shop-${major}`, undefined]],
      );
      const [backup] = await installation.json<BackupSummary[]>(['backups', `shop-${major}`]);
      assert.deepEqual([backup?.state, backup?.adopted], ['complete', true]);
      await withClient(superuser(major), (client) => client.query(`DROP DATABASE ${OWNER} WITH (FORCE)`));
      const ensured = await installation.json<{ state: string; backupId: string }>(['ensure', `shop-${major}`]);
      assert.deepEqual([ensured.state, ensured.backupId], ['restored', backup?.id], JSON.stringify(ensured));
      assert.deepEqual(await contentOf(target(major)), contents.get(major));
    });
  }
});
