import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import type { Config, HostConfig } from '../../config/schema.ts';
import { CofreError } from '../../errors/error.ts';
import { freeLowPort } from '../../tools/free-port.ts';

/** The one host of the configuration that is made here. */
const HERE = 'this-machine';

export interface Alone {
  readonly config: Config;
  readonly to: string;
  readonly destination: string;
  /** Where everything of this restore lies. */
  readonly folder: string;
}

/**
 * Writes into the folder the configuration of an installation that serves this one restore, and gives its path: the environment with
 * its server, the destination, and a catalog and a Temporal of its own on free ports of this machine. No routines: nothing else runs in it. It has references to secrets, as the
 * file it comes from.
 */
export async function writeOwnConfiguration({ config, to, destination, folder }: Alone): Promise<string> {
  const environment = config.environments[to];
  const place = config.destinations[destination];
  const server = environment && config.servers[environment.database.server];
  const policy = environment && config.policies[environment.policy];
  if (environment === undefined || place === undefined || server === undefined || policy === undefined)
    throw new CofreError('unexpected', `the configuration has not all of ${to}`);
  const { keepFree, heavy, unfixedClients } = hostOfThisMachine(config, to);
  const path = join(folder, 'cofre.yaml');
  const own = {
    temporal: { address: `127.0.0.1:${await freeLowPort()}` },
    catalog: {
      ...{ host: '127.0.0.1', port: await freeLowPort(), database: 'cofre', user: 'cofre' },
      password: `file:${join(folder, 'catalog.password')}`,
    },
    host: HERE,
    hosts: { [HERE]: { spool: join(folder, 'spool'), keepFree, heavy, unfixedClients } },
    servers: { [environment.database.server]: server },
    // Whichever hosts were to reach it: this machine has read it already.
    destinations: {
      [destination]: { ...place, hosts: undefined, ...(place.type === 'directory' ? { shared: true } : {}) },
    },
    policies: {
      // Long enough that the run which drops the replaced database never comes to it: it ends with this Temporal.
      [environment.policy]: { ...policy, copies: { to: [destination] }, keepOldDatabaseFor: '365d' },
    },
    environments: { [to]: { ...environment, hosts: undefined, productionOf: undefined } },
    routines: {},
  };
  // JSON is YAML.
  await writeFile(path, JSON.stringify(own, null, 1), { mode: 0o600 });
  return path;
}

/** The settings for the machine that restores: those of the host that it is, else of the first that serves the environment. */
export function hostOfThisMachine(config: Config, to: string): HostConfig {
  const names = [config.host, ...(config.environments[to]?.hosts ?? []), ...Object.keys(config.hosts)];
  const found = names.map((name) => config.hosts[name ?? '']).find((host) => host !== undefined);
  if (found !== undefined) return found;
  throw new CofreError('bad-config', 'the configuration has no hosts', { hint: 'give it one under hosts:' });
}
