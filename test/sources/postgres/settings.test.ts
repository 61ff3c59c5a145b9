import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import pg from 'pg';

import { manifestBytes } from '../../../catalog/parse-manifest.ts';
import { sampleManifest } from '../../catalog/sample-manifest.ts';
import { admin, backUp, Bench, restore, sql } from './restore-fixture.ts';

const { escapeIdentifier, escapeLiteral } = pg;

describe('the settings of a database', () => {
  let bench: Bench;
  let owner: string;
  before(async () => {
    bench = await Bench.open();
    owner = bench.role('da "casa"');
    await sql('postgres', `CREATE ROLE ${escapeIdentifier(owner)}`);
  });
  after(() => bench.close());

  const settingsOf = async (database: string): Promise<unknown> =>
    await sql(
      'postgres',
      `SELECT setrole::regrole::text AS role, array(SELECT unnest(setconfig) ORDER BY 1) AS settings FROM pg_db_role_setting
        WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = ${escapeLiteral(database)}) ORDER BY 1`,
    );

  for (const [format, encoding] of [
    ['staged', 'UTF8'],
    ['streamed', 'LATIN1'],
  ] as const) {
    test(`case 96: what an application keeps there is in no manifest, and comes back (${format}, ${encoding})`, async () => {
      const name = bench.database(`we"ird; ${format}`);
      const database = `DATABASE ${escapeIdentifier(name)}`;
      await sql(
        'postgres',
        `CREATE ${database} OWNER ${escapeIdentifier(owner)} TEMPLATE template0 ENCODING '${encoding}' LOCALE 'C'`,
      );
      const secret = `it's "a" \\ ção\nsecret; ALTER DATABASE x SET work_mem TO '1MB';`;
      for (const statement of [
        `ALTER ${database} SET app.jwt_secret TO ${escapeLiteral(secret)}`,
        `ALTER ${database} SET app."Other" TO ''`,
        `ALTER ${database} SET search_path TO a, "B c", public`,
        `ALTER ${database} SET work_mem TO '8MB'`,
        `ALTER ROLE ${escapeIdentifier(owner)} IN ${database} SET app.of_a_role TO 'segredo'`,
      ]) {
        await sql('postgres', statement);
      }
      const before = await settingsOf(name);
      const backup = await backUp(name, format, bench.folder);
      assert.deepEqual(backup.facts.settings.map(({ name: setting, value }) => [setting, value]).sort(), [
        ['app.Other', null],
        ['app.jwt_secret', null],
        ['app.of_a_role', null],
        ['search_path', 'a, "B c", public'],
        ['work_mem', '8MB'],
      ]);
      const manifest = manifestBytes({
        ...sampleManifest('20261120T210000Z-1f3a9c04'),
        database: backup.facts,
      }).toString();
      assert.doesNotMatch(manifest, /secret;|segredo/);

      const target = { admin, database: name, owner, roles: [], trusted: true };
      const restored = await restore(backup, target, bench.folder);
      bench.keep(restored.replacement.name);
      assert.deepEqual(await settingsOf(restored.replacement.name), before);
      assert.deepEqual(restored.warnings, []);
    });
  }

  test('case 96: a value that the archive has in letters which are not understood is left out, and said', async () => {
    const name = bench.database('win1252');
    const database = `DATABASE ${escapeIdentifier(name)}`;
    await sql('postgres', `CREATE ${database} TEMPLATE template0 ENCODING 'WIN1252' LOCALE 'C'`);
    await sql('postgres', `ALTER ${database} SET app.plain TO 'abc'`);
    await sql('postgres', `ALTER ${database} SET app.euro TO '€'`);
    const backup = await backUp(name, 'staged', bench.folder);
    const restored = await restore(backup, { admin, database: name, owner, roles: [], trusted: true }, bench.folder);
    bench.keep(restored.replacement.name);
    assert.deepEqual(restored.warnings, [
      'the value of the setting app.euro could not be read out of the backup: set it again',
    ]);
    assert.match(JSON.stringify(await settingsOf(restored.replacement.name)), /app\.plain=abc/);
  });
});
