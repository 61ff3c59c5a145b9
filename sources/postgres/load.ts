import pg from 'pg';

import type { DatabaseFacts } from '../../catalog/manifest.ts';
import { CofreError, nativeCode } from '../../errors/error.ts';
import { SQLSTATE, withClient } from '../../postgres/connect.ts';
import type { ToolContext } from '../../processes/tool.ts';
import { readAdminRights } from './admin-rights.ts';
import { analyzeDatabase } from './analyze.ts';
import { openToLogin } from './create-database.ts';
import { handOver } from './hand-over.ts';
import type { OpenArchive } from './open-archive.ts';
import { runPgRestore, UNLOGGED, type PgRestoreRun, type RestoreHow } from './pg-restore.ts';
import { restoreStatement, withAdminIn, type Replacement, type RestoreTarget } from './restore-target.ts';
import { holdSecrets, namesOf } from './restore-failure.ts';
import { dropRestoreLogin, type RestoreLogin } from './roles.ts';
import { settingsWithValues, settingStatement } from './settings.ts';
import type { RestorePlan, TocEntry } from './table-of-contents.ts';

const { escapeIdentifier } = pg;

export interface LoadRequest extends ToolContext {
  readonly target: RestoreTarget;
  readonly id: string;
  readonly replacement: Replacement;
  readonly login: RestoreLogin;
  readonly pgRestore: string;
  readonly archive: OpenArchive;
  readonly plan: RestorePlan;
  /** null for a dump without a manifest. */
  readonly facts: DatabaseFacts | null;
  readonly jobs: number;
  readonly scratch: string;
  readonly stallMs: number;
  readonly onProgress?: ((progress: LoadProgress) => void) | undefined;
}

export interface LoadProgress {
  readonly phase: 'schema' | 'data' | 'indexes' | 'analyze' | 'rights';
  /** Size of the new database so far. */
  readonly bytes: number;
}

/**
 * Fills a database that `createDatabase` made, and gives everything in it to its owner at the source, or to the
 * environment's owner where that was the database's; the login that restored is gone afterwards. The database stays closed. Not to be repeated on the same database: after a failure
 * or a kill, `createDatabase` starts again with a new one, or `discardLoad` ends it. Answers with warnings.
 * @throws CofreError `restore-failed` naming the lost objects; `tool-stalled`, `no-space`, `server-unavailable`.
 */
export async function loadDatabase(request: LoadRequest): Promise<readonly string[]> {
  const { plan, target, replacement, login } = request;
  const { preData, data, postData, postDataAdmin, acl } = plan;
  const names = namesOf([...preData.flatMap(({ entries }) => entries), ...data, ...postData, ...postDataAdmin, ...acl]);
  const { superuser } = await withClient(target.admin, readAdminRights);
  let phase: LoadProgress['phase'] = 'schema';
  const tell = (bytes: number): void => request.onProgress?.({ phase, bytes });
  const restore = (
    by: 'login' | 'admin',
    entries: readonly TocEntry[],
    jobs: number,
    how?: RestoreHow,
  ): Promise<void> => {
    const who = by === 'admin' ? target.admin : { ...target.admin, user: login.user, password: login.password };
    const run: PgRestoreRun = {
      ...request,
      jobs,
      names,
      admin: target.admin,
      target: { ...who, database: replacement.name },
      onProgress: tell,
    };
    return runPgRestore(run, entries, { ...how, unlogged: by === 'admin' && superuser && holdSecrets(entries) });
  };

  // One process: each object may need the one before it, whoever makes it.
  for (const segment of plan.preData) {
    await restore(segment.by, segment.entries, 1);
    if (segment.by === 'admin') {
      await withAdminIn(target, replacement, (client) => giveToLogin(client, request, segment.entries));
    }
  }
  phase = 'data';
  await restore('login', plan.data, request.jobs);
  phase = 'indexes';
  // All the data are there: what else is lost costs little to learn.
  await restore('login', plan.postData, request.jobs, { goOn: true });
  phase = 'analyze';
  tell(0);
  await analyzeDatabase({ ...target.admin, ...login, database: replacement.name }, request.jobs);
  phase = 'rights';
  tell(0);
  const warnings = await withAdminIn(target, replacement, (client) => handOver(client, request));
  // Rights after ownership: an owner that changes later would take the rights of the one before with it.
  await restore('admin', superuser ? acl : await withoutPublic(request), 1, { rights: true });
  // Last: from now on event triggers see what is done.
  await restore('admin', plan.postDataAdmin, 1);
  // After the last session of ours that has work to do there: they also apply to ours.
  const unread = await withAdminIn(target, replacement, (client) => replaySettings(client, request, superuser));
  if (!(await dropRestoreLogin(target.admin, request.id, login))) {
    throw new CofreError('restore-failed', `something of the restored database still belongs to ${login.user}`);
  }
  return [...warnings, ...unread];
}

