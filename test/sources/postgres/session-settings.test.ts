import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import pg from 'pg';

import { CofreError } from '../../../errors/error.ts';
import { toServerError, withClient } from '../../../postgres/connect.ts';
import { checkSource } from '../../../sources/postgres/check-source.ts';
import { compareWithManifest } from '../../../sources/postgres/compare.ts';
import { dump, makeFolder } from './nasty-database.ts';
import { admin, backUp, Bench, restore, sql } from './restore-fixture.ts';

/** What an application may give the sessions of its database, and what would end or bend ours. */
const SETTINGS = (role: string): readonly string[] => [
  `statement_timeout = '2ms'`,
  `lock_timeout = '1ms'`,
  `idle_in_transaction_session_timeout = '20ms'`,
  `datestyle = 'SQL, DMY'`,
  `timezone = 'America/Sao_Paulo'`,
  `intervalstyle = 'sql_standard'`,
  `extra_float_digits = -15`,
  `bytea_output = 'escape'`,
  `default_transaction_read_only = on`,
  `default_transaction_isolation = 'serializable'`,
  `standard_conforming_strings = off`,
  `role = ${pg.escapeIdentifier(role)}`,
];

describe('a database whose sessions get settings of their own', () => {
  let bench: Bench;
  let name: string;
  const roles = new Map<string, string>();
  before(async () => {
    bench = await Bench.open();
    name = bench.database('ajustes');
    for (const role of ['dono', 'ninguem']) {
      roles.set(role, bench.role(role));
      await sql('postgres', `CREATE ROLE ${pg.escapeIdentifier(roles.get(role) ?? '')}`);
    }
    const identifier = pg.escapeIdentifier(name);
    await sql('postgres', `CREATE DATABASE ${identifier} OWNER ${roles.get('dono')}`);
    await sql(
      name,
      `CREATE TABLE public.item (id int PRIMARY KEY, quando timestamptz DEFAULT now());
       INSERT INTO public.item SELECT generate_series(1, 200000); ALTER TABLE public.item OWNER TO ${roles.get('dono')}`,
    );
    for (const setting of SETTINGS(roles.get('ninguem') ?? ''))
      await sql('postgres', `ALTER DATABASE ${identifier} SET ${setting}`);
  });
  after(async () => bench.close());

  test('is looked at and dumped as any other, by either pipeline', async (t) => {
    const target = { ...admin, database: name };
    assert.ok((await checkSource(target)).sizeBytes > 1_000_000);
    for (const pipeline of ['staged', 'streamed'] as const) {
      const { content, snapshotAt } = await dump(await makeFolder(t), { target, pipeline });
      assert.equal(content.rows, 200_000);
      const ageMs = Date.now() - Date.parse(snapshotAt);
      assert.ok(ageMs >= 0 && ageMs < 60_000, `the snapshot is of ${snapshotAt}`);
    }
  });

  test('is restored with them, and compared all the same', async () => {
    const backup = await backUp(name, 'staged', bench.folder);
    const target = { admin, database: name, owner: roles.get('dono') ?? '', roles: [], trusted: true };
    const { replacement } = await restore(backup, target, bench.folder);
    bench.keep(replacement.name);
    assert.equal((await compareWithManifest(target, replacement, backup.content, backup.facts, 2)).rows, 200_000);
    const [row] = await sql<{ count: number }>(
      'postgres',
      `SELECT cardinality(setconfig) AS count FROM pg_db_role_setting WHERE setdatabase = ${replacement.oid}`,
    );
    assert.equal(row?.count, SETTINGS('').length);
  });
});

test('a defect of ours while a server is asked is not taken for a server that does not answer', async () => {
  const defect = withClient(admin, () => Promise.reject(new TypeError('null has no getTime')));
  await assert.rejects(defect, (error: unknown) => error instanceof CofreError && error.code === 'unexpected');
  assert.equal(toServerError(new Error('Connection terminated unexpectedly'), admin).code, 'server-unavailable');
});
