import type pg from 'pg';

import type { DatabaseFacts, ServerFacts } from '../../catalog/manifest.ts';
import { CofreError, messageOf } from '../../errors/error.ts';
import { invalidDatabase, withClient } from '../../postgres/connect.ts';
import { readServerFacts } from './facts.ts';
import { findLacks, refuseLacks } from './restore-lacks.ts';
import type { ExtensionWanted, RestoreTarget } from './restore-target.ts';
import { describeLeftOut, findMemberships } from './roles.ts';
import { refusePrivileged } from './table-of-contents.ts';

/** What a restore will meet and do on a server: its plan is printed from this. */
export interface TargetReport {
  readonly server: ServerFacts;
  /** The database that would be replaced; null: there is none. */
  readonly live: { readonly oid: number } | null;
  /** Other databases with something of their own: 0 on a new server. The server's and Cofre's are not counted. */
  readonly otherDatabases: number;
  readonly extensions: readonly { readonly name: string; readonly recorded: string | null; readonly version: string }[];
  readonly roles: {
    readonly toCreate: readonly string[];
    /** They exist with other attributes than at the source, in words; a restore leaves them as they are. */
    readonly different: readonly { readonly name: string; readonly differences: readonly string[] }[];
    /** Of roles that exist: a restore gives them these memberships, which they have at the source. */
    readonly memberships: readonly { readonly role: string; readonly member: string }[];
  };
  readonly warnings: readonly string[];
}

export interface BackupToCheck {
  /** null for a dump without a manifest. */
  readonly facts: DatabaseFacts | null;
  /** `server_version_num` of the source; null when nothing tells it. */
  readonly serverVersionNumber: number | null;
  readonly extensions: readonly ExtensionWanted[];
}

/**
 * Finds out, changing nothing, whether a backup can be restored to `target`. SQL cannot tell how much room a
 * server's disk has, so that is not checked here.
 * @throws CofreError `tool-version` (an older server), `tool-missing` (extensions), `server-denied`, `refused` (a
 * standby, a locale that the server lacks, a database that was half dropped), `privileged-objects`, `bad-config`.
 */
export async function checkTarget(target: RestoreTarget, backup: BackupToCheck): Promise<TargetReport> {
  if (target.admin.database === target.database) {
    throw new CofreError(
      'bad-config',
      `the admin connects to ${target.database} itself: it needs a maintenance database such as postgres`,
    );
  }
  if (!target.trusted && backup.facts !== null) refusePrivileged(backup.facts.privileged);
  return withClient(target.admin, async (client) => {
    const server = await readServerFacts(client);
    checkServer(server, backup.serverVersionNumber);
    const extensions = await findExtensions(client, backup.extensions, server);
    refuseLacks(target.admin.user, await findLacks(client, target, backup));
    if (backup.facts !== null) await tryLocale(client, backup.facts);
    const roles = await compareRoles(client, target, backup.facts);
    const { missing, leftOut } = await findMemberships(client, backup.facts?.memberships ?? []);
    return {
      server,
      live: await findLive(client, target.database),
      otherDatabases: await countOthers(client, target),
      extensions,
      roles: { ...roles, memberships: missing.filter(({ member }) => !roles.toCreate.includes(member)) },
      warnings: [
        ...extensions.flatMap(({ name, recorded, version }) =>
          recorded === null || recorded === version
            ? []
            : [
                `the extension ${name} was ${recorded} at the source; this server has not that version and takes ${version}`,
              ],
        ),
        ...warnOfRoles(target, backup.facts, roles.toCreate),
        ...leftOut.map(describeLeftOut),
      ],
    };
  });
}

