import type { Command } from 'commander';

import { findConfigPath, loadEnsureConfig } from '../config/load.ts';
import type { EnsureConfig } from '../config/schema.ts';
import { CofreError } from '../errors/error.ts';
import { askDatabase } from './ask-database.ts';
import { notKnown } from './environment.ts';
import { examplesAndExits } from './help.ts';
import { printJson, printText, say } from './print.ts';
import type { GlobalOptions } from './session.ts';

interface EnsureOptions {
  readonly createEmpty?: true;
  readonly wait: string;
}

export function register(program: Command, globals: () => GlobalOptions): void {
  program
    .command('ensure')
    .summary('restore the latest production backup if the database does not exist')
    .description(
      "Asks the environment's database whether it exists, with the environment's own login. If it does, that is all; if not, the latest verified " +
        'production backup is restored. Made to be called each time an environment starts, by any number of callers at once.',
    )
    .argument('<env>', 'the environment')
    .option('--create-empty', 'where there is no backup at all: make users, an empty database and extensions')
    .option('--wait <seconds>', 'how long to wait for a database server that does not answer yet', '30')
    .addHelpText(
      'after',
      examplesAndExits(
        [
          'cofre ensure acme-prod',
          'cofre ensure new-customer --create-empty',
          'cofre ensure acme-prod --wait 120 --quiet',
        ],
        [0, 1, 2, 3, 4, 130],
      ),
    )
    .action((environment: string, ensureOptions: EnsureOptions) => ensure(globals(), environment, ensureOptions));
}

async function ensure(
  options: GlobalOptions,
  environment: string,
  { createEmpty, wait }: EnsureOptions,
): Promise<void> {
  if (!/^\d{1,5}$/.test(wait))
    throw new CofreError('bad-input', '--wait takes a number of seconds', { hint: 'for example --wait 60' });
  const startedAt = new Date().toISOString();
  const path = findConfigPath(options.config);
  const config = await loadEnsureConfig(path, environment);
  if (config.environments[environment] === undefined) throw await unknownEnvironment(path, environment);

  const answer = await askDatabase(config, environment, {
    waitMs: Number(wait) * 1000,
    tell: (text) => say(options, text),
  });
  if (answer.says === 'exists') {
    if (options.json)
      printJson({
        workflowId: null,
        runId: null,
        state: 'exists',
        environment,
        startedAt,
        finishedAt: new Date().toISOString(),
      });
    else printText('exists');
    return;
  }
  say(options, answer.says === 'missing' ? `the database of ${environment} does not exist` : answer.why);
  // Only now: the libraries for Temporal would cost every start of the environment their time.
  const { ensureByRun } = await import('./ensure-run.ts');
  await ensureByRun(options, config.temporal, { environment, ...(createEmpty === undefined ? {} : { createEmpty }) });
}

/** The other names are read only now: a mistake in another environment must not disturb this one. */
async function unknownEnvironment(path: string, environment: string): Promise<CofreError> {
  const all: EnsureConfig = await loadEnsureConfig(path);
  return notKnown('environment', environment, Object.keys(all.environments));
}
