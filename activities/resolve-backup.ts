import { startBackup } from '../catalog/backups.ts';
import type { Catalog } from '../catalog/open.ts';
import { lastSizes } from '../catalog/verified-backup.ts';
import { aliasKey } from '../config/alias.ts';
import { durationMs } from '../config/duration.ts';
import type { EnvironmentConfig, PolicyConfig } from '../config/schema.ts';
import { CofreError } from '../errors/error.ts';
import { environmentReference, hostsOf, namedDestination, readApplied, resolveEnvironment } from './applied.ts';
import { sees, type BackupPlan } from './plans.ts';

export interface BackupRequest {
  readonly environment: string;
  readonly to?: readonly string[];
  readonly routine?: string;
  readonly endsAt?: string;
  readonly backupId: string;
  readonly workflowId: string;
  readonly runId: string;
  readonly startedAt: string;
}

/** Resolves a backup from the configuration that is current now, and enters it in the catalog as running. */
export async function resolveBackup(catalog: Catalog, request: BackupRequest): Promise<BackupPlan> {
  const { version, config } = await readApplied(catalog);
  const { id, environment, policy, server, serverName } = resolveEnvironment(config, request.environment);
  const destinations = [...new Set(request.to ?? policy.copies.to)].map((name) => namedDestination(config, name));
  // A dump lies on one host's disk, so that host must be able to bring it everywhere.
  const hosts = hostsOf(config, environment).filter((host) => destinations.every((to) => sees(host, to.config)));
  if (hosts.length === 0) {
    const names = destinations.map(({ name }) => name).join(', ');
    throw new CofreError('bad-config', `no host of ${id} can reach all of its destinations (${names})`, {
      hint: 'give the destinations `hosts:` that serve the environment, then cofre apply',
    });
  }
  const endsAt = new Date(Date.parse(request.startedAt) + durationMs(policy.endsWithin)).toISOString();
  const plan: BackupPlan = {
    backupId: request.backupId,
    startedAt: request.startedAt,
    configVersion: version,
    environment: environmentReference(id, environment),
    hosts,
    server: serverReference(serverName, server),
    database: environment.database.name,
    jobs: policy.jobs,
    pipeline: policy.pipeline,
    trusted: environment.database.trusted,
    destinations,
    complete: request.to === undefined ? (policy.copies.complete ?? destinations.length) : destinations.length,
    endsAt: request.endsAt !== undefined && request.endsAt < endsAt ? request.endsAt : endsAt,
    ...aliasOf(environment, policy, destinations),
    lastSizes: await lastSizes(catalog, id),
  };
  await startBackup(catalog, {
    id: plan.backupId,
    environment: id,
    kind: 'database',
    mode: 'full',
    pipeline: plan.pipeline,
    configVersion: version,
    workflowId: request.workflowId,
    runId: request.runId,
    routine: request.routine,
    startedAt: request.startedAt,
  });
  return plan;
}

/** Only in destinations of this run: of the others its host may see nothing. */
function aliasOf(
  { namespace }: EnvironmentConfig,
  { copies }: PolicyConfig,
  destinations: BackupPlan['destinations'],
): Pick<BackupPlan, 'alias'> {
  const to = (copies.alias ?? []).filter((wanted) => destinations.some(({ name }) => name === wanted));
  return namespace === undefined || to.length === 0 ? {} : { alias: { key: aliasKey(namespace), to } };
}

/** The part of a server that steps need; its secrets stay references. */
export function serverReference(name: string, server: Omit<BackupPlan['server'], 'name'>): BackupPlan['server'] {
  const { host, port, tls, backup, admin, maintenanceDatabase } = server;
  return { name, host, port, tls, backup, admin, maintenanceDatabase };
}
