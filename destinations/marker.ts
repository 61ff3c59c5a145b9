import { randomUUID } from 'node:crypto';

import { z } from 'zod';

import { RESERVED_KEY } from './key.ts';

/** The object that makes a place a destination and says which one it is, whatever name or address leads there. */
export const MARKER = RESERVED_KEY;
export const MARKER_MAX_BYTES = 4096;

const marker = z.looseObject({ format: z.literal(1), id: z.uuid() });

/** The content of a marker for a place that has none. */
export function newMarker(): string {
  return `${JSON.stringify({ format: 1, id: randomUUID() })}\n`;
}

/** What the text of a marker says of its place; undefined where there is none. */
export function stateByMarker(text: string | undefined): 'prepared' | 'foreign' | undefined {
  if (text === undefined) return undefined;
  return markerId(text) === undefined ? 'foreign' : 'prepared';
}

/** The id in a marker; undefined if it is not one that this Cofre knows. */
export function markerId(text: string): string | undefined {
  try {
    return marker.safeParse(JSON.parse(text)).data?.id;
  } catch {
    return undefined;
  }
}
