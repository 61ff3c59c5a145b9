import { randomBytes } from 'node:crypto';
import { access, mkdir, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import pg from 'pg';

import type { Config } from '../../config/schema.ts';
import { resolveSecret, type Secret } from '../../config/secret.ts';
import { nativeCode } from '../../errors/error.ts';
import { SQLSTATE, withClient } from '../../postgres/connect.ts';
import { scramVerifier } from '../../sources/postgres/scram.ts';
import { startPostgres } from '../../tools/embedded-postgres.ts';
import type { RunningServer } from '../../tools/running-server.ts';
import { isLoopback } from './ports.ts';

/** The cluster's first superuser, with a password of its own: the roles of the configuration may be called anything else. */
const SUPERUSER = 'cofre_superuser';

/** What a login of the configuration needs. */
interface Login {
  readonly user: string;
  /** A reference. */
  readonly password: string;
  readonly attributes: string;
  readonly readsAll: boolean;
}

/**
 * Starts PostgreSQL for the catalog, with its cluster in `folder`, and makes the logins and the database that the
 * configuration names there: those of the catalog, and those of a server of `servers:` at the same address. A password
 * file that does not exist yet is made. Again is fine, after a crash too.
 */
export async function startLocalPostgres(folder: string, config: Config): Promise<RunningServer> {
  const own = `file:${join(folder, 'superuser.password')}`;
  const logins = loginsOf(config);
  for (const reference of [own, ...logins.map(({ password }) => password)]) await makePasswordFile(reference);
  const password = await resolveSecret(own);
  const { port } = config.catalog;
  const server = await startPostgres({ folder, port, superuser: SUPERUSER, password: password.reveal() });
  try {
    await makeLoginsAndDatabase(config, logins, password);
    return server;
  } catch (error) {
    await server.stop();
    throw error;
  }
}

/** The last of those with the same name has the most rights, and is the one that counts. */
function loginsOf({ catalog, servers }: Config): Login[] {
  const here = Object.values(servers).filter(({ host, port }) => isLoopback(host) && port === catalog.port);
  const plain = { attributes: '', readsAll: false };
  const logins: Login[] = [
    { ...catalog, ...plain },
    ...(catalog.owner === undefined ? [] : [{ ...catalog.owner, ...plain }]),
    ...here.map(({ backup }) => ({ ...backup, attributes: 'BYPASSRLS', readsAll: true })),
    ...here.map(({ admin }) => ({ ...admin, attributes: 'SUPERUSER', readsAll: false })),
  ];
  return [...new Map(logins.map((login) => [login.user, login])).values()];
}

async function makeLoginsAndDatabase({ catalog }: Config, logins: readonly Login[], password: Secret): Promise<void> {
  const { port, database } = catalog;
  const target = { host: '127.0.0.1', port, tls: 'off', user: SUPERUSER, password, database: 'postgres' } as const;
  await withClient(target, async (client) => {
    for (const login of logins) {
      const role = pg.escapeIdentifier(login.user);
      const { rowCount } = await client.query('SELECT FROM pg_roles WHERE rolname = $1', [login.user]);
      // Each time: the password file may be another one since.
      const verifier = pg.escapeLiteral(scramVerifier(await resolveSecret(login.password)));
      await client.query(
        `${rowCount === 0 ? 'CREATE' : 'ALTER'} ROLE ${role} LOGIN ${login.attributes} PASSWORD ${verifier}`,
      );
      if (login.readsAll) await client.query(`GRANT pg_read_all_data TO ${role}`);
    }
    const owner = pg.escapeIdentifier((catalog.owner ?? catalog).user);
    try {
      await client.query(`CREATE DATABASE ${pg.escapeIdentifier(database)} OWNER ${owner}`);
    } catch (error) {
      if (nativeCode(error) !== SQLSTATE.duplicateDatabase) throw error;
    }
  });
}

/** Makes a random password in the file of a `file:` reference, unless the file exists. */
async function makePasswordFile(reference: string): Promise<void> {
  if (!reference.startsWith('file:')) return;
  const path = reference.slice('file:'.length);
  if (
    await access(path).then(
      () => true,
      () => false,
    )
  )
    return;
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  // Under another name first: a crash must not leave an empty password.
  await writeFile(`${path}.part`, `${randomBytes(24).toString('base64url')}\n`, { mode: 0o600 });
  await rename(`${path}.part`, path);
}
