import type { Manifest } from '../catalog/manifest.ts';
import { getManifest } from '../catalog/manifests.ts';
import type { Catalog } from '../catalog/open.ts';
import { acceptServer, recordedServer, recordServer } from '../catalog/servers.ts';
import { resolveSecret } from '../config/secret.ts';
import { CofreError } from '../errors/error.ts';
import type { PostgresTarget } from '../postgres/connect.ts';
import type { TargetReport } from '../sources/postgres/check-target.ts';
import { readDumpHead, requireRestorable } from '../sources/postgres/dump-head.ts';
import { archiveSpaceBytes, type ArchiveFormat } from '../sources/postgres/open-archive.ts';
import type { ExtensionWanted, RestoreTarget } from '../sources/postgres/restore-target.ts';
import { findDumpFile } from './dump-file.ts';
import type { RestorePlan } from './plans.ts';

/** Where the plan restores to; its secrets are read here, on the host that needs them. */
export async function targetOf(plan: RestorePlan): Promise<RestoreTarget> {
  return {
    admin: await adminOf(plan.server),
    database: plan.database,
    owner: plan.owner,
    roles: await Promise.all(
      plan.roles.map(async ({ name, password }) => ({ name, password: await resolveSecret(password) })),
    ),
    trusted: plan.trusted,
  };
}

/** The server as the admin role reaches it. */
export async function adminOf(server: RestorePlan['server']): Promise<PostgresTarget> {
  const { host, port, tls, admin, maintenanceDatabase } = server;
  const password = await resolveSecret(admin.password);
  return { host, port, tls, user: admin.user, password, database: maintenanceDatabase };
}

/** The part of the restore's id that its database and its login are named by. */
export function shortId({ restoreId }: Pick<RestorePlan, 'restoreId'>): string {
  return restoreId.slice(-8);
}

/** The manifest of the backup that is restored; null where there is none. */
export async function manifestOf(catalog: Catalog, plan: RestorePlan): Promise<Manifest | null> {
  return plan.source.type === 'backup' ? await getManifest(catalog, plan.source.backupId) : null;
}

export function formatOf(plan: RestorePlan): ArchiveFormat {
  return plan.source.type === 'backup' && plan.source.pipeline !== 'adopted' ? plan.source.pipeline : 'legacy';
}

/** Whether what is restored is a dump that another job made: only itself tells what it needs. */
export function isForeign({ source }: RestorePlan): boolean {
  return source.type === 'file' || (source.type === 'backup' && source.pipeline === 'adopted');
}

/**
 * The version of the pg_dump that wrote a dump without a manifest, as far as it says so.
 * @throws CofreError `not-found`, `bad-content` or `tool-version` for one that cannot be restored to this server.
 */
export async function madeBy(path: string, serverVersionNumber: number): Promise<string | undefined> {
  const head = await readDumpHead(path);
  requireRestorable(path, head, serverVersionNumber);
  return head.dumpVersion ?? undefined;
}

/** The extensions that are known before the archive is open. */
export function extensionsOf(plan: RestorePlan, manifest: Manifest | null): readonly ExtensionWanted[] {
  if (manifest?.database != null) return manifest.database.extensions;
  return withLanguage(
    plan.source.type === 'empty' ? plan.extensions.map((name) => ({ name, version: null, schema: 'public' })) : [],
  );
}

/** Every new database has PL/pgSQL, and a dump does not say so. */
export function withLanguage(extensions: readonly ExtensionWanted[]): readonly ExtensionWanted[] {
  if (extensions.some(({ name }) => name === 'plpgsql')) return extensions;
  return [{ name: 'plpgsql', version: null, schema: 'pg_catalog' }, ...extensions];
}

/** How much of the spool the restore takes. @throws CofreError what `findDumpFile` throws. */
export async function neededSpoolBytes(host: Parameters<typeof findDumpFile>[0], plan: RestorePlan): Promise<number> {
  const { source } = plan;
  if (source.type === 'empty') return 0;
  const format = formatOf(plan);
  if (source.type === 'backup') {
    const rawBytes = format === 'legacy' ? null : source.rawBytes;
    return source.sizeBytes + archiveSpaceBytes({ format, sizeBytes: source.sizeBytes, rawBytes });
  }
  const { sizeBytes } = await findDumpFile(host, source.path);
  return archiveSpaceBytes({ format, sizeBytes, rawBytes: null });
}

/**
 * A restore to another server than the one last recorded is refused while that server holds databases: it may be
 * somebody else's. A new, empty one (its containers come and go) is what `ensure` exists for.
 */
export async function requireKnownServer(
  catalog: Catalog,
  plan: RestorePlan,
  report: TargetReport,
): Promise<{ newServer: boolean }> {
  const recorded = await recordedServer(catalog, plan.environment.id);
  if (recorded === undefined || recorded.systemIdentifier === report.server.systemIdentifier)
    return { newServer: false };
  if (report.otherDatabases === 0 && report.live === null) return { newServer: true };
  throw new CofreError(
    'server-changed',
    `${plan.server.host}:${plan.server.port} is not the server on which ${plan.environment.id} was last seen, and it holds databases`,
    { hint: `if the environment moved there on purpose: cofre accept ${plan.environment.id}` },
  );
}

/** After the swap: this is the environment's server from now on. */
export async function rememberServer(
  catalog: Catalog,
  plan: RestorePlan,
  server: TargetReport['server'],
): Promise<void> {
  const seen = { systemIdentifier: server.systemIdentifier, server: plan.server.name, version: server.version };
  const recorded = await recordServer(catalog, plan.environment.id, seen);
  if (recorded.systemIdentifier === seen.systemIdentifier) return;
  await acceptServer(catalog, plan.environment.id, seen, `restore ${plan.restoreId}: a new, empty server`);
}
