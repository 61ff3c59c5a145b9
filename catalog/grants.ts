import pg from 'pg';

import { CofreError } from '../errors/error.ts';

/**
 * What the runtime role may do: everything its work needs, and nothing that could lose a record. No DELETE and no
 * TRUNCATE anywhere; what is history is only added to.
 */
const GRANTS: Readonly<Record<string, string>> = {
  migrations: 'SELECT',
  configurations: 'SELECT, INSERT',
  backups: 'SELECT, INSERT, UPDATE',
  copies: 'SELECT, INSERT, UPDATE',
  manifests: 'SELECT, INSERT',
  restores: 'SELECT, INSERT, UPDATE',
  servers: 'SELECT, INSERT',
  namespace: 'SELECT, INSERT, UPDATE',
  holds: 'SELECT, INSERT, UPDATE',
  hold_confirmations: 'SELECT, INSERT, UPDATE',
};

/** Gives the runtime role exactly these privileges, whatever it had. The caller holds a transaction. */
export async function grantRuntime(client: pg.Client, runtimeUser: string): Promise<void> {
  const { rows } = await client.query<{ owner: boolean }>(
    'SELECT rolname = current_user AS owner FROM pg_roles WHERE rolname = $1',
    [runtimeUser],
  );
  if (rows[0] === undefined) {
    throw new CofreError('bad-config', `the catalog's runtime role ${runtimeUser} does not exist on its server`, {
      hint: `CREATE ROLE ${pg.escapeIdentifier(runtimeUser)} LOGIN, with a password; then run this again`,
    });
  }
  // One role for both, as on a machine of its own: to revoke from it would take the owner's rights.
  if (rows[0].owner) return;
  const role = pg.escapeIdentifier(runtimeUser);
  await client.query(`REVOKE ALL ON SCHEMA cofre FROM ${role}`);
  await client.query(`REVOKE ALL ON ALL TABLES IN SCHEMA cofre FROM ${role}`);
  await client.query(`GRANT USAGE ON SCHEMA cofre TO ${role}`);
  for (const [table, privileges] of Object.entries(GRANTS)) {
    await client.query(`GRANT ${privileges} ON cofre.${pg.escapeIdentifier(table)} TO ${role}`);
  }
}
