import type { Client } from '@temporalio/client';

import { consecutiveFailures, finishRestore, type RestoreFacts, type RestoreOutcome } from '../catalog/restores.ts';
import { finishBackup, recordCopy } from '../catalog/backups.ts';
import type { FailureNote } from '../catalog/errors.ts';
import { unconfirmedSince } from '../catalog/hold-confirmations.ts';
import { endRelease, missingHoldFiles } from '../catalog/holds.ts';
import { forgetCopies, neededIn } from '../catalog/retired.ts';
import { findUnverified } from '../catalog/missing-copies.ts';
import { settleOldDatabase } from '../catalog/old-databases.ts';
import type { Catalog } from '../catalog/open.ts';
import { closeLostRows, endAbandonedLock } from './lost-runs.ts';
import { forgottenOldDatabases, type Removal } from './old-databases.ts';
import type {
  BackupPlan,
  CopyPlan,
  EnsurePlan,
  HoldPlan,
  RestorePlan,
  RoutinePlan,
  SyncPlan,
  VerifyPlan,
} from './plans.ts';
import { resolveBackup, type BackupRequest } from './resolve-backup.ts';
import { payableDebts, resolveCopies, whatIsMissing, type CopyRequest } from './resolve-copies.ts';
import { openHold, openRelease, type HoldRequest, type ReleaseRequest } from './resolve-hold.ts';
import { enterRestore, resolveEnsure, resolveRestore, type RestoreRequest } from './resolve-restore.ts';
import { otherDestinations, readApplied } from './applied.ts';
import { resolveRetirement, type RetirementPlan } from './resolve-retirement.ts';
import { resolveRoutine, type RoutineRequest } from './resolve-routine.ts';
import { resolveSync, type SyncRequest } from './resolve-sync.ts';
import { resolveVerify, type VerifyRequest } from './resolve-verify.ts';
import { asStep } from './step.ts';
import { told } from './told.ts';

export type RestoreEnd = RestoreFacts & {
  readonly state: RestoreOutcome;
  readonly error?: FailureNote;
  readonly nothingReplaced?: boolean;
};

/** What became of the copies of a destination that is retired. */
export interface Retired {
  readonly forgotten: number;
  /** Backups of which it still has the only copy: it is not forgotten as long as there are any. The first of them by name. */
  readonly left: number;
  readonly leftBackups: readonly string[];
}

export type ControlActivities = ReturnType<typeof createControlActivities>;

/** What the steps that need no host work with. */
export interface ControlDependencies {
  readonly catalog: Catalog;
  readonly temporal: Client;
}

