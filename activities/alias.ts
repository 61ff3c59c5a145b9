import { join } from 'node:path';
import { Readable } from 'node:stream';

import { requireCurrentDump } from '../catalog/backups.ts';
import type { Catalog } from '../catalog/open.ts';
import { parseManifest } from '../catalog/parse-manifest.ts';
import { newerForAlias } from '../catalog/verified-backup.ts';
import { ALIAS_NAME } from '../config/alias.ts';
import type { Body, Destination } from '../destinations/destination.ts';
import { hashFile, localFileBody } from '../destinations/local-file.ts';
import { withDestination } from '../destinations/open.ts';
import { hashOf } from '../destinations/stored.ts';
import { CofreError } from '../errors/error.ts';
import { gzipDump } from '../sources/postgres/gzip-dump.ts';
import type { HostDependencies } from './backup.ts';
import { readLocal } from './local-dump.ts';
import type { BackupPlan, NamedDestination } from './plans.ts';
import { asStep, type Step } from './step.ts';

/** `newer`: the alias of a backup with newer data stands there, or will. */
export type Published =
  { readonly state: 'published'; readonly sizeBytes: number } | { readonly state: 'newer'; readonly backupId: string };

/** gzip's usual level packs a little less than zstd does; and no estimate is exact. */
const ROOM_FOR_EACH_BYTE = 1.3;

export interface AliasStep {
  readonly plan: BackupPlan;
  readonly attempt: string;
  readonly destination: NamedDestination;
}

export type AliasActivities = ReturnType<typeof createAliasActivities>;

/** The step that serves consumers from before Cofre. May be killed at any instant and run again. */
export function createAliasActivities({ spool, catalog, stallMs }: HostDependencies) {
  /** Of this dump, as gzip; made once, for all destinations. */
  async function gzipOf(plan: BackupPlan, directory: string, archiveBytes: number, step: Step): Promise<Body> {
    const { signal, report } = step;
    const what = `the alias of ${plan.environment.id}`;
    const path = await gzipDump({
      ...{ directory, name: ALIAS_NAME, records: spool.records, stallMs, signal },
      roomForBytes: archiveBytes * ROOM_FOR_EACH_BYTE,
      requireRoom: (bytes) => spool.requireRoom(bytes, what),
      onProgress: (bytes) => report({ doing: 'gzip for the alias', bytes, ofBytes: archiveBytes }),
    });
    const { sizeBytes, sha256 } = await hashFile(path, { signal });
    return localFileBody(path, sizeBytes, sha256);
  }

  return {
    /**
     * Puts this dump, as the old jobs wrote theirs, in the place of the alias in one destination, and reads it back there. Never
     * in the place of newer data: asked before, and once more when all is sent, just before it would be seen.
     */
    async publishAlias({ plan, attempt, destination }: AliasStep): Promise<Published> {
      return await asStep(async (step) => {
        const { signal, report } = step;
        const { alias, environment, backupId } = plan;
        if (alias === undefined) throw new CofreError('unexpected', `${environment.id} has no alias`);
        const directory = spool.folder(environment.id, backupId, attempt);
        const manifest = parseManifest(await readLocal(join(directory, 'manifest.json'), plan));
        const guard = new Guard(catalog, plan, attempt, manifest.snapshotAt);
        await guard.ask();
        if (guard.newer !== undefined) return { state: 'newer', backupId: guard.newer };
        const archiveBytes = manifest.objects.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
        const body = await gzipOf(plan, directory, archiveBytes, step);
        const { name, config } = destination;
        const send = async (place: Destination): Promise<void> => {
          await place.replace(alias.key, guard.watch(body), {
            signal,
            onProgress: (bytes) => report({ doing: `the alias to ${name}`, bytes, ofBytes: body.sizeBytes }),
          });
          const onProgress = (bytes: number): void =>
            report({ doing: `reads the alias back from ${name}`, bytes, ofBytes: body.sizeBytes });
          if ((await hashOf(place, alias.key, signal, onProgress)) === body.sha256) return;
          throw new CofreError('bad-content', `what ${name} gives back of ${alias.key} is not what was sent`, {
            hint: 'does another job still write it? Else the medium or the way to it damages data',
          });
        };
        try {
          await withDestination(name, config, send, { uploads: spool.uploads });
        } catch (error) {
          if (guard.newer === undefined) throw error;
          return { state: 'newer', backupId: guard.newer };
        }
        // Of two at the same time the newer one was most likely later; if not, somebody must know.
        await guard.ask();
        if (guard.newer === undefined) return { state: 'published', sizeBytes: body.sizeBytes };
        throw new CofreError('refused', `${guard.newer} was verified in the same moment: ${alias.key} may be older`, {
          hint: `cofre backup ${environment.id} publishes it again`,
        });
      });
    },
  };
}

/** Knows whether a dump may still become the alias. */
class Guard {
  /** A backup with newer data, once one was seen. */
  newer: string | undefined;
  readonly #catalog: Catalog;
  readonly #plan: BackupPlan;
  readonly #attempt: string;
  readonly #snapshotAt: string;

  constructor(catalog: Catalog, plan: BackupPlan, attempt: string, snapshotAt: string) {
    this.#catalog = catalog;
    this.#plan = plan;
    this.#attempt = attempt;
    this.#snapshotAt = snapshotAt;
  }

  /** @throws CofreError `refused` when another dump took the place of this one, or its backup is closed without it. */
  async ask(): Promise<void> {
    await requireCurrentDump(this.#catalog, this.#plan.backupId, this.#attempt);
    this.newer = await newerForAlias(this.#catalog, this.#plan.environment.id, this.#snapshotAt);
  }

  /** The same bytes, which end well only if this dump may still become the alias; a host may have been frozen meanwhile. */
  watch(body: Body): Body {
    return {
      ...body,
      path: undefined, // It would be a way around the watch.
      open: (offset) => Readable.from(this.#untilItIsTooLate(body.open(offset)), { objectMode: false }),
    };
  }

  async *#untilItIsTooLate(stream: Readable): AsyncGenerator<Buffer> {
    yield* stream as AsyncIterable<Buffer>;
    await this.ask();
    if (this.newer !== undefined) throw new CofreError('refused', `${this.newer} has newer data`);
  }
}
