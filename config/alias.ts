import type { AppliedConfig } from './schema.ts';

/** What the jobs before Cofre called the newest dump of a namespace, and what their consumers still read. */
export const ALIAS_NAME = 'database_latest.dump.gz';

/** The key of a namespace's alias in a destination: `acme/database_latest.dump.gz`. */
export function aliasKey(namespace: string): string {
  return `${namespace}/${ALIAS_NAME}`;
}

/** Whether a key is that of an alias: the only objects that are ever replaced. */
export function isAliasKey(key: string): boolean {
  const [namespace = '', ...rest] = key.split('/');
  return namespace !== '' && rest.join('/') === ALIAS_NAME;
}

/** The keys of the aliases that environments publish in a destination. */
export function aliasesIn(
  { environments, policies }: Pick<AppliedConfig, 'environments' | 'policies'>,
  destination: string,
): Set<string> {
  const keys = Object.values(environments).flatMap(({ namespace, policy }) => {
    const published = Object.hasOwn(policies, policy) ? policies[policy]?.copies.alias : undefined;
    return namespace !== undefined && published?.includes(destination) === true ? [aliasKey(namespace)] : [];
  });
  return new Set(keys);
}
