import { ALIAS_NAME, isAliasKey } from '../config/alias.ts';
import { CofreError } from '../errors/error.ts';

/**
 * One rule for every destination, so that what was stored in one can be copied to any other. No segment begins with a dot:
 * those names belong to the destinations themselves.
 */
const SEGMENT = /^[A-Za-z0-9_=-][A-Za-z0-9._=-]{0,199}$/;
const MAX_KEY = 1024;
/** What says whose the place is: beside the environments' folders, and never one of the objects. */
export const RESERVED_KEY = 'cofre.json';

export function isKeySegment(text: string): boolean {
  return SEGMENT.test(text);
}

/** The segments of a key. @throws CofreError `invalid-key`. */
export function splitKey(key: string): string[] {
  const segments = key.split('/');
  if (key.length > MAX_KEY || key === RESERVED_KEY || !segments.every(isKeySegment)) throw invalidKey('key', key);
  return segments;
}

/** The segments of a prefix: none for '', else those of a path that ends in '/'. @throws CofreError `invalid-key`. */
export function splitPrefix(prefix: string): string[] {
  if (prefix === '') return [];
  // Without the '/' a prefix could match half a name, and something else would be listed, or deleted, with it.
  if (!prefix.endsWith('/')) throw invalidKey('prefix', prefix);
  return splitKey(prefix.slice(0, -1));
}

/** Asked by every driver before anything is replaced. @throws CofreError `invalid-key`. */
export function requireAliasKey(key: string): void {
  splitKey(key);
  if (isAliasKey(key)) return;
  throw new CofreError(
    'invalid-key',
    `refuses to replace ${key.slice(0, 200)}: only <namespace>/${ALIAS_NAME} ever is`,
  );
}

function invalidKey(what: string, text: string): CofreError {
  return new CofreError('invalid-key', `${JSON.stringify(text.slice(0, 200))} is not a ${what} for a destination`);
}
