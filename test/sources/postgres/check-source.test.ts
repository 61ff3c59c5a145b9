import assert from 'node:assert/strict';
import { test } from 'node:test';

import { CofreError } from '../../../errors/error.ts';
import { checkSource } from '../../../sources/postgres/check-source.ts';
import type { PostgresTarget } from '../../../postgres/connect.ts';
import { dump, makeDatabase, makeFolder, makeRole } from './nasty-database.ts';

async function refusal(target: PostgresTarget): Promise<CofreError> {
  const error = await checkSource(target).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof CofreError);
  assert.equal(error.code, 'server-denied');
  return error;
}

test('what a login cannot read is named before the dump, and the SQL in the hint mends it', async (t) => {
  const source = await makeDatabase(t);
  const target = await makeRole(t, source);
  const nothing = await refusal(target);
  assert.match(nothing.message, /schema "Ação ""e"" aspas"/);
  assert.match(nothing.message, /table public\."MixedCase"/);
  assert.match(nothing.message, /sequence public\.lonely|and \d+ more/);
  assert.match(nothing.hint ?? '', /GRANT pg_read_all_data TO/);

  await source.sql(`grant pg_read_all_data to ${target.user}`);
  const rest = await refusal(target);
  assert.match(rest.message, /rows of public\.secret \(row-level security\)/);
  assert.match(rest.message, /large object \d+/);
  assert.doesNotMatch(rest.message, /MixedCase/);

  for (const statement of /as a superuser: (.*)/.exec(rest.hint ?? '')?.[1]?.split('; ') ?? [])
    await source.sql(statement);
  const report = await checkSource(target);
  assert.match(report.server.systemIdentifier, /^\d+$/);
  assert.deepEqual(report.warnings, []);
  for (const pipeline of ['staged', 'streamed'] as const) {
    const { content } = await dump(await makeFolder(t), { target, pipeline });
    assert.equal(content.tables.find(({ name }) => name === 'secret')?.rows, 2);
    assert.equal(content.largeObjects.count, 4);
  }
});

test('a source that is not there, or refuses the login, is named so', async (t) => {
  const { target } = await makeDatabase(t, '');
  await assert.rejects(checkSource({ ...target, database: 'none' }), { code: 'database-missing' });
  await assert.rejects(checkSource({ ...target, user: 'nobody here' }), { code: 'server-denied' });
  await assert.rejects(checkSource({ ...target, port: 1 }), { code: 'server-unavailable' });
});

test('the estimate of the raw size is near the real one', async (t) => {
  const source = await makeDatabase(
    t,
    `create table narrow as select g as id, g % 7 as kind from generate_series(1, 60000) g;
     create table wide as select g as id, repeat('maçã ' || g, 2000) as body from generate_series(1, 500) g;
     create table rows_gone as select g as id, md5(g::text) as body from generate_series(1, 30000) g;
     delete from rows_gone where id % 10 <> 0;
     select lo_from_bytea(0, decode(repeat(md5(g::text), 3000), 'hex')) from generate_series(1, 10) g`,
  );
  await source.sql('vacuum analyze');
  const { estimatedRawBytes } = await checkSource(source.target);
  const { content } = await dump(await makeFolder(t), { target: source.target, pipeline: 'staged' });
  const ratio = estimatedRawBytes / content.rawBytes;
  assert.ok(ratio > 0.5 && ratio < 1.5, `estimated ${estimatedRawBytes}, took ${content.rawBytes}`);
});
