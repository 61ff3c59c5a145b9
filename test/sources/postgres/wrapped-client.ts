import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import type { Clients } from '../../../sources/postgres/clients.ts';
import { testClients } from './nasty-database.ts';

/** The real clients, but for pg_dump: a shell script in `folder`, in which `"$real"` is the real one and `"$@"` its arguments. */
export async function wrapPgDump(folder: string, script: string): Promise<Clients> {
  const clients = await testClients();
  const pgDump = join(folder, 'wrapped-pg_dump');
  await writeFile(pgDump, `#!/bin/bash\nreal=${clients.pgDump}\n${script}\n`);
  await chmod(pgDump, 0o755);
  return { ...clients, pgDump };
}
