import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { Secret } from '../../config/secret.ts';
import { withClient, type PostgresTarget } from '../../postgres/connect.ts';
import { scramVerifier } from '../../sources/postgres/scram.ts';
import type { RunningServer } from '../../tools/running-server.ts';
import { Installation, type CommandResult } from '../acceptance/installation.ts';
import type { TestServers } from '../servers.ts';
import { startServers } from '../start-servers.ts';
import { Canaries, type Hit } from './canaries.ts';
import { temporalTexts } from './temporal-texts.ts';
import { readExecutions, traceNode } from './traced.ts';
import { Watch } from './watch.ts';

/** Logins of an installation; each has a password that is looked for everywhere. */
const LOGINS = {
  catalog_owner: '',
  catalog_runtime: '',
  cofre_backup: 'BYPASSRLS IN ROLE pg_read_all_data',
  cofre_admin: 'SUPERUSER',
} as const;

/** The variable that holds the password of the catalog's runtime role. */
export const IN_ENVIRONMENT = 'COFRE_TEST_CATALOG_PASSWORD';

type Config = Record<string, Record<string, Record<string, unknown>>>;

/**
 * An installation on servers of its own, in which every credential is a canary: so whatever holds one of them, of the
 * product's, of PostgreSQL's or of Temporal's, belongs to this test.
 */
export class SecretInstallation {
  readonly canaries = new Canaries();
  readonly folder: string;
  installation!: Installation;
  watch?: Watch;
  /** What commands and workers wrote, by what they were. */
  readonly outputs = new Map<string, string>();
  readonly #passwords = new Map<string, string>();
  #servers!: TestServers;
  #running: RunningServer[] = [];
  #untrace = (): void => undefined;

  private constructor(folder: string) {
    this.folder = folder;
  }