function checkServer(server: ServerFacts, sourceVersion: number | null): void {
  if (server.inRecovery) throw new CofreError('refused', 'the server is a standby: nothing can be restored there');
  const major = Math.floor(server.versionNumber / 10_000);
  const sourceMajor = sourceVersion === null ? major : Math.floor(sourceVersion / 10_000);
  if (major >= sourceMajor) return;
  throw new CofreError(
    'tool-version',
    `the backup was made on PostgreSQL ${sourceMajor}, and this server is PostgreSQL ${major}`,
    {
      hint: `restore to a server of version ${sourceMajor} or newer`,
    },
  );
}

async function findExtensions(
  client: pg.Client,
  wanted: readonly ExtensionWanted[],
  server: ServerFacts,
): Promise<TargetReport['extensions']> {
  const { rows } = await client.query<{ name: string; version: string | null; versions: string[] }>(
    `SELECT e.name, e.default_version AS version, array_agg(v.version::text) AS versions
       FROM pg_available_extensions e JOIN pg_available_extension_versions v ON v.name = e.name
      WHERE e.name = ANY($1) GROUP BY 1, 2`,
    [wanted.map(({ name }) => name)],
  );
  const available = new Map(rows.map((row) => [row.name, row]));
  const lacking = wanted.flatMap(({ name, version }) => {
    const found = available.get(name);
    if (found === undefined) return [version === null ? name : `${name} ${version}`];
    const older = version !== null && [found.version ?? '', ...found.versions].every((has) => isOlder(has, version));
    return older ? [`${name} ${version} (it has only ${found.version})`] : [];
  });
  if (lacking.length > 0) {
    throw new CofreError('tool-missing', `the server lacks extensions that the backup needs: ${lacking.join(', ')}`, {
      hint: `install or upgrade them on the server: on Debian they are in postgresql-contrib or postgresql-${Math.floor(server.versionNumber / 10_000)}-<name>`,
    });
  }
  return wanted.map(({ name, version }) => {
    const found = available.get(name);
    const chosen = version !== null && found?.versions.includes(version) === true ? version : (found?.version ?? '');
    return { name, recorded: version, version: chosen };
  });
}

/** By their numbers, in order: `1.4` and `1.10`. What has none, such as `unpackaged`, is not called older. */
function isOlder(version: string, than: string): boolean {
  const [a, b] = [version, than].map((text) => (text.match(/\d+/g) ?? []).map(Number));
  if (a === undefined || b === undefined || a.length === 0) return false;
  const at = b.findIndex((number, index) => number !== (a[index] ?? 0));
  return at !== -1 && (a[at] ?? 0) < (b[at] ?? 0);
}

/** Makes a collation of the same locale in a transaction that is rolled back: the one answer that holds for all. */
async function tryLocale(client: pg.Client, facts: DatabaseFacts): Promise<void> {
  const { escapeLiteral } = client;
  const same = await client.query(
    'SELECT FROM pg_database WHERE datcollate = $1 AND datctype = $2 AND pg_encoding_to_char(encoding) = $3',
    [facts.collate, facts.ctype, facts.encoding],
  );
  const { collate, ctype, localeProvider, icuLocale } = facts;
  const libc = `provider = libc, lc_collate = ${escapeLiteral(collate)}, lc_ctype = ${escapeLiteral(ctype)}`;
  const icu = `provider = icu, locale = ${escapeLiteral(icuLocale ?? '')}`;
  const tried = [
    ...(same.rows.length > 0 ? [] : [{ locale: libc, named: `libc, ${collate}` }]),
    ...(localeProvider === 'icu' ? [{ locale: icu, named: `icu, ${icuLocale ?? ''}` }] : []),
  ];
  for (const { locale, named } of tried) {
    await client.query('BEGIN');
    try {
      await client.query(`CREATE COLLATION pg_temp.cofre_trial (${locale})`);
    } catch (cause) {
      // A locale of another encoding than this session's is refused too, but only after it was found.
      if (/encoding/.test(messageOf(cause))) continue;
      throw new CofreError('refused', `the server has not the locale of the backup (${named}): ${messageOf(cause)}`, {
        cause,
        hint: 'install the locale on the server (Debian: the packages locales or locales-all, then restart PostgreSQL)',
      });
    } finally {
      await client.query('ROLLBACK');
    }
  }
}

