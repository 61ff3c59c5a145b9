import type { Command } from 'commander';

import { findConfigPath, loadConfig } from '../config/load.ts';
import { prepareDirectory } from '../destinations/directory-marker.ts';
import { CofreError } from '../errors/error.ts';
import { folderState, folderTrouble } from './apply/folders.ts';
import { requireKnown } from './environment.ts';
import { EXIT } from './exit.ts';
import { examplesAndExits } from './help.ts';
import { confirm, printJson, say } from './print.ts';
import type { GlobalOptions } from './session.ts';

export function register(program: Command, globals: () => GlobalOptions): void {
  const destination = program
    .command('destination')
    .summary('prepare a place that keeps copies')
    .description('What is done to destinations by hand.');
  destination
    .command('prepare')
    .summary('mark a folder as a destination')
    .description(
      'Writes the marker into the folder of a directory destination, on the machine that sees it. Without the marker nothing is\n' +
        'written there: an empty mount point would look like a destination that has lost everything.',
    )
    .argument('<name>', 'the destination')
    .option('--force', 'although the folder holds other things', false)
    .addHelpText(
      'after',
      examplesAndExits(
        [
          'cofre destination prepare volume',
          'cofre destination prepare volume --force      a folder that holds other things',
        ],
        [0, 1, 2, 3],
      ),
    )
    .action(async (name: string, { force }: { force: boolean }) => {
      const options = globals();
      const { config } = await loadConfig(findConfigPath(options.config));
      requireKnown('destination', name, Object.keys(config.destinations));
      const path = config.destinations[name]?.path ?? '';
      const state = await folderState(path);
      if (state === 'missing') {
        const { message, hint } = folderTrouble({ destination: name, path, state });
        throw new CofreError('not-mounted', message, { hint });
      }
      if (state === 'foreign') {
        throw new CofreError('refused', `${path} was prepared by something else, or by a newer Cofre`, {
          hint: 'look what is mounted there',
        });
      }
      if (state === 'not-empty' && !force) {
        throw new CofreError('refused', `${path} holds other things: is it the right folder?`, {
          hint: `if it is: cofre destination prepare ${name} --force`,
        });
      }
      const question =
        state === 'not-empty'
          ? `${path} holds other things. Prepare it for ${name} all the same?`
          : `Prepare ${path} for ${name}?`;
      if (state !== 'prepared' && !(await confirm(options, question))) {
        process.exitCode = EXIT.refused;
        return;
      }
      const prepared = await prepareDirectory(path, { evenIfNotEmpty: force });
      say(options, prepared ? `prepared ${path}; backups can be kept there` : `${path} was prepared already`);
      if (options.json) printJson({ destination: name, path, prepared });
    });
}
