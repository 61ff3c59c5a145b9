import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { Client, Connection } from '@temporalio/client';
import pg from 'pg';

import { Secret } from '../../config/secret.ts';
import { openClient, withClient, type PostgresTarget } from '../../postgres/connect.ts';
import { CONTROL_QUEUE } from '../../workflows/queues.ts';
import { searchAttributes } from '../../workflows/search-attributes.ts';
import { testServers } from '../servers.ts';
import { until } from '../until.ts';
import { Canaries } from './canaries.ts';
import { temporalTexts } from './temporal-texts.ts';
import { readExecutions, traceNode } from './traced.ts';
import { Watch } from './watch.ts';

/** The search for secrets finds one that is put there on purpose: without that, finding none would say nothing. */
describe('the search for secrets', () => {
  let folder: string;
  let canaries: Canaries;
  let canary: string;
  let server: PostgresTarget;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'cofre-search-'));
    canaries = new Canaries();
    canary = canaries.make('one');
    canaries.make('another');
    const { postgres } = testServers();
    server = { ...postgres, tls: 'off', password: new Secret(postgres.password), database: 'postgres' };
  });
  after(() => rm(folder, { recursive: true, force: true }));

  test('case 96: finds it however it is escaped, encoded or cut', () => {
    const bytes = Buffer.from(canary);
    const forms = {
      plain: canary,
      'in an address': encodeURIComponent(canary),
      'in JSON': JSON.stringify({ canary }),
      'in JSON in JSON': JSON.stringify(JSON.stringify({ canary })),
      'in SQL': pg.escapeLiteral(canary),
      'in a password file': canary.replace(/[\\:]/g, '\\$&'),
      'cut at both ends': canary.slice(1, -12),
      base64: bytes.toString('base64'),
      'base64 after one byte': Buffer.from(`x${canary}`).toString('base64'),
      'base64 after two bytes': Buffer.from(`{"a":"${canary}"}`).toString('base64'),
      'base64 for addresses': bytes.toString('base64url'),
      hex: bytes.toString('hex'),
      'hex in capitals': bytes.toString('hex').toUpperCase(),
    };
    for (const [title, text] of Object.entries(forms)) {
      assert.deepEqual(canaries.find('here', `before ${text} after`), [{ canary: 'one', place: 'here' }], title);
    }
    assert.deepEqual(canaries.find('here', Buffer.from(`before ${canary.slice(0, 6)} after`)), []);
    assert.equal(canaries.findIn('here', { a: [new Map([['b', Buffer.from(canary)]])] }).length, 1);
    assert.equal(canaries.findIn('here', { [canary]: 1 }).length, 1);
  });

  test('case 96: finds it in files, and in their names', async () => {
    const below = join(folder, 'files', 'a', 'b');
    await mkdir(below, { recursive: true });
    await writeFile(join(below, 'c'), Buffer.concat([Buffer.alloc(100_000), Buffer.from(canary)]));
    await writeFile(join(below, `d-${canary.slice(1, 12)}${canary.slice(12).replaceAll('/', '')}`), '');
    assert.equal((await canaries.findBelow(join(folder, 'files'))).length, 2);
  });

  test('case 96: finds it in what a program was given, however short it runs', async () => {
    const restore = await traceNode(join(folder, 'traces'));
    try {
      const script = `const { spawnSync } = require('node:child_process');
        spawnSync('true', [process.env.TOLD]); spawnSync('true', [], { env: { PATH: process.env.PATH, TOLD: process.env.TOLD } });`;
      execFileSync(process.execPath, ['-e', script], { env: { ...process.env, TOLD: canary } });
    } finally {
      restore();
    }
    await until('the traces are whole', async () => {
      const executions = await readExecutions(join(folder, 'traces'));
      const found = executions
        .filter(({ text }) => canaries.find('', text).length > 0)
        .map(({ text }) => /execve\("[^"]*\/(\w+)"/.exec(text)?.[1]);
      // Once for node itself; the shell tried more than one folder for `true`.
      return (
        found.includes('node') && new Set(found).has('true') && found.filter((name) => name === 'true').length >= 2
      );
    });
    assert.ok((await readExecutions(join(folder, 'traces'))).every(({ isCofre }) => !isCofre));
  });

  test('case 96: finds it in arguments, environments, statements and files that are there for a moment', async () => {
    const place = join(folder, 'spool');
    const watch = await Watch.start(canaries, [place], server);
    const client = await openClient(server);
    const asArgument = spawn('sh', ['-c', 'read line', canary]);
    const inEnvironment = spawn('sleep', ['1000'], { env: { PATH: process.env['PATH'], TOLD: canary } });
    try {
      await mkdir(join(place, 'x'), { recursive: true });
      await writeFile(join(place, 'x', 'y'), canary, { mode: 0o640 });
      await client.query(`SELECT ${pg.escapeLiteral(canary)}`);
      await until(
        'all are seen',
        () => watch.statements.length > 0 && watch.files.length > 0 && watch.processes.length > 1,
      );
    } finally {
      asArgument.kill();
      inEnvironment.kill();
      await Promise.all([client.end(), watch.stop()]);
    }
    assert.deepEqual(watch.processes.map(({ place: where }) => where).sort(), ['cmdline of sh', 'environ of sleep']);
    assert.deepEqual(watch.files, [{ canary: 'one', place: join(place, 'x', 'y'), mode: '640' }]);
  });

  test('case 96: finds it in all that Temporal keeps of a run and a schedule', async () => {
    const { address, namespace } = testServers().temporal;
    const client = new Client({ connection: await Connection.connect({ address }), namespace });
    const id = `search-${canary.slice(1, 9)}`;
    try {
      const handle = await client.workflow.start('noSuchWorkflow', {
        taskQueue: `${CONTROL_QUEUE}.nobody`,
        workflowId: id,
        args: [{ deep: [canary] }],
        memo: { note: canary },
        typedSearchAttributes: [{ key: searchAttributes.host, value: canary }],
        staticDetails: canary,
      });
      await handle.terminate(canary);
      await client.schedule.create({
        scheduleId: id,
        spec: {},
        state: { paused: true, note: canary },
        action: { type: 'startWorkflow', workflowType: 'x', taskQueue: 'x', args: [canary] },
      });
      await until('both are listed', async () => {
        const hits = [...(await temporalTexts(client, `WorkflowId = '${id}'`))].flatMap(([place, text]) =>
          canaries.findIn(place, text),
        );
        const places = new Set(hits.filter(({ place }) => place.includes(id)).map(({ place }) => place.split(':')[0]));
        return ['list', 'history', 'exported history', 'description', 'schedule'].every((place) => places.has(place));
      });
      await client.schedule.getHandle(id).delete();
    } finally {
      await client.connection.close();
    }
  });

  test('case 96: finds it in a dump of the catalog', async () => {
    const { postgres } = testServers();
    await withClient(server, (client) =>
      client.query(`CREATE TABLE public.search AS SELECT ${pg.escapeLiteral(canary)} AS a`),
    );
    const env = {
      ...process.env,
      PGHOST: postgres.host,
      PGPORT: String(postgres.port),
      PGUSER: postgres.user,
      PGPASSWORD: postgres.password,
    };
    const dumped = execFileSync('pg_dump', ['--table=public.search', '--inserts', 'postgres'], { env });
    await withClient(server, (client) => client.query('DROP TABLE public.search'));
    assert.equal(canaries.find('catalog', dumped).length, 1);
  });
});
