import type { Catalog } from '../catalog/open.ts';
import { verifiedSince } from '../catalog/verified-backup.ts';
import type { AppliedConfig, RoutineConfig } from '../config/schema.ts';
import { selectEnvironments } from '../config/select-environments.ts';
import { CofreError } from '../errors/error.ts';
import { hostsOf, readApplied, resolveEnvironment } from './applied.ts';
import { sees, type RoutinePlan } from './plans.ts';
import { serverReference } from './resolve-backup.ts';
import { lastSlot, nextTimeOfDay, repeatedSlot } from './time-of-day.ts';

export interface RoutineRequest {
  readonly routine: string;
  readonly startedAt: string;
  /** The time of the schedule that started it; left out for a start by hand. */
  readonly scheduledAt?: string;
  /** Only environments that have no verified backup since the routine should have started last. */
  readonly missing?: boolean;
}

/** Resolves a routine's run: which environments, and the limits of the night. */
export async function resolveRoutine(
  catalog: Catalog,
  { routine: name, startedAt, scheduledAt, missing }: RoutineRequest,
): Promise<RoutinePlan> {
  const { version, config } = await readApplied(catalog);
  const routine = config.routines[name];
  if (routine === undefined) {
    throw new CofreError('not-known', `there is no routine "${name.slice(0, 80)}" in the applied configuration`, {
      hint: `known: ${Object.keys(config.routines).join(', ')}`,
    });
  }
  const start = new Date(startedAt);
  const repeated = scheduledAt === undefined ? null : repeatedSlot(new Date(scheduledAt), routine);
  const work = workOf(routine);
  const slot = missing === true ? lastSlot(start, routine) : repeated;
  // Copies are made of whatever lacks them, and read again when their turn has come: nothing is left out.
  const since = work.run === 'backupDatabase' ? (slot?.toISOString() ?? null) : null;
  // It compares destinations, whichever environments they have.
  const selected = work.run === 'syncCatalog' ? [] : selectEnvironments(config, routine.environments);
  const done = since === null ? new Set() : await verifiedSince(catalog, selected, since);
  const environments = selected
    .filter((environment) => !done.has(environment))
    .map((environment) => ({ environment, server: resolveEnvironment(config, environment).serverName }));
  return {
    configVersion: version,
    work,
    environments,
    atOnce: routine.atOnce,
    // Copies do not trouble the database servers.
    atOnceByServer: Object.fromEntries(
      Object.entries(config.servers).map(([id, { atOnce }]) => [
        id,
        work.run === 'backupDatabase' ? atOnce : routine.atOnce,
      ]),
    ),
    until: routine.until === undefined ? null : nextTimeOfDay(start, routine.until, routine.timezone).toISOString(),
    since,
    hosts: hostsToTidy(config),
    catalogTo: work.run === 'backupDatabase' ? catalogDestinations(config) : [],
  };
}

function workOf({ run, from, to }: RoutineConfig): RoutinePlan['work'] {
  return run === 'copyBackups' ? { run, from, to: to ?? [] } : { run };
}

function catalogDestinations({ hosts, destinations }: AppliedConfig): RoutinePlan['catalogTo'] {
  return Object.entries(destinations).map(([name, config]) => ({
    hosts: Object.keys(hosts).filter((host) => sees(host, config)),
    destination: { name, config },
  }));
}

/** Each server once, by the first host that reaches an environment on it. */
function hostsToTidy(config: AppliedConfig): RoutinePlan['hosts'] {
  const hostOfServer = new Map<string, string | undefined>();
  for (const environment of Object.values(config.environments)) {
    const { server } = environment.database;
    if (hostOfServer.get(server) === undefined) hostOfServer.set(server, hostsOf(config, environment)[0]);
  }
  return Object.keys(config.hosts).map((host) => ({
    host,
    servers: Object.entries(config.servers)
      .filter(([name]) => hostOfServer.get(name) === host)
      .map(([name, server]) => serverReference(name, server)),
  }));
}