/** What PostgreSQL writes as connection limit of a database whose DROP DATABASE was begun and not finished. */
const INVALID_LIMIT = -2;

async function findLive(client: pg.Client, name: string): Promise<TargetReport['live']> {
  const { rows } = await client.query<{ oid: number; connectionLimit: number }>(
    'SELECT oid::int8::float8 AS oid, datconnlimit AS "connectionLimit" FROM pg_database WHERE datname = $1',
    [name],
  );
  const [live] = rows;
  if (live === undefined) return null;
  if (live.connectionLimit !== INVALID_LIMIT) return { oid: live.oid };
  // Neither there, for those who need it, nor not there.
  throw invalidDatabase({ database: name });
}

async function countOthers(client: pg.Client, target: RestoreTarget): Promise<number> {
  const { rows } = await client.query<{ count: number }>(
    `SELECT count(*)::int AS count FROM pg_database
      WHERE NOT datistemplate AND datname <> ALL($1) AND datname !~ '__(restore|old)_[a-z0-9]{4,16}$'`,
    [['postgres', 'template0', 'template1', target.admin.database, target.database]],
  );
  return rows[0]?.count ?? 0;
}

async function compareRoles(
  client: pg.Client,
  target: RestoreTarget,
  facts: DatabaseFacts | null,
): Promise<Omit<TargetReport['roles'], 'memberships'>> {
  const logins = target.roles.map(({ name }) => name);
  const recorded = facts?.roles.filter(({ name }) => !name.startsWith('pg_')) ?? [];
  const names = [...new Set([...logins, target.owner, ...recorded.map(({ name }) => name)])];
  const { rows } = await client.query<Record<string, unknown> & { name: string }>(
    `SELECT rolname AS name, rolcanlogin AS login, rolsuper AS superuser, rolinherit AS inherit, rolcreaterole AS "createRole",
            rolcreatedb AS "createDatabase", rolreplication AS replication, rolbypassrls AS "bypassRowSecurity",
            rolconnlimit AS "connectionLimit"
       FROM pg_roles WHERE rolname = ANY($1)`,
    [names],
  );
  const different = rows.flatMap((row) => {
    const role = recorded.find(({ name }) => name === row.name) ?? (logins.includes(row.name) ? { login: true } : {});
    const differences = Object.entries(role).flatMap(([attribute, value]) =>
      row[attribute] === value ? [] : [`${attribute} is ${String(row[attribute])} here, ${value} expected`],
    );
    return differences.length === 0 ? [] : [{ name: row.name, differences }];
  });
  return { toCreate: names.filter((name) => !rows.some((row) => row.name === name)), different };
}

/** What a role had at the source and a role that a restore creates has not. */
function warnOfRoles(target: RestoreTarget, facts: DatabaseFacts | null, toCreate: readonly string[]): string[] {
  const created = facts?.roles.filter(({ name }) => toCreate.includes(name)) ?? [];
  return created.flatMap((role) => {
    const attributes = [
      ...(role.superuser ? ['SUPERUSER'] : []),
      ...(role.createRole ? ['CREATEROLE'] : []),
      ...(role.createDatabase ? ['CREATEDB'] : []),
      ...(role.replication ? ['REPLICATION'] : []),
      ...(role.bypassRowSecurity ? ['BYPASSRLS'] : []),
    ];
    const hasPassword = target.roles.some(({ name }) => name === role.name);
    return [
      ...(role.login && !hasPassword
        ? [
            `the role ${role.name} is created without login: give it a password in roles: of the environment's database:`,
          ]
        : []),
      ...(attributes.length === 0
        ? []
        : [`the role ${role.name} is created without ${attributes.join(', ')}, which it has at the source`]),
    ];
  });
}
