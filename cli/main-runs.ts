/** The workflows that people start and wait for. What these bring with them (locks, plans, timers) is left out of lists. */
export const MAIN_RUNS: readonly string[] = [
  'backupDatabase',
  'copyBackups',
  'verifyCopies',
  'syncCatalog',
  'retireDestination',
  'holdBackup',
  'releaseBackup',
  'restoreDatabase',
  'ensureDatabase',
  'runRoutine',
];
