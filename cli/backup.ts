import type { Command } from 'commander';

import { CofreError } from '../errors/error.ts';
import { requireKnown } from './environment.ts';
import { examplesAndExits } from './help.ts';
import type { GlobalOptions } from './session.ts';

const LATER_KINDS = ['environment', 'files', 'keys'];

export function register(program: Command, globals: () => GlobalOptions): void {
  program
    .command('backup')
    .summary('back up an environment now')
    .description('Backs up an environment now, to the destinations of its policy, and shows the run until it ends.')
    .argument('<env>', 'the environment')
    .option('--kind <kind>', 'what to back up: database', 'database')
    .option('--to <dest...>', "the destinations, instead of the policy's")
    .addHelpText(
      'after',
      examplesAndExits(
        [
          'cofre backup acme-prod',
          'cofre backup acme-prod --to volume bucket',
          'cofre backup acme-prod --no-follow --json',
        ],
        [0, 1, 2, 4, 5, 130],
      ),
    )
    .action((environment: string, { kind, to }: { kind: string; to?: string[] }) =>
      backUp(globals(), environment, kind, to),
    );
}

async function backUp(
  options: GlobalOptions,
  environment: string,
  kind: string,
  to: readonly string[] | undefined,
): Promise<void> {
  requireKind(kind);
  const [{ Session }, { startAndReport }, { readApplied }] = await Promise.all([
    import('./session.ts'),
    import('./start-and-report.ts'),
    import('../activities/applied.ts'),
  ]);
  const session = await Session.open(options);
  try {
    const { config } = await readApplied(await session.catalog());
    requireKnown('environment', environment, Object.keys(config.environments));
    for (const name of to ?? []) requireKnown('destination', name, Object.keys(config.destinations));
    await startAndReport(await session.client(), options, {
      workflow: 'backupDatabase',
      input: { environment, ...(to === undefined ? {} : { to }) },
      subject: environment,
      summary: `backup of ${environment}, by hand`,
    });
  } finally {
    await session.close();
  }
}

function requireKind(kind: string): void {
  if (kind === 'database') return;
  const later = LATER_KINDS.includes(kind);
  throw new CofreError(
    'bad-input',
    later ? `this version of Cofre has no backups of the kind "${kind}" yet` : `there is no kind "${kind}"`,
    {
      hint: 'this version knows: database',
    },
  );
}
