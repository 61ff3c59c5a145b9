import type { Command } from 'commander';

import { registerCheck } from './destination/check.ts';
import { registerPrepare } from './destination/prepare.ts';
import { registerRetire } from './destination/retire.ts';
import type { GlobalOptions } from './session.ts';

export function register(program: Command, globals: () => GlobalOptions): void {
  const destination = program
    .command('destination')
    .summary('prepare, check and retire a place that keeps copies')
    .description('What is done to destinations by hand.');
  registerPrepare(destination, globals);
  registerCheck(destination, globals);
  registerRetire(destination, globals);
}
