import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { CONNECT_TIMEOUT_MS, type PostgresTarget } from '../../postgres/connect.ts';
import { makePrivateFolder } from '../../processes/own-folder.ts';

/**
 * Lends the environment with which PostgreSQL's own tools reach `target`, and removes the password file afterwards.
 * The database goes in PGDATABASE, where a name with `=` or quotes is only a name; the password in a file, because
 * arguments and environments can be read by others. `scratch` is a folder of this process alone, emptied when a
 * worker starts: what a killed worker left there is gone then. @throws CofreError `access-denied` when others reach it.
 */
export async function withToolEnvironment<T>(
  target: PostgresTarget,
  scratch: string,
  use: (environment: Record<string, string>) => Promise<T>,
): Promise<T> {
  await makePrivateFolder(scratch);
  const folder = await mkdtemp(join(scratch, 'login-'));
  try {
    const passfile = join(folder, 'pgpass');
    const line = ['*', '*', '*', target.user, target.password.reveal()].map(escapePassfileField).join(':');
    await writeFile(passfile, `${line}\n`, { mode: 0o600 });
    return await use({
      PGHOST: target.host,
      PGPORT: String(target.port),
      PGUSER: target.user,
      PGDATABASE: target.database,
      PGPASSFILE: passfile,
      PGSSLMODE: { off: 'disable', require: 'require', verify: 'verify-full' }[target.tls],
      PGAPPNAME: 'cofre',
      PGCONNECT_TIMEOUT: String(CONNECT_TIMEOUT_MS / 1000),
      // The same data must give the same bytes every night: pin what changes how they are written.
      PGTZ: 'UTC',
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** libpq reads `:` and `\` in a password file as syntax; `*` alone is the wildcard that we mean. */
function escapePassfileField(field: string): string {
  return field === '*' ? field : field.replace(/[\\:]/g, '\\$&');
}
