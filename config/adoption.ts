import type { AppliedConfig, EnvironmentConfig } from './schema.ts';

/**
 * Where a job that is not Cofre leaves its dumps, as a key in a destination: one `{namespace}`, and `*`,
 * each for whatever has no `/`: `{namespace}/database_*.dump.gz`. Between two `/` only one `*`, so that no name in a destination
 * makes the search long.
 */
export const DUMP_PATTERN =
  /^(?!.*\*[^/]*\*)(?=[^{}]*\{namespace\}[^{}]*$)[A-Za-z0-9_=*{-][A-Za-z0-9._=*{}-]*(\/[A-Za-z0-9_=*{-][A-Za-z0-9._=*{}-]*)*$/;

/** Tells of a key whose namespace it is, by the first pattern that fits; undefined where none does. */
export function dumpMatcher(patterns: readonly string[]): (key: string) => string | undefined {
  const known = patterns.map((pattern) => {
    const literal = pattern.replaceAll('.', String.raw`\.`).replaceAll('*', '[^/]*');
    return new RegExp(`^${literal.replace('{namespace}', '([a-z0-9](?:[a-z0-9-]*[a-z0-9])?)')}$`);
  });
  return (key) => {
    for (const pattern of known) {
      const namespace = pattern.exec(key)?.[1];
      if (namespace !== undefined) return namespace;
    }
    return undefined;
  };
}

/** The environments by their namespace. Where production and its homologation share one, its dumps are those of production. */
export function environmentsByNamespace(
  environments: AppliedConfig['environments'],
): Map<string, { readonly id: string; readonly environment: EnvironmentConfig }> {
  const found = new Map<string, { id: string; environment: EnvironmentConfig }>();
  for (const [id, environment] of Object.entries(environments)) {
    const { namespace, stage } = environment;
    if (namespace !== undefined && (stage === 'production' || !found.has(namespace)))
      found.set(namespace, { id, environment });
  }
  return found;
}
