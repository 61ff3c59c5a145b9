import { hostname, userInfo } from 'node:os';
import { join, resolve } from 'node:path';

import pg from 'pg';

import { serverReference } from '../../activities/resolve-backup.ts';
import { adminOf } from '../../activities/restore-target.ts';
import { importBackup } from '../../catalog/import-backup.ts';
import { isBackupId, isName } from '../../catalog/backup-id.ts';
import { findConfigPath, loadConfig } from '../../config/load.ts';
import type { Config } from '../../config/schema.ts';
import { resolveSecret } from '../../config/secret.ts';
import { withDestination } from '../../destinations/open.ts';
import { CofreError } from '../../errors/error.ts';
import { withClient } from '../../postgres/connect.ts';
import type { RestoreInput } from '../../workflows/inputs.ts';
import type { RestorePreview } from '../../workflows/restore-database.ts';
import type { RestoreResult } from '../../workflows/restore-into.ts';
import { requireKnown } from '../environment.ts';
import { EXIT } from '../exit.ts';
import { followRun } from '../follow.ts';
import { reportEnd, restoredInWords } from '../outcome.ts';
import { Interrupted, say } from '../print.ts';
import { isWantedAsPlanned, restoreOrder, type PlanRows } from '../restore-flow.ts';
import type { RestoreOptions } from '../restore.ts';
import type { RunEnd } from '../run-end.ts';
import { Session, type GlobalOptions } from '../session.ts';
import { startRun, type RunId } from '../start.ts';
import { aborted, listenForStop } from '../up.ts';
import type { Up } from '../up/bring-up.ts';
import { chooseManifest, shortList, type Choice, type Wanted } from './choose.ts';
import { hostOfThisMachine, writeOwnConfiguration } from './configuration.ts';
import { makeScratch, removeEarlier, removeScratch } from './scratch.ts';

/** What was asked for, checked. */
interface Asked {
  readonly destination: string;
  readonly wanted: Wanted;
  readonly to: string;
}

/**
 * Restores with nothing but a configuration file and a destination: a catalog and a Temporal of this call's own are served on this
 * machine, the one backup is entered there, and then it is the ordinary restore. All of it is gone at the end.
 */
export async function restoreStandalone(options: GlobalOptions, given: RestoreOptions): Promise<void> {
  const asked = requireSense(options, given);
  const { config } = await loadConfig(findConfigPath(options.config));
  requireKnown('environment', asked.to, Object.keys(config.environments));
  requireKnown('destination', asked.destination, Object.keys(config.destinations));
  const stop = listenForStop();
  try {
    const choice = await findBackup(options, config, asked, stop);
    tellChoice(options, asked, choice);
    await requireServer(config, asked.to);
    const base = resolve(given.folder ?? join(hostOfThisMachine(config, asked.to).spool, '.standalone'));
    await removeEarlier(base, config, (text) => say(options, text));
    const folder = await makeScratch(base);
    try {
      say(options, `works in ${folder}; a call that is killed leaves it there, and the next one removes it`);
      await withOwnInstallation(options, { config, ...asked, folder }, stop, (up, alive) =>
        restoreHere(options, { ...asked, choice, given, up, stop, alive }),
      );
    } finally {
      await removeScratch(folder);
    }
  } catch (error) {
    // Whatever was under way says that it was stopped, each in its own words.
    if (!stop.aborted || error instanceof Interrupted) throw error;
    throw new Interrupted('interrupted; the live database is as it was');
  }
}

