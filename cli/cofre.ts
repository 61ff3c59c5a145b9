#!/usr/bin/env node
import { Command, CommanderError } from 'commander';

import { CofreError, messageOf } from '../errors/error.ts';
import { forbidCoreDumps } from '../processes/core-dumps.ts';
import { collectGarbageAtOnce } from '../processes/garbage.ts';
import { VERSION } from '../version.ts';
import { EXIT } from './exit.ts';
import { reportFailure } from './failure.ts';
import { tell } from './print.ts';
import type { GlobalOptions } from './session.ts';

interface CommandModule {
  register(program: Command, globals: () => GlobalOptions): void;
}

/** Only the named one is loaded: `ensure` is called many times a minute and must not wait for the others' libraries. */
const COMMANDS: Readonly<Record<string, Readonly<Record<string, () => Promise<CommandModule>>>>> = {
  'Backups and restores:': {
    backup: () => import('./backup.ts'),
    restore: () => import('./restore.ts'),
    ensure: () => import('./ensure.ts'),
    copy: () => import('./copy.ts'),
    verify: () => import('./verify.ts'),
    sync: () => import('./sync.ts'),
    hold: () => import('./hold.ts'),
    release: () => import('./release.ts'),
    backups: () => import('./backups.ts'),
    show: () => import('./show.ts'),
    status: () => import('./status.ts'),
  },
  'Runs and routines:': {
    runs: () => import('./runs.ts'),
    follow: () => import('./follow-run.ts'),
    cancel: () => import('./cancel.ts'),
    run: () => import('./run.ts'),
    pause: () => import('./pause.ts'),
    resume: () => import('./resume.ts'),
  },
  'Setting up:': {
    up: () => import('./up.ts'),
    worker: () => import('./worker.ts'),
    apply: () => import('./apply.ts'),
    doctor: () => import('./doctor.ts'),
    accept: () => import('./accept.ts'),
    destination: () => import('./destination.ts'),
    catalog: () => import('./catalog.ts'),
  },
};

const program = new Command('cofre')
  .description('Durable, provable and audited backups and restores of PostgreSQL environments.')
  .version(VERSION, '--version', 'print the version')
  .option('--config <file>', 'the configuration (else COFRE_CONFIG, ./cofre.yaml, /etc/cofre/cofre.yaml)')
  .option('--json', 'one JSON document on stdout; everything for people goes to stderr')
  .option('--no-follow', 'start, print the workflow id, leave')
  .option('--quiet', 'print nothing but results and errors')
  .option('--yes', 'do not ask')
  .configureHelp({ showGlobalOptions: true })
  // Usage errors are thrown and printed like every other failure.
  .configureOutput({ outputError: () => undefined })
  .exitOverride();

const args = process.argv.slice(2);
const globals = (): GlobalOptions => ({
  json: false,
  quiet: false,
  yes: false,
  ...program.opts<Partial<GlobalOptions> & Pick<GlobalOptions, 'follow'>>(),
});

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // `cofre backups | head`: whoever reads has enough.
  if (error.code === 'EPIPE') process.exit();
  throw error;
});

// Never with the fields that an error carries: what `pg` puts there quotes rows.
process.on('uncaughtException', (error) => {
  tell(`cofre: ${error.stack ?? messageOf(error)}`);
  process.exit(EXIT.failed);
});

collectGarbageAtOnce();
try {
  forbidCoreDumps();
} catch {
  // `ensure` runs in the images of applications, where the tool may be missing; the worker insists on it.
}

try {
  await registerCommands(nameOfCommand(args));
  await program.parseAsync(args, { from: 'user' });
} catch (error) {
  process.exitCode = exitAfter(error);
}

async function registerCommands(wanted: string | undefined): Promise<void> {
  const known = Object.values(COMMANDS).some((group) => wanted !== undefined && Object.hasOwn(group, wanted));
  for (const [heading, group] of Object.entries(COMMANDS)) {
    program.commandsGroup(heading);
    for (const [name, load] of Object.entries(group)) {
      if (!known || name === wanted) (await load()).register(program, globals);
    }
  }
  program.commandsGroup('Help:');
}

/** The first word that is neither an option nor the value of one. */
function nameOfCommand(words: readonly string[]): string | undefined {
  return words.find((word, index) => !word.startsWith('-') && words[index - 1] !== '--config');
}

function exitAfter(error: unknown): number {
  const options = { json: args.includes('--json') };
  if (!(error instanceof CommanderError)) return reportFailure(error, options);
  if (error.exitCode === 0) return EXIT.done;
  if (error.code === 'commander.help') return EXIT.usage;
  const [message = '', suggestion] = error.message.replace(/^error: /, '').split('\n');
  const name = nameOfCommand(args);
  const help =
    name !== undefined && error.code !== 'commander.unknownCommand' ? `cofre ${name} --help` : 'cofre --help';
  const hint = suggestion === undefined ? `see ${help}` : suggestion.replace(/^\(Did/, 'did').replace(/\)$/, '');
  return reportFailure(new CofreError('bad-input', message, { hint }), options);
}
