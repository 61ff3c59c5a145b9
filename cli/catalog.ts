import type { Command } from 'commander';

import { registerConfirm } from './catalog/confirm.ts';
import { examplesAndExits } from './help.ts';
import type { GlobalOptions } from './session.ts';

export function register(program: Command, globals: () => GlobalOptions): void {
  const catalog = program
    .command('catalog')
    .summary('make a lost catalog whole again, and confirm the holds that were found')
    .description('What is done to the catalog by hand.');
  catalog
    .command('rebuild')
    .summary('fill an empty catalog from the destinations')
    .description(
      'For a catalog whose database is lost: into an empty database it applies cofre.yaml, as cofre apply does, and then takes in every\n' +
        'backup that the destinations have and reads it back, the newest of each environment first. Removes nothing. Workers must run on\n' +
        'the hosts that reach the destinations. Nothing is pruned then until cofre catalog confirm.',
    )
    .addHelpText(
      'after',
      examplesAndExits(['cofre catalog rebuild', 'cofre catalog rebuild --yes'], [0, 1, 2, 3, 4, 5, 130]),
    )
    .action(() => rebuild(globals()));
  registerConfirm(catalog, globals);
}

async function rebuild(options: GlobalOptions): Promise<void> {
  const [
    { findConfigPath, loadConfig },
    { Session },
    { applyConfig },
    { requireNoBackups },
    { startAndReport },
    { EXIT },
  ] = await Promise.all([
    import('../config/load.ts'),
    import('./session.ts'),
    import('./apply.ts'),
    import('./apply/empty-catalog.ts'),
    import('./start-and-report.ts'),
    import('./exit.ts'),
  ]);
  const configPath = findConfigPath(options.config);
  const loaded = await loadConfig(configPath);
  await requireNoBackups(loaded.config);
  const session = new Session(loaded.config);
  try {
    const client = await session.client();
    const request = { configPath, loaded, host: loaded.config.host, remove: false, force: false };
    const { applied } = await applyConfig(client, options, request);
    if (!applied) {
      process.exitCode = EXIT.refused;
      return;
    }
    await startAndReport(client, options, {
      workflow: 'syncCatalog',
      input: { repair: true },
      subject: 'rebuild',
      summary: 'fills the empty catalog from every destination',
    });
  } finally {
    await session.close();
  }
}
