import { posix } from 'node:path';

import type { Checkable } from './check.ts';
import type { Finding, Path } from './problem.ts';
import type { DestinationConfig, DirectoryConfig } from './destination-schema.ts';

/** Folders that would get into each other's way, and policies that cannot be kept. */
export function checkDestinations(config: Checkable): Finding[] {
  return [
    ...checkSpots(config),
    ...checkKeys(config),
    ...checkFolders(config),
    ...checkSpools(config),
    ...checkPolicies(config),
    ...checkAdoption(config),
  ];
}

interface Spot {
  readonly name: string;
  /** What tells one service, or account, from another. */
  readonly service: string;
  readonly folder: string;
  /** The field that says where it is. */
  readonly field: string;
  readonly settings: DestinationConfig;
}

/** Places over a network that get into each other's way by what stands here; another name of one is found out by its marker. */
function checkSpots({ destinations }: Checkable): Finding[] {
  const all = Object.entries(destinations).flatMap(([name, settings]) => spotOf(name, settings));
  return all.flatMap((spot, index) =>
    all.slice(0, index).flatMap((other) => {
      const isOne = spot.service === other.service && (!isOfEachHost(spot) || shareHost(spot.settings, other.settings));
      const relation = isOne ? relationOf(spot.folder, other.folder) : undefined;
      const message = `is ${relation} destination ${other.name}; each needs its own`;
      return relation === undefined ? [] : [{ path: ['destinations', spot.name, spot.field], message }];
    }),
  );
}

function spotOf(name: string, settings: DestinationConfig): Spot[] {
  switch (settings.type) {
    case 'directory':
      return [];
    case 's3':
    case 'gcs': {
      const { type, endpoint = '', bucket, prefix = '' } = settings;
      // One spelling of it: case, the usual port and a slash at the end make no other service.
      const service = [type, endpoint === '' ? '' : new URL(endpoint).href].join(' ');
      const field = prefix === '' ? 'bucket' : 'prefix';
      return [{ name, service, folder: `${bucket}/${prefix}`, field, settings }];
    }
    case 'sftp': {
      const { user, host, port, path } = settings;
      return [{ name, service: `${user}@${host.toLowerCase()}:${port}`, folder: path, field: 'path', settings }];
    }
    case 'rclone': {
      const { configFile = '', remote } = settings;
      const [remoteName = '', folder = ''] = remote.split(/:(.*)/s);
      // On a server of files `/a` and `a` are two folders: from the root, and from the account's home.
      const service = [configFile, remoteName, folder.startsWith('/') ? '/' : ''].join(' ');
      return [{ name, service, folder, field: 'remote', settings }];
    }
  }
}

/** An address of this very machine, and a remote of rclone's, are each host's own. */
function isOfEachHost({ settings }: Spot): boolean {
  if (settings.type === 'rclone') return true;
  const address = settings.type === 'sftp' ? settings.host : 'endpoint' in settings ? settings.endpoint : undefined;
  return /(^|\/\/)(127\.|localhost\b|\[?::1)/.test(address ?? '');
}

function checkKeys({ destinations }: Checkable): Finding[] {
  return Object.entries(destinations).flatMap(([name, settings]) =>
    settings.type === 's3' && settings.kmsKey !== undefined && settings.encryption !== 'kms'
      ? [{ path: ['destinations', name, 'kmsKey'], message: 'needs encryption: kms beside it' }]
      : [],
  );
}

function checkFolders({ destinations }: Checkable): Finding[] {
  const all = directoriesOf(destinations);
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
    directoriesOf(destinations).flatMap(([name, destination]) => {
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

/** Whose a dump is must be plain: it is told by its namespace alone. */
function checkAdoption({ destinations, environments }: Checkable): Finding[] {
  const [adopting] = Object.entries(destinations).filter(([, { adopt }]) => adopt !== undefined);
  if (adopting === undefined) return [];
  const known = new Map<string, string>();
  return Object.entries(environments).flatMap(([id, { namespace, stage }]) => {
    if (namespace === undefined || stage !== 'production') return [];
    const other = known.get(namespace);
    known.set(namespace, other ?? id);
    const message = `is that of ${other}, too: destination ${adopting[0]} could not tell whose a dump is that it adopts`;
    return other === undefined ? [] : [{ path: ['environments', id, 'namespace'], message }];
  });
}

/** Whether a host reaches a destination: one that names no hosts is reached by all. */
export function sees(host: string, { hosts }: DestinationConfig): boolean {
  return hosts === undefined || hosts.includes(host);
}

function shareHost(a: DestinationConfig, b: DestinationConfig): boolean {
  return a.hosts === undefined || b.hosts === undefined || a.hosts.some((host) => sees(host, b));
}

function directoriesOf(destinations: Checkable['destinations']): [string, DirectoryConfig][] {
  return Object.entries(destinations).filter((one): one is [string, DirectoryConfig] => one[1].type === 'directory');
}

function relationOf(folder: string, other: string): string | undefined {
  const [a, b] = [folderOf(folder), folderOf(other)];
  if (a === b) return 'the same place as';
  if (a.startsWith(b)) return 'inside';
  return b.startsWith(a) ? 'around' : undefined;
}

function folderOf(path: string): string {
  const inner = posix.normalize(`/${path}`).replace(/^\/+|\/+$/g, '');
  return inner === '' ? '' : `${inner}/`;
}
