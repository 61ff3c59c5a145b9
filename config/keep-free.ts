import { CofreError } from '../errors/error.ts';

const UNIT_BYTES = { MB: 1e6, GB: 1e9, TB: 1e12 } as const;

/**
 * How many bytes `keepFree` (`20%`, `50GB`) means in a file system of `totalBytes`. Sizes are decimal, as disks are sold.
 * @throws CofreError `bad-config` for anything else.
 */
export function keepFreeBytes(keepFree: string, totalBytes: number): number {
  const [, share, count, unit] = /^(?:([1-9][0-9]?)%|([1-9][0-9]{0,5})(MB|GB|TB))$/.exec(keepFree) ?? [];
  if (share !== undefined) return Math.ceil((totalBytes * Number(share)) / 100);
  if (count === undefined || unit === undefined) {
    throw new CofreError('bad-config', 'what stays free is a share such as 20% or a size such as 50GB');
  }
  return Number(count) * UNIT_BYTES[unit as keyof typeof UNIT_BYTES];
}
