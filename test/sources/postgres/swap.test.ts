import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import pg from 'pg';

import { Secret } from '../../../config/secret.ts';
import type { CofreError } from '../../../errors/error.ts';
import { openClient } from '../../../postgres/connect.ts';
import { dropDatabase } from '../../../sources/postgres/drop-database.ts';
import { isSwapped, swapDatabases, type SwapRequest } from '../../../sources/postgres/swap.ts';
import { until } from '../../until.ts';
import { admin, Bench, newId, sql } from './restore-fixture.ts';

describe('the swap of a restored database', () => {
  let bench: Bench;
  let owner: string;
  let request: SwapRequest;

  before(async () => {
    bench = await Bench.open();
    owner = bench.role('App Dona');
    await sql('postgres', `CREATE ROLE ${pg.escapeIdentifier(owner)} LOGIN PASSWORD 'x'`);
  });
  after(() => bench.close());
  beforeEach(async () => {
    const id = newId();
    const [live, replacement, old] = ['viva', 'nova', 'velha'].map((name) => bench.database(`${name} "${id}"`));
    assert.ok(live !== undefined && replacement !== undefined && old !== undefined);
    for (const name of [live, replacement]) {
      await sql('postgres', `CREATE DATABASE ${pg.escapeIdentifier(name)}`);
      await sql(
        name,
        `CREATE TABLE who AS SELECT '${name === live ? 'old' : 'new'}'::text AS name; GRANT SELECT ON who TO PUBLIC`,
      );
    }
    await sql('postgres', `REVOKE CONNECT ON DATABASE ${pg.escapeIdentifier(replacement)} FROM PUBLIC`);
    request = {
      ...{
        admin,
        live,
        liveOid: await oidOf(live),
        replacement,
        replacementOid: await oidOf(replacement),
        oldName: old,
      },
      ...{ owner, privileges: null, comment: 'ERP' },
    };
  });

  async function oidOf(name: string): Promise<number> {
    const rows = await sql<{ oid: number }>(
      'postgres',
      `SELECT oid::int AS oid FROM pg_database WHERE datname = ${pg.escapeLiteral(name)}`,
    );
    return rows[0]?.oid ?? 0;
  }

  const who = async (login = {}): Promise<unknown> =>
    (await sql(request.live, 'SELECT name FROM who', login))[0]?.['name'];

  /** Ten clients that reconnect in a loop, as an application's do; what they find must be a whole database. */
  async function underClients<T>(work: () => Promise<T>): Promise<{ result: T; seen: unknown[] }> {
    let running = true;
    const seen: unknown[] = [];
    const clients = Array.from({ length: 10 }, async () => {
      while (running) {
        try {
          seen.push(await who({ user: owner, password: new Secret('x') }));
        } catch (error) {
          assert.match(String(error), /terminat|does not exist|there is no database|recently|renamed|connection/i);
        }
        await sleep(5);
      }
    });
    try {
      await until('all of them are there', () => seen.length >= 10);
      const result = await work();
      const answers = seen.length;
      await until('they are answered again', () => seen.length > answers + 10);
      return { result, seen };
    } finally {
      running = false;
      await Promise.all(clients);
    }
  }

  const state = async (): Promise<unknown> =>
    sql(
      'postgres',
      `SELECT oid::int, datname::text AS name, datallowconn AS open, pg_get_userbyid(datdba) AS owner, shobj_description(oid, 'pg_database') AS comment
         FROM pg_database WHERE oid IN (${request.liveOid}, ${request.replacementOid}) ORDER BY oid`,
    );

  test('case 94: clients that reconnect all the time find nothing but a whole database, and soon the new one', async () => {
    const idle = await Promise.all(
      Array.from({ length: 5 }, () =>
        openClient({ ...admin, user: owner, password: new Secret('x'), database: request.live }),
      ),
    );
    const { result, seen } = await underClients(() => swapDatabases({ ...request, timeoutMs: 20_000 }));
    await Promise.all(idle.map((session) => session.end().catch(() => undefined)));
    assert.deepEqual(result, { alreadyDone: false });
    assert.deepEqual([...new Set(seen)], ['old', 'new']);
    assert.equal(seen.at(-1), 'new');
    assert.deepEqual(await state(), [
      { oid: request.liveOid, name: request.oldName, open: false, owner: 'postgres', comment: null },
      { oid: request.replacementOid, name: request.live, open: true, owner, comment: 'ERP' },
    ]);
  });

  test('case 94: when the second rename fails, the live database has its name, and clients go on in it', async () => {
    // A session that cannot end keeps the new database's name: its process is stopped.
    const stuck = await openClient({ ...admin, database: request.replacement });
    const { rows } = await stuck.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
    const pid = rows[0]?.pid ?? 0;
    const before = await state();
    process.kill(pid, 'SIGSTOP');
    try {
      const { seen } = await underClients(() =>
        assert.rejects(
          swapDatabases({ ...request, timeoutMs: 100 }),
          (error: CofreError) =>
            error.code === 'database-locked' && /"nova.*is being accessed by other users/.test(error.message),
        ),
      );
      assert.deepEqual([...new Set(seen)], ['old']);
      assert.deepEqual(await state(), before);
    } finally {
      process.kill(pid, 'SIGCONT');
    }
    await stuck.end().catch(() => undefined);
    await swapDatabases(request);
    assert.equal(await who(), 'new');
  });

  for (const where of ['live', 'replacement'] as const) {
    test(`case 94: a prepared transaction in the ${where} database is told, and nobody in the live one is disturbed`, async () => {
      const gid = `cofre ${newId()}`;
      await sql(request[where], `BEGIN; INSERT INTO who VALUES ('pending'); PREPARE TRANSACTION '${gid}'`);
      const session = await openClient({ ...admin, database: request.live });
      const before = await state();
      try {
        await assert.rejects(
          swapDatabases({ ...request, timeoutMs: 300 }),
          (error: CofreError) =>
            error.code === 'database-locked' &&
            error.message.includes(`(1 in ${request[where]})`) &&
            /nothing was changed/.test(error.message) &&
            /pg_prepared_xacts/.test(error.hint ?? ''),
        );
        assert.deepEqual((await session.query('SELECT name FROM public.who')).rows, [{ name: 'old' }]);
        assert.deepEqual(await state(), before);
      } finally {
        await session.end();
        await sql(request[where], `ROLLBACK PREPARED '${gid}'`);
      }
    });
  }

  test('a cancel ends the waiting, and a later look tells whether the swap has come through', async () => {
    const gid = `cofre ${newId()}`;
    await sql(request.live, `BEGIN; INSERT INTO who VALUES ('pending'); PREPARE TRANSACTION '${gid}'`);
    const abort = new AbortController();
    const waiting = swapDatabases({ ...request, signal: abort.signal });
    setImmediate(() => abort.abort(new Error('cancelled')));
    await assert.rejects(waiting, /cancelled|aborted/);
    assert.equal(await isSwapped(request), false);
    await sql(request.live, `ROLLBACK PREPARED '${gid}'`);
    await swapDatabases(request);
    assert.equal(await isSwapped(request), true);
  });

  test('twice is once', async () => {
    assert.deepEqual(await swapDatabases(request), { alreadyDone: false });
    assert.deepEqual(await swapDatabases(request), { alreadyDone: true });
    assert.equal(await who(), 'new');
  });

  test('two at once are one', async () => {
    const outcomes = await Promise.all([swapDatabases(request), swapDatabases(request)]);
    assert.deepEqual(outcomes.map(({ alreadyDone }) => alreadyDone).sort(), [false, true]);
    assert.equal(await who(), 'new');
  });

  test('where there was no database, it appears', async () => {
    await sql('postgres', `DROP DATABASE ${pg.escapeIdentifier(request.live)}`);
    await swapDatabases({ ...request, liveOid: null });
    assert.equal(await who({ user: owner, password: new Secret('x') }), 'new');
  });

  test('another database than the recorded one is refused, either side', async () => {
    await assert.rejects(swapDatabases({ ...request, liveOid: 1 }), (error: CofreError) => error.code === 'refused');
    await assert.rejects(swapDatabases({ ...request, liveOid: null }), (error: CofreError) => error.code === 'refused');
    await assert.rejects(
      swapDatabases({ ...request, replacementOid: 1 }),
      (error: CofreError) => error.code === 'refused',
    );
    assert.equal(await who(), 'old');
  });

  test('when it fails nothing has changed, and the live database accepts connections', async () => {
    const right = { grantee: '', grantor: 'x', privilege: 'CONNECT', grantable: false };
    await assert.rejects(
      swapDatabases({ ...request, privileges: [right, { ...right, grantee: 'nobody there' }] }),
      /nobody there/,
    );
    await assert.rejects(swapDatabases({ ...request, oldName: request.replacement }), /already exists/);
    assert.equal(await who({ user: owner, password: new Secret('x') }), 'old');
    assert.equal(await oidOf(request.replacement), request.replacementOid);
  });

  test('exactly the recorded rights hold from the same instant', async () => {
    const right = { grantee: owner, grantor: owner, privilege: 'CONNECT', grantable: true };
    const other = bench.role('outro');
    await sql('postgres', `CREATE ROLE ${other} LOGIN PASSWORD 'x'`);
    await swapDatabases({ ...request, privileges: [right] });
    assert.equal(await who({ user: owner, password: new Secret('x') }), 'new');
    await assert.rejects(who({ user: other, password: new Secret('x') }), /permission denied for database/);
  });

  test('a replaced database is dropped only by its name and OID together', async () => {
    await swapDatabases(request);
    const oid = await oidOf(request.oldName);
    await assert.rejects(
      dropDatabase({ admin, name: request.live, oid }),
      (error: CofreError) => error.code === 'refused',
    );
    await dropDatabase({ admin, name: request.oldName, oid });
    await dropDatabase({ admin, name: request.oldName, oid });
    assert.equal(await oidOf(request.oldName), 0);
    assert.equal(await who(), 'new');
  });

  test('one is dropped whose removal the server had begun when it crashed', async () => {
    await swapDatabases(request);
    const oid = await oidOf(request.oldName);
    // So PostgreSQL marks what may only be dropped any more.
    await sql('postgres', `UPDATE pg_database SET datconnlimit = -2 WHERE oid = ${oid}`);
    await dropDatabase({ admin, name: request.oldName, oid });
    assert.equal(await oidOf(request.oldName), 0);
  });
});
