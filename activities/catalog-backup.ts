import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';

import type { Catalog } from '../catalog/open.ts';
import type { Destination } from '../destinations/destination.ts';
import { bytesBody, hashFile, localFileBody } from '../destinations/local-file.ts';
import { withDestination } from '../destinations/open.ts';
import { hashOf, unlessMissing } from '../destinations/stored.ts';
import { CofreError, messageOf } from '../errors/error.ts';
import { withClient } from '../postgres/connect.ts';
import { makePrivateFolder } from '../processes/own-folder.ts';
import { captureTool, startTool } from '../processes/tool.ts';
import { readServerFacts } from '../sources/postgres/facts.ts';
import { withToolEnvironment } from '../sources/postgres/tool-environment.ts';
import { finishWatched } from '../sources/postgres/watch-tools.ts';
import { VERSION } from '../version.ts';
import type { HostDependencies } from './backup.ts';
import type { NamedDestination } from './plans.ts';
import { asStep } from './step.ts';

/** No environment can be called that, so nobody takes it for one. */
export const CATALOG_FOLDER = '_catalog';
const LOCK_WAIT_MS = 60_000;

export interface CatalogBackup {
  readonly sizeBytes: number;
  /** The destinations that have it, read back. */
  readonly kept: readonly string[];
  readonly failed: readonly { readonly destination: string; readonly message: string }[];
}

export type CatalogActivities = ReturnType<typeof createCatalogActivities>;

/** The step that backs up the catalog itself, with the configuration in it. May be killed at any instant and run again. */
export function createCatalogActivities({ catalog, spool, findClients, stallMs }: HostDependencies) {
  return {
    /**
     * Dumps the catalog and brings it to each of the destinations, each for itself. Under `_catalog/<id>/` stands what an attempt
     * has stored; what makes it a backup is `catalog.json`, written last, when the rest was read back.
     */
    async backUpCatalog(order: { id: string; destinations: readonly NamedDestination[] }): Promise<CatalogBackup> {
      return await asStep(async ({ signal, report }) => {
        await makePrivateFolder(spool.scratch);
        const folder = await mkdtemp(join(spool.scratch, 'catalog-'));
        try {
          const file = join(folder, 'catalog.dump');
          await spool.requireRoom(await sizeOf(catalog), 'the backup of the catalog');
          await dumpCatalog(
            { catalog, findClients, scratch: spool.scratch, records: spool.records, stallMs, signal },
            file,
          );
          const { sizeBytes, sha256 } = await hashFile(file, { signal });
          const kept: string[] = [];
          const failed: { destination: string; message: string }[] = [];
          for (const { name, config } of order.destinations) {
            report({ doing: `the catalog to ${name}` });
            try {
              await withDestination(name, config, (place) =>
                keep(place, order.id, { file, sizeBytes, sha256 }, signal),
              );
              kept.push(name);
            } catch (error) {
              signal.throwIfAborted();
              failed.push({ destination: name, message: messageOf(error) });
            }
          }
          return { sizeBytes, kept, failed };
        } finally {
          await rm(folder, { recursive: true, force: true });
        }
      });
    },
  };
}

async function sizeOf(catalog: Catalog): Promise<number> {
  const [row] = await catalog.query<{ size: number }>('SELECT pg_database_size(current_database()) AS size');
  return row?.size ?? 0;
}

async function dumpCatalog(
  request: Pick<HostDependencies, 'catalog' | 'findClients' | 'stallMs'> & {
    readonly scratch: string;
    readonly records: string;
    readonly signal: AbortSignal;
  },
  file: string,
): Promise<void> {
  const { target } = request.catalog;
  const { versionNumber } = await withClient(target, readServerFacts);
  const { pgDump, pgRestore } = await request.findClients(versionNumber);
  await withToolEnvironment(target, request.scratch, async (env) => {
    const args = ['--format=custom', '--schema=cofre', '--no-owner', '--no-acl', `--file=${file}`];
    const dump = startTool(
      { name: 'pg_dump', path: pgDump, args: [...args, `--lock-wait-timeout=${LOCK_WAIT_MS}`], env },
      {},
      request,
    );
    await finishWatched([dump], { stallMs: request.stallMs });
  });
  const list = await captureTool({ name: 'pg_restore', path: pgRestore, args: ['--list', file] }, request);
  if (!list.includes('TABLE DATA cofre backups'))
    throw new CofreError('bad-content', 'pg_dump ended well, and its dump of the catalog has no table of backups');
}

/** In this order, so that whatever has a `catalog.json` is whole. Another attempt may have ended before. */
async function keep(
  place: Destination,
  id: string,
  dump: { file: string; sizeBytes: number; sha256: string },
  signal: AbortSignal,
): Promise<void> {
  const { file, sizeBytes, sha256 } = dump;
  const folder = `${CATALOG_FOLDER}/${id}/`;
  if ((await unlessMissing(place.stat(`${folder}catalog.json`, { signal }))) !== undefined) return;
  // Each attempt dumps anew, and other bytes may not have the same key.
  const key = `${randomBytes(4).toString('hex')}/catalog.dump`;
  await place.put(folder + key, localFileBody(file, sizeBytes, sha256), { signal });
  if ((await hashOf(place, folder + key, signal)) !== sha256)
    throw new CofreError('bad-content', 'what it gives back of the catalog is not what was sent');
  const note = { format: 1, id, finishedAt: new Date().toISOString(), cofre: VERSION, key, sizeBytes, sha256 };
  await place.put(`${folder}catalog.json`, bytesBody(Buffer.from(`${JSON.stringify(note, null, 2)}\n`)), { signal });
}
