import { getBackup, type BackupDetail } from '../catalog/backup-list.ts';
import { getManifest } from '../catalog/manifests.ts';
import type { Catalog } from '../catalog/open.ts';
import { startRestore } from '../catalog/restores.ts';
import { latestVerifiedBackup, passedOver, unprovenBackup, type PassedOver } from '../catalog/verified-backup.ts';
import { durationMs } from '../config/duration.ts';
import type { AppliedConfig } from '../config/schema.ts';
import { CofreError } from '../errors/error.ts';
import {
  environmentReference,
  hostsOf,
  namedDestination,
  putBack,
  readApplied,
  resolveEnvironment,
  type Applied,
  type ResolvedEnvironment,
} from './applied.ts';
import { sees, type EnsurePlan, type RestorePlan, type RestoreSource } from './plans.ts';
import { serverReference } from './resolve-backup.ts';

export interface RestoreRequest {
  readonly restoreId: string;
  readonly to: string;
  readonly backup?: string;
  readonly file?: string;
  readonly reason?: string;
  readonly ticket?: string;
  readonly requestedBy?: string;
  readonly workflowId: string;
  readonly runId: string;
  readonly startedAt: string;
}

/** A restore may take long, but not for ever. */
const RESTORE_ENDS_WITHIN_MS = 20 * 3_600_000;

/**
 * Resolves a restore from the configuration that is current now.
 * @throws CofreError `refused` for a backup of another environment.
 */
export async function resolveRestore(catalog: Catalog, request: RestoreRequest): Promise<RestorePlan> {
  const applied = await readApplied(catalog);
  const target = resolveEnvironment(applied.config, request.to);
  if (request.file !== undefined) return planFor(applied, target, request, { type: 'file', path: request.file });
  const backup = await getBackup(catalog, request.backup ?? '');
  if (backup.environment !== target.id) throw otherEnvironment(backup.environment, target.id);
  const source = await backupSource(catalog, applied.config, backup.id);
  return planFor(applied, target, request, source);
}

/** What would be restored if the environment's database did not exist. Decides nothing: the database is asked first. */
export async function resolveEnsure(
  catalog: Catalog,
  request: Omit<RestoreRequest, 'backup' | 'file'>,
): Promise<EnsurePlan> {
  const applied = await readApplied(catalog);
  const target = resolveEnvironment(applied.config, request.to);
  const plan = planFor(applied, target, request, { type: 'empty' });
  if (target.environment.stage !== 'production') {
    return {
      plan,
      choice: null,
      refusal: refusalOf(otherEnvironment(target.environment.productionOf ?? 'production', target.id)),
    };
  }
  // Not passed over, as for a person: nobody is there to see that the data are older than they might be.
  const backup = await latestVerifiedBackup(catalog, target.id, { anomalous: 'take' });
  if (backup === undefined) {
    // Empty only where there is nothing: what could not be read today may be whole tomorrow, and then nobody asks for it any more.
    const unproven = await unprovenBackup(catalog, target.id);
    return { plan, choice: null, refusal: unproven === undefined ? null : refusalForUnproven(target.id, unproven) };
  }
  let choice: Extract<RestoreSource, { type: 'backup' }>;
  try {
    choice = await backupSource(catalog, applied.config, backup.id);
  } catch (error) {
    if (!(error instanceof CofreError) || error.code !== 'no-backup') throw error;
    // `refused`, because callers take `no-backup` for an environment that never had one.
    return { plan, choice: null, refusal: { ...refusalOf(error), code: 'refused' } };
  }
  const refusal = backup.anomalous === true ? refusalForAnomaly(backup) : refusalForAge(target, choice);
  return { plan, choice, refusal };
}

/** Enters the restore in the catalog; again for the same restore is fine. */
export async function enterRestore(catalog: Catalog, plan: RestorePlan, request: RestoreRequest): Promise<void> {
  await startRestore(catalog, {
    id: plan.restoreId,
    environment: plan.environment.id,
    fromEnvironment: plan.environment.id,
    backupId: plan.source.type === 'backup' ? plan.source.backupId : undefined,
    filePath: plan.source.type === 'file' ? plan.source.path : undefined,
    workflowId: request.workflowId,
    runId: request.runId,
    startedAt: request.startedAt,
    requestedBy: request.requestedBy ?? 'unknown (started without the command line)',
    reason: request.reason,
    ticket: request.ticket,
  });
}

function planFor(
  applied: Applied,
  target: ResolvedEnvironment,
  request: { restoreId: string; startedAt: string },
  source: RestoreSource,
): RestorePlan {
  const { environment, policy, server, serverName } = target;
  const { database } = environment;
  const hosts = hostsOf(applied.config, environment).filter(
    (host) => source.type !== 'backup' || source.copies.some(({ destination }) => sees(host, destination.config)),
  );
  return {
    restoreId: request.restoreId,
    configVersion: applied.version,
    environment: environmentReference(target.id, environment),
    hosts,
    server: serverReference(serverName, server),
    database: database.name,
    jobs: policy.jobs,
    owner: database.owner,
    roles: Object.entries(database.roles).map(([name, { password }]) => ({ name, password })),
    trusted: database.trusted,
    extensions: database.extensions,
    source,
    keepOldDatabaseFor: policy.keepOldDatabaseFor,
    endsAt: new Date(Date.parse(request.startedAt) + RESTORE_ENDS_WITHIN_MS).toISOString(),
  };
}

