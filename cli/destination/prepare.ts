import type { Command } from 'commander';

import { placeOf } from '../../destinations/place.ts';
import { CofreError } from '../../errors/error.ts';
import { placeTrouble } from '../apply/places.ts';
import { EXIT } from '../exit.ts';
import { examplesAndExits } from '../help.ts';
import { confirm, printJson, say } from '../print.ts';
import type { GlobalOptions } from '../session.ts';
import { tellSilence } from '../silence.ts';
import { findDestination } from './find.ts';

export function registerPrepare(destination: Command, globals: () => GlobalOptions): void {
  destination
    .command('prepare')
    .summary('mark a place as a destination')
    .description(
      'Writes the marker into a destination, on a machine that reaches it. Without the marker nothing is written there:\n' +
        'an empty mount point, or another bucket, would look like a destination that has lost everything.',
    )
    .argument('<name>', 'the destination')
    .option('--force', 'although it holds other things', false)
    .addHelpText(
      'after',
      examplesAndExits(
        [
          'cofre destination prepare volume',
          'cofre destination prepare volume --force      one that holds other things',
        ],
        [0, 1, 2, 3],
      ),
    )
    .action(async (name: string, { force }: { force: boolean }) => {
      const options = globals();
      const place = placeOf(await findDestination(options, name));
      const state = await tellSilence(name, place.state());
      if (state === 'missing') {
        const { message, hint } = placeTrouble({ destination: name, place, state });
        throw new CofreError('not-mounted', message, { hint });
      }
      if (state === 'foreign') {
        throw new CofreError('refused', `${place.what} was prepared by something else, or by a newer Cofre`, {
          hint: 'look what is there',
        });
      }
      if (state === 'not-empty' && !force) {
        throw new CofreError('refused', `${place.what} holds other things: is it the right one?`, {
          hint: `if it is: cofre destination prepare ${name} --force`,
        });
      }
      const question =
        state === 'not-empty'
          ? `${place.what} holds other things. Prepare it for ${name} all the same?`
          : `Prepare ${place.what} for ${name}?`;
      if (state !== 'prepared' && !(await confirm(options, question))) {
        process.exitCode = EXIT.refused;
        return;
      }
      const prepared = await tellSilence(name, place.prepare({ evenIfNotEmpty: force }));
      say(
        options,
        prepared ? `prepared ${place.what}; backups can be kept there` : `${place.what} was prepared already`,
      );
      if (options.json) printJson({ destination: name, prepared });
    });
}
