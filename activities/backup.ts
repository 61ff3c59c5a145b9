import { randomBytes } from 'node:crypto';
import { join } from 'node:path';

import { objectPrefix } from '../catalog/backup-id.ts';
import { recordCopy, recordDump, requireCurrentDump, requireRunningBackup } from '../catalog/backups.ts';
import { backupsLeft } from '../catalog/left-behind.ts';
import { manifestBytes, parseManifest } from '../catalog/parse-manifest.ts';
import { storeManifest } from '../catalog/manifests.ts';
import type { Catalog } from '../catalog/open.ts';
import type { Destination } from '../destinations/destination.ts';
import { localFileBody } from '../destinations/local-file.ts';
import { withDestination } from '../destinations/open.ts';
import { CofreError } from '../errors/error.ts';
import { checkSource } from '../sources/postgres/check-source.ts';
import type { FindClients } from '../sources/postgres/clients.ts';
import { compressDump } from '../sources/postgres/compress.ts';
import { dumpDatabase } from '../sources/postgres/dump.ts';
import { DumpRoom } from './dump-room.ts';
import {
  archiveOf,
  buildManifest,
  discardUnfinished,
  finishedDump,
  readDump,
  readLocal,
  requireLocal,
  toReport,
  type LocalDumpReport,
} from './local-dump.ts';
import { requireOwnDatabase } from './own-database.ts';
import type { BackupPlan, NamedDestination } from './plans.ts';
import { discardAttempts, proveCopy } from './prove-copy.ts';
import type { ArchiveReport, DumpReport } from './reports.ts';
import { requireDifferentPlaces, requireOneDestination, requireSameServer, sourceOf } from './source.ts';
import { readIfThere, writeFileWhole, type Spool } from './spool.ts';
import { asStep, type Step } from './step.ts';

export interface HostDependencies {
  readonly host: string;
  readonly spool: Spool;
  readonly catalog: Catalog;
  /** PostgreSQL's clients on this host, by its rule for those with known holes. */
  readonly findClients: FindClients;
  /** A tool whose bytes do not move for so long is ended. */
  readonly stallMs: number;
}

/** Below that, more sessions of pg_dump take longer to open than they save. */
const WORTH_MORE_JOBS_BYTES = 16 * 1024 * 1024;

export type BackupActivities = ReturnType<typeof createBackupActivities>;

