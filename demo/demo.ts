import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { randomBytes } from 'node:crypto';

import { stringify } from 'yaml';

import { bringUp } from '../cli/up/bring-up.ts';
import { Secret } from '../config/secret.ts';
import { messageOf } from '../errors/error.ts';
import { withClient, type PostgresTarget } from '../postgres/connect.ts';
import { startPostgres } from '../tools/embedded-postgres.ts';
import { nextFreePort } from '../cli/up/ports.ts';
import { projectFolder } from '../tools/project-folder.ts';
import { createLog } from '../workers/log.ts';
import { compareFingerprints, fingerprintDatabase } from './compare-databases.ts';
import { createSampleDatabase } from './sample-database.ts';

/**
 * The whole main job on one machine: a sample database is backed up, dropped, brought back by `cofre ensure`, and
 * compared with what it was, by code that shares nothing with Cofre's own checks. Everything lies in `.cofre/demo`.
 */
const ENVIRONMENT = 'erp-demo';
const DATABASE = 'erp_demo';
const OWNER = 'erp_demo';
const folder = join(projectFolder, '.cofre', 'demo');
const COFRE = fileURLToPath(new URL('../cli/cofre.js', import.meta.url));

const { values: options } = parseArgs({
  options: {
    stay: { type: 'boolean', default: false },
    tamper: { type: 'boolean', default: false },
    rows: { type: 'string' },
  },
});

async function demo(): Promise<number> {
  const startedAt = Date.now();
  const { configPath, admin, ownerPassword } = await prepareConfig();
  say('1. Start PostgreSQL, Temporal and a worker, and apply the configuration');
  const server = await startPostgres({
    folder: join(folder, 'erp-server'),
    port: admin.port,
    password: admin.password.reveal(),
  });
  const globals = { config: configPath, json: false, quiet: true, follow: true, yes: true };
  const up = await bringUp({ globals, folder, log: createLog('error') }).catch(async (error: unknown) => {
    await server.stop();
    throw error;
  });
  try {
    say(`   Temporal UI: ${up.uiAddress ?? 'of the server that was running already'}`);
    const equal = await mainJob({ configPath, admin, ownerPassword });
    say('', `The demo took ${seconds(Date.now() - startedAt)}.`);
    if (options.stay) await stay(configPath, up.uiAddress ?? '');
    return equal ? 0 : 1;
  } finally {
    await up.stop();
    await server.stop();
  }
}

async function mainJob({ configPath, admin, ownerPassword }: DemoConfig): Promise<boolean> {
  say('2. Create a sample ERP database');
  await withClient(admin, (client) => client.query(`DROP DATABASE IF EXISTS ${DATABASE} WITH (FORCE)`));
  const sample = await timed(() =>
    createSampleDatabase(admin, {
      database: DATABASE,
      owner: OWNER,
      ownerPassword,
      ...(options.rows === undefined ? {} : { rows: Number(options.rows) }),
    }),
  );
  say(
    `   ${sample.result.rows} rows in ${sample.result.tables} tables, ${megabytes(sample.result.sizeBytes)}, in ${seconds(sample.tookMs)}`,
  );
  const target = { ...admin, database: DATABASE };
  const before = await fingerprintDatabase(target);

  say(`3. cofre backup ${ENVIRONMENT}`);
  await cofre(['backup', ENVIRONMENT], configPath);
  say(`4. DROP DATABASE ${DATABASE}`);
  await withClient(admin, (client) => client.query(`DROP DATABASE ${DATABASE} WITH (FORCE)`));
  say(`5. cofre ensure ${ENVIRONMENT}`);
  await cofre(['ensure', ENVIRONMENT], configPath);
  if (options.tamper) {
    say('   (one value is changed on purpose)');
    await changeOneValue(target);
  }

  say('6. Compare schema and every row with what was there before');
  const compared = await timed(async () => compareFingerprints(before, await fingerprintDatabase(target)));
  if (compared.result.length === 0) {
    say(`   EQUAL: the schema and the content of every row of every table are the same (${seconds(compared.tookMs)}).`);
    return true;
  }
  say(`   DIFFERENT in ${compared.result.length} places:`);
  for (const difference of compared.result.slice(0, 20)) say(`   - ${difference.where}: ${difference.what}`);
  return false;
}

interface DemoConfig {
  readonly configPath: string;
  readonly admin: PostgresTarget;
  readonly ownerPassword: Secret;
}