async function backupSource(
  catalog: Catalog,
  config: AppliedConfig,
  backupId: string,
): Promise<Extract<RestoreSource, { type: 'backup' }>> {
  const backup = await getBackup(catalog, backupId);
  const isWithin = ({ destination }: { destination: string }): boolean =>
    Object.hasOwn(config.destinations, destination);
  const within = backup.copies.filter(isWithin);
  const verified = within.filter((copy) => copy.state === 'verified');
  // After a catalog was rebuilt nobody has read anything yet, and whoever asks for this very backup need not wait until somebody has:
  // the restore itself takes nothing whose hash is not that of the manifest.
  const closed = backup.state === 'complete' || backup.state === 'incomplete';
  const usable = verified.length > 0 || !closed ? verified : within.filter((copy) => copy.state === 'uploaded');
  const copies = usable.map((copy) => ({ destination: namedDestination(config, copy.destination) }));
  if (copies.length === 0) {
    const away = backup.copies.filter((copy) => copy.state === 'verified' && !isWithin(copy));
    const elsewhere = away.map(({ destination }) => destination);
    const { environment } = backup;
    const reach = { anomalous: 'pass over', within: Object.keys(config.destinations) } as const;
    const older = await latestVerifiedBackup(catalog, environment, reach);
    const instead =
      older === undefined
        ? ''
        : `, or cofre restore --from ${environment} --backup ${older.id} --to ${environment}, the newest within reach`;
    throw new CofreError('no-backup', `the backup ${backupId} has no verified copy in a configured destination`, {
      hint: elsewhere.length === 0 ? `cofre show ${backupId} shows its copies` : `${putBack(elsewhere)}${instead}`,
    });
  }
  const manifest = await getManifest(catalog, backupId);
  return {
    type: 'backup',
    backupId,
    snapshotAt: manifest.snapshotAt,
    pipeline: manifest.pipeline,
    rawBytes: manifest.content.rawBytes,
    sizeBytes: manifest.objects.reduce((sum, object) => sum + object.sizeBytes, 0),
    copies,
    anomalous: backup.anomalous === true,
    passedOver: await passedOver(catalog, backup),
  };
}

/** What is said to a restore of one environment's data into another. */
export function otherEnvironment(from: string, to: string): CofreError {
  return new CofreError(
    'refused',
    `data of ${from} do not go into ${to} without a request and an approval, which this version of Cofre does not have`,
    {
      hint: `restore a backup of ${to} itself: cofre restore --from ${to} --latest --to ${to}`,
    },
  );
}

function refusalForAnomaly({ id, environment }: BackupDetail): EnsurePlan['refusal'] {
  return refusalOf(
    new CofreError('backup-anomalous', `the newest verified backup of ${environment}, ${id}, is marked as anomalous`, {
      hint: `cofre show ${id} tells why. If it is as it should be: cofre accept ${id}; else the one before: cofre restore --from ${environment} --latest --to ${environment}`,
    }),
  );
}

function refusalForUnproven(environment: string, { backupId, why }: PassedOver): EnsurePlan['refusal'] {
  return refusalOf(
    new CofreError(
      'refused',
      `no backup of ${environment} is verified, and the newest, ${backupId}, may be whole: ${why}`,
      {
        hint: `cofre show ${backupId} tells where it is: cofre verify ${backupId} reads again what was marked, cofre sync DESTINATION --repair proves what was not read yet, cofre apply closes a run that is gone, and what failed may lie in the spool of its host. If nothing is left of any: make the database by hand`,
      },
    ),
  );
}

function refusalForAge(
  { id, policy }: ResolvedEnvironment,
  source: Extract<RestoreSource, { type: 'backup' }>,
): EnsurePlan['refusal'] {
  const { maxAge } = policy.ensure;
  const ageMs = Date.now() - Date.parse(source.snapshotAt);
  if (maxAge === undefined || ageMs <= durationMs(maxAge)) return null;
  return refusalOf(
    new CofreError(
      'backup-too-old',
      `the newest verified backup of ${id} is from ${source.snapshotAt}, older than ensure.maxAge (${maxAge})`,
      {
        hint: `if it is right all the same: cofre restore --from ${id} --backup ${source.backupId} --to ${id}`,
      },
    ),
  );
}

function refusalOf(error: CofreError): NonNullable<EnsurePlan['refusal']> {
  return { code: error.code, message: error.message, hint: error.hint ?? '' };
}
