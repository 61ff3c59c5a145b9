import { CofreError } from '../errors/error.ts';

/**
 * `complete`: enough verified copies. `incomplete`: at least one, and a debt. The flags anomalous, held and adopted stand
 * beside the state.
 */
export type BackupState = 'running' | 'complete' | 'incomplete' | 'failed' | 'deleting' | 'deleted';

export type CopyState = 'uploading' | 'uploaded' | 'verified' | 'missing' | 'suspect' | 'deleting' | 'deleted';

/** How a run can end. */
export type BackupOutcome = 'complete' | 'incomplete' | 'failed';

/**
 * From what a backup may become what. A backup that is finished never runs again; only a debt that was paid changes it.
 */
const BACKUP_MAY_BECOME: Readonly<Record<BackupState, readonly BackupOutcome[]>> = {
  running: ['complete', 'incomplete', 'failed'],
  incomplete: ['complete'],
  complete: [],
  failed: [],
  deleting: [],
  deleted: [],
};

/**
 * From what a copy may become what. A verified copy is never taken back by a step of a run that comes late; only who has
 * looked again makes it `suspect` first, and then `missing`.
 */
const COPY_MAY_BECOME: Readonly<Record<CopyState, readonly CopyState[]>> = {
  uploading: ['uploaded', 'verified', 'missing', 'suspect', 'deleting'],
  uploaded: ['verified', 'missing', 'suspect', 'deleting'],
  missing: ['uploading', 'uploaded', 'verified', 'suspect', 'deleting', 'deleted'],
  suspect: ['uploading', 'uploaded', 'verified', 'missing', 'deleting'],
  verified: ['suspect', 'deleting'],
  deleting: ['deleted'],
  deleted: [],
};

export interface CopyStep {
  readonly state: CopyState;
  readonly attempt: string | null;
}

/** @throws CofreError `refused` for a change that no backup makes: a late call, whose caller must stop. */
export function requireBackupChange(backupId: string, from: BackupState, to: BackupOutcome): void {
  if (BACKUP_MAY_BECOME[from].includes(to)) return;
  throw new CofreError('refused', `the backup ${backupId} is ${from} and cannot become ${to}`);
}

/** Whether a copy takes this step; if not, the step came late and what stands remains. */
export function copyTakes(from: CopyStep | undefined, to: CopyStep): boolean {
  if (from === undefined) return true;
  const sameDump = to.attempt === null || to.attempt === from.attempt;
  // Once more: a copy proven again, or missing for another reason.
  if (from.state === to.state && sameDump) return true;
  // Another dump begins again from nothing, as long as none was proven.
  if (!sameDump && (from.state === 'uploading' || from.state === 'uploaded')) return true;
  return COPY_MAY_BECOME[from.state].includes(to.state);
}
