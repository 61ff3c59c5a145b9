import type { AppliedConfig, RoutineConfig } from './schema.ts';

/** The ids of the environments that meet every condition given, sorted; an empty selection means all of them. */
export function selectEnvironments(
  applied: Pick<AppliedConfig, 'environments'>,
  selection: RoutineConfig['environments'],
): string[] {
  const { stage, customer, labels, names } = selection;
  const wanted = names && new Set(names);
  const conditions = Object.entries(labels ?? {});
  return Object.entries(applied.environments)
    .filter(
      ([id, environment]) =>
        (stage === undefined || environment.stage === stage) &&
        (customer === undefined || environment.customer === customer) &&
        (wanted === undefined || wanted.has(id)) &&
        conditions.every(([label, value]) => environment.labels[label] === value),
    )
    .map(([id]) => id)
    .sort();
}