/** Ports and passwords are chosen once, so that a second demo finds everything where it was. */
async function prepareConfig(): Promise<DemoConfig> {
  await mkdir(join(folder, 'backups'), { recursive: true, mode: 0o755 });
  const configPath = join(folder, 'cofre.yaml');
  const secret = async (name: string): Promise<Secret> => {
    const path = join(folder, `${name}.secret`);
    try {
      return new Secret(await readFile(path, 'utf8'));
    } catch {
      const value = randomBytes(18).toString('base64url');
      await writeFile(path, value, { mode: 0o600 });
      return new Secret(value);
    }
  };
  const superuserPassword = await secret('erp-server');
  const ownerPassword = await secret('owner');
  const ports = await choosePorts();
  const login = { user: 'postgres', password: `file:${join(folder, 'erp-server.secret')}` };
  const server = { host: '127.0.0.1', port: ports.erp };
  const config = {
    temporal: { address: `127.0.0.1:${ports.temporal}`, namespace: 'default' },
    catalog: {
      host: '127.0.0.1',
      port: ports.catalog,
      database: 'cofre',
      user: 'cofre',
      password: `file:${join(folder, 'catalog.secret')}`,
    },
    host: 'this-machine',
    hosts: { 'this-machine': { spool: join(folder, 'spool'), keepFree: '1%' } },
    servers: { 'erp-server': { ...server, backup: login, admin: login } },
    destinations: { volume: { type: 'directory', path: join(folder, 'backups'), hosts: ['this-machine'] } },
    policies: { standard: { copies: { to: ['volume'] }, keepOldDatabaseFor: '1h' } },
    environments: {
      [ENVIRONMENT]: {
        name: 'ERP de demonstração',
        stage: 'production',
        customer: 'demo',
        policy: 'standard',
        database: {
          server: 'erp-server',
          name: DATABASE,
          owner: OWNER,
          roles: { [OWNER]: { password: `file:${join(folder, 'owner.secret')}` } },
        },
      },
    },
  };
  await writeFile(configPath, stringify(config));
  const admin: PostgresTarget = {
    ...server,
    tls: 'off',
    user: 'postgres',
    password: superuserPassword,
    database: 'postgres',
  };
  return { configPath, admin, ownerPassword };
}

type Ports = Readonly<Record<'erp' | 'catalog' | 'temporal', number>>;

async function choosePorts(): Promise<Ports> {
  const path = join(folder, 'ports.json');
  try {
    return JSON.parse(await readFile(path, 'utf8')) as Ports;
  } catch {
    const ports: Ports = {
      erp: await nextFreePort(15432),
      catalog: await nextFreePort(15532),
      temporal: await nextFreePort(17233),
    };
    await writeFile(path, JSON.stringify(ports));
    return ports;
  }
}

async function changeOneValue(target: PostgresTarget): Promise<void> {
  await withClient(target, async (client) => {
    const { rows } = await client.query<{ table: string; column: string }>(
      `SELECT format('%I.%I', n.nspname, c.relname) AS "table", quote_ident(a.attname) AS "column"
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
        WHERE c.relkind = 'r' AND n.nspname = 'cadastro' AND a.atttypid = 'text'::regtype AND a.attnum > 0 AND a.attgenerated = ''
          AND c.reltuples > 0
        ORDER BY 1, 2 LIMIT 1`,
    );
    const [found] = rows;
    if (found === undefined) throw new Error('found no text to change');
    await client.query(
      `UPDATE ${found.table} SET ${found.column} = ${found.column} || '.' WHERE ctid = (SELECT min(ctid) FROM ${found.table})`,
    );
  });
}

/** Runs the command as a person would; its words are shown as they come. */
async function cofre(args: readonly string[], configPath: string): Promise<void> {
  const child = spawn(process.execPath, [COFRE, ...args, '--config', configPath], {
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`cofre ${args.join(' ')} ended with exit code ${code}`);
}

async function stay(configPath: string, uiAddress: string): Promise<void> {
  say(
    '',
    `Everything stays up. Temporal UI: ${uiAddress}`,
    `Try: npx cofre status --config ${configPath}`,
    'Ctrl-C ends it.',
  );
  await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')]);
}

async function timed<T>(work: () => Promise<T>): Promise<{ result: T; tookMs: number }> {
  const startedAt = Date.now();
  return { result: await work(), tookMs: Date.now() - startedAt };
}

function say(...lines: readonly string[]): void {
  for (const line of lines) process.stdout.write(`${line}\n`);
}

function seconds(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(1)} s`;
}

function megabytes(bytes: number): string {
  return `${Math.round(bytes / 1e6)} MB`;
}

try {
  process.exitCode = await demo();
} catch (error) {
  process.stderr.write(`The demo failed: ${messageOf(error)}\n`);
  process.exitCode = 1;
}
