import { resolve } from 'node:path';

import type { Client } from '@temporalio/client';

import { findLost } from '../../activities/lost-runs.ts';
import { namespaceInWords, namespaceOf } from '../../activities/namespace.ts';
import { currentConfiguration, type StoredConfiguration } from '../../catalog/configurations.ts';
import { readMigrations } from '../../catalog/migrations.ts';
import { recordedNamespace, type Namespace } from '../../catalog/namespace.ts';
import { appliedVersion, Catalog, newerCatalog } from '../../catalog/open.ts';
import { neededIn } from '../../catalog/retired.ts';
import { appliedPart } from '../../config/applied.ts';
import type { LoadedConfig } from '../../config/load.ts';
import type { DestinationConfig } from '../../config/destination-schema.ts';
import type { AppliedConfig, Config } from '../../config/schema.ts';
import { resolveSecret } from '../../config/secret.ts';
import { addressOf } from '../../destinations/place.ts';
import { CofreError } from '../../errors/error.ts';
import type { PostgresTarget } from '../../postgres/connect.ts';
import { readBase } from './base.ts';
import { changesBetween, changesInWords, requireFewRemovals, type Change, type Sections } from './changes.ts';
import { requireCopiesMoved } from './moved.ts';
import { placeInWords, planPlaces, seenFromHere, type PlaceStep } from './places.ts';
import { missingInWords, planMissing, type MissingNight } from './missing.ts';
import { planSchedules, type ScheduleStep } from './schedules.ts';
import { missingSearchAttributes } from './search-attributes.ts';

export interface ApplyRequest {
  readonly configPath: string;
  readonly loaded: LoadedConfig;
  /** Which host this machine is. */
  readonly host: string | undefined;
  readonly remove: boolean;
  readonly force: boolean;
}

/** Everything that `apply` would do, found out without changing anything. */
export interface ApplyPlan {
  readonly configPath: string;
  readonly config: Config;
  readonly applied: AppliedConfig;
  readonly digest: string;
  readonly migrations: { readonly from: number; readonly to: number };
  readonly searchAttributes: readonly string[];
  /** That of the command, and the one to which the installation belongs so far. */
  readonly namespace: Namespace;
  readonly recorded: Namespace | undefined;
  /** How many backups and restores a move to this namespace closes. */
  readonly lost: number;
  readonly current: { readonly version: number; readonly digest: string } | null;
  readonly changes: readonly Change[];
  readonly places: readonly PlaceStep[];
  readonly schedules: readonly ScheduleStep[];
  /** Nights that were lost with their schedules and can still be finished. */
  readonly missing: readonly MissingNight[];
  /** The file does not build on the current version, and `--force` said that this is all right. */
  readonly forced: boolean;
}

/**
 * @throws CofreError `refused` when the file does not build on the current version, or too much of it is gone, without
 * `force`; `catalog-version`, `catalog-unavailable`, `temporal-unavailable`.
 */
export async function planApply(client: Client, request: ApplyRequest): Promise<ApplyPlan> {
  const { loaded, host, remove, force } = request;
  const { config, digest } = loaded;
  const configPath = resolve(request.configPath);
  const applied = appliedPart(config);
  const { version, current, recorded } = await readCurrent(config);
  const before = sectionsOf(current?.document);
  const changes = current?.digest === digest ? [] : changesBetween(before, applied);
  const base = await readBase(configPath);
  const stale = current !== null && current.digest !== digest && !base.includes(current.digest);
  if (stale && !force) throw staleFile(configPath, current, base, changes);
  const formerAddresses = addressesOf(before);
  if (!force) {
    requireFewRemovals(before, changes);
    if (current !== null && changes.length > 0) {
      await requireNothingLeft(config, changes);
      const seen = seenFromHere(config, host).map(([name]) => name);
      await asOwner(config, (catalog) => requireCopiesMoved(catalog, config.destinations, formerAddresses, seen));
    }
  }
  const formerly = Object.keys(before.routines ?? {});
  const schedules = await planSchedules(client, config.routines, formerly, { remove });
  const namespace = await namespaceOf(client);
  return {
    configPath,
    config,
    applied,
    digest,
    migrations: { from: version, to: (await readMigrations()).length },
    searchAttributes: await missingSearchAttributes(client),
    namespace,
    recorded,
    lost: isMove({ namespace, recorded }) ? (await asOwner(config, (catalog) => findLost(catalog, client))).length : 0,
    current: current === null ? null : { version: current.version, digest: current.digest },
    changes,
    places: await planPlaces(config, host, formerAddresses),
    schedules,
    missing:
      current === null ? [] : await asOwner(config, (catalog) => planMissing(catalog, applied, schedules, formerly)),
    forced: stale,
  };
}

/**
 * That no destination leaves the configuration which has the only copy of something: no restore would find it any more.
 * @throws CofreError `refused`.
 */
async function requireNothingLeft(config: Config, changes: readonly Change[]): Promise<void> {
  const kept = Object.keys(config.destinations);
  const leaving = changes.filter(({ section, kind }) => section === 'destinations' && kind === 'removed');
  for (const { name } of leaving) {
    const { count, backups } = await asOwner(config, (catalog) => neededIn(catalog, name, kept));
    if (count === 0) continue;
    throw new CofreError(
      'refused',
      `${name} is not in the file any more, and no other destination has ${count === 1 ? 'the backup' : `${count} backups, such as`} ${backups[0]}`,
      {
        hint: `leave it in destinations: and cofre destination retire ${name} --to NAME brings them to another; --force takes it out all the same`,
      },
    );
  }
}

