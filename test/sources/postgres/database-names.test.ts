import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';

import pg from 'pg';

import { withClient } from '../../../postgres/connect.ts';
import { checkSource } from '../../../sources/postgres/check-source.ts';
import { check, makeSample } from './archive-sample.ts';
import { makeDatabase } from './nasty-database.ts';

/** Nobody may come here: names that read as addresses lead to it. */
const elsewhere = createServer((socket) => {
  callers += 1;
  socket.destroy();
});
let callers = 0;

before(async () => {
  elsewhere.listen(0, '127.0.0.1');
  await once(elsewhere, 'listening');
});
after(() => elsewhere.close());

const NAMES: readonly ((port: number) => string)[] = [
  () => 'a=b',
  () => '-x',
  () => '--file=x',
  () => `we"ird'; drop`,
  () => 'with  spaces ',
  () => 'ação 😀',
  () => '$(id) `id` %s \\ {}',
  () => '../..',
  (port) => `host=127.0.0.1 port=${port}`,
  (port) => `postgresql://127.0.0.1:${port}/x`,
];

for (const nameFor of NAMES) {
  test(`case 19: a database whose name is ${JSON.stringify(nameFor(1))} is dumped like any other, and nobody else is asked`, async (t) => {
    const name = nameFor((elsewhere.address() as AddressInfo).port);
    const made = await makeDatabase(t, 'create table a as select g as id from generate_series(1, 7) g');
    const rename = (from: string, to: string) =>
      withClient({ ...made.target, database: 'postgres' }, (client) =>
        client.query(`alter database ${pg.escapeIdentifier(from)} rename to ${pg.escapeIdentifier(to)}`),
      );
    await rename(made.target.database, name);
    try {
      const source = { ...made, target: { ...made.target, database: name } };
      assert.ok((await checkSource(source.target)).sizeBytes > 0);
      for (const pipeline of ['staged', 'streamed'] as const) {
        const sample = await makeSample(t, source, pipeline);
        assert.deepEqual([sample.dumped.database.name, sample.dumped.content.rows], [name, 7]);
        assert.equal((await check(sample, createReadStream(sample.path))).sha256, sample.sha256);
      }
    } finally {
      await rename(name, made.target.database);
    }
    assert.equal(callers, 0);
  });
}
