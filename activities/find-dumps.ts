import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { backupStates } from '../catalog/backups.ts';
import { newBackupId } from '../catalog/backup-id.ts';
import type { Catalog } from '../catalog/open.ts';
import { liesAhead } from '../catalog/times.ts';
import { dumpMatcher, environmentsByNamespace } from '../config/adoption.ts';
import type { AppliedConfig, EnvironmentConfig } from '../config/schema.ts';
import type { Destination, StoredObject } from '../destinations/destination.ts';
import { bytesOf } from '../destinations/stored.ts';
import { CofreError } from '../errors/error.ts';
import type { Wrapping } from '../sources/postgres/archive-files.ts';
import { readDumpHead, type DumpHead } from '../sources/postgres/dump-head.ts';
import { environmentReference, readApplied } from './applied.ts';
import type { NamedDestination, RunPlan } from './plans.ts';
import { toInstant } from './time-of-day.ts';
import { cut } from './told.ts';

/** A dump that another job left in a destination, and the backup that it becomes. */
export interface DumpFound {
  readonly key: string;
  readonly sizeBytes: number;
  readonly environment: RunPlan['environment'];
  readonly backupId: string;
  /** ISO 8601, by the clock of the machine that dumped. */
  readonly takenAt: string;
  readonly wrapping: Wrapping;
  readonly pgDump: string;
  readonly configVersion: number;
  /** Where copies are to be, and how many verified ones make the backup complete. */
  readonly to: readonly string[];
  readonly complete: number;
}

export interface DumpsFound {
  /** Those that are no backups yet: of more than `AT_MOST` the newest. The oldest of them first: each is compared with the one before it. */
  readonly dumps: readonly DumpFound[];
  readonly more: number;
  /** Why others are none that could be taken; the first of them. */
  readonly refused: readonly { readonly key: string; readonly why: string }[];
}

/** One run's history must stay small. */
const AT_MOST = 100;
const REFUSED_TOLD = 20;
/** The head of an archive in whatever it is wrapped, and what tells two dumps of one database apart: a block of zstd has up to 128 KiB. */
const HEAD_BYTES = 256 * 1024;

export interface SearchForDumps {
  readonly catalog: Catalog;
  readonly place: Destination;
  readonly destination: NamedDestination;
  /** The worker's own folder. */
  readonly scratch: string;
  readonly signal: AbortSignal;
  readonly onProgress: (dumps: number) => void;
}

/**
 * Finds the dumps that the configuration of a destination says are to be adopted, and that no backup was made of. A dump is known
 * by when it was made and by its beginning, which differ each time, whatever it is called: so the one under the name that is
 * written anew each night is another one each night, and is one with its dated twin.
 */
export async function findDumps(search: SearchForDumps): Promise<DumpsFound> {
  const { catalog, place, destination, signal, onProgress } = search;
  const { adopt } = destination.config;
  if (adopt === undefined) return { dumps: [], more: 0, refused: [] };
  const { version, config } = await readApplied(catalog);
  const namespaceOf = dumpMatcher(adopt.dumps);
  const environments = environmentsByNamespace(config.environments);
  const found = new Map<string, DumpFound>();
  const refused: { key: string; why: string }[] = [];
  for await (const object of place.list('', { signal })) {
    const namespace = namespaceOf(object.key);
    if (namespace === undefined) continue;
    const own = environments.get(namespace);
    if (own === undefined) {
      refused.push({ key: object.key, why: `no environment has the namespace ${namespace}` });
      continue;
    }
    const head = await readHead(search, object);
    const dump = typeof head === 'string' ? head : describe(object, head, own, { version, config, adopt });
    if (typeof dump === 'string') refused.push({ key: object.key, why: dump });
    else found.set(dump.backupId, dump);
    onProgress(found.size);
  }
  const states = await backupStates(catalog, [...found.keys()]);
  const dumps = [...found.values()]
    .filter(({ backupId }) => (states.get(backupId) ?? 'failed') === 'failed')
    .sort((one, other) => (one.backupId < other.backupId ? 1 : -1));
  return {
    dumps: dumps.slice(0, AT_MOST).reverse(),
    more: Math.max(0, dumps.length - AT_MOST),
    refused: refused.slice(0, REFUSED_TOLD).map(({ key, why }) => ({ key, why: cut(why, 300) })),
  };
}

