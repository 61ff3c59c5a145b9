import { CofreError } from '../errors/error.ts';

const UNIT_MS = { m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/**
 * A duration of the configuration, such as `26h`, in milliseconds.
 * @throws CofreError `bad-config` for anything but a number and m, h or d.
 */
export function durationMs(duration: string): number {
  const [, count, unit] = /^([1-9][0-9]{0,4})([mhd])$/.exec(duration) ?? [];
  if (count === undefined || unit === undefined) {
    throw new CofreError('bad-config', 'a duration is a number and m, h or d, such as 26h');
  }
  return Number(count) * UNIT_MS[unit as keyof typeof UNIT_MS];
}
