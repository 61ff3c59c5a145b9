import { randomUUID } from 'node:crypto';

import { z } from 'zod';

import { CofreError } from '../errors/error.ts';
import { RESERVED_KEY } from './key.ts';
import type { PlaceState } from './place.ts';

/** The object that makes a place a destination and says which one it is, whatever name or address leads there. */
export const MARKER = RESERVED_KEY;
export const MARKER_MAX_BYTES = 4096;

const marker = z.looseObject({ format: z.literal(1), id: z.uuid() });

/** The content of a marker for a place that has none. */
export function newMarker(): string {
  return `${JSON.stringify({ format: 1, id: randomUUID() })}\n`;
}

/**
 * What a place looks like by its marker, and where it has none by `look`.
 * What is there then may be the marker of somebody who prepares it in this very moment: it is read once more.
 */
export async function stateOfPlace(
  read: () => Promise<string | undefined>,
  look: () => Promise<'missing' | 'empty' | 'not-empty'>,
): Promise<PlaceState> {
  const known = stateByMarker(await read());
  if (known !== undefined) return known;
  const seen = await look();
  return seen === 'not-empty' ? (stateByMarker(await read()) ?? seen) : seen;
}

/** The id in the text of a marker. @throws CofreError `not-mounted` where there is none, or one that nobody knows here. */
export function requireId(text: string | undefined, url: string, kind: 'bucket' | 'folder', hint: string): string {
  const id = text === undefined ? undefined : markerId(text);
  if (id !== undefined) return id;
  const what =
    text === undefined
      ? `has no ${MARKER}: it is another ${kind}, or was never prepared`
      : `has a ${MARKER} that this Cofre does not know`;
  throw new CofreError('not-mounted', `${url} ${what}`, { hint });
}

/** What the text of a marker says of its place; undefined where there is none. */
function stateByMarker(text: string | undefined): 'prepared' | 'foreign' | undefined {
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
