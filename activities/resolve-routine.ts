import type { Catalog } from '../catalog/open.ts';
import { selectEnvironments } from '../config/select-environments.ts';
import { CofreError } from '../errors/error.ts';
import { readApplied, resolveEnvironment } from './applied.ts';
import type { RoutinePlan } from './plans.ts';
import { nextTimeOfDay } from './time-of-day.ts';

/** Resolves a routine's run: which environments, and the limits of the night. */
export async function resolveRoutine(
  catalog: Catalog,
  request: { routine: string; startedAt: string },
): Promise<RoutinePlan> {
  const { version, config } = await readApplied(catalog);
  const routine = config.routines[request.routine];
  if (routine === undefined) {
    throw new CofreError(
      'not-known',
      `there is no routine "${request.routine.slice(0, 80)}" in the applied configuration`,
      {
        hint: `known: ${Object.keys(config.routines).join(', ')}`,
      },
    );
  }
  const environments = selectEnvironments(config, routine.environments).map((environment) => ({
    environment,
    server: resolveEnvironment(config, environment).serverName,
  }));
  return {
    configVersion: version,
    environments,
    atOnce: routine.atOnce,
    atOnceByServer: Object.fromEntries(Object.entries(config.servers).map(([name, { atOnce }]) => [name, atOnce])),
    until:
      routine.until === undefined
        ? null
        : nextTimeOfDay(new Date(request.startedAt), routine.until, routine.timezone).toISOString(),
  };
}
