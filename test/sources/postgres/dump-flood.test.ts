import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';

import { CofreError } from '../../../errors/error.ts';
import { isLong } from '../../long.ts';
import { dump, makeDatabase, makeFolder } from './nasty-database.ts';
import { wrapPgDump } from './wrapped-client.ts';

const FLOOD_BYTES = (isLong ? 500 : 100) * 1024 * 1024;
const TABLES = isLong ? 10_000 : 1_000;
/** Of a heartbeat, which Temporal misses only after many of these. */
const HELD_UP_MS = 5_000;

/** Fails the test when this process, which beats for its steps, was held up or grew. */
async function undisturbed<T>(work: () => Promise<T>): Promise<T> {
  const delay = monitorEventLoopDelay({ resolution: 20 });
  const beforeBytes = process.memoryUsage().rss;
  let peakBytes = beforeBytes;
  const look = setInterval(() => (peakBytes = Math.max(peakBytes, process.memoryUsage().rss)), 20);
  delay.enable();
  try {
    return await work();
  } finally {
    clearInterval(look);
    delay.disable();
    assert.ok(delay.max / 1e6 < HELD_UP_MS, `no heartbeat for ${Math.round(delay.max / 1e6)} ms`);
    assert.ok(peakBytes - beforeBytes < 150e6, `grew by ${Math.round((peakBytes - beforeBytes) / 1e6)} MB`);
  }
}

async function floodOf(t: TestContext, script: string) {
  const directory = await makeFolder(t);
  await mkdir(join(directory, 'bin'));
  return { directory, clients: await wrapPgDump(join(directory, 'bin'), script) };
}

const LINES = `yes 'pg_dump: warning: ${'x'.repeat(100)}' | head --bytes=${FLOOD_BYTES} >&2`;
const ONE_LINE = `head --bytes=${FLOOD_BYTES} /dev/zero | tr '\\0' x >&2; echo >&2`;

for (const pipeline of ['staged', 'streamed'] as const) {
  test(`case 18: a ${pipeline} dump with a flood of warnings is made, and little of them is kept`, async (t) => {
    const { target } = await makeDatabase(t, 'create table a as select 1 as b');
    const { directory, clients } = await floodOf(t, `"$real" "$@" && ${LINES}`);
    const { warnings, content } = await undisturbed(() => dump(directory, { target, pipeline, clients }));
    assert.equal(content.rows, 1);
    assert.match(warnings[0] ?? '', /^pg_dump: warning: x+$/);
    assert.ok(JSON.stringify(warnings).length < 10_000, `${JSON.stringify(warnings).length} characters`);
  });

  test(`case 18: a ${pipeline} dump that fails in a flood says its last words, and no more`, async (t) => {
    const { target } = await makeDatabase(t, 'create table a as select 1 as b');
    const { directory, clients } = await floodOf(t, `${ONE_LINE}; echo 'pg_dump: error: the last words' >&2; exit 1`);
    const dumping = undisturbed(() => dump(directory, { target, pipeline, clients }));
    const error = await dumping.catch((cause: unknown) => cause);
    assert.ok(error instanceof CofreError, String(error));
    assert.equal(error.code, 'tool-failed');
    assert.match(error.message, /pg_dump ended with exit code 1: [^]*the last words/);
    assert.ok(error.message.length < 5_000, `${error.message.length} characters`);
  });
}

test('case 18: thousands of tables are dumped without holding anything up', async (t) => {
  // In portions: each table takes a lock to the end of its transaction.
  const portion = `do $$ begin for n in 1..1000 loop execute 'create table t' || nextval('n') || ' as select 1 as a'; end loop; end $$`;
  const source = await makeDatabase(t, 'create sequence n');
  for (let made = 0; made < TABLES; made += 1_000) await source.sql(portion);
  for (const pipeline of ['staged', 'streamed'] as const) {
    const directory = await makeFolder(t);
    const { content } = await undisturbed(() => dump(directory, { target: source.target, pipeline }));
    assert.deepEqual([content.tables.length, content.rows], [TABLES, TABLES]);
  }
});
