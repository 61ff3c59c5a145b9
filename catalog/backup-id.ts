import { CofreError } from '../errors/error.ts';

/** Pure, because workflows name their backups themselves. */

const ID = /^[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}$/;
const NAME = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

/** `20261120T210000Z-1f3a9c04`: UTC, so that ids sort by time, and the first eight hex digits of `random`, such as a UUID. */
export function newBackupId(now: Date, random: string): string {
  const time = now.toISOString().replace(/[-:]|\.[0-9]+/g, '');
  const id = `${time}-${random.replaceAll('-', '').slice(0, 8).toLowerCase()}`;
  if (!isBackupId(id))
    throw new CofreError('bad-input', `"${random.slice(0, 40)}" has no eight hexadecimal digits for a backup id`);
  return id;
}

export function isBackupId(text: string): boolean {
  return ID.test(text);
}

/** When a backup was begun, by its id. */
export function timeOfId(backupId: string): Date {
  return new Date(backupId.replace(/^(....)(..)(..)T(..)(..)(..)Z-.*$/, '$1-$2-$3T$4:$5:$6Z'));
}

/** Whether something in the configuration may be called that: an environment, a routine, a destination. */
export function isName(text: string): boolean {
  return NAME.test(text);
}

/** The folder of a backup in every destination, with its final `/`: `acme-prod/20261120T210000Z-1f3a9c04/`. */
export function objectPrefix(environment: string, backupId: string): string {
  if (!isName(environment)) {
    throw new CofreError('invalid-key', `"${environment.slice(0, 80)}" is not the name of an environment`);
  }
  if (!isBackupId(backupId))
    throw new CofreError('invalid-key', `"${backupId.slice(0, 80)}" is not the id of a backup`);
  return `${environment}/${backupId}/`;
}
