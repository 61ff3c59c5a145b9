/**
 * The bundle's entry, and the public names of the workflows: what operators type into the Temporal UI and what running
 * executions are found by. Renaming one strands every run that is under way.
 */
export { backupDatabase } from './backup-database.ts';
export { copyBackups } from './copy-backups.ts';
export { dropOldDatabase } from './drop-old-database.ts';
export { ensureDatabase } from './ensure-database.ts';
export { holdBackup, releaseBackup } from './hold-backup.ts';
export { holdEnvironment } from './lock.ts';
export { planRestore, restoreDatabase } from './restore-database.ts';
export { retireDestination } from './retire-destination.ts';
export { runRoutine } from './run-routine.ts';
export { syncCatalog } from './sync-catalog.ts';
export { verifyCopies } from './verify-copies.ts';
