import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';

import type { DatabaseFacts } from '../catalog/manifest.ts';
import { CofreError } from '../errors/error.ts';
import { withClient } from '../postgres/connect.ts';
import { listArchive, readLegacyFacts } from '../sources/postgres/archive-sql.ts';
import { compareWithManifest } from '../sources/postgres/compare.ts';
import { createDatabase, discardLoad, extensionSchemas } from '../sources/postgres/create-database.ts';
import { readServerFacts } from '../sources/postgres/facts.ts';
import { loadDatabase } from '../sources/postgres/load.ts';
import type { OpenArchive } from '../sources/postgres/open-archive.ts';
import type { ExtensionWanted, Replacement, RestoreTarget } from '../sources/postgres/restore-target.ts';
import { createRestoreLogin, describeLeftOut, ensureRoles } from '../sources/postgres/roles.ts';
import { planEntries, type RestorePlan as EntryPlan } from '../sources/postgres/table-of-contents.ts';
import type { HostDependencies } from './backup.ts';
import type { RestorePlan } from './plans.ts';
import { extensionsOf, isForeign, madeBy, manifestOf, shortId, targetOf, withLanguage } from './restore-target.ts';
import type { FetchedArchive, LoadReport } from './reports.ts';
import { lostAgain } from './lost-server.ts';
import { readIfThere, type Spool } from './spool.ts';
import type { Step } from './step.ts';
import { told } from './told.ts';

/**
 * The whole way from an unpacked archive to a database that has been compared: roles, a new and closed database,
 * extensions, load, comparison. After a failure nothing of it is left; after a kill the next attempt starts anew.
 */
export async function loadAndCompare(
  { catalog, spool, findClients, stallMs }: HostDependencies,
  plan: RestorePlan,
  attempt: string,
  { signal, report, atOnce }: Step,
): Promise<LoadReport> {
  const startedAt = Date.now();
  const phases: { phase: string; startedAt: number }[] = [{ phase: 'prepare', startedAt }];
  const enter = (phase: string): void => {
    if (phases.at(-1)?.phase !== phase) phases.push({ phase, startedAt: Date.now() });
  };
  const id = shortId(plan);
  const target = await targetOf(plan);
  const manifest = await manifestOf(catalog, plan);
  const server = await withClient(target.admin, readServerFacts);
  const { versionNumber } = server;
  await mkdir(spool.scratch, { recursive: true, mode: 0o700 });
  const archive = await archiveOf(spool, plan, attempt);
  const facts = manifest?.database ?? null;
  const wasMadeBy = isForeign(plan) ? await madeBy(archive.path, versionNumber) : manifest?.tools['pg_dump'];
  const { pgRestore } = await findClients(versionNumber, wasMadeBy);
  const contents = await readContents({ plan, facts, archive, pgRestore, scratch: spool.scratch, signal, target });
  const roles = await ensureRoles(target, facts);
  const login = await createRestoreLogin(target.admin, id);
  let replacement: Replacement | undefined;
  try {
    replacement = await createDatabase(target, {
      id,
      login,
      shape: facts,
      extensions: contents.extensions,
    });
    const warnings = await loadDatabase({
      target,
      id,
      replacement,
      login,
      pgRestore,
      archive,
      plan: contents.entries,
      facts,
      jobs: atOnce(plan.jobs),
      scratch: spool.scratch,
      records: spool.records,
      stallMs,
      signal,
      onProgress: ({ phase, bytes }) => {
        enter(phase);
        report({
          doing: `load: ${phase}`,
          bytes,
          ...(facts === null ? {} : { ofBytes: facts.sizeBytes }),
        });
      },
    });
    enter('compare');
    report({ doing: 'compare' });
    signal.throwIfAborted();
    const comparison = await compareWithManifest(target, replacement, manifest?.content ?? null, facts, plan.jobs);
    const endedAt = Date.now();
    return {
      ...replacement,
      rows: comparison.rows,
      tables: comparison.tables,
      compared: comparison.compared
        ? 'compared with the manifest: equal'
        : 'counted; there is no manifest to compare with',
      warnings: told([...roles.leftOut.map(describeLeftOut), ...warnings]),
      tookMs: endedAt - startedAt,
      phases: phases.map((entered, index) => ({
        phase: entered.phase,
        tookMs: (phases[index + 1]?.startedAt ?? endedAt) - entered.startedAt,
      })),
    };
  } catch (error) {
    const lost = error instanceof CofreError && error.code === 'server-unavailable' && !signal.aborted;
    const failure =
      lost && plan.source.type !== 'empty'
        ? await lostAgain(spool.folder(plan.environment.id, plan.restoreId, attempt), error)
        : error;
    // Only what this attempt made: a frozen one that wakes up must not take its successor's database away. Where this
    // fails too, as on a server that is down or full, the next attempt does it, or the run's end, which tells what stays.
    await discardLoad(target, { id, made: { login, replacement } }).catch(() => undefined);
    throw failure;
  }
}

/** What the fetch unpacked. @throws CofreError `host-unavailable` when it is not there any more. */
async function archiveOf(spool: Spool, plan: RestorePlan, attempt: string): Promise<OpenArchive> {
  if (plan.source.type === 'empty') return { path: '', format: 'custom' };
  const bytes = await readIfThere(join(spool.folder(plan.environment.id, plan.restoreId, attempt), 'fetched.json'));
  if (bytes === undefined) {
    throw new CofreError('host-unavailable', `the fetched files of ${plan.restoreId} are gone from the spool`, {
      hint: 'look what empties the spool, then restore again',
    });
  }
  return (JSON.parse(bytes.toString('utf8')) as FetchedArchive).archive;
}

interface Contents {
  readonly entries: EntryPlan;
  readonly extensions: readonly ExtensionWanted[];
}

/** Who restores what. @throws CofreError `privileged-objects` before anything is made. */
async function readContents(request: {
  plan: RestorePlan;
  facts: DatabaseFacts | null;
  archive: OpenArchive;
  pgRestore: string;
  scratch: string;
  signal: AbortSignal;
  target: RestoreTarget;
}): Promise<Contents> {
  const { plan, facts, archive, pgRestore, scratch, signal } = request;
  if (plan.source.type === 'empty') {
    const nothing: EntryPlan = { skipped: [], preData: [], data: [], postData: [], postDataAdmin: [], acl: [] };
    return { entries: nothing, extensions: extensionsOf(plan, null) };
  }
  const { entries } = await listArchive(pgRestore, archive, {
    signal,
    knownRoles: facts?.roles.map(({ name }) => name) ?? [plan.owner],
  });
  const legacy = facts === null ? await readLegacyFacts(pgRestore, archive, entries, scratch, { signal }) : null;
  const extensions = facts?.extensions ?? withLanguage(legacy?.extensions ?? []);
  return {
    extensions,
    entries: planEntries(entries, {
      extensionSchemas: extensionSchemas(extensions),
      privileged: facts?.privileged ?? legacy?.privileged ?? [],
      trusted: plan.trusted,
      legacy: facts === null,
    }),
  };
}
