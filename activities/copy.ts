import { objectPrefix } from '../catalog/backup-id.ts';
import { recordCopy, requireCurrentDump, settleDebt } from '../catalog/backups.ts';
import { copyState } from '../catalog/copies-in.ts';
import { manifestBytes } from '../catalog/parse-manifest.ts';
import { getManifest } from '../catalog/manifests.ts';
import type { Catalog } from '../catalog/open.ts';
import type { Destination } from '../destinations/destination.ts';
import { withDestination } from '../destinations/open.ts';
import { CofreError, messageOf } from '../errors/error.ts';
import type { HostDependencies } from './backup.ts';
import { layHoldIfHeld } from './hold-file.ts';
import { archiveOf } from './local-dump.ts';
import { markSuspect } from './mark-suspect.ts';
import { mendCopy, type Mended } from './mend-copy.ts';
import type { CopyPlan, NamedDestination } from './plans.ts';
import { proveCopy, publishedManifest } from './prove-copy.ts';
import { samePlace } from './source.ts';
import { bodyOf, reading, SourceFailure } from './source-body.ts';
import { asStep } from './step.ts';

/** One backup to one more destination. */
export interface FurtherCopy {
  readonly plan: CopyPlan;
  readonly backupId: string;
  /** Where it can be read, best first. */
  readonly sources: readonly NamedDestination[];
  readonly destination: NamedDestination;
}

export type CopyActivities = ReturnType<typeof createCopyActivities>;

/** The steps that bring a backup from one destination to another. Each may be killed at any instant and run again. */
export function createCopyActivities({ spool, catalog, findClients }: HostDependencies) {
  return {
    /**
     * Of a copy that should be there: what is whole is proven where it is, and what is damaged is taken away once another copy was
     * read and is whole.
     */
    async mendCopy({ plan, backupId, sources, destination }: FurtherCopy): Promise<Mended> {
      return await asStep(async ({ signal, report }) => {
        const { name, config } = destination;
        if ((await copyState(catalog, { backupId, destination: name })) === 'verified') return { left: 'proven' };
        const own = await getManifest(catalog, backupId);
        const { sizeBytes, sha256 } = archiveOf(own);
        const onProgress = (bytes: number): void => report({ doing: `look at ${name}`, bytes, ofBytes: sizeBytes });
        const prefix = objectPrefix(plan.environment.id, backupId);
        const copy = { catalog, findClients, name, prefix, records: spool.records, signal, onProgress };
        const mended = await withDestination(name, config, async (place) => {
          const left = await mendCopy({ ...copy, place }, own, sources);
          const copied = { environment: plan.environment.id, backupId, destination: name };
          if (left.left === 'proven') await layHoldIfHeld(catalog, place, copied, signal);
          return left;
        });
        if (mended.left === 'proven') {
          const { attempt } = own;
          await recordCopy(catalog, { backupId, destination: name, state: 'verified', attempt, sizeBytes, sha256 });
          await settleDebt(catalog, backupId, plan.complete);
        }
        return mended;
      });
    },

    /**
     * Stores the object in one more destination, in a stream from the first copy that is whole: nothing is kept on this disk.
     * A copy that turns out to be damaged is marked, and the next one is read.
     */
    async copyObject({ plan, backupId, sources, destination }: FurtherCopy): Promise<{ from: string }> {
      return await asStep(async ({ signal, report }) => {
        const manifest = await getManifest(catalog, backupId);
        const { attempt } = manifest;
        await requireCurrentDump(catalog, backupId, attempt);
        const { name } = destination;
        await recordCopy(catalog, { backupId, destination: name, state: 'uploading', attempt });
        const { key, sizeBytes, sha256 } = archiveOf(manifest);
        const object = { key: objectPrefix(plan.environment.id, backupId) + key, sizeBytes, sha256 };
        const send = async (place: Destination): Promise<string> => {
          const identity = await place.identity();
          return await fromFirstOf(catalog, backupId, sources, async (source, sourceName) => {
            if ((await reading(signal, () => source.identity())) === identity) throw samePlace(sourceName, name);
            await place.put(object.key, bodyOf(source, object, signal), {
              signal,
              onWait: () => report({ doing: `waits for its turn at ${name} (connections)` }),
              onProgress: (bytes) =>
                report({ doing: `copy from ${sourceName} to ${name}`, bytes, ofBytes: object.sizeBytes }),
            });
          });
        };
        const from = await withDestination(name, destination.config, send, { uploads: spool.uploads });
        await recordCopy(catalog, { backupId, destination: name, state: 'uploaded', attempt });
        return { from };
      });
    },

    /** Proves it as a backup proves its copies, lays the hold beside it, and enters it: with it a debt may be paid. */
    async verifyCopy({ plan, backupId, destination }: FurtherCopy): Promise<void> {
      await asStep(async ({ signal, report }) => {
        const own = await getManifest(catalog, backupId);
        const { name, config } = destination;
        const { sizeBytes, sha256 } = archiveOf(own);
        const onProgress = (bytes: number): void => report({ doing: `verify in ${name}`, bytes, ofBytes: sizeBytes });
        const prefix = objectPrefix(plan.environment.id, backupId);
        await withDestination(name, config, async (place) => {
          const stands = await publishedManifest(place, prefix, signal);
          if (stands !== undefined && !manifestBytes(stands).equals(manifestBytes(own)))
            throw otherManifest(backupId, name);
          const copy = { catalog, findClients, place, name, prefix, records: spool.records, signal, onProgress };
          await proveCopy(copy, own);
          // Before it counts: whoever holds the backup from now on knows this copy already.
          const copied = { environment: plan.environment.id, backupId, destination: name };
          await layHoldIfHeld(catalog, place, copied, signal);
        });
        const { attempt } = own;
        await recordCopy(catalog, { backupId, destination: name, state: 'verified', attempt, sizeBytes, sha256 });
        await settleDebt(catalog, backupId, plan.complete);
      });
    },
  };
}

