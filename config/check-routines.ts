import type { Checkable } from './check.ts';
import { entry } from './check-environments.ts';
import { durationMs } from './duration.ts';
import type { Finding, Path } from './problem.ts';
import type { RoutineConfig } from './schema.ts';
import { selectEnvironments } from './select-environments.ts';

const DAYS = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const;
const DAY_MS = 86_400_000;

/** Routines that would do nothing, or run into their own next slot. */
export function checkRoutines(config: Checkable): Finding[] {
  return Object.entries(config.routines).flatMap(([name, routine]) => {
    const path: Path = ['routines', name];
    const findings: Finding[] = [];
    if (routine.until === routine.at) {
      findings.push({ path: [...path, 'until'], message: 'must be another time than at: nothing could start' });
    }
    const selected = selectEnvironments(config, routine.environments);
    if (selected.length === 0 && !config.broken.has('environments') && Object.keys(config.environments).length > 0) {
      findings.push({ path: [...path, 'environments'], message: 'matches no environment: nothing would be backed up' });
    }
    findings.push(...checkWork(path, routine));
    return routine.run === 'syncCatalog' ? findings : [...findings, ...checkEnds(config, name, routine, selected)];
  });
}

/** Only a routine that copies says from where to where, and only one that reads again within which time. */
function checkWork(path: Path, { run, from, to, within, environments }: RoutineConfig): Finding[] {
  if (within !== undefined && run !== 'verifyCopies')
    return [{ path: [...path, 'within'], message: 'is for run: verifyCopies' }];
  if (run === 'syncCatalog' && Object.keys(environments).length > 0)
    return [
      { path: [...path, 'environments'], message: 'is not for run: syncCatalog, which compares whole destinations' },
    ];
  if (run !== 'copyBackups') {
    const given = from !== undefined ? 'from' : to !== undefined ? 'to' : undefined;
    if (given === undefined) return [];
    if (run === 'syncCatalog')
      return [{ path: [...path, given], message: 'is not for run: syncCatalog, which compares every destination' }];
    return [{ path: [...path, given], message: 'is for run: copyBackups; the policies say where backups are kept' }];
  }
  if (to === undefined)
    return [{ path: [...path, 'run'], message: 'needs to: [...] beside it, the destinations that get the copies' }];
  const place = to.findIndex((name, index) => name === from || to.indexOf(name) < index);
  if (place === -1) return [];
  const message = to[place] === from ? 'is where the copies come from' : `names ${to[place]} twice`;
  return [{ path: [...path, 'to', place], message }];
}

/** A run that is still open when the next one begins keeps it from starting. */
function checkEnds(config: Checkable, name: string, routine: RoutineConfig, selected: readonly string[]): Finding[] {
  const gapMs = shortestGapMs(routine.days);
  const policies = new Set(selected.map((id) => entry(config.environments, id)?.policy ?? ''));
  return [...policies].flatMap((policy) => {
    const endsWithin = entry(config.policies, policy)?.endsWithin;
    if (endsWithin === undefined || durationMs(endsWithin) < gapMs) return [];
    const message = `must be shorter than ${gapMs / 3_600_000}h, the time from one run of routine ${name} to the next`;
    return [{ path: ['policies', policy, 'endsWithin'], message }];
  });
}

/** The least time between two slots, in milliseconds. */
function shortestGapMs(days: RoutineConfig['days']): number {
  if (days === 'daily') return DAY_MS;
  const positions = DAYS.flatMap((day, index) => (days.includes(day) ? [index] : []));
  const gaps = positions.map((position, index) => (positions[index + 1] ?? (positions[0] ?? 0) + 7) - position);
  return Math.min(...gaps) * DAY_MS;
}
