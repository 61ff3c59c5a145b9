import { durationMs as realDurationMs } from '../../config/duration.ts';

/** config/duration.ts for tests: in workflows a minute of the configuration lasts a second. */
export function durationMs(duration: string): number {
  return realDurationMs(duration) / 60;
}