/** What tells one dump from another: @throws CofreError what the destination says. */
export async function headOf(place: Destination, key: string, sizeBytes: number, signal: AbortSignal): Promise<Buffer> {
  if (sizeBytes === 0) return Buffer.alloc(0);
  const range = { start: 0, length: Math.min(HEAD_BYTES, sizeBytes) };
  return await bytesOf(await place.get(key, { signal, range }), HEAD_BYTES);
}

/** Of a dump's beginning and size. */
export function fingerprintOf(head: Buffer, sizeBytes: number, environment: string): string {
  return createHash('sha256').update(`${environment} ${sizeBytes} `).update(head).digest('hex');
}

interface ReadHead extends DumpHead {
  readonly bytes: Buffer;
  readonly localMs: number;
  readonly dumpVersion: string;
}

/** Or why it is no dump that could be taken. */
async function readHead(
  { place, scratch, signal }: SearchForDumps,
  { key, sizeBytes }: StoredObject,
): Promise<ReadHead | string> {
  let bytes: Buffer;
  try {
    bytes = await headOf(place, key, sizeBytes, signal);
  } catch (error) {
    // The job that makes it replaces it in this moment.
    if (!(error instanceof CofreError)) throw error;
    if (error.code === 'not-found' || error.code === 'invalid-range')
      return 'it is being written: the next run takes it';
    // Of this one alone, such as a symbolic link: the list was given.
    if (error.code === 'access-denied' || error.code === 'refused' || error.code === 'invalid-key')
      return error.message;
    throw error;
  }
  await mkdir(scratch, { recursive: true, mode: 0o700 });
  const folder = await mkdtemp(join(scratch, 'head-'));
  try {
    const path = join(folder, 'head');
    await writeFile(path, bytes, { mode: 0o600 });
    const head = await readDumpHead(path);
    const { kind, localMs, dumpVersion } = head;
    if (kind === 'sql')
      return 'it is a dump in SQL text, which does not say whether it is whole; only pg_dump -Fc is taken';
    if (kind !== 'archive' || localMs === null || dumpVersion === null)
      return 'it is not a custom-format dump of PostgreSQL (pg_dump -Fc), plain or in gzip or zstd';
    return { ...head, localMs, dumpVersion, bytes };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

type Adopt = NonNullable<NamedDestination['config']['adopt']>;

/** Or why it cannot be taken. */
function describe(
  { key, sizeBytes }: StoredObject,
  { bytes, localMs, wrapping, dumpVersion }: ReadHead,
  { id, environment }: { id: string; environment: EnvironmentConfig },
  { version, config, adopt }: { version: number; config: AppliedConfig; adopt: Adopt },
): DumpFound | string {
  const { timezone = environment.timezone } = adopt;
  const takenAt = toInstant(localMs, timezone);
  // It would count as newer than the backups that are made now.
  if (liesAhead(takenAt))
    return `by its clock, read as that of ${timezone}, it will be made at ${takenAt.toISOString()}: adopt.timezone is that of the machine that dumps`;
  const copies = config.policies[environment.policy]?.copies;
  const to = copies?.to ?? [];
  return {
    key,
    sizeBytes,
    environment: environmentReference(id, environment),
    backupId: newBackupId(takenAt, fingerprintOf(bytes, sizeBytes, id)),
    takenAt: takenAt.toISOString(),
    wrapping,
    pgDump: dumpVersion,
    configVersion: version,
    to,
    complete: copies?.complete ?? to.length,
  };
}
