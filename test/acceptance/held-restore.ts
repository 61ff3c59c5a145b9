import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

import type { Client, WorkflowHandle } from '@temporalio/client';

import { openClient, withClient } from '../../postgres/connect.ts';
import { until } from '../until.ts';
import type { Installation } from './installation.ts';

/** An environment whose restores can be held at one point, observed there, and let go on. */
export class HeldRestore {
  readonly installation: Installation;
  readonly environment: string;
  readonly client: Client;
  readonly #brake: string;
  #started = 0;

  constructor(installation: Installation, environment: string, client: Client) {
    this.installation = installation;
    this.environment = environment;
    this.client = client;
    this.#brake = `${installation.id}_brake`;
  }

  /** What a source needs for `holdLoad`: a row that is loaded only when nobody holds the brake. */
  sourceSql(rows: number): string {
    return `
      CREATE TABLE public.venda (id int, nota text);
      INSERT INTO public.venda SELECT g, 'nota ' || md5(g::text) FROM generate_series(1, ${rows}) g;
      CREATE FUNCTION public.espera() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
        WHILE EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = '${this.#brake}') LOOP PERFORM pg_catalog.pg_sleep(0.02); END LOOP;
        RETURN true; END $$;
      CREATE TABLE public.freio (a int CHECK (public.espera())); INSERT INTO public.freio VALUES (1);`;
  }

  async sql(text: string, database = 'postgres'): Promise<Record<string, unknown>[]> {
    return (await withClient({ ...this.installation.admin, database }, (client) => client.query(text))).rows as never;
  }

  get live(): string {
    return this.installation.database(this.environment);
  }

  async start(backup: string, workflowId = `restoreDatabase/${this.environment}/${(this.#started += 1)}`) {
    return await this.client.workflow.start('restoreDatabase', {
      taskQueue: 'control',
      workflowId,
      args: [{ backup, to: this.environment }],
    });
  }

  /** Stops every load of this environment in its data; gives what lets them go on. */
  async holdLoad(): Promise<() => Promise<void>> {
    await this.sql(`CREATE ROLE ${this.#brake}`);
    return async () => void (await this.sql(`DROP ROLE ${this.#brake}`));
  }

  /** Stops swaps before they begin: nobody can end a prepared transaction. */
  async holdSwap(): Promise<() => Promise<void>> {
    const gid = `${this.installation.id} swap`;
    await this.sql(`BEGIN; INSERT INTO public.venda VALUES (0, 'pendente'); PREPARE TRANSACTION '${gid}'`, this.live);
    return async () => void (await this.sql(`ROLLBACK PREPARED '${gid}'`, this.live));
  }

  /** Stops every step that needs this table of the catalog. */
  async holdCatalog(table: string): Promise<() => Promise<void>> {
    const session = await openClient({ ...this.installation.admin, database: `${this.installation.id}_catalog` });
    await session.query(`BEGIN; LOCK TABLE cofre.${table} IN ACCESS EXCLUSIVE MODE`);
    return () => session.end();
  }

  /** Stops the entry that closes a restore, and no step before it: the swap enters something, too. */
  async holdFinish(): Promise<() => Promise<void>> {
    const session = await openClient({ ...this.installation.admin, database: `${this.installation.id}_catalog` });
    await session.query('SELECT pg_advisory_lock(4711)');
    await session.query(
      `CREATE FUNCTION public.stand() RETURNS trigger LANGUAGE plpgsql AS
         'BEGIN PERFORM pg_advisory_xact_lock(4711); RETURN NEW; END';
       CREATE TRIGGER stand BEFORE UPDATE OF state ON cofre.restores FOR EACH ROW EXECUTE FUNCTION public.stand()`,
    );
    return async () => {
      await session.query('SELECT pg_advisory_unlock(4711)');
      await session.query('DROP FUNCTION public.stand CASCADE');
      await session.end();
    };
  }

  async untilPhase(run: WorkflowHandle, phase: string): Promise<void> {
    await until(`the run is at ${phase}`, async () => {
      const { searchAttributes } = await run.describe();
      return searchAttributes['CofrePhase']?.[0] === phase;
    });
  }

  async untilLoading(atOnce = 1): Promise<void> {
    await until(`${atOnce} load(s) are in their middle`, async () => (await this.loading()).length === atOnce);
  }

  /** The databases that are being loaded and are held. */
  async loading(): Promise<string[]> {
    const rows = await this.sql(
      `SELECT DISTINCT datname::text AS name FROM pg_stat_activity
        WHERE datname LIKE '${this.live}\\_\\_restore\\_%' AND wait_event = 'PgSleep' ORDER BY 1`,
    );
    return rows.map(({ name }) => String(name));
  }

  async liveOid(): Promise<unknown> {
    return (await this.sql(`SELECT oid::int FROM pg_database WHERE datname = '${this.live}'`))[0]?.['oid'];
  }

  /** The rows that the application finds, logged in as itself: the live database is there, open and whole. */
  async liveRows(): Promise<unknown> {
    const target = { ...this.installation.target(this.environment), user: this.installation.owner(this.environment) };
    const { rows } = await withClient(target, (client) =>
      client.query<{ n: number }>('SELECT (SELECT count(*) FROM public.venda)::int AS n FROM public.freio'),
    );
    return rows.map(({ n }) => n);
  }

  /** No half-made database, no login, no file, no lock. */
  async assertNothingLeft(): Promise<void> {
    assert.deepEqual(
      await this.sql(
        `SELECT datname AS name FROM pg_database WHERE datname LIKE '${this.live}\\_\\_restore\\_%'
         UNION ALL SELECT r.rolname FROM pg_roles r WHERE r.rolname LIKE 'cofre\\_restore\\_%'
           AND pg_catalog.shobj_description(r.oid, 'pg_authid') IS NOT NULL AND r.rolname IN (
             SELECT 'cofre_restore_' || right(id, 8) FROM (VALUES ${(await this.#restores()).map((id) => `('${id}')`).join()}) run(id))`,
      ),
      [],
    );
    assert.deepEqual(await readdir(join(this.installation.spool, this.environment)), []);
    const lock = await this.client.workflow.getHandle(`op/${this.environment}`).describe();
    assert.notEqual(lock.status.name, 'RUNNING');
  }

  async #restores(): Promise<string[]> {
    return (await this.sql('SELECT id FROM cofre.restores', `${this.installation.id}_catalog`)).map(({ id }) =>
      String(id),
    );
  }

  /** State of each restore in the catalog, the newest first. */
  async states(): Promise<unknown[]> {
    const rows = await this.sql('SELECT state FROM cofre.restores ORDER BY id DESC', `${this.installation.id}_catalog`);
    return rows.map(({ state }) => state);
  }
}
