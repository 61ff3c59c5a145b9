import { randomBytes } from 'node:crypto';
import { chmod, cp, mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

import { Secret } from '../config/secret.ts';
import type { PostgresTarget } from '../postgres/connect.ts';
import { startPostgres } from '../tools/embedded-postgres.ts';
import { freePort } from '../tools/free-port.ts';
import { projectFolder } from '../tools/project-folder.ts';

export type Major = 12 | 13 | 14 | 15 | 16 | 17 | 18;
export const MAJORS: readonly Major[] = [12, 13, 14, 15, 16, 17, 18];

/** A server of one version, for the tests of one file. */
export interface VersionServer {
  readonly major: Major;
  /** Its superuser, in the database `postgres`. */
  readonly superuser: PostgresTarget;
  stop(): Promise<void>;
}

/** The folder of clients that `tools/setup tests` provided; all of them have known holes. */
export function clientsFolder(major: 16 | 17 | 18): string {
  return join(projectFolder, '.tools/clients', String(major), 'bin');
}

/** Starts a new server of this version. It takes a second or two. */
export async function startVersion(
  major: Major,
  settings: Readonly<Record<string, string>> = {},
): Promise<VersionServer> {
  const folder = await mkdtemp(join(tmpdir(), `cofre-postgres-${major}-`));
  const remove = (): Promise<void> => rm(folder, { recursive: true, force: true });
  try {
    const password = randomBytes(16).toString('hex');
    const port = await freePort();
    const server = await startPostgres({
      folder: join(folder, 'server'),
      port,
      password,
      programs: await programsOf(major, folder),
      settings: { fsync: 'off', max_prepared_transactions: '5', ...settings },
    });
    const superuser = { host: '127.0.0.1', port, tls: 'off', user: 'postgres', database: 'postgres' } as const;
    return {
      major,
      superuser: { ...superuser, password: new Secret(password) },
      stop: async () => {
        await server.stop();
        await remove();
      },
    };
  } catch (error) {
    await remove();
    throw error;
  }
}

async function programsOf(major: Major, folder: string): Promise<string> {
  if (major === 15) return '/usr/lib/postgresql/15/bin';
  const installed = join(projectFolder, '.tools/postgres', String(major));
  // As root the server runs as another user, who cannot reach what lies below a folder of root alone.
  if (process.getuid?.() !== 0 || (await everybodyReaches(installed))) return join(installed, 'bin');
  await chmod(folder, 0o711);
  await cp(installed, join(folder, 'programs'), { recursive: true, verbatimSymlinks: true });
  return join(folder, 'programs/bin');
}

async function everybodyReaches(folder: string): Promise<boolean> {
  const { mode } = await stat(folder);
  if ((mode & 0o001) === 0) return false;
  return folder === dirname(folder) || (await everybodyReaches(dirname(folder)));
}
