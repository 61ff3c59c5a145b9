import type { Command } from 'commander';

import { checkDestination, type DestinationReport, type Finding } from '../../destinations/check/check.ts';
import type { Speed } from '../../destinations/check/speed.ts';
import { EXIT } from '../exit.ts';
import { examplesAndExits } from '../help.ts';
import { Interrupted, bytesInWords, durationInWords, printJson, printText, say, tell } from '../print.ts';
import type { GlobalOptions } from '../session.ts';
import { tellSilence } from '../silence.ts';
import { findDestination } from './find.ts';

export function registerCheck(destination: Command, globals: () => GlobalOptions): void {
  destination
    .command('check')
    .summary('prove that a place keeps what Cofre needs of it')
    .description(
      'Stores, reads, lists and removes objects in a folder of its own in the destination, as backups would, and says what the\n' +
        'place keeps of what Cofre needs, and how fast it is. Run it on the host whose worker will use the place. About 130 MB\n' +
        'are stored and removed again; a bucket with object lock keeps them until the lock ends.',
    )
    .argument('<name>', 'the destination')
    .addHelpText('after', examplesAndExits(['cofre destination check offsite'], [0, 1, 2, 4]))
    .action(async (name: string) => {
      const options = globals();
      const config = await findDestination(options, name);
      say(options, `checks ${name}: what it keeps of what backups need, and how fast it is`);
      let onAnswer = (): void => undefined;
      void tellSilence(name, new Promise<void>((resolve) => (onAnswer = resolve)));
      const report = await untilInterrupted((signal) =>
        checkDestination(name, config, {
          signal,
          onFinding(finding) {
            onAnswer();
            if (!options.json) printText(findingInWords(finding));
          },
          onLeft: (left) => tell(left === undefined ? 'what the check had stored is removed again' : leftInWords(left)),
        }),
      ).finally(() => onAnswer());
      const good = report.findings.every(({ kept }) => kept) && report.left === undefined;
      if (options.json) printJson({ destination: name, good, ...report });
      else printText(endInWords(name, report, good));
      process.exitCode = good ? EXIT.done : EXIT.failed;
    });
}

const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

/** Ctrl-C ends the check and not what it does last: to remove what it has stored. */
async function untilInterrupted(
  check: (signal: AbortSignal) => Promise<DestinationReport>,
): Promise<DestinationReport> {
  const controller = new AbortController();
  const interrupt = (): void => controller.abort(new Interrupted('interrupted'));
  for (const signal of SIGNALS) process.once(signal, interrupt);
  try {
    return await check(controller.signal);
  } finally {
    for (const signal of SIGNALS) process.removeListener(signal, interrupt);
  }
}

function findingInWords({ what, kept, seen, consequence }: Finding): string {
  if (kept) return `ok    ${what}`;
  return `FAIL  ${what}: ${seen ?? ''}\n      → ${consequence ?? ''}`;
}

function endInWords(name: string, { findings, speed, left }: DestinationReport, good: boolean): string {
  const lines = [
    ...(left === undefined ? [] : [leftInWords(left)]),
    ...(speed === undefined ? [] : speedInWords(speed)),
    '',
  ];
  const broken = findings.filter(({ kept }) => !kept).length;
  if (good) lines.push(`${name} keeps what Cofre needs of it`);
  else if (broken > 0) lines.push(`${name} does not keep ${broken} of what Cofre needs of it`);
  return lines.join('\n');
}

function leftInWords(left: string): string {
  return `FAIL  removes what the check has stored: ${left}\n      → remove it by hand`;
}

const EXAMPLE_BYTES = 10_000_000_000;

function speedInWords({ storesBytesPerSecond: stores, readsBytesPerSecond: reads, requestMs }: Speed): string[] {
  const time = (bytesPerSecond: number): string => durationInWords((EXAMPLE_BYTES / bytesPerSecond) * 1000);
  return [
    `      stores ${bytesInWords(stores)}/s, reads ${bytesInWords(reads)}/s, one object at a time; a request takes ${requestMs.toFixed(1)} ms`,
    `      a backup of 10 GB takes ${time(stores)} to store and ${time(reads)} to read back`,
  ];
}
