import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:net';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import pg from 'pg';

import { testServers } from '../servers.ts';
import { cofre } from './cofre-process.ts';

const { postgres } = testServers();
const NAME = `ensure_${process.pid}`;
const PASSWORD = 'only-for-this-test';

/** Nothing listens there: an answer that needs Temporal cannot come. */
const NO_TEMPORAL = '127.0.0.1:1';

describe('cofre ensure, with no Temporal at all', () => {
  let folder = '';
  let admin: pg.Client;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'cofre-ensure-'));
    admin = new pg.Client({ ...postgres, database: 'postgres' });
    await admin.connect();
    await admin.query(`CREATE ROLE ${NAME} LOGIN PASSWORD '${PASSWORD}'`);
    await admin.query(`CREATE DATABASE ${NAME} OWNER ${NAME}`);
  });

  after(async () => {
    await admin.query(`DROP DATABASE IF EXISTS ${NAME}`);
    await admin.query(`DROP ROLE IF EXISTS ${NAME}`);
    await admin.end();
    await rm(folder, { recursive: true, force: true });
  });

  async function config({ database = NAME, port = postgres.port, password = 'env:OWNER' } = {}): Promise<string> {
    const path = join(folder, `${Math.random().toString(36).slice(2)}.yaml`);
    await writeFile(
      path,
      `temporal: { address: "${NO_TEMPORAL}" }
servers: { pg-01: { host: "${postgres.host}", port: ${port} } }
environments:
  acme-prod: { database: { server: pg-01, name: ${database}, owner: ${NAME}, roles: { ${NAME}: { password: "${password}" } } } }
`,
    );
    return path;
  }

  test('a database that exists is answered with exists and exit code 0', async () => {
    const { code, stdout, stderr } = await cofre(['ensure', 'acme-prod', '--config', await config()], {
      OWNER: PASSWORD,
    });
    assert.deepEqual({ code, stdout, stderr }, { code: 0, stdout: 'exists\n', stderr: '' });
  });

  test('with --json before the command, the answer is the one JSON document', async () => {
    const { code, stdout } = await cofre(['--json', 'ensure', 'acme-prod', '--config', await config()], {
      OWNER: PASSWORD,
    });
    assert.equal(code, 0);
    const { state, environment, workflowId } = JSON.parse(stdout) as Record<string, unknown>;
    assert.deepEqual(
      { state, environment, workflowId },
      { state: 'exists', environment: 'acme-prod', workflowId: null },
    );
  });

  test('Temporal is not even loaded for it, because environments ask many times a minute', async () => {
    const spy = join(folder, 'spy.cjs');
    await writeFile(
      spy,
      "process.on('exit', () => console.error('temporal loaded:', Object.keys(require.cache).some((path) => path.includes('@temporalio'))));",
    );
    const watched = { OWNER: PASSWORD, NODE_OPTIONS: `--require=${spy}` };
    assert.match(
      (await cofre(['ensure', 'acme-prod', '--config', await config()], watched)).stderr,
      /temporal loaded: false/,
    );
    const missing = await config({ database: `${NAME}_gone` });
    assert.match((await cofre(['ensure', 'acme-prod', '--config', missing], watched)).stderr, /temporal loaded: true/);
  });

  test('a missing database is not answered with exists: it needs Temporal, which is said with exit code 4', async () => {
    const path = await config({ database: `${NAME}_gone` });
    const { code, stdout, stderr } = await cofre(['ensure', 'acme-prod', '--config', path], { OWNER: PASSWORD });
    assert.equal(code, 4);
    assert.equal(stdout, '');
    assert.match(stderr, /the database of acme-prod does not exist/);
    assert.match(stderr, /cofre: Temporal at 127\.0\.0\.1:1 cannot be reached/);
  });

  test('a login that is refused cannot tell, so a worker is asked; the password is nowhere', async () => {
    const { code, stdout, stderr } = await cofre(['ensure', 'acme-prod', '--config', await config()], {
      OWNER: 'wrong-password',
    });
    assert.equal(code, 4);
    assert.match(stderr, /refused the login/);
    assert.doesNotMatch(stdout + stderr, /wrong-password/);
  });

  test('a secret that is not on this machine does not keep a worker from being asked', async () => {
    const { code, stderr } = await cofre(['ensure', 'acme-prod', '--config', await config()]);
    assert.equal(code, 4);
    assert.match(stderr, /env:OWNER is empty or not set.*asks a worker/);
  });

  test('a server that does not answer is waited for, then it is exit code 1 with the reason', async () => {
    const path = await config({ port: 1 });
    const began = Date.now();
    const { code, stderr } = await cofre(['ensure', 'acme-prod', '--config', path, '--wait', '2'], { OWNER: PASSWORD });
    assert.equal(code, 1);
    assert.ok(Date.now() - began >= 1_000, 'it did not wait');
    assert.match(stderr, /waits for it, 2 s at most/);
    assert.match(stderr, /cofre: the server .*:1 failed/);
  });

  test('a server that comes up while it is waited for is enough', async () => {
    const port = await freePort();
    const path = await config({ port });
    const late = setTimeout(() => void forward(port), 1_500);
    const { code, stdout } = await cofre(['ensure', 'acme-prod', '--config', path, '--wait', '20'], {
      OWNER: PASSWORD,
    });
    clearTimeout(late);
    for (const server of forwarders) server.close();
    assert.deepEqual({ code, stdout }, { code: 0, stdout: 'exists\n' });
  });

  test('an unknown environment is exit code 2 with the name that was probably meant', async () => {
    const { code, stderr } = await cofre(['ensure', 'acme-prd', '--config', await config()], { OWNER: PASSWORD });
    assert.equal(code, 2);
    assert.match(stderr, /no environment "acme-prd"\n {2}→ did you mean acme-prod\?/);
  });
});

const forwarders: Server[] = [];

/** Stands for a database server that starts late: passes every connection on to the real one. */
async function forward(port: number): Promise<void> {
  const { connect } = await import('node:net');
  const server = createServer((from) => {
    const to = connect(postgres.port, postgres.host);
    from.on('error', () => to.destroy());
    to.on('error', () => from.destroy());
    from.pipe(to).pipe(from);
  });
  forwarders.push(server.listen(port, '127.0.0.1'));
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const address = server.address();
  server.close();
  return typeof address === 'object' && address !== null ? address.port : 0;
}
