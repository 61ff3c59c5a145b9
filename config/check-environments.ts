import type { Checkable } from './check.ts';
import { sees } from './check-destinations.ts';
import type { Finding } from './problem.ts';
import type { EnvironmentConfig } from './schema.ts';

/** Environments that share a database, have none of their own, or could not be backed up. */
export function checkEnvironments(config: Checkable): Finding[] {
  const taken = new Map<string, string>();
  const findings: Finding[] = [];
  for (const [name, server] of Object.entries(config.servers)) {
    if (!isTemplate(server.maintenanceDatabase)) continue;
    const message = 'must not be a template: nobody can create a database while somebody is logged in to it';
    findings.push({ path: ['servers', name, 'maintenanceDatabase'], message });
  }
  for (const [id, environment] of Object.entries(config.environments)) {
    findings.push(
      ...checkDatabase(config, id, environment, taken),
      ...checkProduction(config, id, environment),
      ...checkHosts(config, id, environment),
      ...checkRoles(id, environment),
    );
  }
  return findings;
}

function checkDatabase(
  config: Checkable,
  id: string,
  { database }: EnvironmentConfig,
  taken: Map<string, string>,
): Finding[] {
  const server = entry(config.servers, database.server);
  if (server === undefined) return [];
  const path = ['environments', id, 'database', 'name'];
  const key = `${machineOf(server)}/${database.name}`;
  const other = taken.get(key);
  taken.set(key, other ?? id);
  if (isTemplate(database.name))
    return [{ path, message: "is one of PostgreSQL's templates, not an environment's database" }];
  if (database.name === server.maintenanceDatabase) {
    return [{ path, message: `is the maintenance database of server ${database.server}, not an environment's` }];
  }
  if (config.catalog !== undefined && key === `${machineOf(config.catalog)}/${config.catalog.database}`) {
    return [{ path, message: 'is the catalog itself: a restore would replace the record of the backups' }];
  }
  if (other === undefined) return [];
  const otherServer = entry(config.environments, other)?.database.server;
  const same =
    otherServer === database.server ? '' : ` (servers ${otherServer} and ${database.server} have the same address)`;
  return [{ path, message: `is the database of environment ${other} already${same}` }];
}

function checkProduction(
  config: Checkable,
  id: string,
  { stage, productionOf, customer }: EnvironmentConfig,
): Finding[] {
  if (productionOf === undefined) return [];
  const path = ['environments', id, 'productionOf'];
  if (stage === 'production')
    return [{ path, at: 'name', message: 'is for homologation and development only; leave it out' }];
  const production = entry(config.environments, productionOf);
  if (production === undefined) return [];
  if (production.stage !== 'production') return [{ path, message: `${productionOf} is not a production environment` }];
  if (production.customer === customer) return [];
  return [{ path, message: `${productionOf} belongs to another customer, whose data must never get here` }];
}

function checkHosts(config: Checkable, id: string, environment: EnvironmentConfig): Finding[] {
  if (config.broken.has('hosts')) return [];
  const path = ['environments', id];
  const hosts = hostsOf(config, environment);
  if (hosts.length === 0) return [{ path, message: 'no host could back it up: hosts: is empty' }];
  const policy = entry(config.policies, environment.policy);
  return (policy?.copies.to ?? []).flatMap((name) => {
    const destination = entry(config.destinations, name);
    if (destination === undefined || hosts.some((host) => sees(host, destination))) return [];
    const message = `none of its hosts (${hosts.slice(0, 5).join(', ')}) sees destination ${name} of policy ${environment.policy}`;
    return [{ path: environment.hosts === undefined ? path : [...path, 'hosts'], message }];
  });
}

function checkRoles(id: string, { database }: EnvironmentConfig): Finding[] {
  const path = ['environments', id, 'database'];
  const message = 'is a name that PostgreSQL keeps for itself';
  return [
    ...(isReservedRole(database.owner) ? [{ path: [...path, 'owner'], message }] : []),
    ...Object.keys(database.roles)
      .filter(isReservedRole)
      .map((role) => ({ path: [...path, 'roles', role], at: 'name' as const, message })),
  ];
}

/** The hosts that may work on an environment: its own list, else all. */
export function hostsOf({ hosts }: Pick<Checkable, 'hosts'>, environment: EnvironmentConfig): readonly string[] {
  return environment.hosts ?? Object.keys(hosts);
}

/** Own entries only: `constructor` is a name like any other. */
export function entry<T>(section: Readonly<Record<string, T>>, name: string): T | undefined {
  return Object.hasOwn(section, name) ? section[name] : undefined;
}

/** Two entries with one address are one server; names that a resolver would find equal are beyond a file. */
function machineOf({ host, port }: { host: string; port: number }): string {
  const name = host.startsWith('/') ? host : host.toLowerCase().replace(/\.$/, '');
  return `${['localhost', '::1'].includes(name) ? '127.0.0.1' : name}:${port}`;
}

function isTemplate(database: string): boolean {
  return database === 'template0' || database === 'template1';
}

function isReservedRole(role: string): boolean {
  return role.startsWith('pg_') || role === 'public' || role === 'none';
}