/** The steps that need only the catalog and Temporal: any worker may do them. */
export function createControlActivities({ catalog, temporal }: ControlDependencies) {
  return {
    /** Closes what no run owns any more, and finds the replaced databases that nobody removes any more. */
    async settleLostRuns(): Promise<{ closed: number; rows: string[]; removals: Removal[] }> {
      return await asStep(async () => {
        const closed = await closeLostRows(catalog, temporal);
        return {
          closed: closed.length,
          rows: told(closed.map(({ kind, id, environment }) => `${kind} ${id} of ${environment}`)),
          removals: await forgottenOldDatabases(catalog, temporal),
        };
      });
    },

    /** Looks whether the lock of an environment, for which `asker` waits, still has a holder. */
    async endAbandonedLock({ environment, asker }: { environment: string; asker: string }): Promise<void> {
      await asStep(() => endAbandonedLock(temporal, environment, asker));
    },

    async resolveBackup(request: BackupRequest): Promise<BackupPlan> {
      return await asStep(() => resolveBackup(catalog, request));
    },

    /** Closes a backup and gives the state that stands: what failed after a copy was verified is `incomplete`. */
    async finishBackup(end: {
      backupId: string;
      state: 'complete' | 'incomplete' | 'failed';
      reason: FailureNote | null;
    }): Promise<string> {
      return await asStep(() => finishBackup(catalog, { backupId: end.backupId, state: end.state, error: end.reason }));
    },

    /** Remembers that a copy should be there and is not. */
    async recordMissingCopy(copy: { backupId: string; destination: string; reason: FailureNote }): Promise<void> {
      await asStep(() =>
        recordCopy(catalog, {
          backupId: copy.backupId,
          destination: copy.destination,
          state: 'missing',
          error: copy.reason,
        }),
      );
    },

    /** Only the plan: nothing is entered or changed. */
    async planRestore(request: RestoreRequest): Promise<RestorePlan> {
      return await asStep(() => resolveRestore(catalog, request));
    },

    async resolveEnsure(request: RestoreRequest): Promise<EnsurePlan> {
      return await asStep(() => resolveEnsure(catalog, request));
    },

    async enterRestore({ plan, request }: { plan: RestorePlan; request: RestoreRequest }): Promise<void> {
      await asStep(() => enterRestore(catalog, plan, request));
    },

    async finishRestore({ restoreId, end }: { restoreId: string; end: RestoreEnd }): Promise<void> {
      await asStep(() => finishRestore(catalog, restoreId, end));
    },

    /** Somebody decided that a replaced database stays for good. */
    async keepOldDatabase({ restoreId }: { restoreId: string }): Promise<void> {
      await asStep(() => settleOldDatabase(catalog, restoreId, 'kept'));
    },

    /** How many restores of this environment failed one after the other. */
    async countFailures({ environment }: { environment: string }): Promise<number> {
      return await asStep(() => consecutiveFailures(catalog, environment));
    },

    async resolveCopies(request: CopyRequest): Promise<CopyPlan> {
      return await asStep(() => resolveCopies(catalog, request));
    },

    async whatIsMissing(question: Parameters<typeof whatIsMissing>[1]): ReturnType<typeof whatIsMissing> {
      return await asStep(() => whatIsMissing(catalog, question));
    },

    async resolveVerify(request: VerifyRequest): Promise<VerifyPlan> {
      return await asStep(() => resolveVerify(catalog, request));
    },

    /** Copies that are missing and could be made from others. */
    async findDebts({ routine }: { routine: string }): ReturnType<typeof payableDebts> {
      return await asStep(() => payableDebts(catalog, routine));
    },

    async resolveSync(request: SyncRequest): Promise<SyncPlan> {
      return await asStep(() => resolveSync(catalog, request));
    },

    /** What in these destinations is not as it should be: copies that are not verified, and holds that are not written or not confirmed. */
    async findUnverified({
      destinations,
    }: {
      destinations: readonly string[];
    }): Promise<Awaited<ReturnType<typeof findUnverified>> & { holdsUnwritten: number; holdsUnconfirmed: boolean }> {
      return await asStep(async () => ({
        ...(await findUnverified(catalog, destinations)),
        holdsUnwritten: (await missingHoldFiles(catalog, destinations)).length,
        holdsUnconfirmed: (await unconfirmedSince(catalog)) !== null,
      }));
    },

    async openHold(request: HoldRequest): Promise<HoldPlan> {
      return await asStep(() => openHold(catalog, request));
    },

    async openRelease(request: ReleaseRequest): Promise<HoldPlan> {
      return await asStep(() => openRelease(catalog, request));
    },

    /** Only when its files are gone: until then a backup stays held, whatever happens to the run. */
    async endRelease({ backupId, holdId }: { backupId: string; holdId: string }): Promise<void> {
      await asStep(() => endRelease(catalog, backupId, holdId));
    },

    async resolveRetirement(request: { destination: string; to: string }): Promise<RetirementPlan> {
      return await asStep(() => resolveRetirement(catalog, request));
    },

    /** Forgets what a destination has, but for what only it has; removes nothing there. */
    async retireDestination({ destination, to }: { destination: string; to: string }): Promise<Retired> {
      return await asStep(async () => {
        const note = {
          code: 'refused',
          message: `given up: ${destination} was retired to ${to}; nothing was removed there`,
        };
        const others = otherDestinations((await readApplied(catalog)).config, destination);
        const forgotten = await forgetCopies(catalog, destination, others, note);
        const { count, backups } = await neededIn(catalog, destination, others);
        return { forgotten, left: count, leftBackups: backups };
      });
    },

    async resolveRoutine(request: RoutineRequest): Promise<RoutinePlan> {
      return await asStep(() => resolveRoutine(catalog, request));
    },
  };
}
