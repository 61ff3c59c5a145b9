import { dumpMatcher } from './adoption.ts';
import { aliasKey } from './alias.ts';
import type { Checkable } from './check.ts';
import { entry } from './check-environments.ts';
import type { Finding, Path } from './problem.ts';

/** Aliases that could not be published, or that two environments would take from each other. */
export function checkAliases(config: Checkable): Finding[] {
  return [...checkPolicies(config), ...checkNamespaces(config)];
}

function checkPolicies({ policies, destinations }: Checkable): Finding[] {
  return Object.entries(policies).flatMap(([name, { pipeline, copies }]) => {
    const path: Path = ['policies', name, 'copies', 'alias'];
    const { alias = [], to } = copies;
    const findings = alias.flatMap((destination, index) => {
      const message = whyNot(destination, index);
      return message === undefined ? [] : [{ path: [...path, index], message }];
    });
    if (alias.length > 0 && pipeline === 'staged') {
      const message = 'needs pipeline: streamed: a staged dump is no single file that pg_restore reads from a pipe';
      return [{ path, message }, ...findings];
    }
    return findings;

    function whyNot(destination: string, index: number): string | undefined {
      if (alias.indexOf(destination) < index) return `names ${destination} twice`;
      if (!to.includes(destination)) return `${destination} is not one of copies.to`;
      if (entry(destinations, destination)?.type !== 'rclone') return undefined;
      return `${destination} is of type rclone, which cannot replace an object so that readers see the old or the new one whole`;
    }
  });
}

/** One namespace is one key, and the later of two environments would replace the other's dump each night. */
function checkNamespaces({ environments, policies, destinations }: Checkable): Finding[] {
  const taken = new Map<string, string>();
  return Object.entries(environments).flatMap(([id, { namespace, policy }]) => {
    const alias = entry(policies, policy)?.copies.alias ?? [];
    const path: Path = ['environments', id];
    if (alias.length > 0 && namespace === undefined)
      return [{ path, message: `needs a namespace: policy ${policy} publishes an alias, which is named after it` }];
    return alias.flatMap((destination) => {
      const place = `${namespace ?? ''} ${destination}`;
      const other = taken.get(place);
      taken.set(place, other ?? id);
      const dumps = entry(destinations, destination)?.adopt?.dumps ?? [];
      if (dumpMatcher(dumps)(aliasKey(namespace ?? '')) !== undefined) {
        const message = `fits the alias of ${id}: Cofre would take its own dumps for those of another job`;
        return [{ path: ['destinations', destination, 'adopt', 'dumps'], message }];
      }
      if (other === undefined || other === id) return [];
      const message = `is the namespace of ${other} too, and both publish their alias in ${destination}`;
      return [{ path: [...path, 'namespace'], message }];
    });
  });
}
