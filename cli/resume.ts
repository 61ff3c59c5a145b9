import { hostname, userInfo } from 'node:os';

import type { Command } from 'commander';

import { examplesAndExits } from './help.ts';
import { printJson, say } from './print.ts';
import { openRoutine, timeInWords } from './routine.ts';
import { Session, type GlobalOptions } from './session.ts';

export function register(program: Command, globals: () => GlobalOptions): void {
  program
    .command('resume')
    .summary('let a paused routine start again')
    .description(
      'Ends the pause of a routine. Slots that passed meanwhile are not made up for: `cofre run` starts one now.',
    )
    .argument('<routine>', 'the routine')
    .addHelpText('after', examplesAndExits(['cofre resume nightly'], [0, 2, 4]))
    .action(async (routine: string) => {
      const options = globals();
      const session = await Session.open(options);
      try {
        const { handle, description } = await openRoutine(await session.client(), routine);
        if (description.state.paused)
          await handle.unpause(`resumed by ${userInfo().username}@${hostname()}, ${new Date().toISOString()}`);
        const next = (await handle.describe()).info.nextActionTimes[0];
        say(options, description.state.paused ? `${routine} is not paused any more` : `${routine} was not paused`);
        if (next !== undefined) say(options, `next start: ${timeInWords(next, description.spec.timezone)}`);
        if (options.json) printJson({ routine, paused: false, nextStart: next?.toISOString() ?? null });
      } finally {
        await session.close();
      }
    });
}
