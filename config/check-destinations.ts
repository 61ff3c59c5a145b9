import { posix } from 'node:path';

import type { Checkable } from './check.ts';
import type { Finding, Path } from './problem.ts';
import type { DestinationConfig } from './schema.ts';

/** Folders that would get into each other's way, and policies that cannot be kept. */
export function checkDestinations(config: Checkable): Finding[] {
  return [...checkFolders(config), ...checkSpools(config), ...checkPolicies(config)];
}

function checkFolders({ destinations }: Checkable): Finding[] {
  const all = Object.entries(destinations);
  return all.flatMap(([name, destination], index) =>
    all.slice(0, index).flatMap(([otherName, other]) => {
      const relation = relationOf(destination.path, other.path);
      if (relation === undefined || !shareHost(destination, other)) return [];
      return [
        {
          path: ['destinations', name, 'path'],
          message: `is ${relation} destination ${otherName}; each needs its own`,
        },
      ];
    }),
  );
}

/** The spool is emptied by the worker: a destination inside would be deleted, and a spool inside one would look like backups. */
function checkSpools({ hosts, destinations }: Checkable): Finding[] {
  return Object.entries(hosts).flatMap(([host, { spool }]) =>
    Object.entries(destinations).flatMap(([name, destination]) => {
      const relation = sees(host, destination) ? relationOf(spool, destination.path) : undefined;
      if (relation === undefined) return [];
      return [
        {
          path: ['hosts', host, 'spool'],
          message: `is ${relation} destination ${name}; work in progress needs its own folder`,
        },
      ];
    }),
  );
}

function checkPolicies({ policies }: Checkable): Finding[] {
  return Object.entries(policies).flatMap(([name, { copies }]) => {
    const path: Path = ['policies', name, 'copies'];
    const findings: Finding[] = [];
    for (const [index, destination] of copies.to.entries()) {
      if (copies.to.indexOf(destination) < index)
        findings.push({ path: [...path, 'to', index], message: `names ${destination} twice` });
    }
    const places = new Set(copies.to).size;
    if (copies.complete !== undefined && copies.complete > places) {
      findings.push({ path: [...path, 'complete'], message: `must be at most ${places}, the number of destinations` });
    }
    return findings;
  });
}

/** Whether a host sees a destination's folder. */
export function sees(host: string, { shared, hosts }: DestinationConfig): boolean {
  return shared === true || (hosts?.includes(host) ?? false);
}

function shareHost(a: DestinationConfig, b: DestinationConfig): boolean {
  return a.shared === true || b.shared === true || (a.hosts ?? []).some((host) => sees(host, b));
}

function relationOf(folder: string, other: string): string | undefined {
  const [a, b] = [folderOf(folder), folderOf(other)];
  if (a === b) return 'the same folder as';
  if (a.startsWith(b)) return 'inside';
  return b.startsWith(a) ? 'around' : undefined;
}

function folderOf(path: string): string {
  return `${posix.normalize(path).replace(/^\/+|\/+$/g, '')}/`;
}