  static async create(environments: Parameters<typeof Installation.create>[0]): Promise<SecretInstallation> {
    const made = new SecretInstallation(await mkdtemp(join(tmpdir(), 'cofre-secrets-')));
    const { servers, running } = await startServers(join(made.folder, 'servers'), { log_min_duration_statement: '0' });
    made.#servers = servers;
    made.#running = running;
    process.env['COFRE_TEST_SERVERS'] = JSON.stringify(servers);
    await mkdir(join(made.folder, 'passwords'));
    for (const [user, attributes] of Object.entries(LOGINS)) await made.#makeLogin(user, attributes);
    await made.sql('CREATE DATABASE cofre_catalog OWNER catalog_owner');
    made.#untrace = await traceNode(join(made.folder, 'traces'));
    made.installation = await Installation.create(environments, {}, (config) => made.#useCanaries(config as Config));
    return made;
  }

  get admin(): PostgresTarget {
    const { host, port, user, password } = this.#servers.postgres;
    return { host, port, tls: 'off', user, password: new Secret(password), database: 'postgres' };
  }

  /** The statement is not logged: it is the test's, and may hold a canary. */
  async sql(text: string, database = 'postgres'): Promise<Record<string, unknown>[]> {
    return await withClient({ ...this.admin, database }, async (client) => {
      await client.query(`SET log_statement = 'none'; SET log_min_duration_statement = -1; SET search_path = public`);
      return (await client.query<Record<string, unknown>>(text)).rows;
    });
  }

  /** A password under this name, the same when asked again; it stands in `passwords/<name>`, too. */
  password(name: string): string {
    const known = this.#passwords.get(name);
    if (known !== undefined) return known;
    const password = this.canaries.make(name);
    this.#passwords.set(name, password);
    writeFileSync(join(this.folder, 'passwords', name), `${password}\n`, { mode: 0o600 });
    return password;
  }

  /** Makes an environment's owner and database, and runs `sql` in it as a superuser. */
  async createDatabase(environment: string, sql: string): Promise<void> {
    const owner = this.installation.owner(environment);
    await this.#makeLogin(owner, '');
    await this.sql(`CREATE DATABASE "${this.installation.database(environment)}" OWNER "${owner}"`);
    await this.sql(sql, this.installation.database(environment));
  }

  async cofre(args: readonly string[]): Promise<CommandResult> {
    const result = await this.installation.cofre(args);
    this.outputs.set(`cofre ${args.join(' ')} #${this.outputs.size}`, result.stdout + result.stderr);
    return result;
  }

  async json<T>(args: readonly string[]): Promise<T> {
    return JSON.parse((await this.cofre([...args, '--json'])).stdout) as T;
  }

  async startWorker(environment: Record<string, string> = {}): ReturnType<Installation['startWorker']> {
    const name = `worker #${this.outputs.size}`;
    return await this.installation.startWorker(environment, (text) => {
      this.outputs.set(name, (this.outputs.get(name) ?? '') + text);
    });
  }

  /** From now on everything is watched, and the server logs every statement. */
  async startWatching(): Promise<void> {
    await this.sql(`ALTER SYSTEM SET log_statement = 'all'`);
    await this.sql('SELECT pg_reload_conf()');
    // The password of a restore's own login is the product's, so it is not known before it stands in a password file.
    const learn = (path: string, content: Buffer): void => {
      const password = /:cofre_restore_\w+:(.+)$/m.exec(path.endsWith('/pgpass') ? content.toString() : '')?.[1];
      if (password !== undefined) this.canaries.add('restore_login', password);
    };
    this.watch = await Watch.start(this.canaries, [this.installation.spool], this.admin, learn);
  }

  /** Every place where a canary is that could be looked at afterwards. */
  async search(): Promise<Hit[]> {
    const { canaries, installation } = this;
    const hits = [...this.outputs].flatMap(([place, text]) => canaries.find(place, text));
    const client = await installation.client();
    for (const [place, text] of await temporalTexts(client)) hits.push(...canaries.findIn(place, text));
    await client.connection.close();
    hits.push(...canaries.find('the catalog', await this.#dumpCatalog()));
    for (const folder of [join(this.folder, 'servers', 'temporal'), installation.backups, installation.spool])
      hits.push(...(await canaries.findBelow(folder)));
    for (const file of ['cofre.yaml', 'cofre.yaml.applied'])
      hits.push(...canaries.find(file, await readFile(join(installation.folder, file)).catch(() => '')));
    hits.push(
      ...canaries.find('the log of PostgreSQL', await readFile(join(this.folder, 'servers/postgres/postgres.log'))),
    );
    for (const { text, isCofre } of await readExecutions(join(this.folder, 'traces')))
      if (!isCofre) hits.push(...canaries.find(`execution: ${text.slice(0, 200)}`, text));
    return hits;
  }

  async remove(): Promise<void> {
    this.#untrace();
    await this.installation.killWorkers();
    await this.watch?.stop();
    // No database can be dropped that has one.
    const subscribers = 'SELECT datname AS name FROM pg_database d JOIN pg_subscription ON subdbid = d.oid';
    for (const { name } of await this.sql(subscribers)) {
      await this.sql(`ALTER DATABASE "${String(name)}" ALLOW_CONNECTIONS true`);
      await this.sql('ALTER SUBSCRIPTION elsewhere SET (slot_name = NONE)', String(name));
      await this.sql('DROP SUBSCRIPTION elsewhere', String(name));
    }
    await this.installation.remove();
    for (const server of this.#running) await server.stop();
    await rm(this.folder, { recursive: true, force: true });
  }

  async #makeLogin(user: string, attributes: string): Promise<void> {
    const verifier = scramVerifier(new Secret(this.password(user)));
    await this.sql(`CREATE ROLE "${user}" LOGIN ${attributes} PASSWORD '${verifier}'`);
  }

  /** Every password a canary: in files, and the catalog's in an environment variable. */
  #useCanaries(config: Config): void {
    const fileOf = (name: string): string => {
      this.password(name);
      return `file:${this.folder}/passwords/${name}`;
    };
    const login = (user: string, secret = user): object => ({ user, password: fileOf(secret) });
    const { host, port } = this.#servers.postgres;
    process.env[IN_ENVIRONMENT] = this.password('catalog_runtime');
    Object.assign(config, {
      catalog: {
        ...{ host, port, database: 'cofre_catalog', user: 'catalog_runtime', password: `env:${IN_ENVIRONMENT}` },
        owner: login('catalog_owner'),
      },
    });
    const server = { host, port, backup: login('cofre_backup'), admin: login('cofre_admin') };
    Object.assign(config['servers'] ?? {}, {
      pg: server,
      // Its backups hold what only a superuser may read: the passwords of user mappings and subscriptions.
      all: { ...server, backup: login('cofre_admin') },
      denied: { ...server, backup: login('cofre_backup', 'wrong_backup'), admin: login('cofre_admin', 'wrong_admin') },
    });
    for (const [id, { database }] of Object.entries(config['environments'] ?? {})) {
      const settings = database as { server: string; owner: string; roles: object };
      settings.roles = { [settings.owner]: { password: fileOf(settings.owner) } };
      if (['all', 'denied'].includes(id)) settings.server = id;
    }
  }

  async #dumpCatalog(): Promise<Buffer> {
    const { host, port, user, password } = this.#servers.postgres;
    const env = { ...process.env, PGHOST: host, PGPORT: String(port), PGUSER: user, PGPASSWORD: password };
    return Promise.resolve(execFileSync('pg_dump', ['--inserts', 'cofre_catalog'], { env, maxBuffer: 1e9 }));
  }
}