function requireSense(options: GlobalOptions, given: RestoreOptions): Asked {
  const { standalone = '', to, from, latest, before, backup, file } = given;
  if ([from, latest, before, backup, file].some((one) => one !== undefined))
    throw badInput(
      '--standalone says itself which backup: without --from, --latest, --before, --backup and --file',
      'cofre restore --standalone DESTINATION:BACKUP --to ENV',
    );
  if (!options.follow)
    throw badInput('--no-follow does not go with --standalone', 'the restore lives in this command, and ends with it');
  const [, destination = '', environment, id = ''] = /^([^:]+):(?:([^/]+)\/)?([^/]+)$/.exec(standalone) ?? [];
  const known = isName(destination) && (id === 'latest' || isBackupId(id));
  if (!known || (environment !== undefined && !isName(environment)))
    throw badInput(
      `"${standalone.slice(0, 120)}" does not say where which backup is`,
      'write DESTINATION:BACKUP, such as volume:latest or volume:20261120T210000Z-1f3a9c04',
    );
  if (given.folder === '') throw badInput('--folder is empty', 'name a folder with room for the backup: --folder DIR');
  if (to === undefined) throw badInput('--to is missing', 'say which environment to restore into: --to ENV');
  return { destination, to, wanted: { environment, backup: id } };
}

function badInput(message: string, hint: string): CofreError {
  return new CofreError('bad-input', message, { hint });
}

async function findBackup(
  options: GlobalOptions,
  config: Config,
  { destination, to, wanted }: Asked,
  signal: AbortSignal,
): Promise<Choice> {
  const settings = config.destinations[destination];
  if (settings === undefined) throw new CofreError('not-known', `there is no destination ${destination}`);
  const { environments } = config;
  return await withDestination(destination, settings, (place) =>
    chooseManifest(place, { environments, destination, to, wanted, signal, tell: (text) => say(options, text) }),
  );
}

function tellChoice(options: GlobalOptions, { destination, to }: Asked, choice: Choice): void {
  const { manifest, passedOver, anomaly } = choice;
  say(options, `found in ${destination}: the backup ${manifest.backupId} of ${to}, data of ${manifest.snapshotAt}`);
  for (const { backupId, why } of passedOver) say(options, `  passed over ${backupId}: ${why}`);
  if (anomaly !== null) say(options, `  anomalous: ${anomaly}`);
}

/** Before anything is served: in a run, an answer would be waited for. */
async function requireServer(config: Config, to: string): Promise<void> {
  const name = config.environments[to]?.database.server ?? '';
  const server = config.servers[name];
  if (server === undefined) throw new CofreError('not-known', `there is no server ${name}`);
  await withClient(await adminOf(serverReference(name, server)), (client) => client.query('SELECT 1'));
}

/** Whether the catalog of the configuration answers: then this is not what it is meant for. */
async function isCatalogAlive({ catalog }: Config): Promise<boolean> {
  const { host, port, tls, user, database } = catalog;
  try {
    const password = await resolveSecret(catalog.password);
    const target = { host, port, tls, user, database, password };
    const { rows } = await withClient(target, (client) =>
      client.query<{ found: boolean }>(`SELECT to_regclass('cofre.backups') IS NOT NULL AS found`),
    );
    return rows[0]?.found === true;
  } catch (error) {
    if (error instanceof CofreError) return false;
    throw error;
  }
}

async function withOwnInstallation(
  options: GlobalOptions,
  alone: Parameters<typeof writeOwnConfiguration>[0],
  stop: AbortSignal,
  use: (up: Up, catalogIsAlive: boolean) => Promise<void>,
): Promise<void> {
  const alive = isCatalogAlive(alone.config);
  const config = await writeOwnConfiguration(alone);
  // The worker takes long to load, and what cannot be is said before.
  const [{ bringUp }, { createLog }] = await Promise.all([import('../up/bring-up.ts'), import('../../workers/log.ts')]);
  const globals = { ...options, config, quiet: true, yes: true };
  const up = await bringUp({ globals, folder: alone.folder, log: createLog('error'), signal: stop });
  try {
    // Nobody waits for the answer of a host that is gone.
    await use(up, await Promise.race([alive, Promise.resolve(false)]));
  } finally {
    await up.stop();
  }
}

interface Here extends Asked {
  readonly choice: Choice;
  readonly given: RestoreOptions;
  readonly up: Up;
  readonly stop: AbortSignal;
  readonly alive: boolean;
}

