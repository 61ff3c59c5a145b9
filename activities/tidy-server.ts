import { restoresByShortId } from '../catalog/left-behind.ts';
import type { Queries } from '../catalog/open.ts';
import { discardLeftover, findLeftovers } from '../sources/postgres/create-database.ts';
import type { RestorePlan } from './plans.ts';
import { adminOf } from './restore-target.ts';
import type { Tidied } from './tidy-spool.ts';

/**
 * Removes from a database server what restores have left there that ended without doing so: half-loaded databases and
 * the logins that load them. What another catalog may know is left alone.
 */
export async function tidyServer(server: RestorePlan['server'], catalog: Queries): Promise<Tidied> {
  const admin = await adminOf(server);
  const found = await findLeftovers(admin);
  const running = await restoresByShortId(
    catalog,
    found.map(({ id }) => id),
  );
  const removed: string[] = [];
  const kept: string[] = [];
  // A database before its login, which owns it.
  for (const leftover of found.sort((one, other) => Number(one.database === null) - Number(other.database === null))) {
    const { id, database } = leftover;
    const name = `${database === null ? `the login cofre_restore_${id}` : `the database ${database}`} on ${server.name}`;
    const isRunning = running.get(id);
    if (isRunning === undefined) kept.push(`${name}: of a restore that this catalog does not know`);
    if (isRunning !== false) continue;
    await discardLeftover(admin, leftover);
    removed.push(name);
  }
  return { removed, kept };
}