/** Whether the installation goes to another Temporal namespace. */
export function isMove({ namespace, recorded }: Pick<ApplyPlan, 'namespace' | 'recorded'>): boolean {
  return recorded !== undefined && recorded.id !== namespace.id;
}

/** Whether there is anything to do; what only a person can mend does not count. */
export function isNothingToDo(plan: ApplyPlan): boolean {
  return (
    plan.migrations.from === plan.migrations.to &&
    plan.searchAttributes.length === 0 &&
    plan.recorded?.id === plan.namespace.id &&
    plan.current?.digest === plan.digest &&
    plan.places.every(({ prepare }) => !prepare) &&
    plan.schedules.every(({ action }) => action === 'none' || action === 'leave')
  );
}

/** The plan in plain words, a line each; `notes` are for a person to act on. */
export function planInWords(plan: ApplyPlan): { steps: string[]; notes: string[] } {
  const steps: string[] = [];
  const { from, to } = plan.migrations;
  if (from !== to) steps.push(from === 0 ? 'make the catalog' : `bring the catalog from version ${from} to ${to}`);
  const { recorded, namespace } = plan;
  if (recorded === undefined) steps.push(`belong to the Temporal namespace ${namespaceInWords(namespace)}`);
  if (recorded !== undefined && isMove(plan)) {
    steps.push(
      `MOVE from the Temporal namespace ${namespaceInWords(recorded)} to ${namespaceInWords(namespace)}: what runs there is closed as lost (backups and restores: ${plan.lost})`,
    );
  }
  if (plan.searchAttributes.length > 0) steps.push(`register search attributes: ${plan.searchAttributes.join(', ')}`);
  for (const place of plan.places) if (place.prepare) steps.push(placeInWords(place));
  if (plan.current?.digest !== plan.digest) {
    steps.push(`store the configuration as version ${(plan.current?.version ?? 0) + 1}`);
    steps.push(...changesInWords(plan.changes).map((line) => `  ${line}`));
  }
  steps.push(...plan.missing.map(missingInWords));
  for (const { routine, action, times, paused } of plan.schedules) {
    const stays = paused === null ? '' : ` (stays paused: ${paused})`;
    if (action === 'create') steps.push(`create the schedule of ${routine}: ${times}`);
    if (action === 'update') steps.push(`update the schedule of ${routine}: ${times}${stays}`);
    if (action === 'remove') steps.push(`remove the schedule of ${routine}`);
  }
  return { steps, notes: notesOf(plan) };
}

function notesOf(plan: ApplyPlan): string[] {
  const notes = plan.places.filter(({ prepare }) => !prepare).map(placeInWords);
  if (plan.forced)
    notes.push(`the file does not build on version ${plan.current?.version}: what was changed there is overruled`);
  for (const { routine, action, paused } of plan.schedules) {
    if (action === 'leave') {
      notes.push(
        `the routine ${routine} is not in the file any more, but its schedule stays and its runs will fail: cofre apply --remove removes it`,
      );
    }
    if (action === 'none' && paused !== null) notes.push(`the routine ${routine} is paused: ${paused}`);
  }
  return notes;
}

/** The catalog for whoever owns its schema. */
export async function catalogOwner({ catalog }: Pick<Config, 'catalog'>): Promise<PostgresTarget> {
  const { user, password } = catalog.owner ?? catalog;
  const { host, port, tls, database } = catalog;
  return { host, port, tls, database, user, password: await resolveSecret(password) };
}

async function readCurrent(
  config: Config,
): Promise<{ version: number; current: StoredConfiguration | null; recorded?: Namespace | undefined }> {
  return await asOwner(config, async (catalog) => {
    const version = await appliedVersion(catalog);
    const known = (await readMigrations()).length;
    if (version > known) throw newerCatalog(version, known);
    if (version === 0) return { version, current: null };
    const current = await currentConfiguration(catalog).catch(ignoreNone);
    return { version, current, recorded: await recordedNamespace(catalog) };
  });
}

/** As the owner, because before the first migration the runtime role may read nothing. */
async function asOwner<T>(config: Config, use: (catalog: Catalog) => Promise<T>): Promise<T> {
  const catalog = new Catalog(await catalogOwner(config));
  try {
    return await use(catalog);
  } finally {
    await catalog.close();
  }
}

function ignoreNone(error: unknown): null {
  if (error instanceof CofreError && error.code === 'not-known') return null;
  throw error;
}

function staleFile(
  configPath: string,
  current: StoredConfiguration,
  base: readonly string[],
  changes: readonly Change[],
): CofreError {
  const why = base.length === 0 ? 'was never applied from here' : 'builds on an older one';
  const lost = changesInWords(changes).map((line) => `\n  ${line}`);
  return new CofreError(
    'refused',
    `version ${current.version} of the configuration was applied on ${current.appliedAt}, and ${configPath} ${why}; applying it would:${lost.join('')}`,
    { hint: 'bring in what was changed there (version control), or overrule it: cofre apply --force' },
  );
}

function sectionsOf(document: unknown): Sections {
  return typeof document === 'object' && document !== null ? (document as Sections) : {};
}

/** Of a stored configuration, which may be from a version of Cofre with other types. */
function addressesOf(before: Sections): Record<string, string | undefined> {
  const destinations = Object.entries(before.destinations ?? {});
  return Object.fromEntries(destinations.map(([name, settings]) => [name, addressOf(settings as DestinationConfig)]));
}
