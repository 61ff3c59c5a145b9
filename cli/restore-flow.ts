import { hostname, userInfo } from 'node:os';
import { resolve } from 'node:path';

import type { Client } from '@temporalio/client';

import { readApplied } from '../activities/applied.ts';
import { otherEnvironment } from '../activities/resolve-restore.ts';
import { CofreError } from '../errors/error.ts';
import type { RestoreInput } from '../workflows/inputs.ts';
import type { RestorePreview } from '../workflows/restore-database.ts';
import { askWhatToRestore } from './ask-restore.ts';
import { chooseBackup } from './choose-backup.ts';
import { requireKnown } from './environment.ts';
import { EXIT } from './exit.ts';
import { followRun } from './follow.ts';
import { reportEnd } from './outcome.ts';
import { ask, confirm, say, table, tell } from './print.ts';
import type { RestoreOptions } from './restore.ts';
import { Session, type GlobalOptions } from './session.ts';
import { startAndReport } from './start-and-report.ts';
import type { RunEnd } from './run-end.ts';
import { startRun, type Order, type RunId } from './start.ts';

/** Chooses the backup, shows the plan, asks, restores. */
export async function restore(options: GlobalOptions, asked: RestoreOptions): Promise<void> {
  requireSense(asked);
  const session = await Session.open(options);
  try {
    const { config } = await readApplied(await session.catalog());
    const environments = Object.keys(config.environments);
    const alone = Object.keys(asked).length === 0;
    const wanted = alone ? await askWhatToRestore(await session.catalog(), environments) : asked;
    for (const name of [wanted.from, wanted.to])
      if (name !== undefined) requireKnown('environment', name, environments);

    const backup =
      wanted.file === undefined ? await chooseBackup(await session.catalog(), wanted.from, wanted) : undefined;
    const to = wanted.to ?? backup?.environment ?? '';
    if (backup !== undefined && backup.environment !== to) throw otherEnvironment(backup.environment, to);
    const input: RestoreInput = {
      ...(backup === undefined ? { file: resolve(wanted.file ?? '') } : { backup: backup.id }),
      to,
      ...(wanted.reason === undefined ? {} : { reason: wanted.reason }),
      ...(wanted.ticket === undefined ? {} : { ticket: wanted.ticket }),
      requestedBy: `${userInfo().username}@${hostname()}`,
    };
    await planAndRestore(await session.client(), options, input);
  } finally {
    await session.close();
  }
}

function requireSense({ from, latest, before, backup, file, to, folder }: RestoreOptions): void {
  if (folder !== undefined) throw badInput('--folder is for --standalone', 'the spool of the host is used here');
  const which = [latest, before, backup, file].filter((one) => one !== undefined).length;
  if (which > 1) throw badInput('--latest, --before, --backup and --file exclude each other', 'give one of them');
  if (file !== undefined && from !== undefined)
    throw badInput('--file and --from exclude each other', 'a dump by path needs only --to ENV');
  if (to === undefined && (which > 0 || from !== undefined))
    throw badInput('--to is missing', 'say which environment to restore into: --to ENV');
  if (to !== undefined && from === undefined && backup === undefined && file === undefined) {
    throw badInput('what to restore is missing', 'say --from ENV, --backup ID or --file PATH');
  }
}

function badInput(message: string, hint: string): CofreError {
  return new CofreError('bad-input', message, { hint });
}

async function planAndRestore(client: Client, options: GlobalOptions, input: RestoreInput): Promise<void> {
  const follow = (run: RunId): Promise<RunEnd> => followRun(client, options, run);
  const inRows = ({ rows, host }: RestorePreview): PlanRows => [...rows, ['host', host]];
  if (await isWantedAsPlanned(client, options, input, { follow, inRows }))
    await startAndReport(client, options, restoreOrder(input));
}

export function restoreOrder(input: RestoreInput): Order<'restoreDatabase'> {
  const summary = `restore of ${input.backup ?? input.file ?? ''} into ${input.to}`;
  return { workflow: 'restoreDatabase', input, subject: input.to, summary };
}

export type PlanRows = RestorePreview['rows'];

/** Shows what a restore would do, and asks. Where it is not wanted, or is refused, it says so and sets the exit code. */
export async function isWantedAsPlanned(
  client: Client,
  options: GlobalOptions,
  input: RestoreInput,
  { follow, inRows }: { follow: (run: RunId) => Promise<RunEnd>; inRows: (preview: RestorePreview) => PlanRows },
): Promise<boolean> {
  const summary = `plan of a restore into ${input.to}`;
  const planning = await startRun(client, { workflow: 'planRestore', input, subject: input.to, summary });
  const planned = await follow(planning);
  if (planned.reason !== undefined) {
    process.exitCode = reportEnd(options, planned);
    return false;
  }
  const preview = planned.result as RestorePreview;
  // A plan is shown even with --quiet: nobody restores what they have not seen.
  tell(planInWords(inRows(preview)));
  if (await isWanted(options, preview)) return true;
  say(options, 'nothing was done');
  process.exitCode = EXIT.refused;
  return false;
}

function planInWords(lines: PlanRows): string {
  return `the plan:\n${table(lines.map(([name, value]) => [`  ${name}`, value]))}`;
}

/** Over a database that exists a yes is too easily given: there its environment's name is to be typed. */
async function isWanted(options: GlobalOptions, { replaces, plan }: RestorePreview): Promise<boolean> {
  if (options.yes || !replaces) return await confirm(options, 'restore?');
  return (await ask("Type the environment's name to restore: ")) === plan.environment.id;
}
