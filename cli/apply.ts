import type { Client } from '@temporalio/client';
import type { Command } from 'commander';

import { findConfigPath, loadConfig, type LoadedConfig } from '../config/load.ts';
import { problemLine } from '../config/problem.ts';
import { CofreError } from '../errors/error.ts';
import { carryOut, closeLost, rememberBase } from './apply/carry-out.ts';
import { isMove, isNothingToDo, planApply, planInWords, type ApplyPlan } from './apply/plan.ts';
import { EXIT } from './exit.ts';
import { examplesAndExits } from './help.ts';
import { confirm, printJson, say } from './print.ts';
import { Session, type GlobalOptions } from './session.ts';

export function register(program: Command, globals: () => GlobalOptions): void {
  program
    .command('apply')
    .summary('store the configuration and make the schedules fit it')
    .description(
      'Checks the whole configuration, shows what would change, asks, and then brings the catalog, the search attributes, the\n' +
        'stored configuration and the schedules to it. Running it again changes nothing and says so.',
    )
    .option('--remove', 'remove the schedules of routines that are not in the file any more', false)
    .option(
      '--force',
      'although the file does not build on the current version, lacks more than a tenth of it, takes out or leads elsewhere what has backups, or (with --yes) names another Temporal',
      false,
    )
    .addHelpText(
      'after',
      examplesAndExits(
        [
          'cofre apply                 show the plan, ask, do it',
          'cofre apply --yes           the same without a question',
          'cofre apply --remove        also remove schedules of routines that are gone',
        ],
        [0, 2, 3, 4],
      ),
    )
    .action(async (own: { remove: boolean; force: boolean }) => {
      const options = globals();
      const configPath = findConfigPath(options.config);
      const loaded = await loadConfig(configPath);
      const session = new Session(loaded.config);
      try {
        const result = await applyConfig(await session.client(), options, {
          configPath,
          loaded,
          host: loaded.config.host,
          ...own,
        });
        if (options.json) printJson(result);
        if (!result.applied) process.exitCode = EXIT.refused;
      } finally {
        await session.close();
      }
    });
}

export interface ApplyOutcome {
  /** False when there was nothing to do. */
  readonly changed: boolean;
  /** False when somebody said no to the plan. */
  readonly applied: boolean;
  /** The version that is current now; null when there is none. */
  readonly version: number | null;
  readonly steps: readonly string[];
  readonly notes: readonly string[];
}

/** Shows the plan, asks, and does it; a catalog that has no configuration yet is not worth a question with `firstUnasked`. */
export async function applyConfig(
  client: Client,
  options: GlobalOptions,
  request: {
    configPath: string;
    loaded: LoadedConfig;
    host: string | undefined;
    remove: boolean;
    force: boolean;
    firstUnasked?: boolean;
  },
): Promise<ApplyOutcome> {
  for (const hint of request.loaded.hints) say(options, `note: ${problemLine(hint)}`);
  const plan = await planApply(client, request);
  const { steps, notes } = planInWords(plan);
  const version = plan.current?.version ?? null;
  if (isNothingToDo(plan)) {
    // A crash may have come between the storing and this line of an earlier run.
    await rememberBase(plan, [plan.digest]);
    await closeLost(plan.config, client, (text) => say(options, text));
    for (const note of notes) say(options, `note: ${note}`);
    say(options, `Nothing to do: version ${version} of the configuration is applied.`);
    return { changed: false, applied: true, version, steps, notes };
  }
  say(options, ['The plan:', ...steps.map((line) => `  ${line}`)].join('\n'));
  for (const note of notes) say(options, `note: ${note}`);
  if (isMove(plan) && options.yes && !request.force) throw moveUnasked();
  if (!(isFirst(plan) && request.firstUnasked === true) && !(await confirm(options, 'Do this?'))) {
    say(options, 'Nothing was done.');
    return { changed: false, applied: false, version, steps, notes };
  }
  const done = await carryOut(client, plan, (text) => say(options, `  ${text}`));
  for (const warning of done.warnings) say(options, `note: ${warning}`);
  say(options, `Applied: the configuration has version ${done.version}. New runs use it.`);
  return { changed: true, applied: true, version: done.version, steps, notes: [...notes, ...done.warnings] };
}

/** A job that runs by itself with a wrong `temporal:` must not end what runs. */
function moveUnasked(): CofreError {
  return new CofreError('refused', '--yes alone does not move the installation to another Temporal namespace', {
    hint: 'correct temporal: in cofre.yaml; if the other one is lost, or is to be left: cofre apply, or cofre apply --yes --force',
  });
}

function isFirst(plan: ApplyPlan): boolean {
  return plan.current === null;
}
