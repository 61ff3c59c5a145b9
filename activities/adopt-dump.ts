import { Context } from '@temporalio/activity';

import { startAdoption } from '../catalog/adopted.ts';
import { objectPrefix } from '../catalog/backup-id.ts';
import { finishBackup, recordCopy, recordDump } from '../catalog/backups.ts';
import { storeManifest } from '../catalog/manifests.ts';
import { MANIFEST_FORMAT, type Manifest } from '../catalog/manifest.ts';
import type { Destination } from '../destinations/destination.ts';
import { withDestination } from '../destinations/open.ts';
import { CofreError } from '../errors/error.ts';
import { DUMP_FILES } from '../sources/postgres/archive-files.ts';
import { readForeignDump, type ForeignDump } from '../sources/postgres/foreign-dump.ts';
import { VERSION } from '../version.ts';
import type { HostDependencies } from './backup.ts';
import { fingerprintOf, headOf, type DumpFound } from './find-dumps.ts';
import { archiveOf } from './local-dump.ts';
import { isDamage } from './mark-suspect.ts';
import type { NamedDestination } from './plans.ts';
import { discardAttempts, proveCopy } from './prove-copy.ts';
import { bodyOf, SourceFailure } from './source-body.ts';
import type { Step } from './step.ts';

export interface Adoption {
  readonly destination: NamedDestination;
  readonly dump: DumpFound;
}

/** What is odd about the backup, in words; null where nothing is, or where it was made by an earlier try. */
export interface Adopted {
  readonly anomaly: string | null;
}

/**
 * Makes a backup of a dump that another job left: reads it in full, copies it to a key of its own, because that job replaces it,
 * proves the copy, publishes its manifest and enters it. Other destinations of the policy get a debt, which the next run that
 * copies pays. What is there of an earlier try is taken as it is: a dump's own hash is in the names.
 * @throws CofreError `bad-content` for what is no whole dump; `not-found` when it was replaced meanwhile.
 */
export async function adoptDump(
  { host, spool, catalog, findClients }: HostDependencies,
  { destination, dump }: Adoption,
  { signal, report }: Step,
): Promise<Adopted> {
  const { workflowId = '', runId = '' } = Context.current().info.workflowExecution ?? {};
  const { name, config } = destination;
  const { backupId, environment, sizeBytes } = dump;
  const state = await startAdoption(catalog, {
    ...{ id: backupId, environment: environment.id, kind: 'database', mode: 'full', pipeline: 'adopted' },
    ...{ configVersion: dump.configVersion, workflowId, runId, startedAt: dump.takenAt },
  });
  if (state === 'complete' || state === 'incomplete') return { anomaly: null };
  const prefix = objectPrefix(environment.id, backupId);
  const clients = await findClients(Number.parseInt(dump.pgDump, 10) * 10_000, dump.pgDump);
  const records = spool.records;
  const telling = (doing: string) => (bytes: number) =>
    report({ doing: `${doing} ${dump.key}`, bytes, ofBytes: sizeBytes });

  const adopt = async (place: Destination): Promise<Adopted> => {
    const read = await readForeignDump({
      ...{ wrapping: dump.wrapping, clients, records, signal, onProgress: telling('read') },
      stream: await place.get(dump.key, { signal }),
    });
    await requireSame(place, dump, read, signal);
    const manifest = manifestOf(dump, read, host);
    const { attempt, content } = manifest;
    const { rows, rawBytes } = content;
    const warnings = [`adopted from ${dump.key} in ${name}, made by pg_dump ${dump.pgDump}`];
    const anomaly = await recordDump(catalog, { ...{ backupId, attempt, host, rows, rawBytes }, warnings });
    await recordCopy(catalog, { backupId, destination: name, state: 'uploading', attempt });
    const object = { key: dump.key, sizeBytes: read.sizeBytes, sha256: read.sha256 };
    await place.put(prefix + archiveOf(manifest).key, bodyOf(place, object, signal), {
      signal,
      onProgress: telling('copy'),
    });
    await recordCopy(catalog, { backupId, destination: name, state: 'uploaded', attempt });
    const copy = { catalog, findClients, place, name, prefix, records, signal, onProgress: telling('verify') };
    const published = await proveCopy(copy, manifest);
    await storeManifest(catalog, published);
    const verified = { backupId, destination: name, state: 'verified', attempt: published.attempt } as const;
    await recordCopy(catalog, { ...verified, sizeBytes: read.sizeBytes, sha256: read.sha256 });
    for (const other of dump.to.filter((to) => to !== name))
      await recordCopy(catalog, { backupId, destination: other, state: 'missing', error: notYetThere(name) });
    await finishBackup(catalog, { backupId, state: dump.complete <= 1 ? 'complete' : 'incomplete' });
    return { anomaly };
  };

  const options = { uploads: spool.uploads };
  try {
    return await withDestination(name, config, adopt, options);
  } catch (error) {
    const known = error instanceof SourceFailure && error.cause instanceof CofreError ? error.cause : error;
    if (!isDamage(known) || signal.aborted) throw known;
    // Nothing can come of it any more: the row is closed before its objects go, so that nobody publishes what goes.
    await finishBackup(catalog, { backupId, state: 'failed', error: known });
    await withDestination(name, config, (place) => discardAll(place, prefix, signal), options);
    throw known;
  }
}

/** What was read must be what was found; the job may replace it at any moment. */
async function requireSame(
  place: Destination,
  { key, sizeBytes, environment, backupId }: DumpFound,
  read: ForeignDump,
  signal: AbortSignal,
): Promise<void> {
  const head = await headOf(place, key, sizeBytes, signal);
  const same =
    read.sizeBytes === sizeBytes && backupId.endsWith(fingerprintOf(head, sizeBytes, environment.id).slice(0, 8));
  if (same) return;
  throw new CofreError('not-found', `${key} was replaced by another dump while it was read`, {
    hint: 'the next run of syncCatalog takes that one',
  });
}

function manifestOf(dump: DumpFound, { sizeBytes, sha256, content }: ForeignDump, host: string): Manifest {
  // Of the same bytes in each try, so that a try goes on where the one before it was killed.
  const attempt = `a1-${sha256.slice(0, 8)}`;
  const { backupId, environment, configVersion, takenAt, wrapping, pgDump } = dump;
  return {
    ...{ format: MANIFEST_FORMAT, backupId, attempt, environment, kind: 'database', mode: 'full', pipeline: 'adopted' },
    ...{ host, configVersion, startedAt: takenAt, snapshotAt: takenAt, finishedAt: new Date().toISOString() },
    tools: { cofre: VERSION, pg_dump: pgDump },
    ...{ server: null, database: null, content },
    objects: [{ key: `${attempt}/${DUMP_FILES[wrapping]}`, sizeBytes, sha256 }],
  };
}

async function discardAll(place: Destination, prefix: string, signal: AbortSignal): Promise<void> {
  const attempts = new Set<string>();
  for await (const { key } of place.list(prefix, { signal })) {
    const [attempt, file] = key.slice(prefix.length).split('/');
    if (attempt !== undefined && file !== undefined) attempts.add(attempt);
  }
  await discardAttempts(place, prefix, [...attempts], signal);
}

function notYetThere(from: string): { code: 'not-found'; message: string; hint: string } {
  return {
    code: 'not-found',
    message: `it was adopted in ${from} and not copied here yet`,
    hint: 'copyBackups brings it',
  };
}
