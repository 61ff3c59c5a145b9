import type pg from 'pg';

import type { Config, ServerConfig } from '../../config/schema.ts';
import { CofreError } from '../../errors/error.ts';
import { withClient } from '../../postgres/connect.ts';
import { checkSource } from '../../sources/postgres/check-source.ts';
import { clientFinder, type FindClients } from '../../sources/postgres/clients.ts';
import { readAdminRights } from '../../sources/postgres/admin-rights.ts';
import { readServerFacts } from '../../sources/postgres/facts.ts';
import { lacksOnServer } from '../../sources/postgres/restore-lacks.ts';
import { bytesInWords } from '../print.ts';
import { examine, fail, ok, warn, type Check } from './check.ts';
import { examineRestore, loginTo } from './restores.ts';

const AT_ONCE = 4;
const CLOCK_WARN_MS = 5_000;
const CLOCK_FAIL_MS = 60_000;

/** Every server with both logins, the clients for its version, and every environment's database on it. */
export async function examineServers(config: Config, host: string | undefined): Promise<Check[]> {
  const checks: Check[] = [];
  const rule = host === undefined ? undefined : config.hosts[host]?.unfixedClients;
  const findClients = clientFinder({ unfixed: rule ?? 'refuse' });
  for (const [name, server] of Object.entries(config.servers)) {
    const area = `server ${name}`;
    const found = await examine(area, () => examineServer(area, server, findClients));
    checks.push(...found);
    const own = Object.entries(config.environments).filter(([, { database }]) => database.server === name);
    // A server that does not answer would be reported once for each of its environments.
    if (found.some(({ state }) => state === 'fail') && !(await answers(server))) continue;
    for (let start = 0; start < own.length; start += AT_ONCE) {
      const some = own
        .slice(start, start + AT_ONCE)
        .map(async ([id, { database }]) => [
          ...(await examineSource(id, server, database.name, findClients)),
          ...(await examineRestore(`environment ${id}`, server, database)),
        ]);
      checks.push(...(await Promise.all(some)).flat());
    }
  }
  return checks;
}

async function examineServer(area: string, server: ServerConfig, findClients: FindClients): Promise<Check[]> {
  const before = Date.now();
  return await withClient(await loginTo(server, server.admin, server.maintenanceDatabase), async (client) => {
    const facts = await readServerFacts(client);
    const checks = [ok(area, `${server.host}:${server.port} is PostgreSQL ${facts.version}`)];
    checks.push(...(await examineAdmin(area, client, server.admin.user)));
    checks.push(await examineClock(area, client, before));
    checks.push(...(await examine(area, () => examineClients(area, facts.versionNumber, findClients))));
    return checks;
  });
}

async function examineClients(area: string, versionNumber: number, findClients: FindClients): Promise<Check[]> {
  const { major, version, pgDump, warning } = await findClients(versionNumber);
  if (warning !== null) return [warn(area, `${pgDump}: ${warning}`, `upgrade the package postgresql-client-${major}`)];
  return [ok(area, `this machine has its clients: ${pgDump}, ${version}`)];
}

async function examineAdmin(area: string, client: pg.Client, user: string): Promise<Check[]> {
  const rights = await readAdminRights(client);
  if (rights.superuser) return [ok(area, `the admin login ${user} is a superuser and may restore everything`)];
  const lacks = await lacksOnServer(client, rights);
  if (lacks.length === 0)
    return [ok(area, `the admin login ${user}, no superuser, may create databases and roles and end sessions`)];
  return lacks.map(({ what, sql }) =>
    fail(area, `the admin login ${user} lacks what every restore needs: ${what}`, `as a superuser: ${sql}`),
  );
}

/** Times of both machines stand side by side in the catalog. */
async function examineClock(area: string, client: pg.Client, before: number): Promise<Check> {
  const asked = Date.now();
  const { rows } = await client.query<{ now: Date }>('SELECT clock_timestamp() AS now');
  const middle = (asked + Date.now()) / 2;
  const offMs = Math.abs((rows[0]?.now.getTime() ?? before) - middle);
  const words = `its clock and this machine's are ${(offMs / 1000).toFixed(1)} s apart`;
  if (offMs < CLOCK_WARN_MS) return ok(area, words);
  return offMs < CLOCK_FAIL_MS ? warn(area, words, 'set both by NTP') : fail(area, words, 'set both by NTP');
}

async function examineSource(
  id: string,
  server: ServerConfig,
  database: string,
  findClients: FindClients,
): Promise<Check[]> {
  const area = `environment ${id}`;
  return await examine(area, async () => {
    try {
      const report = await checkSource(await loginTo(server, server.backup, database), { find: findClients });
      const found = ok(
        area,
        `${server.backup.user} may read all of ${database}, about ${bytesInWords(report.estimatedRawBytes)} of raw data`,
      );
      return [found, ...report.warnings.map((warning) => warn(area, warning, 'look whether that is meant'))];
    } catch (error) {
      if (!(error instanceof CofreError) || error.code !== 'database-missing') throw error;
      return [warn(area, error.message, `cofre ensure ${id} brings it back from its latest backup`)];
    }
  });
}

async function answers(server: ServerConfig): Promise<boolean> {
  try {
    await withClient(await loginTo(server, server.backup, server.maintenanceDatabase), () => Promise.resolve());
    return true;
  } catch (error) {
    return error instanceof CofreError && error.code !== 'server-unavailable';
  }
}
