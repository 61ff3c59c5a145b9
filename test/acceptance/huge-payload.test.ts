import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';

import type { Client } from '@temporalio/client';
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';

import { withClient } from '../../postgres/connect.ts';
import { isLong } from '../long.ts';
import { Installation } from './installation.ts';

interface RunResult {
  state: string;
  workflowId: string;
  backupId: string;
  error?: { code: string; message: string };
}

/** Temporal takes 2 MB in one piece. */
const HUGE = 3_000_000;
/** A manifest takes a million characters; these have three bytes each. */
const COMMENT = 900_000;
const TABLES = isLong ? 3_000 : 500;

describe('what would be too large for Temporal', () => {
  let installation: Installation;
  let client: Client;

  before(async () => {
    installation = await Installation.create([{ id: 'one' }]);
    // A comment that the manifest holds; many long names; and a check that has much to say when it fails.
    await installation.createEnvironmentDatabase(
      'one',
      `DO $$ BEGIN EXECUTE format('COMMENT ON DATABASE %I IS %L', current_database(), repeat('€', ${COMMENT})); END $$;
       DO $$ BEGIN FOR n IN 1..${TABLES} LOOP
         EXECUTE format('CREATE TABLE public.%I AS SELECT 1 AS id', rpad('tabela_' || n, 63, '_'));
       END LOOP; END $$;
       CREATE FUNCTION public.fala(good boolean) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
         IF NOT good OR EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = '${installation.id}_fala') THEN
           RAISE EXCEPTION '%', repeat('x', ${HUGE}) USING DETAIL = repeat('y', ${HUGE}); END IF;
         RETURN true; END $$;
       CREATE TABLE public.fala (a boolean CHECK (public.fala(a))); INSERT INTO public.fala VALUES (true);`,
    );
    await installation.startWorker();
    client = await installation.client();
  });

  after(async () => {
    await client.connection.close();
    await installation.remove();
  });

  it('case 126: a manifest of megabytes and failures of megabytes stay out of the histories', async () => {
    const backup = await installation.json<RunResult>(['backup', 'one']);
    assert.equal(backup.state, 'complete', JSON.stringify(backup));
    const order = ['restore', '--from', 'one', '--backup', backup.backupId, '--to', 'one', '--yes'];
    const restore = await installation.json<RunResult>(order);
    assert.equal(restore.state, 'restored', JSON.stringify(restore));
    const target = installation.target('one');
    const { rows } = await withClient(target, (sql) =>
      sql.query<{ length: number; tables: number }>(
        `SELECT length(shobj_description(oid, 'pg_database')), (SELECT count(*)::int FROM pg_tables WHERE tablename LIKE 'tabela%') AS tables
         FROM pg_database WHERE datname = current_database()`,
      ),
    );
    assert.deepEqual(rows, [{ length: COMMENT, tables: TABLES }], 'all of it came back');

    await withClient(installation.admin, (sql) => sql.query(`CREATE ROLE ${installation.id}_fala`));
    const failed = await installation.json<RunResult>(order);
    assert.deepEqual([failed.state, failed.error?.code], ['failed', 'restore-failed'], JSON.stringify(failed));
    assert.ok((failed.error?.message ?? '').length < 5_000);

    for await (const { workflowId, runId } of client.workflow.list()) {
      const { events = [] } = await client.workflow.getHandle(workflowId, runId).fetchHistory();
      const largest = Math.max(...(events ?? []).map((event) => historyToJSON({ events: [event] }).length));
      assert.ok(largest < 20_000, `an event of ${workflowId} has ${largest} characters`);
    }
  });
});