/** Somebody put it there: whatever it names, it is not what the catalog would call verified. */
function otherManifest(backupId: string, name: string): CofreError {
  return new CofreError('bad-content', `the manifest of ${backupId} in ${name} is another one than the catalog has`, {
    hint: `cofre sync ${name} --repair replaces it`,
  });
}

/** @throws CofreError `no-backup` without a source; what the last source said, when none could be read; at once what the target said. */
async function fromFirstOf(
  catalog: Catalog,
  backupId: string,
  sources: readonly NamedDestination[],
  copy: (source: Destination, name: string) => Promise<void>,
): Promise<string> {
  if (sources.length === 0)
    throw new CofreError('no-backup', `no other copy of ${backupId} is verified: there is nothing to copy it from`, {
      hint: `cofre show ${backupId} tells what became of its copies`,
    });
  const failures: string[] = [];
  let last: unknown;
  for (const { name, config } of sources) {
    try {
      await withDestination(name, config, (source) => copy(source, name));
      return name;
    } catch (error) {
      const cause = error instanceof SourceFailure ? error.cause : error;
      const known = cause instanceof CofreError ? cause : undefined;
      // The put found other bytes than those of the manifest, or the copy is not there any more.
      const damaged = known?.code === 'bad-content' || (error instanceof SourceFailure && known?.code === 'not-found');
      if (damaged && known !== undefined) await markSuspect(catalog, backupId, name, known);
      else if (!(error instanceof SourceFailure)) throw error;
      last = cause;
      failures.push(`${name}: ${messageOf(cause)}`);
    }
  }
  const code = last instanceof CofreError ? last.code : 'destination-unavailable';
  throw new CofreError(code, `no copy of ${backupId} could be read: ${failures.join('; ')}`, { cause: last });
}
