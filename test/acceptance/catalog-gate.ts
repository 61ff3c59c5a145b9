import type pg from 'pg';

import { openClient, withClient, type PostgresTarget } from '../../postgres/connect.ts';
import { until } from '../until.ts';

/**
 * Holds the row of one backup in the catalog: its run stops at its next record there, everything before that is done, and
 * steps are let through one by one.
 */
export class CatalogGate {
  readonly #catalog: PostgresTarget;
  readonly #backupId: string;
  #holder: pg.Client;

  private constructor(catalog: PostgresTarget, backupId: string, holder: pg.Client) {
    this.#catalog = catalog;
    this.#backupId = backupId;
    this.#holder = holder;
  }

  static async close(catalog: PostgresTarget, backupId: string): Promise<CatalogGate> {
    const holder = await openClient(catalog);
    await hold(holder, backupId);
    return new CatalogGate(catalog, backupId, holder);
  }

  /** Until a step stands before the gate. */
  async reached(): Promise<void> {
    await until('a record waits', async () => (await this.#waiting()) > 0);
  }

  /** Lets the one step through that stands before the gate, and is closed again behind it. */
  async passOne(): Promise<void> {
    await this.reached();
    const next = await openClient(this.#catalog);
    const taken = hold(next, this.#backupId);
    await until('the next one stands behind it', async () => (await this.#waiting()) > 1);
    await this.open();
    await taken;
    this.#holder = next;
  }

  async open(): Promise<void> {
    await this.#holder.query('rollback');
    await this.#holder.end();
  }

  async #waiting(): Promise<number> {
    // Not by the holder: within a transaction the same activity is shown again and again.
    const { rows } = await withClient(this.#catalog, (client) =>
      client.query<{
        n: number;
      }>(`select count(*)::int as n from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'
         and query ilike '%from cofre.backups where id = $1 for %update%'`),
    );
    return rows[0]?.n ?? 0;
  }
}

/** As a lock that others' references to the row do not wait for: only its own records do. */
async function hold(client: pg.Client, backupId: string): Promise<void> {
  await client.query('begin');
  await client.query('select from cofre.backups where id = $1 for no key update', [backupId]);
}