async function restoreHere(options: GlobalOptions, here: Here): Promise<void> {
  const { destination, to, choice, given, up, stop, alive } = here;
  const { manifest } = choice;
  const session = new Session(up.config);
  try {
    const client = await session.client();
    const finding = { manifest, destination, workflowId: 'standalone', runId: 'standalone' };
    await importBackup(await session.catalog(), finding);
    const failed = new AbortController();
    up.failed.catch((error: unknown) => failed.abort(error));
    const follow = async (run: RunId): Promise<RunEnd> => {
      const cancel = (): void =>
        void client.workflow
          .getHandle(run.workflowId)
          .cancel()
          .catch(() => undefined);
      stop.addEventListener('abort', cancel, { once: true });
      try {
        if (stop.aborted) cancel();
        return await followRun(client, options, run, failed.signal);
      } finally {
        stop.removeEventListener('abort', cancel);
      }
    };
    const input: RestoreInput = {
      ...{ backup: manifest.backupId, to, requestedBy: `${userInfo().username}@${hostname()}` },
      ...(given.reason === undefined ? {} : { reason: given.reason }),
      ...(given.ticket === undefined ? {} : { ticket: given.ticket }),
    };
    const inRows = (preview: RestorePreview): PlanRows => planRows(preview, alive);
    const answer = isWantedAsPlanned(client, options, input, { follow, inRows });
    if (!(await unlessStopped(answer, stop))) return;
    const end = await follow(await startRun(client, restoreOrder(input)));
    process.exitCode = reportEnd(options, withOwnHint(end, destination, choice), (done) =>
      restoredAlone(done, up.config),
    );
    if (end.reason === undefined) return;
    if (stop.aborted && end.reason.code === 'cancelled') process.exitCode = EXIT.interrupted;
    else if (choice.others.length > 0)
      say(options, `other backups of ${to} in ${destination}: ${shortList(choice.others)}`);
  } finally {
    await session.close();
  }
}

/** The ordinary restore knows other copies by a catalog, and would point to commands that need one. */
function withOwnHint(end: RunEnd, destination: string, { manifest, others }: Choice): RunEnd {
  if (end.reason?.code !== 'bad-content') return end;
  const elsewhere = `another destination may have ${manifest.backupId} whole`;
  const another = others[0] === undefined ? '' : `, or take another backup: ${destination}:${others[0]}`;
  return { ...end, reason: { ...end.reason, hint: `${elsewhere}${another}` } };
}

/** The question alone cannot be taken back: whoever is gone does not answer it. */
async function unlessStopped(answer: Promise<boolean>, stop: AbortSignal): Promise<boolean> {
  const stopped = aborted(stop).then(() => {
    process.stdin.destroy();
    throw new Interrupted('interrupted; nothing was changed');
  });
  stopped.catch(() => undefined);
  answer.catch(() => undefined);
  return await Promise.race([answer, stopped]);
}

function planRows({ rows, plan, replaces }: RestorePreview, catalogIsAlive: boolean): PlanRows {
  const kept = `the database ${plan.database}; it is kept, closed, until you drop it`;
  return [
    ...rows.map(([name, value]) => [name, name === 'replaces' && replaces ? kept : value] as const),
    ['note', `no catalog records it, and no lock keeps another Cofre from ${plan.environment.id} meanwhile`],
    ...(catalogIsAlive
      ? [
          [
            'note',
            'the catalog of this configuration answers: cofre restore, without --standalone, records and locks',
          ] as const,
        ]
      : []),
  ];
}

function restoredAlone({ result }: RunEnd, config: Config): string[] {
  const restored = result as RestoreResult;
  const environment = config.environments[restored.environment];
  const server = config.servers[environment?.database.server ?? ''];
  const kept = ({ name }: { name: string }): string =>
    `kept as ${name}, closed, and nothing removes it; when nobody needs it any more, on ${server?.host}:${server?.port}: DROP DATABASE ${pg.escapeIdentifier(name)}`;
  return [
    ...restoredInWords(restored, kept),
    '  no catalog has recorded this restore: keep what is written here',
    'next: use the environment; then bring Cofre back and take in what the destinations have: docs/disaster-recovery.md',
  ];
}
