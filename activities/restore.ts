import { randomBytes } from 'node:crypto';
import { rm, stat } from 'node:fs/promises';
import { join } from 'node:path';

import type { Manifest, ServerFacts } from '../catalog/manifest.ts';
import { settleOldDatabase } from '../catalog/old-databases.ts';
import { recordRestore, requireRunningRestore } from '../catalog/restores.ts';
import { durationMs } from '../config/duration.ts';
import { readServerFacts } from '../sources/postgres/facts.ts';
import { withClient } from '../postgres/connect.ts';
import { checkTarget } from '../sources/postgres/check-target.ts';
import type { Clients } from '../sources/postgres/clients.ts';
import { discardLoad } from '../sources/postgres/create-database.ts';
import { dropDatabase } from '../sources/postgres/drop-database.ts';
import { openArchive } from '../sources/postgres/open-archive.ts';
import { refuseSuperusersSessions } from '../sources/postgres/restore-lacks.ts';
import { oldName, type RestoreTarget } from '../sources/postgres/restore-target.ts';
import { isSwapped, swapDatabases } from '../sources/postgres/swap.ts';
import type { HostDependencies } from './backup.ts';
import { findDumpFile } from './dump-file.ts';
import { fetchObject } from './fetch.ts';
import { loadAndCompare } from './load-and-compare.ts';
import { markSuspect } from './mark-suspect.ts';
import { requireOwnDatabase } from './own-database.ts';
import type { RestorePlan } from './plans.ts';
import type { FetchedArchive, FetchReport, LoadReport, RestoreCheck, SwapReport } from './reports.ts';
import {
  adminOf,
  extensionsOf,
  formatOf,
  madeBy,
  manifestOf,
  neededSpoolBytes,
  rememberServer,
  requireKnownServer,
  shortId,
  targetOf,
} from './restore-target.ts';
import { readIfThere, writeFileWhole, type Spool } from './spool.ts';
import { asStep } from './step.ts';
import { told } from './told.ts';

export type RestoreActivities = ReturnType<typeof createRestoreActivities>;

