import { parseApplied } from '../config/applied.ts';
import type { AppliedConfig, EnvironmentConfig, PolicyConfig, ServerConfig } from '../config/schema.ts';
import { currentConfiguration } from '../catalog/configurations.ts';
import { requireVersion, type Catalog } from '../catalog/open.ts';
import { CofreError } from '../errors/error.ts';
import type { NamedDestination, RunPlan } from './plans.ts';

/** The configuration that is current now, with its number. */
export interface Applied {
  readonly version: number;
  readonly config: AppliedConfig;
}

export async function readApplied(catalog: Catalog): Promise<Applied> {
  await requireVersion(catalog);
  const { version, document } = await currentConfiguration(catalog);
  return { version, config: parseApplied(document) };
}

/** An environment with all that its configuration refers to. */
export interface ResolvedEnvironment {
  readonly id: string;
  readonly environment: EnvironmentConfig;
  readonly policy: PolicyConfig;
  readonly serverName: string;
  readonly server: ServerConfig;
}

/** @throws CofreError `not-known` when there is no such environment. */
export function resolveEnvironment(config: AppliedConfig, id: string): ResolvedEnvironment {
  const environment = config.environments[id];
  if (environment === undefined) {
    throw new CofreError('not-known', `there is no environment "${id.slice(0, 80)}" in the applied configuration`, {
      hint: 'cofre status lists them; cofre apply stores new ones',
    });
  }
  const policy = config.policies[environment.policy];
  const server = config.servers[environment.database.server];
  if (policy === undefined || server === undefined) {
    throw new CofreError('bad-config', `the environment ${id} refers to a policy or server that does not exist`, {
      hint: 'correct cofre.yaml and run cofre apply',
    });
  }
  return { id, environment, policy, serverName: environment.database.server, server };
}

/** What a run's plan says of its environment, and a manifest after it. */
export function environmentReference(id: string, { stage, customer, name }: EnvironmentConfig): RunPlan['environment'] {
  return { id, stage, customer, ...(name === undefined ? {} : { name }) };
}

export function namedDestination(config: AppliedConfig, name: string): NamedDestination {
  const destination = config.destinations[name];
  if (destination === undefined) {
    throw new CofreError('not-known', `there is no destination "${name.slice(0, 80)}" in the applied configuration`, {
      hint: `known: ${Object.keys(config.destinations).join(', ')}`,
    });
  }
  return { name, config: destination };
}

/** The hosts that may serve an environment, in its order of preference. */
export function hostsOf(config: AppliedConfig, environment: EnvironmentConfig): readonly string[] {
  return environment.hosts ?? Object.keys(config.hosts);
}

/** Where else a restore finds copies. */
export function otherDestinations({ destinations }: AppliedConfig, destination: string): string[] {
  return Object.keys(destinations).filter((name) => name !== destination);
}

/** The hint where a backup's verified copies are all in destinations that have left the configuration. */
export function putBack(destinations: readonly string[]): string {
  return `it is in ${destinations.join(', ')}, which is not in destinations: any more: put it back and cofre apply`;
}
