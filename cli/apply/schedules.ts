import {
  ScheduleAlreadyRunning,
  ScheduleNotFoundError,
  type Client,
  type ScheduleDescription,
} from '@temporalio/client';

import type { RoutineConfig } from '../../config/schema.ts';
import { isAsWanted, MANAGED_BY, routineOf, routineSchedule, scheduleId, timesInWords } from './schedule.ts';

/** What has to happen to one routine's schedule. */
export interface ScheduleStep {
  readonly routine: string;
  /** `leave`: it is in no file any more, and stays because removing was not asked for. */
  readonly action: 'create' | 'update' | 'remove' | 'leave' | 'none';
  /** When it runs; null for one that goes. */
  readonly times: string | null;
  /** The note of the operator who paused it; null while it is not paused. */
  readonly paused: string | null;
}

/**
 * Compares the routines with the schedules that exist. `formerly` are the routines of the configuration before: the
 * list of schedules is only eventually complete.
 */
export async function planSchedules(
  client: Client,
  routines: Readonly<Record<string, RoutineConfig>>,
  formerly: readonly string[],
  options: { remove: boolean },
): Promise<ScheduleStep[]> {
  const steps: ScheduleStep[] = [];
  for (const [routine, config] of Object.entries(routines)) {
    const found = await describeRoutine(client, routine);
    const same = found !== undefined && isAsWanted(found, routineSchedule(routine, config));
    steps.push({
      routine,
      action: found === undefined ? 'create' : same ? 'none' : 'update',
      times: timesInWords(config),
      paused: found === undefined ? null : pauseNote(found),
    });
  }
  const others = new Set([...formerly, ...(await managedRoutines(client))]);
  for (const routine of others) {
    if (Object.hasOwn(routines, routine)) continue;
    const found = await describeRoutine(client, routine);
    if (found?.memo?.['managedBy'] !== MANAGED_BY) continue;
    steps.push({ routine, action: options.remove ? 'remove' : 'leave', times: null, paused: pauseNote(found) });
  }
  return steps;
}

/** Does one step; again is fine. */
export async function carryOutSchedule(
  client: Client,
  step: ScheduleStep,
  config: RoutineConfig | undefined,
): Promise<void> {
  const handle = client.schedule.getHandle(scheduleId(step.routine));
  if (step.action === 'remove') {
    await handle.delete().catch((error: unknown) => {
      if (!(error instanceof ScheduleNotFoundError)) throw error;
    });
  }
  if (config === undefined || (step.action !== 'create' && step.action !== 'update')) return;
  const schedule = routineSchedule(step.routine, config);
  if (step.action === 'create') {
    try {
      await client.schedule.create(schedule);
      return;
    } catch (error) {
      // Made a moment ago, by a run of this command that did not live to say so or by another one.
      if (!(error instanceof ScheduleAlreadyRunning)) throw error;
    }
  }
  const { scheduleId: _, memo: __, ...changed } = schedule;
  await handle.update(({ state }) => ({
    ...changed,
    // An update replaces everything: without this it would end an operator's pause.
    state: {
      paused: state.paused,
      ...(state.note === undefined ? {} : { note: state.note }),
      ...(state.remainingActions === undefined ? {} : { remainingActions: state.remainingActions }),
    },
  }));
}

/** The schedule of a routine; undefined if there is none. */
export async function describeRoutine(client: Client, routine: string): Promise<ScheduleDescription | undefined> {
  try {
    return await client.schedule.getHandle(scheduleId(routine)).describe();
  } catch (error) {
    if (error instanceof ScheduleNotFoundError) return undefined;
    throw error;
  }
}

/** The routines that have a schedule which `cofre apply` made, as far as Temporal's list knows by now. */
export async function managedRoutines(client: Client): Promise<string[]> {
  const routines: string[] = [];
  for await (const { scheduleId: id, memo } of client.schedule.list()) {
    const routine = routineOf(id);
    if (routine !== undefined && memo?.['managedBy'] === MANAGED_BY) routines.push(routine);
  }
  return routines.sort();
}

function pauseNote({ state }: ScheduleDescription): string | null {
  if (!state.paused) return null;
  return state.note === undefined || state.note === '' ? 'no reason given' : state.note;
}
