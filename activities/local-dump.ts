import { stat } from 'node:fs/promises';
import { join } from 'node:path';

import { MANIFEST_FORMAT, type Manifest } from '../catalog/manifest.ts';
import { CofreError, nativeCode } from '../errors/error.ts';
import type { DumpResult } from '../sources/postgres/dump.ts';
import { VERSION } from '../version.ts';
import type { ArchiveReport, DumpReport } from './reports.ts';
import type { BackupPlan } from './plans.ts';
import { readIfThere, type Spool } from './spool.ts';
import { told } from './told.ts';

/** What `dump.json` says: the file that makes an attempt's folder a finished dump, written last. */
export interface FinishedDump {
  readonly result: DumpResult;
  readonly report: LocalDumpReport;
}

/** Of a dump alone; only the catalog knows whether it is anomalous. */
export type LocalDumpReport = Omit<DumpReport, 'anomaly'>;

/** The finished dump of an earlier attempt, if there is one. */
export async function finishedDump(spool: Spool, plan: BackupPlan): Promise<LocalDumpReport | undefined> {
  for (const attempt of await spool.entries(plan.environment.id, plan.backupId)) {
    const bytes = await readIfThere(join(spool.folder(plan.environment.id, plan.backupId, attempt), 'dump.json'));
    if (bytes !== undefined) return (JSON.parse(bytes.toString('utf8')) as FinishedDump).report;
  }
  return undefined;
}

/** Their worker is dead or has lost the step: whatever is half-written there is of no use to anybody. */
export async function discardUnfinished(spool: Spool, plan: BackupPlan): Promise<void> {
  const { id } = plan.environment;
  for (const attempt of await spool.entries(id, plan.backupId)) await spool.remove(id, plan.backupId, attempt);
}

/** @throws CofreError `host-unavailable` when the folder is not there any more. */
export async function readDump(directory: string, plan: BackupPlan): Promise<FinishedDump> {
  return JSON.parse((await readLocal(join(directory, 'dump.json'), plan)).toString('utf8')) as FinishedDump;
}

/** A small file of the attempt. @throws CofreError `host-unavailable` when it is not there any more. */
export async function readLocal(path: string, plan: BackupPlan): Promise<Buffer> {
  const bytes = await readIfThere(path);
  if (bytes === undefined) throw goneError(plan);
  return bytes;
}

/** @throws CofreError `host-unavailable` when the file is not there any more. */
export async function requireLocal(path: string, plan: BackupPlan): Promise<void> {
  try {
    await stat(path);
  } catch (error) {
    throw nativeCode(error) === 'ENOENT' ? goneError(plan) : error;
  }
}

/** As if the host were lost: what it had is gone, so the run begins again at the dump, elsewhere if it can. */
function goneError(plan: BackupPlan): CofreError {
  return new CofreError('host-unavailable', `the local files of ${plan.backupId} are gone from the spool`, {
    hint: 'look what empties the spool, then start the backup again',
  });
}

/** What the workflow is told of a dump: it lies in the history, so enough to act on, not a flood. */
export function toReport(
  plan: BackupPlan,
  attempt: string,
  { content, database, warnings }: DumpResult,
  tookMs: number,
): LocalDumpReport {
  return {
    attempt,
    rows: content.rows,
    tables: content.tables.length,
    rawBytes: content.rawBytes,
    warnings: told([...privilegedWarning(plan, database.privileged), ...warnings], 10),
    tookMs,
  };
}

/** Said with the backup, because the night of a restore is too late to hear it first. */
function privilegedWarning({ trusted }: BackupPlan, privileged: DumpResult['database']['privileged']): string[] {
  if (trusted || privileged.length === 0) return [];
  const named = privileged.slice(0, 3).map(({ type, name }) => `${type} ${name}`);
  return [
    `a restore will be refused until database.trusted is true: only a superuser may create ${named.join(', ')}${privileged.length > 3 ? ` and ${privileged.length - 3} more` : ''}`,
  ];
}

export function buildManifest(
  plan: BackupPlan,
  attempt: string,
  host: string,
  dump: DumpResult,
  archive: { file: string; sizeBytes: number; sha256: string },
): Manifest {
  return {
    format: MANIFEST_FORMAT,
    backupId: plan.backupId,
    attempt,
    environment: plan.environment,
    kind: 'database',
    mode: 'full',
    pipeline: plan.pipeline,
    host,
    configVersion: plan.configVersion,
    startedAt: plan.startedAt,
    snapshotAt: dump.snapshotAt,
    finishedAt: new Date().toISOString(),
    tools: { cofre: VERSION, ...dump.tools },
    server: dump.server,
    database: dump.database,
    content: dump.content,
    objects: [{ key: `${attempt}/${archive.file}`, sizeBytes: archive.sizeBytes, sha256: archive.sha256 }],
  };
}

export function archiveOf(manifest: Manifest): ArchiveReport {
  const [object] = manifest.objects;
  if (object === undefined) throw new CofreError('bad-content', `the manifest of ${manifest.backupId} names no object`);
  return object;
}
