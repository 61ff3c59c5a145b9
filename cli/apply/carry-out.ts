import { hostname, userInfo } from 'node:os';

import type { Client } from '@temporalio/client';

import { closeLostRows } from '../../activities/lost-runs.ts';
import { storeConfiguration } from '../../catalog/configurations.ts';
import { migrateCatalog } from '../../catalog/migrate.ts';
import { recordNamespace } from '../../catalog/namespace.ts';
import { openCatalog, type Catalog } from '../../catalog/open.ts';
import type { Config } from '../../config/schema.ts';
import { resolveSecret } from '../../config/secret.ts';
import { CofreError } from '../../errors/error.ts';
import { tellSilence } from '../silence.ts';
import { writeBase } from './base.ts';
import { runMissing } from './missing.ts';
import { catalogOwner, type ApplyPlan } from './plan.ts';
import { carryOutSchedule } from './schedules.ts';
import { registerSearchAttributes } from './search-attributes.ts';

export interface Applied {
  readonly version: number;
  /** What went well otherwise and a person should still know. */
  readonly warnings: readonly string[];
}

/**
 * Does what the plan says. The order is that of need: the catalog before what is stored in it, the search attributes
 * before the runs that set them, the destinations before a run writes to them, and the schedules last, because they start runs.
 * Each step may have been done already, so after a crash at any point the same command finishes the rest.
 * @throws CofreError `refused` when another version was stored since the plan was made.
 */
export async function carryOut(
  client: Client,
  plan: ApplyPlan,
  onStep: (text: string) => void = () => undefined,
): Promise<Applied> {
  const { config } = plan;
  const { from, to } = await migrateCatalog(await catalogOwner(config), { runtimeUser: config.catalog.user });
  if (from !== to) onStep(`the catalog has version ${to}`);
  await registerSearchAttributes(client, plan.searchAttributes);
  for (const { destination, place, prepare } of plan.places) {
    if (prepare && (await tellSilence(destination, place.prepare())))
      onStep(`prepared ${place.what} for ${destination}`);
  }
  const { version, warnings } = await store(plan);
  await closeLost(plan.config, client, onStep);
  for (const step of plan.schedules) {
    // Before its schedule: a run that was not started because of a crash would not be noticed once the schedule is there.
    if (plan.missing.some(({ routine }) => routine === step.routine)) {
      const { workflowId } = await runMissing(client, step.routine);
      onStep(`started ${workflowId}; cofre follow ${workflowId} shows it`);
    }
    await carryOutSchedule(client, step, config.routines[step.routine]);
    if (step.action === 'create') onStep(`created the schedule of ${step.routine}`);
    if (step.action === 'update') onStep(`updated the schedule of ${step.routine}`);
    if (step.action === 'remove') onStep(`removed the schedule of ${step.routine}`);
  }
  return { version, warnings };
}

/** Closes what no run owns any more, and tells of each. Unasked: it only says what is so. */
export async function closeLost(
  config: Pick<Config, 'catalog'>,
  client: Client,
  tell: (text: string) => void,
): Promise<void> {
  const catalog = await openRuntime(config);
  try {
    for (const { kind, id, environment, reason } of await closeLostRows(catalog, client)) {
      tell(`closed the ${kind} ${id} of ${environment}: ${reason.message}`);
    }
  } finally {
    await catalog.close();
  }
}

async function openRuntime({ catalog }: Pick<Config, 'catalog'>): Promise<Catalog> {
  const { host, port, tls, user, database, password } = catalog;
  return await openCatalog({ host, port, tls, user, database, password: await resolveSecret(password) });
}

async function store(plan: ApplyPlan): Promise<Applied> {
  const warnings: string[] = [];
  const catalog = await openRuntime(plan.config);
  try {
    await recordNamespace(catalog, plan.namespace);
    // On both sides of the storing: nobody knows on which a crash will fall.
    if (plan.current !== null) warnings.push(...(await rememberBase(plan, [plan.current.digest, plan.digest])));
    const { version } = await storeConfiguration(catalog, {
      document: plan.applied,
      digest: plan.digest,
      basedOn: plan.current?.version ?? null,
      // The plan compared the file with the current version; here only one that came since may still refuse it.
      force: plan.forced,
      appliedBy: `${userInfo().username}@${hostname()}`,
    });
    if (warnings.length === 0) warnings.push(...(await rememberBase(plan, [plan.digest])));
    return { version, warnings };
  } finally {
    await catalog.close();
  }
}

/**
 * Remembers beside the file what it builds on, and gives what went wrong with that: a configuration in a folder that
 * cannot be written to (a read-only mount) can be applied all the same.
 */
export async function rememberBase(plan: ApplyPlan, digests: readonly string[]): Promise<string[]> {
  try {
    await writeBase(plan.configPath, digests);
    return [];
  } catch (error) {
    if (!(error instanceof CofreError) || error.code !== 'access-denied') throw error;
    return [`${error.message}; the next change will need --force`];
  }
}
