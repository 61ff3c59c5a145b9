import type { AppliedConfig } from './schema.ts';

/**
 * Freezes a configuration through and through. Its maps of names get no prototype, so that looking up a name that
 * is not there gives undefined, `constructor` too.
 */
export function freezeConfig<T extends AppliedConfig>(config: T): T {
  const bare = {
    ...config,
    hosts: withoutPrototype(config.hosts),
    servers: withoutPrototype(config.servers),
    destinations: withoutPrototype(config.destinations),
    policies: withoutPrototype(config.policies),
    environments: withoutPrototype(config.environments),
    routines: withoutPrototype(config.routines),
  };
  return freezeDeep(bare);
}

export function freezeDeep<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value;
  for (const item of Object.values(value)) freezeDeep(item);
  return Object.freeze(value);
}

function withoutPrototype<T>(map: Record<string, T>): Record<string, T> {
  return Object.assign(Object.create(null) as Record<string, T>, map);
}
