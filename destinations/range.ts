import { CofreError } from '../errors/error.ts';
import type { GetOptions } from './destination.ts';

/**
 * Which bytes of an object of `sizeBytes` a get is to give: all of them, or what there is of the range.
 * @throws CofreError `invalid-range`.
 */
export function partOf(key: string, sizeBytes: number, range: GetOptions['range']): { start: number; length: number } {
  if (range === undefined) return { start: 0, length: sizeBytes };
  const { start, length } = range;
  const isRange = Number.isSafeInteger(start) && Number.isSafeInteger(length) && start >= 0 && length > 0;
  if (!isRange || start >= sizeBytes) {
    const what = `none of them are ${length} from ${start} on`;
    throw new CofreError('invalid-range', `${key} has ${sizeBytes} bytes; ${what}`);
  }
  return { start, length: Math.min(length, sizeBytes - start) };
}
