import pg from 'pg';

import type { ServerFacts } from '../../catalog/manifest.ts';
import { CofreError } from '../../errors/error.ts';
import { findClients, type Clients, type FindClients } from './clients.ts';
import { withClient, type PostgresTarget } from '../../postgres/connect.ts';
import { IS_DUMPED } from './dumped.ts';
import { estimateRawBytes } from './estimate.ts';
import { readServerFacts } from './facts.ts';
import { standbyLag, standbyWarning } from './standby.ts';
import { toolVersion } from './tool-version.ts';
import { hiddenMappings } from './user-mappings.ts';

/** What is known about a source before its dump. */
export interface SourceReport {
  readonly server: ServerFacts;
  readonly databaseOid: number;
  /** On the server's disk. */
  readonly sizeBytes: number;
  readonly tools: Clients;
  /** What the raw dump will take, by sampling. */
  readonly estimatedRawBytes: number;
  readonly warnings: readonly string[];
}

const NAMED_PROBLEMS = 20;

/**
 * Proves, before a dump starts, that this host has the right tools and that the login may read everything.
 * @throws CofreError `server-denied` naming what cannot be read, with the SQL that mends it; `tool-version`,
 * `tool-missing`, `database-missing`, `server-unavailable`, `bad-config` (a connection pooler is in front), `refused`
 * (names that are not UTF-8), `standby-behind` (by more than `maxLagMs`; an hour unless told).
 */
export async function checkSource(
  target: PostgresTarget,
  { find = findClients, maxLagMs }: { readonly find?: FindClients; readonly maxLagMs?: number } = {},
): Promise<SourceReport> {
  return withClient(target, async (client) => {
    const server = await readServerFacts(client);
    const tools = await find(server.versionNumber);
    // They are needed only after the dump, which would then have been for nothing.
    for (const name of ['zstd', 'tar']) await toolVersion(name);
    const { rows } = await client.query<{
      oid: number;
      size: string;
      superuser: boolean;
      subscriptions: string;
    }>(`
      select d.oid, pg_database_size(d.oid) as size,
        (select rolsuper from pg_roles where rolname = current_user) as superuser,
        (select count(*) from pg_subscription s where s.subdbid = d.oid) as subscriptions
      from pg_database d where d.datname = current_database()`);
    const facts = rows[0];
    if (facts === undefined) throw new CofreError('database-missing', `there is no database ${target.database}`);
    if (!facts.superuser) await refuseUnreadable(client, target, server.versionNumber);

    const warnings: string[] = [];
    if (server.inRecovery) warnings.push(standbyWarning(await standbyLag(client, target, maxLagMs)));
    if (Number(facts.subscriptions) > 0 && !facts.superuser) {
      warnings.push(`${facts.subscriptions} subscription(s) are left out, because only a superuser may read them`);
    }
    warnings.push(...(await hiddenMappings(client)));
    const estimatedRawBytes = await estimateRawBytes(client);
    return { server, databaseOid: facts.oid, sizeBytes: Number(facts.size), tools, estimatedRawBytes, warnings };
  });
}

type Kind = 'schema' | 'relation' | 'rows' | 'largeObject';

/**
 * What a dump reads and this login may not: schemas, tables, sequences, rows behind row-level security, large objects.
 */
function unreadable(versionNumber: number): string {
  const mayReadLargeObject =
    versionNumber >= 180_000
      ? "has_largeobject_privilege(l.oid, 'SELECT')"
      : `pg_has_role(l.lomowner, 'USAGE') or current_setting('lo_compat_privileges')::bool or exists (
          select 1 from aclexplode(l.lomacl) a where a.privilege_type = 'SELECT' and (a.grantee = 0 or pg_has_role(a.grantee, 'USAGE')))`;
  return `
    with dumped as (
      select c.oid, c.relnamespace, c.relname, c.relkind from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where c.relkind in ('r', 'p', 'S') and ${IS_DUMPED}
    )
    select 'schema' as kind, format('schema %I', n.nspname) as name from pg_namespace n
      where n.oid in (select relnamespace from dumped) and not has_schema_privilege(n.oid, 'USAGE')
    union all
    select 'relation', format('%s %I.%I', case d.relkind when 'S' then 'sequence' else 'table' end, n.nspname, d.relname)
      from dumped d join pg_namespace n on n.oid = d.relnamespace where not has_table_privilege(d.oid, 'SELECT')
    union all
    select 'rows', format('rows of %I.%I (row-level security)', n.nspname, d.relname)
      from dumped d join pg_namespace n on n.oid = d.relnamespace where d.relkind = 'r' and row_security_active(d.oid)
    union all
    select 'largeObject', format('large object %s', l.oid) from pg_largeobject_metadata l where not (${mayReadLargeObject})`;
}

