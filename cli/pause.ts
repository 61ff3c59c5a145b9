import { hostname, userInfo } from 'node:os';

import type { Command } from 'commander';

import { CofreError } from '../errors/error.ts';
import { examplesAndExits } from './help.ts';
import { printJson, say } from './print.ts';
import { openRoutine } from './routine.ts';
import { Session, type GlobalOptions } from './session.ts';

export function register(program: Command, globals: () => GlobalOptions): void {
  program
    .command('pause')
    .summary('stop a routine from starting')
    .description(
      'Stops a routine from starting by itself until `cofre resume`. A run that is going on goes on; `cofre apply` keeps the pause.',
    )
    .argument('<routine>', 'the routine')
    .requiredOption('--reason <text>', 'why, for whoever finds it paused')
    .addHelpText('after', examplesAndExits(['cofre pause nightly --reason "the storage is being replaced"'], [0, 2, 4]))
    .action(async (routine: string, { reason }: { reason: string }) => {
      if (reason.trim() === '')
        throw new CofreError('bad-input', 'the reason is empty', { hint: 'say why in a few words' });
      const options = globals();
      const session = await Session.open(options);
      try {
        const { handle, description } = await openRoutine(await session.client(), routine);
        const note = `${reason.trim()} (${userInfo().username}@${hostname()}, ${new Date().toISOString()})`;
        await handle.pause(note);
        if (description.state.paused)
          say(options, `${routine} was paused already: ${description.state.note ?? 'no reason given'}`);
        say(options, `${routine} is paused: ${note}`);
        say(options, `next: cofre resume ${routine}`);
        if (options.json) printJson({ routine, paused: true, note });
      } finally {
        await session.close();
      }
    });
}
