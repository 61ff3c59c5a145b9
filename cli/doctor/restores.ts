import type { EnvironmentConfig, ServerConfig } from '../../config/schema.ts';
import { resolveSecret } from '../../config/secret.ts';
import { CofreError } from '../../errors/error.ts';
import { withClient, type PostgresTarget } from '../../postgres/connect.ts';
import { checkTarget, type BackupToCheck } from '../../sources/postgres/check-target.ts';
import { readDatabaseFacts } from '../../sources/postgres/facts.ts';
import { failureOf, ok, type Check } from './check.ts';

/** Whether the admin login could restore the database as it is now: better heard today than in the night of a restore. */
export async function examineRestore(
  area: string,
  server: ServerConfig,
  { name, owner, trusted }: EnvironmentConfig['database'],
): Promise<Check[]> {
  const backup = await readBackup(server, name).catch(() => undefined);
  // Whoever cannot read it is told already.
  if (backup === undefined) return [];
  try {
    const admin = await loginTo(server, server.admin, server.maintenanceDatabase);
    await checkTarget({ admin, database: name, owner, roles: [], trusted }, backup);
    const known = backup.facts === null ? ', as far as can be told without it' : ' as it is now';
    return [ok(area, `${server.admin.user} may restore ${name}${known}`)];
  } catch (error) {
    const found = failureOf(area, error);
    return [{ ...found, message: `a restore is refused: ${found.message}` }];
  }
}

/** What a backup made now would say; of a database that is not there, nothing. */
async function readBackup(server: ServerConfig, database: string): Promise<BackupToCheck> {
  try {
    const facts = await withClient(await loginTo(server, server.backup, database), readDatabaseFacts);
    return { facts, serverVersionNumber: null, extensions: facts.extensions };
  } catch (error) {
    if (!(error instanceof CofreError) || error.code !== 'database-missing') throw error;
    return { facts: null, serverVersionNumber: null, extensions: [] };
  }
}

/** A login of the configuration, in one database of its server. */
export async function loginTo(
  server: ServerConfig,
  login: ServerConfig['admin'],
  database: string,
): Promise<PostgresTarget> {
  const { host, port, tls } = server;
  return { host, port, tls, user: login.user, password: await resolveSecret(login.password), database };
}
