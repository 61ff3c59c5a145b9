import { objectPrefix } from '../catalog/backup-id.ts';
import { recordCopy } from '../catalog/backups.ts';
import type { FailureNote } from '../catalog/errors.ts';
import { getManifest } from '../catalog/manifests.ts';
import { manifestBytes } from '../catalog/parse-manifest.ts';
import { withDestination } from '../destinations/open.ts';
import { CofreError } from '../errors/error.ts';
import type { HostDependencies } from './backup.ts';
import { archiveOf } from './local-dump.ts';
import { isDamage, markSuspect } from './mark-suspect.ts';
import type { NamedDestination, VerifyPlan } from './plans.ts';
import { checkObjects, publishedManifest } from './prove-copy.ts';
import { asStep } from './step.ts';

export type VerifyActivities = ReturnType<typeof createVerifyActivities>;

/** The step that proves a copy once more. It changes nothing in the destination, and may be killed and run again. */
export function createVerifyActivities({ spool, catalog, findClients }: HostDependencies) {
  return {
    /**
     * Reads a copy back as when it was made: its manifest is the catalog's, its object has the hash of it and decodes in full.
     * The proof is renewed, or the copy marked as suspect; gives why.
     */
    async verifyAgain(copy: {
      plan: VerifyPlan;
      backupId: string;
      destination: NamedDestination;
    }): Promise<{ damage: FailureNote | null }> {
      const { plan, backupId, destination } = copy;
      const { name, config } = destination;
      return await asStep(async ({ signal, report }) => {
        const manifest = await getManifest(catalog, backupId);
        const { attempt } = manifest;
        const { sizeBytes, sha256 } = archiveOf(manifest);
        const prefix = objectPrefix(plan.environment.id, backupId);
        const onProgress = (bytes: number): void => report({ doing: `verify in ${name}`, bytes, ofBytes: sizeBytes });
        try {
          await withDestination(name, config, async (place) => {
            const proof = { catalog, findClients, place, name, prefix, records: spool.records, signal, onProgress };
            const stands = await publishedManifest(place, prefix, signal);
            if (stands === undefined)
              throw new CofreError('not-found', `${name} has no manifest of ${backupId} any more`);
            if (!manifestBytes(stands).equals(manifestBytes(manifest)))
              throw new CofreError('bad-content', `the manifest of ${backupId} in ${name} is not that of the catalog`);
            await checkObjects(proof, manifest);
          });
        } catch (error) {
          signal.throwIfAborted();
          if (!isDamage(error)) throw error;
          await markSuspect(catalog, backupId, name, error);
          return { damage: { code: error.code, message: error.message } };
        }
        await recordCopy(catalog, { backupId, destination: name, state: 'verified', attempt, sizeBytes, sha256 });
        return { damage: null };
      });
    },
  };
}
