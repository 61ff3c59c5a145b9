import { hostsOf } from './check-environments.ts';
import { sees } from './check-destinations.ts';
import type { Finding } from './problem.ts';
import type { Config } from './schema.ts';
import { selectEnvironments } from './select-environments.ts';

/** What is allowed, and what a careful operator would still want to be told before the first night. */
export function hintsFor(config: Config): Finding[] {
  return [...hintUncovered(config), ...hintOwners(config), ...hintUnseen(config), ...hintPlainConnections(config)];
}

function hintUncovered(config: Config): Finding[] {
  const ids = Object.keys(config.environments);
  if (ids.length === 0) return [{ path: ['environments'], message: 'there are none: nothing is backed up' }];
  const routines = Object.values(config.routines).filter(({ run }) => run === 'backupDatabase');
  if (routines.length === 0) return [{ path: ['routines'], message: 'there are none: nothing is backed up by itself' }];
  const covered = new Set(routines.flatMap(({ environments }) => selectEnvironments(config, environments)));
  return ids
    .filter((id) => !covered.has(id))
    .map((id) => ({ path: ['environments', id], at: 'name', message: 'no routine backs it up' }));
}

function hintOwners(config: Config): Finding[] {
  return Object.entries(config.environments).flatMap(([id, { database }]) => {
    if (Object.hasOwn(database.roles, database.owner)) return [];
    const path = ['environments', id, 'database', 'owner'];
    return [{ path, message: 'is not in roles: on a new server a restore would create it without a password' }];
  });
}

/** One hint for each host and destination, not for each environment. */
function hintUnseen(config: Config): Finding[] {
  const found = new Map<string, Finding>();
  for (const environment of Object.values(config.environments)) {
    const to = config.policies[environment.policy]?.copies.to ?? [];
    for (const host of hostsOf(config, environment)) {
      for (const [index, name] of to.entries()) {
        const destination = config.destinations[name];
        const key = `${environment.policy}/${name}/${host}`;
        if (destination === undefined || found.has(key) || sees(host, destination)) continue;
        const message = `host ${host} serves environments of this policy and does not see ${name}: its runs end with a copy missing`;
        found.set(key, { path: ['policies', environment.policy, 'copies', 'to', index], message });
      }
    }
  }
  return [...found.values()];
}

function hintPlainConnections(config: Config): Finding[] {
  const ends = [
    { path: ['catalog', 'host'], ...config.catalog },
    ...Object.entries(config.servers).map(([name, server]) => ({ path: ['servers', name, 'host'], ...server })),
  ];
  const buckets = Object.entries(config.destinations).flatMap(([name, settings]) =>
    (settings.type === 's3' || settings.type === 'gcs') &&
    /^http:\/\/(?!localhost|127\.|\[)/.test(settings.endpoint ?? '')
      ? [{ path: ['destinations', name, 'endpoint'], message: 'is http: the data cross the network unencrypted' }]
      : [],
  );
  const plain = ends.flatMap(({ path, host, tls }) => {
    if (tls !== 'off' || host.startsWith('/') || /^(localhost|127\..*|::1)$/.test(host)) return [];
    return [{ path, message: 'tls is off: the data cross the network unencrypted' }];
  });
  return [...plain, ...buckets];
}
