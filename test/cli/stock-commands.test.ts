import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import type { BackupDetail } from '../../catalog/backup-list.ts';
import type { Manifest, Pipeline } from '../../catalog/manifest.ts';
import { objectKey, stockCommands } from '../../cli/show/stock-commands.ts';
import type { AppliedConfig } from '../../config/schema.ts';
import { Secret } from '../../config/secret.ts';
import { withClient, type PostgresTarget } from '../../postgres/connect.ts';
import { findClients } from '../../sources/postgres/clients.ts';
import { compressDump } from '../../sources/postgres/compress.ts';
import { dumpDatabase } from '../../sources/postgres/dump.ts';
import { testServers } from '../servers.ts';

const { postgres } = testServers();
const suffix = process.pid;
/** A name that a careless script would break on. */
const DATABASE = `stock "d'agua" ${suffix}`;
const OWNER = `dona ${suffix}`;
const admin: PostgresTarget = {
  ...postgres,
  password: new Secret(postgres.password),
  tls: 'off',
  database: 'postgres',
};

let folder: string;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "cofre stock's-"));
});
after(async () => {
  await drop();
  await rm(folder, { recursive: true, force: true });
});

async function drop(): Promise<void> {
  await withClient(admin, async (client) => {
    await client.query(`DROP DATABASE IF EXISTS "${DATABASE.replaceAll('"', '""')}" WITH (FORCE)`);
    await client.query(`DROP ROLE IF EXISTS "${OWNER}"`);
  });
}

async function create(): Promise<void> {
  const database = `"${DATABASE.replaceAll('"', '""')}"`;
  await drop();
  await withClient(admin, async (client) => {
    await client.query(`CREATE ROLE "${OWNER}" LOGIN`);
    await client.query(`CREATE DATABASE ${database} OWNER "${OWNER}" TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'`);
    await client.query(`COMMENT ON DATABASE ${database} IS E'the shop\\nSQL\\ntouch pasted'`);
    await client.query(`ALTER DATABASE ${database} SET search_path TO vendas, public`);
    await client.query(`ALTER DATABASE ${database} SET app.chave TO E'uma''s \\\\ ção;\nALTER ROLE x;\n''; duas'`);
    await client.query(`ALTER ROLE "${OWNER}" IN DATABASE ${database} SET app.outra TO 'x'`);
    await client.query(`REVOKE CONNECT ON DATABASE ${database} FROM PUBLIC`);
  });
  await withClient({ ...admin, database: DATABASE }, async (client) => {
    await client.query(`CREATE SCHEMA vendas AUTHORIZATION "${OWNER}"; CREATE EXTENSION pgcrypto SCHEMA vendas;
      CREATE TABLE vendas.nota (id int PRIMARY KEY, texto text);
      INSERT INTO vendas.nota SELECT n, 'São João ' || n FROM generate_series(1, 3000) n;
      ALTER TABLE vendas.nota OWNER TO "${OWNER}"`);
  });
}

/** What there is, in one text. */
async function picture(): Promise<string> {
  return await withClient({ ...admin, database: DATABASE }, async (client) => {
    const { rows } = await client.query<{ picture: string }>(`SELECT concat_ws('; ',
      (SELECT md5(string_agg(n::text, ',' ORDER BY id)) FROM vendas.nota n),
      (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE relname = 'nota'),
      (SELECT concat_ws(', ', pg_get_userbyid(datdba), pg_encoding_to_char(encoding), datcollate, datacl::text, shobj_description(oid, 'pg_database'))
         FROM pg_database WHERE datname = current_database()),
      (SELECT string_agg(concat_ws(' ', setrole::regrole, array_to_string(setconfig, ' ')), ' ' ORDER BY setrole) FROM pg_db_role_setting JOIN pg_database d ON d.oid = setdatabase
         WHERE d.datname = current_database()), (SELECT extname FROM pg_extension WHERE extname = 'pgcrypto')) AS picture`);
    return rows[0]?.picture ?? '';
  });
}

async function backUp(
  pipeline: Pipeline,
): Promise<{ backup: BackupDetail; manifest: Manifest; config: AppliedConfig }> {
  const id = `20261120T210000Z-0000000${pipeline === 'staged' ? 1 : 2}`;
  const work = {
    directory: join(folder, 'work', pipeline),
    scratch: join(folder, 'scratch'),
    jobs: 2,
    stallMs: 60_000,
  };
  await mkdir(work.directory, { recursive: true });
  await mkdir(work.scratch, { recursive: true, mode: 0o700 });
  const clients = await findClients(150_000);
  const clientsFor = () => Promise.resolve(clients);
  const dump = await dumpDatabase({ ...work, target: { ...admin, database: DATABASE }, clientsFor, pipeline });
  const archive = await compressDump(work);
  const { server, database, content, snapshotAt, tools } = dump;
  const times = { startedAt: snapshotAt, snapshotAt, finishedAt: snapshotAt };
  const manifest: Manifest = {
    ...{
      format: 1,
      backupId: id,
      attempt: 'a1',
      kind: 'database',
      mode: 'full',
      pipeline,
      host: 'here',
      configVersion: 1,
    },
    ...times,
    ...{ environment: { id: 'acme', stage: 'production', customer: 'acme' }, tools, server, database, content },
    objects: [{ key: `a1/${archive.file}`, sizeBytes: archive.sizeBytes, sha256: archive.sha256 }],
  };
  const login = { user: postgres.user };
  const config = {
    servers: { one: { host: postgres.host, port: postgres.port, admin: login } },
    destinations: { volume: { type: 'directory', path: join(folder, 'volume'), hosts: ['here'] } },
    environments: { acme: { database: { server: 'one' } } },
  } as unknown as AppliedConfig;
  const backup = {
    id,
    environment: 'acme',
    copies: [{ destination: 'volume', state: 'verified' }],
  } as unknown as BackupDetail;
  const place = join(folder, 'volume', objectKey(backup, manifest));
  await mkdir(dirname(place), { recursive: true });
  await rename(archive.path, place);
  return { backup, manifest, config };
}

/** As a person does who pastes them into a terminal. */
async function paste(commands: string): Promise<{ code: number; said: string }> {
  const path = `/usr/lib/postgresql/15/bin:${process.env['PATH'] ?? ''}`;
  const env = { PATH: path, PGPASSWORD: postgres.password, TMPDIR: folder };
  const shell = spawn('bash', ['-s'], { env });
  let said = '';
  for (const stream of [shell.stdout, shell.stderr])
    stream.on('data', (text: Buffer) => (said += text.toString('utf8')));
  shell.stdin.end(commands);
  const [code] = (await once(shell, 'close')) as [number];
  return { code, said };
}

describe('cofre show --commands', () => {
  for (const pipeline of ['staged', 'streamed'] as const) {
    test(`a ${pipeline} backup comes back with stock tools alone: rows, owners, encoding, settings, privileges`, async () => {
      await create();
      const expected = await picture();
      const { backup, manifest, config } = await backUp(pipeline);
      const commands = stockCommands(backup, manifest, config);
      await drop();
      const { code, said } = await paste(commands);
      assert.equal(code, 0, said);
      assert.equal(await picture(), expected);

      const again = await paste(commands);
      assert.notEqual(again.code, 0, 'a database that is there is not touched');
      assert.match(again.said, /already exists/);
      assert.equal(await picture(), expected);
    });
  }
});
