import type { Catalog } from '../catalog/open.ts';
import { environmentsOn } from '../catalog/servers.ts';
import type { ServerConfig } from '../config/schema.ts';
import { resolveSecret } from '../config/secret.ts';
import { CofreError } from '../errors/error.ts';
import { withClient, type PostgresTarget } from '../postgres/connect.ts';
import { INSTANCE_QUERY, isSameInstance, type Instance } from '../postgres/instance.ts';
import { readApplied } from './applied.ts';
import type { BackupPlan, RestorePlan } from './plans.ts';

/**
 * A database belongs to one environment. Two of them under two addresses of one server pass the configuration's own
 * checks; so the servers are asked who they are. Gives warnings where one could not be asked.
 * @throws CofreError `refused` when it is another environment's, or the catalog.
 */
export async function requireOwnDatabase(
  catalog: Catalog,
  plan: BackupPlan | RestorePlan,
  session: PostgresTarget,
  systemIdentifier: string,
): Promise<string[]> {
  const warnings: string[] = [];
  const here = (): Promise<Instance> => instanceAt(session);
  const { config } = await readApplied(catalog);
  for (const id of await environmentsOn(catalog, systemIdentifier)) {
    const other = config.environments[id]?.database;
    if (id === plan.environment.id || other?.name !== plan.database) continue;
    const server = config.servers[other.server];
    const there = server === undefined ? undefined : await instanceOf(server);
    if (there === undefined) {
      warnings.push(
        `the server of ${id} does not answer from here, and has the same system identifier: make sure that this is not its database ${plan.database}`,
      );
    } else if (isSameInstance(await here(), there)) throw refusal(plan, `the database of the environment ${id}`);
  }
  const [own] = await catalog.query<Instance & { database: string }>(
    `select *, current_database()::text as database from (${INSTANCE_QUERY}) instance`,
  );
  if (own?.database !== plan.database || own.systemIdentifier !== systemIdentifier) return warnings;
  if (isSameInstance(await here(), own)) throw refusal(plan, 'the catalog itself');
  return warnings;
}

/** undefined where it does not answer, or this host has not its secret. */
async function instanceOf(server: ServerConfig): Promise<Instance | undefined> {
  const { host, port, tls, backup, maintenanceDatabase } = server;
  try {
    const password = await resolveSecret(backup.password);
    return await instanceAt({ host, port, tls, user: backup.user, password, database: maintenanceDatabase });
  } catch (error) {
    if (error instanceof CofreError) return undefined;
    throw error;
  }
}

async function instanceAt(target: PostgresTarget): Promise<Instance> {
  const { rows } = await withClient(target, (client) => client.query<Instance>(INSTANCE_QUERY));
  return rows[0] ?? { systemIdentifier: '', startedAt: '' };
}

function refusal({ environment, database, server }: BackupPlan | RestorePlan, whose: string): CofreError {
  return new CofreError(
    'refused',
    `${database} on ${server.host}:${server.port}, the database of ${environment.id}, is ${whose}: it is one server by two addresses`,
    { hint: 'give each environment a database of its own in cofre.yaml, then cofre apply' },
  );
}