/** The steps of a restore on one host. Each may be killed at any instant and run again. */
export function createRestoreActivities(dependencies: HostDependencies) {
  const { host, spool, catalog, findClients } = dependencies;

  async function swapped(plan: RestorePlan, liveOid: number | null, { admin }: RestoreTarget): Promise<SwapReport> {
    await rememberServer(catalog, plan, await withClient(admin, readServerFacts));
    return {
      oldDatabase: liveOid === null ? null : { name: oldName(plan.database, shortId(plan)), oid: liveOid },
    };
  }

  async function clientsFor(plan: RestorePlan, manifest: Manifest | null, server: ServerFacts): Promise<Clients> {
    if (plan.source.type !== 'file') return await findClients(server.versionNumber, manifest?.tools['pg_dump']);
    const { path } = await findDumpFile(dependencies, plan.source.path);
    return await findClients(server.versionNumber, await madeBy(path, server.versionNumber));
  }

  return {
    /** Finds, changing nothing, what a restore will meet on the server and, unless it is fetched already, in the spool. */
    async checkRestore({ plan, fetched }: { plan: RestorePlan; fetched?: boolean }): Promise<RestoreCheck> {
      return await asStep(async () => {
        const manifest = await manifestOf(catalog, plan);
        const target = await targetOf(plan);
        const report = await checkTarget(target, {
          facts: manifest?.database ?? null,
          serverVersionNumber: manifest?.server?.versionNumber ?? null,
          extensions: extensionsOf(plan, manifest),
        });
        await withClient(target.admin, (client) => refuseSuperusersSessions(client, target));
        const { newServer } = await requireKnownServer(catalog, plan, report);
        const doubts = await requireOwnDatabase(catalog, plan, target.admin, report.server.systemIdentifier);
        // The load looks again at what was fetched; a dump by path may be gone or another one by then.
        const { warning } = fetched === true ? { warning: null } : await clientsFor(plan, manifest, report.server);
        if (fetched !== true && (await finishedFetch(spool, plan)) === undefined)
          await spool.requireRoom(await neededSpoolBytes(dependencies, plan), `the restore of ${plan.environment.id}`);
        return {
          liveOid: report.live?.oid ?? null,
          serverVersion: report.server.version,
          newServer,
          rolesToCreate: told(report.roles.toCreate),
          memberships: told(report.roles.memberships.map(({ role, member }) => `${member} in ${role}`)),
          extensions: told(
            report.extensions.filter(({ name }) => name !== 'plpgsql').map(({ name, version }) => `${name} ${version}`),
          ),
          warnings: told([
            ...(warning === null ? [] : [warning]),
            ...doubts,
            ...report.warnings,
            ...report.roles.different.map(
              ({ name, differences }) => `the role ${name} exists and stays as it is: ${differences.join(', ')}`,
            ),
          ]),
        };
      });
    },

    /** Brings the archive into the spool, checks its hash and unpacks it. */
    async fetchBackup({ plan }: { plan: RestorePlan }): Promise<FetchReport> {
      return await asStep(async ({ signal, report, atOnce, attempt: tries }) => {
        const { source } = plan;
        await requireRunningRestore(catalog, plan.restoreId);
        if (source.type === 'empty') return { attempt: 'none', bytes: 0, from: 'nowhere' };
        const { id } = plan.environment;
        const finished = await finishedFetch(spool, plan);
        if (finished !== undefined) return finished;
        for (const old of await spool.entries(id, plan.restoreId)) await spool.remove(id, plan.restoreId, old);
        const attempt = `f${tries}-${randomBytes(4).toString('hex')}`;
        const folder = await spool.create(id, plan.restoreId, attempt);
        try {
          const manifest = await manifestOf(catalog, plan);
          const fetched = join(folder, 'archive');
          const file = source.type === 'file' ? (await findDumpFile(dependencies, source.path)).path : fetched;
          let from = file;
          if (source.type === 'backup' && manifest !== null) {
            const onProgress = (name: string, bytes: number): void =>
              report({ doing: `fetch from ${name}`, bytes, ofBytes: source.sizeBytes });
            from = await fetchObject({
              ...{ host, environment: id, source, manifest, file, signal, onProgress },
              onDamaged: (destination, error) => markSuspect(catalog, source.backupId, destination, error),
            });
          }
          const { size: bytes } = await stat(file);
          const rawBytes = source.type === 'backup' ? source.rawBytes : undefined;
          const archiveOpen = await openArchive({
            file,
            format: formatOf(plan),
            directory: join(folder, 'open'),
            jobs: atOnce(plan.jobs),
            signal,
            records: spool.records,
            onProgress: (done) =>
              report({ doing: 'unpack', bytes: done, ...(rawBytes === undefined ? {} : { ofBytes: rawBytes }) }),
          });
          // Only ours: a dump by path belongs to whoever made it. A plain one is not unpacked: it is the archive itself.
          if (archiveOpen.path !== fetched) await rm(fetched, { force: true });
          const fetchedArchive: FetchedArchive = { report: { attempt, bytes, from }, archive: archiveOpen };
          // The file that makes the attempt a finished fetch is written last.
          await writeFileWhole(join(folder, 'fetched.json'), JSON.stringify(fetchedArchive));
          return fetchedArchive.report;
        } catch (error) {
          await spool.remove(id, plan.restoreId, attempt);
          throw error;
        }
      });
    },

    /** Loads into a new, closed database under a temporary name and compares it with the manifest. */
    async loadDatabase({ plan, attempt }: { plan: RestorePlan; attempt: string }): Promise<LoadReport> {
      return await asStep(async (step) => {
        await requireRunningRestore(catalog, plan.restoreId);
        return await loadAndCompare(dependencies, plan, attempt, step);
      });
    },

    /** Puts the loaded database in the place of the live one, in one transaction. */
    async swapDatabase({
      plan,
      loaded,
      liveOid,
    }: {
      plan: RestorePlan;
      loaded: LoadReport;
      liveOid: number | null;
    }): Promise<SwapReport> {
      return await asStep(async ({ signal }) => {
        const target = await targetOf(plan);
        const manifest = await manifestOf(catalog, plan);
        const kept = oldName(plan.database, shortId(plan));
        const oldUntil = new Date(Date.now() + durationMs(plan.keepOldDatabaseFor)).toISOString();
        const replaced = { oldDatabase: kept, oldOid: liveOid ?? undefined, oldServer: plan.server.name, oldUntil };
        // Before the swap: a step whose run was lost is refused here, and what it replaces is never forgotten.
        const facts = { host, newOid: loaded.oid, ...(liveOid === null ? {} : replaced) };
        await recordRestore(catalog, plan.restoreId, facts);
        await swapDatabases({
          admin: target.admin,
          live: plan.database,
          liveOid,
          replacement: loaded.name,
          replacementOid: loaded.oid,
          oldName: kept,
          owner: plan.owner,
          privileges: manifest?.database?.privileges ?? null,
          comment: manifest?.database?.comment ?? null,
          signal,
        });
        return await swapped(plan, liveOid, target);
      });
    },

    /** What a swap came to that failed or was cancelled: as `swapDatabase` answers, or null: nothing was changed. */
    async findSwap({
      plan,
      loaded,
      liveOid,
    }: {
      plan: RestorePlan;
      loaded: LoadReport;
      liveOid: number | null;
    }): Promise<SwapReport | null> {
      return await asStep(async () => {
        const target = await targetOf(plan);
        const swap = { admin: target.admin, live: plan.database, replacementOid: loaded.oid };
        return (await isSwapped(swap)) ? await swapped(plan, liveOid, target) : null;
      });
    },

    /** Removes what only the restore needed; with `discard`, also the database that it had begun. */
    async cleanRestore({ plan, discard }: { plan: RestorePlan; discard: boolean }): Promise<void> {
      await asStep(async () => {
        // The files first: they go whatever the server says of the rest.
        await spool.remove(plan.environment.id, plan.restoreId);
        if (discard) await discardLoad(await targetOf(plan), { id: shortId(plan) });
      });
    },

    /** Drops a database that a restore replaced, if it is still that very one. */
    async dropDatabase({ restoreId, server, database, oid }: DropStep): Promise<void> {
      await asStep(async () => {
        await dropDatabase({ admin: await adminOf(server), name: database, oid });
        await settleOldDatabase(catalog, restoreId, 'dropped');
      });
    },
  };
}

export interface DropStep {
  readonly restoreId: string;
  readonly server: RestorePlan['server'];
  readonly database: string;
  readonly oid: number;
}

/** What an earlier attempt fetched and unpacked to its end, whose answer was lost or whose host was. */
async function finishedFetch(spool: Spool, plan: RestorePlan): Promise<FetchReport | undefined> {
  const { id } = plan.environment;
  for (const attempt of await spool.entries(id, plan.restoreId)) {
    const bytes = await readIfThere(join(spool.folder(id, plan.restoreId, attempt), 'fetched.json'));
    if (bytes !== undefined) return (JSON.parse(bytes.toString('utf8')) as FetchedArchive).report;
  }
  return undefined;
}
