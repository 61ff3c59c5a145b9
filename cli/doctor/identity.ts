import type { Config } from '../../config/schema.ts';
import { resolveSecret } from '../../config/secret.ts';
import { CofreError } from '../../errors/error.ts';
import { withClient } from '../../postgres/connect.ts';
import { INSTANCE_QUERY, type Instance } from '../../postgres/instance.ts';
import { fail, warn, type Check } from './check.ts';

type Address = Pick<Config['catalog'], 'host' | 'port' | 'tls' | 'user' | 'password' | 'database'>;

/** What the configuration's own checks cannot see: one server by two addresses, and so one database of two environments. */
export async function examineIdentity(config: Config): Promise<Check[]> {
  const checks: Check[] = [];
  const instances = new Map<string, string>();
  const names = new Map<string, string>();
  for (const [name, { host, port, tls, backup, maintenanceDatabase }] of Object.entries(config.servers)) {
    const instance = await instanceAt({ host, port, tls, ...backup, database: maintenanceDatabase });
    if (instance === undefined) continue;
    const other = names.get(instance);
    if (other !== undefined) {
      const hint = 'keep one of them: limits such as atOnce count for each';
      checks.push(warn(`server ${name}`, `it is the server ${other} by another address`, hint));
    }
    names.set(instance, other ?? name);
    instances.set(name, instance);
  }

  const catalog = await instanceAt(config.catalog);
  const owners = new Map([[`${catalog}/${config.catalog.database}`, 'the catalog itself']]);
  for (const [id, { database }] of Object.entries(config.environments)) {
    const instance = instances.get(database.server);
    if (instance === undefined) continue;
    const key = `${instance}/${database.name}`;
    const owner = owners.get(key);
    if (owner !== undefined) {
      const hint = 'give each environment a database of its own; until then its backups and restores are refused';
      checks.push(fail(`environment ${id}`, `its database ${database.name} is ${owner}, by another address`, hint));
    }
    owners.set(key, owner ?? `the one of environment ${id}`);
  }
  return checks;
}

/** undefined where nobody answers or lets us in: that is told elsewhere. */
async function instanceAt(address: Address): Promise<string | undefined> {
  try {
    const target = { ...address, password: await resolveSecret(address.password) };
    const { rows } = await withClient(target, (client) => client.query<Instance>(INSTANCE_QUERY));
    return JSON.stringify(rows[0]);
  } catch (error) {
    if (error instanceof CofreError) return undefined;
    throw error;
  }
}