/**
 * What only the admin could make stays with the admin, unless it belonged to an ordinary role at the source:
 * then it goes the way of everything else. Never the function of an event trigger: superusers run it, so who may replace
 * it would have their rights.
 */
async function giveToLogin(
  client: pg.Client,
  { facts, login }: LoadRequest,
  entries: readonly TocEntry[],
): Promise<void> {
  const ordinary = new Set(facts?.roles.filter(({ superuser }) => !superuser).map(({ name }) => name));
  for (const { type, schema, name, owner } of entries) {
    if (!ordinary.has(owner)) continue;
    const { rows } = await client.query<{ statement: string }>(
      `SELECT format('ALTER ROUTINE %s OWNER TO %I', p.oid::regprocedure, $4::text) AS statement
         FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        WHERE $1 IN ('FUNCTION', 'PROCEDURE') AND p.prorettype <> 'event_trigger'::regtype AND n.nspname = $2 AND p.proname || '(' || oidvectortypes(p.proargtypes) || ')' = $3
       UNION ALL
       SELECT format('ALTER TYPE %s OWNER TO %I', t.oid::regtype, $4::text)
         FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
        WHERE $1 = 'TYPE' AND n.nspname = $2 AND t.typname = $3
       UNION ALL
       SELECT format('ALTER SERVER %I OWNER TO %I', srvname, $4::text) FROM pg_foreign_server WHERE $1 = 'SERVER' AND srvname = $3`,
      [type, schema, name, login.user],
    );
    for (const { statement } of rows) await client.query(statement);
  }
  await openToLogin(client, login.user);
}

/**
 * Before 15 only a superuser gives rights on the schema public. Where the manifest says that it is as a server makes it, there
 * are none but those of the login that backs up, which it has through PUBLIC all the same.
 */
async function withoutPublic({ plan, target, facts }: LoadRequest): Promise<readonly TocEntry[]> {
  const { versionNumber } = await withClient(target.admin, readAdminRights);
  if (versionNumber >= 150_000 || facts?.needs?.changedPublic !== false) return plan.acl;
  return plan.acl.filter(({ type, schema, name }) => !(type === 'ACL' && schema === null && name === 'SCHEMA public'));
}

/** What `pg_dump` leaves out without --create. Gives warnings. */
async function replaySettings(client: pg.Client, request: LoadRequest, superuser: boolean): Promise<string[]> {
  const { facts, replacement } = request;
  if (facts === null) return [];
  const database = replacement.name;
  await client.query(`ALTER DATABASE ${escapeIdentifier(database)} CONNECTION LIMIT ${facts.connectionLimit}`);
  const { read, unread } = await settingsWithValues({ ...request, facts });
  if (superuser) for (const setting of UNLOGGED) await client.query(`SET ${setting}`);
  const left: string[] = [];
  for (const one of read) {
    const { role, name, superuser: ofSuperusers } = one.setting;
    const what = `the setting ${name} of ${role ?? 'the database'} could not be restored`;
    // With an admin that is none, every other one was refused before: it is of the login that backs up.
    const mayStay = ofSuperusers && !superuser;
    try {
      await restoreStatement(client, what, settingStatement(one, database), mayStay ? 'ours' : 'theirs');
    } catch (error) {
      if (!mayStay || !(error instanceof CofreError) || nativeCode(error.cause) !== SQLSTATE.insufficientPrivilege)
        throw error;
      left.push(`${what}; as a superuser: ${settingStatement(one, request.target.database)};`);
    }
  }
  return [
    ...left,
    ...unread.map((name) => `the value of the setting ${name} could not be read out of the backup: set it again`),
  ];
}
