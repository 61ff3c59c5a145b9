import { randomBytes } from 'node:crypto';

import { isDead, ownerMark } from '../temporary-file.ts';

/** No key begins with a dot, so these names never meet an object's. They say whose they are and since when. */
const NAME = /(?:^|\/)\.put-([0-9a-f]{12}-[0-9]+-[0-9]+)-([0-9]+)-[0-9a-f]{12}$/;
/** For `rclone --include`. */
export const TEMPORARIES = '.put-*';
/** Nobody is at it any more: a run has ended by then. */
const ABANDONED_AFTER_MS = 24 * 3600_000;

/** A name that no other put has or ever had. */
export function temporaryName(): string {
  return `.put-${ownerMark()}-${Date.now()}-${randomBytes(6).toString('hex')}`;
}

/** When the put of a temporary began, by the clock of its host; undefined for any other name. */
export function beganAt(path: string): Date | undefined {
  const [, , time] = NAME.exec(path) ?? [];
  return time === undefined ? undefined : new Date(Number(time));
}

/** Whether it is what a put has left that will not go on. */
export function isAbandoned(path: string): boolean {
  const [, owner, time] = NAME.exec(path) ?? [];
  return owner !== undefined && (isDead(owner) || Date.now() - Number(time) > ABANDONED_AFTER_MS);
}
