import { join } from 'node:path';

import { CofreError } from '../errors/error.ts';
import { readIfThere, writeFileWhole } from './spool.ts';

const LOSSES_ALLOWED = 3;

/**
 * What a load ends with that lost the server in its middle: the same failure, and from the third time on one that is not
 * tried again, because it may be the load that ends the server (memory, the disk of its log). `folder` remembers it.
 */
export async function lostAgain(folder: string, error: CofreError): Promise<CofreError> {
  const file = join(folder, 'lost-server');
  const losses = Number((await readIfThere(file))?.toString('utf8') ?? 0) + 1;
  await writeFileWhole(file, String(losses));
  if (losses < LOSSES_ALLOWED) return error;
  return new CofreError(
    'restore-failed',
    `the server was lost ${losses} times in the middle of the load: ${error.message}`,
    {
      cause: error,
      hint: 'look into the log of the server what ended it (memory? a full disk?) before restoring again; jobs: in the policy makes a load smaller',
    },
  );
}