async function refuseUnreadable(client: pg.Client, target: PostgresTarget, versionNumber: number): Promise<void> {
  const { rows } = await client.query<{ kind: Kind; name: string; total: string }>(
    `select problem.*, count(*) over () as total from (${unreadable(versionNumber)}) problem limit ${NAMED_PROBLEMS}`,
  );
  const total = Number(rows[0]?.total ?? 0);
  if (total === 0) return;
  const { rows: kinds } = await client.query<{ kind: Kind }>(
    `select distinct kind from (${unreadable(versionNumber)}) problem`,
  );
  const more = total > rows.length ? ` and ${total - rows.length} more` : '';
  throw new CofreError(
    'server-denied',
    `${target.user} cannot read all of ${target.database}: ${rows.map((row) => row.name).join(', ')}${more}`,
    { hint: `as a superuser: ${mend(new Set(kinds.map((row) => row.kind)), target, versionNumber).join(' ')}` },
  );
}

function mend(kinds: ReadonlySet<Kind>, target: PostgresTarget, versionNumber: number): string[] {
  const role = pg.escapeIdentifier(target.user);
  const statements: string[] = [];
  if (kinds.has('schema') || kinds.has('relation')) {
    statements.push(
      versionNumber >= 140_000
        ? `GRANT pg_read_all_data TO ${role};`
        : forEach(grantsBySchema(pg.escapeLiteral(target.user))),
    );
  }
  if (kinds.has('rows')) statements.push(`ALTER ROLE ${role} BYPASSRLS;`);
  if (kinds.has('largeObject')) statements.push(mendLargeObjects(target, versionNumber));
  return statements;
}

/**
 * As docs/operations.md does it. Not on schemas that PUBLIC may use already: before 15 an admin that is no superuser could not
 * restore a right on the schema public.
 */
function grantsBySchema(user: string): string[] {
  const grant = (what: string, where: string): string =>
    `SELECT format('GRANT ${what} %I TO %I', nspname, ${user}) AS statement FROM pg_namespace WHERE nspname !~ '^pg_' AND ${where}`;
  const notPublic = `NOT has_schema_privilege('public', oid, 'USAGE')`;
  return [
    grant('USAGE ON SCHEMA', notPublic),
    ...['TABLES', 'SEQUENCES'].map((all) => grant(`SELECT ON ALL ${all} IN SCHEMA`, `nspname <> 'information_schema'`)),
  ];
}

/**
 * From 18 on rights can be given for the large objects of the future. Before, for this role and this database alone, it
 * reads all of them whatever their rights are; it may write them too, which default_transaction_read_only prevents in 16 and 17.
 */
function mendLargeObjects({ user, database }: PostgresTarget, versionNumber: number): string {
  const role = pg.escapeIdentifier(user);
  if (versionNumber < 180_000)
    return `ALTER ROLE ${role} IN DATABASE ${pg.escapeIdentifier(database)} SET lo_compat_privileges = on;`;
  return forEach([
    `SELECT format('GRANT SELECT ON LARGE OBJECT %s TO %I', oid, ${pg.escapeLiteral(user)}) AS statement FROM pg_largeobject_metadata`,
    `SELECT DISTINCT format('ALTER DEFAULT PRIVILEGES FOR ROLE %I GRANT SELECT ON LARGE OBJECTS TO %I', rolname, ${pg.escapeLiteral(user)}) FROM pg_largeobject_metadata JOIN pg_roles r ON r.oid = lomowner WHERE NOT rolsuper`,
  ]);
}

function forEach(statements: readonly string[]): string {
  return `DO $$ DECLARE g record; BEGIN FOR g IN ${statements.join(' UNION ALL ')} LOOP EXECUTE g.statement; END LOOP; END $$;`;
}