/** The steps of a backup on the host that has the dump. Each may be killed at any instant and run again. */
export function createBackupActivities({ host, spool, catalog, findClients, stallMs }: HostDependencies) {
  const tools = { scratch: spool.scratch, records: spool.records, stallMs };
  const attemptFolder = (plan: BackupPlan, attempt: string): string =>
    spool.folder(plan.environment.id, plan.backupId, attempt);

  async function dumpAnew(
    plan: BackupPlan,
    estimatedRawBytes: number,
    { signal, report, atOnce, attempt: tries }: Step,
  ): Promise<LocalDumpReport> {
    const { id } = plan.environment;
    await discardUnfinished(spool, plan);
    const attempt = `a${tries}-${randomBytes(4).toString('hex')}`;
    const directory = await spool.create(id, plan.backupId, attempt);
    const room = new DumpRoom(spool, plan, estimatedRawBytes);
    try {
      const startedAt = Date.now();
      const result = await dumpDatabase({
        ...tools,
        target: await sourceOf(plan),
        // In the session of the snapshot, which no other server knows: what is dumped is of this one.
        clientsFor: async (server) => {
          await requireSameServer(catalog, plan, server);
          return await findClients(server.versionNumber);
        },
        pipeline: plan.pipeline,
        directory,
        jobs: estimatedRawBytes < WORTH_MORE_JOBS_BYTES ? 1 : atOnce(plan.jobs),
        signal,
        onProgress: (bytes) => report({ doing: 'dump', bytes, ofBytes: estimatedRawBytes }),
        checkSpace: () => room.keep(directory),
      });
      const dumped = toReport(plan, attempt, result, Date.now() - startedAt);
      await writeFileWhole(join(directory, 'dump.json'), JSON.stringify({ result, report: dumped }));
      return dumped;
    } catch (cause) {
      const error = await room.explain(cause, directory);
      await spool.remove(id, plan.backupId, attempt);
      await room.remember(error);
      throw error;
    }
  }

  return {
    /** Answers: the host is there. */
    async checkHost(): Promise<{ host: string }> {
      return { host };
    },

    /** Finds, before anything is written, what would stop the dump later: access, versions, identity, room, destinations. */
    async checkBackup({ plan }: { plan: BackupPlan }): Promise<{ estimatedRawBytes: number }> {
      return await asStep(async () => {
        const target = await sourceOf(plan);
        const report = await checkSource(target, { find: findClients });
        await requireOwnDatabase(catalog, plan, target, report.server.systemIdentifier);
        await requireSameServer(catalog, plan, report.server);
        const rawBytes = plan.lastSizes === null ? report.estimatedRawBytes : plan.lastSizes.rawBytes;
        // A run that comes back to this host has its dump here already, or the rest of one that holds the room for the next.
        if ((await finishedDump(spool, plan)) === undefined) {
          await discardUnfinished(spool, plan);
          await new DumpRoom(spool, plan, rawBytes).require();
        }
        await requireOneDestination(plan.destinations);
        await requireDifferentPlaces(plan.destinations);
        return { estimatedRawBytes: rawBytes };
      });
    },

    /** Dumps into a new attempt's folder. An earlier attempt that had finished, and whose answer was lost, is taken as it is. */
    async dump({ plan, estimatedRawBytes }: { plan: BackupPlan; estimatedRawBytes: number }): Promise<DumpReport> {
      return await asStep(async (step) => {
        await requireRunningBackup(catalog, plan.backupId);
        const dumped = (await finishedDump(spool, plan)) ?? (await dumpAnew(plan, estimatedRawBytes, step));
        const { attempt, rows, rawBytes, warnings } = dumped;
        const anomaly = await recordDump(catalog, {
          ...{ backupId: plan.backupId, attempt, host, rows, rawBytes, warnings },
        });
        return { ...dumped, anomaly };
      });
    },

    /** Makes the archive and, beside it, the manifest, whose bytes are the same in every destination. */
    async compressDump({ plan, attempt }: { plan: BackupPlan; attempt: string }): Promise<ArchiveReport> {
      return await asStep(async ({ signal, report, atOnce }) => {
        const directory = attemptFolder(plan, attempt);
        const made = await readIfThere(join(directory, 'manifest.json'));
        if (made !== undefined) return archiveOf(parseManifest(made));
        const { result } = await readDump(directory, plan);
        const archive = await compressDump({
          ...tools,
          directory,
          jobs: atOnce(plan.jobs),
          signal,
          onProgress: (bytes) => report({ doing: 'compress', bytes, ofBytes: result.content.rawBytes }),
        });
        const manifest = buildManifest(plan, attempt, host, result, archive);
        await writeFileWhole(join(directory, 'manifest.json'), manifestBytes(manifest));
        return archiveOf(manifest);
      });
    },

    async upload({ plan, attempt, archive, destination }: CopyStep): Promise<void> {
      await asStep(async ({ signal, report }) => {
        const prefix = objectPrefix(plan.environment.id, plan.backupId);
        const path = join(attemptFolder(plan, attempt), archive.key.slice(attempt.length + 1));
        await requireLocal(path, plan);
        await requireCurrentDump(catalog, plan.backupId, attempt);
        await recordCopy(catalog, {
          backupId: plan.backupId,
          destination: destination.name,
          state: 'uploading',
          attempt,
        });
        const send = async (place: Destination): Promise<void> => {
          await place.put(prefix + archive.key, localFileBody(path, archive.sizeBytes, archive.sha256), {
            signal,
            onWait: () => report({ doing: `waits for its turn at ${destination.name} (connections)` }),
            onProgress: (bytes) =>
              report({ doing: `upload to ${destination.name}`, bytes, ofBytes: archive.sizeBytes }),
          });
          // This host may have been frozen meanwhile, and another one dumped again: then nobody else removes what this one sent.
          await requireCurrentDump(catalog, plan.backupId, attempt).catch(async (error: unknown) => {
            if (error instanceof CofreError && error.code === 'refused')
              await discardAttempts(place, prefix, [attempt], signal);
            throw error;
          });
        };
        await withDestination(destination.name, destination.config, send, { uploads: spool.uploads });
        await recordCopy(catalog, {
          backupId: plan.backupId,
          destination: destination.name,
          state: 'uploaded',
          attempt,
        });
      });
    },

    /**
     * Reads the object back from the destination, proves that it has the recorded hash and decodes to what was dumped,
     * and only then writes the manifest, which makes it a backup, and the catalog's row.
     */
    async verify({ plan, attempt, archive, destination }: CopyStep): Promise<void> {
      await asStep(async ({ signal, report }) => {
        const own = parseManifest(await readLocal(join(attemptFolder(plan, attempt), 'manifest.json'), plan));
        const { name, config } = destination;
        const onProgress = (bytes: number): void =>
          report({ doing: `verify in ${name}`, bytes, ofBytes: archive.sizeBytes });
        const prefix = objectPrefix(plan.environment.id, plan.backupId);
        const manifest = await withDestination(name, config, (place) =>
          proveCopy({ catalog, findClients, place, name, prefix, records: spool.records, signal, onProgress }, own),
        );
        await storeManifest(catalog, manifest);
        const { sizeBytes, sha256 } = archiveOf(manifest);
        await recordCopy(catalog, {
          ...{ backupId: plan.backupId, destination: name, state: 'verified', attempt: manifest.attempt },
          ...{ sizeBytes, sha256 },
        });
      });
    },

    /**
     * Removes what a run has stored and nobody can use: the objects of its attempts, but for the attempt that a manifest
     * there makes a backup.
     */
    async discardCopies({ plan, attempts }: { plan: BackupPlan; attempts: readonly string[] }): Promise<void> {
      await asStep(async ({ signal }) => {
        const prefix = objectPrefix(plan.environment.id, plan.backupId);
        for (const { name, config } of plan.destinations) {
          const discard = (place: Destination): Promise<void> => discardAttempts(place, prefix, attempts, signal);
          await withDestination(name, config, discard, { uploads: spool.uploads });
        }
      });
    },

    /**
     * Removes the local files of this backup and, once it is verified, those that earlier failed backups of the same
     * environment left as their only copy; not where it is anomalous, and they may have what it has lost.
     */
    async deleteLocal({ plan }: { plan: BackupPlan }): Promise<void> {
      await asStep(async () => {
        const { id } = plan.environment;
        await spool.remove(id, plan.backupId);
        const earlier = (await spool.backupIds(id)).filter((other) => other < plan.backupId);
        for (const [other, { state, verified, overtaken }] of await backupsLeft(catalog, earlier)) {
          if (state !== 'running' && (verified || overtaken)) await spool.remove(id, other);
        }
      });
    },
  };
}

interface CopyStep {
  readonly plan: BackupPlan;
  readonly attempt: string;
  readonly archive: ArchiveReport;
  readonly destination: NamedDestination;
}
