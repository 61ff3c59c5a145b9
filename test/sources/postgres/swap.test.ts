import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import pg from 'pg';

import { Secret } from '../../../config/secret.ts';
import type { CofreError } from '../../../errors/error.ts';
import { openClient } from '../../../postgres/connect.ts';
import { dropDatabase } from '../../../sources/postgres/drop-database.ts';
import { swapDatabases, type SwapRequest } from '../../../sources/postgres/swap.ts';
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

  test('works under ten clients that reconnect in a loop, and none of them finds anything but a whole database', async () => {
    let running = true;
    const seen = new Set<unknown>();
    let answersAfter = 0;
    let swapped = false;
    const login = { user: owner, password: new Secret('x') };
    const client = async (): Promise<void> => {
      while (running) {
        try {
          const name = await who(login);
          seen.add(name);
          if (swapped && name === 'new') answersAfter += 1;
        } catch (error) {
          assert.match(String(error), /terminat|does not exist|there is no database|recently|renamed|connection/i);
        }
        await sleep(5);
      }
    };
    const clients = Array.from({ length: 10 }, client);
    // And some that stay connected, as pools do.
    const idle = await Promise.all(
      Array.from({ length: 5 }, () => openClient({ ...admin, ...login, database: request.live })),
    );
    await sleep(300);
    const startedAt = Date.now();
    await swapDatabases({ ...request, timeoutMs: 5000 });
    const tookMs = Date.now() - startedAt;
    swapped = true;
    await sleep(500);
    running = false;
    await Promise.all(clients);
    await Promise.all(idle.map((session) => session.end().catch(() => undefined)));
    assert.ok(tookMs < 5000, `${tookMs} ms`);
    assert.deepEqual([...seen].sort(), ['new', 'old']);
    assert.ok(answersAfter > 0);
    const [row] = await sql(
      'postgres',
      `SELECT datallowconn AS open, pg_get_userbyid(datdba) AS owner, shobj_description(oid, 'pg_database') AS comment,
              (SELECT datallowconn FROM pg_database WHERE datname = ${pg.escapeLiteral(request.oldName)}) AS "oldOpen"
         FROM pg_database WHERE datname = ${pg.escapeLiteral(request.live)}`,
    );
    assert.deepEqual(row, { open: true, owner, comment: 'ERP', oldOpen: false });
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

  test('a prepared transaction, which no one can end, is told after the time allowed, and nothing has changed', async (t) => {
    const [setting] = await sql('postgres', 'SHOW max_prepared_transactions');
    if (setting?.['max_prepared_transactions'] === '0') return t.skip('the server allows no prepared transactions');
    await sql(
      request.live,
      `BEGIN; INSERT INTO who VALUES ('pending'); PREPARE TRANSACTION '${request.oldName.slice(0, 20)}'`,
    );
    await assert.rejects(
      swapDatabases({ ...request, timeoutMs: 1000 }),
      (error: CofreError) => error.code === 'database-locked' && /nothing was changed/.test(error.message),
    );
    assert.equal(await who(), 'old');
    await sql(request.live, `ROLLBACK PREPARED '${request.oldName.slice(0, 20)}'`);
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
});
