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
import { ask, confirm, say, table } from './print.ts';
import type { RestoreOptions } from './restore.ts';
import { Session, type GlobalOptions } from './session.ts';
import { startAndReport } from './start-and-report.ts';
import { startRun } from './start.ts';

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

function requireSense({ from, latest, before, backup, file, to }: RestoreOptions): void {
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
  const subject = input.to;
  const planning = await startRun(client, {
    workflow: 'planRestore',
    input,
    subject,
    summary: `plan of a restore into ${subject}`,
  });
  const planned = await followRun(client, options, planning);
  if (planned.reason !== undefined) {
    process.exitCode = reportEnd(options, planned);
    return;
  }
  const preview = planned.result as RestorePreview;
  // A plan is shown even with --quiet: nobody restores what they have not seen.
  process.stderr.write(`${planInWords(preview)}\n`);
  if (!(await isWanted(options, preview))) {
    say(options, 'nothing was done');
    process.exitCode = EXIT.refused;
    return;
  }
  const from = input.backup ?? input.file ?? '';
  await startAndReport(client, options, {
    workflow: 'restoreDatabase',
    input,
    subject,
    summary: `restore of ${from} into ${subject}`,
  });
}

function planInWords({ rows, host }: RestorePreview): string {
  const lines = [...rows, ['host', host] as const];
  return `the plan:\n${table(lines.map(([name, value]) => [`  ${name}`, value]))}`;
}

/** Over a database that exists a yes is too easily given: there its environment's name is to be typed. */
async function isWanted(options: GlobalOptions, { replaces, plan }: RestorePreview): Promise<boolean> {
  if (options.yes || !replaces) return await confirm(options, 'restore?');
  return (await ask("Type the environment's name to restore: ")) === plan.environment.id;
}
