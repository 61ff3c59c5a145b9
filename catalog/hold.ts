import { z } from 'zod';

import { CofreError, messageOf } from '../errors/error.ts';
import { isBackupId, isName } from './backup-id.ts';
import { since1970 } from './times.ts';

/** The object beside the manifest of a held backup. */
export const HOLD_FILE = 'hold.json';
const HOLD_FORMAT = 1;
/** A reason of the longest kind needs about 3 KB. */
export const HOLD_MAX_BYTES = 16 * 1024;
/** Who needs it for longer extends it: a hold that nobody has looked at for ten years is forgotten, and mostly a slip of the pen. */
export const HOLD_MAX_YEARS = 10;

/** What says that a backup must not be deleted until a time. */
export interface Hold {
  readonly id: string;
  readonly backupId: string;
  readonly environment: string;
  readonly reason: string;
  /** ISO 8601, UTC. */
  readonly until: string;
  readonly setBy: string;
  readonly setAt: string;
}

// A hold's file may come from a place that others can write to, and its words are shown on terminals.
const words = (max: number) =>
  z
    .string()
    .min(1)
    .max(max)
    .refine((value) => !/\p{Cc}/u.test(value), 'no control characters');
const time = since1970(z.iso.datetime({ precision: 3 }));

// The order of the fields here is the order in the file.
const schema = z.strictObject({
  format: z.literal(HOLD_FORMAT),
  id: z.uuid(),
  backupId: z.string().refine(isBackupId, 'a backup id such as 20261120T210000Z-1f3a9c04'),
  environment: z.string().refine(isName, 'the name of an environment'),
  reason: words(500),
  until: time,
  setBy: words(200),
  setAt: time,
});

/**
 * Reads the bytes of a hold's file.
 * @throws CofreError `bad-content` when they are not a hold of this backup, or one of a format that a newer Cofre writes.
 */
export function parseHold(bytes: Buffer, of: { readonly environment: string; readonly backupId: string }): Hold {
  if (bytes.length > HOLD_MAX_BYTES) throw new CofreError('bad-content', `it is larger than ${HOLD_MAX_BYTES} bytes`);
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new CofreError('bad-content', 'it is not JSON', { cause });
  }
  const hold = checkHold(value);
  if (hold.backupId === of.backupId && hold.environment === of.environment) return hold;
  throw new CofreError('bad-content', `it is the hold of ${hold.environment}/${hold.backupId}`);
}

/** The bytes of a hold's file. @throws CofreError `bad-input` for what could not be read again. */
export function holdBytes(hold: Hold): Buffer {
  const { id, backupId, environment, reason, until, setBy, setAt } = hold;
  const file = { format: HOLD_FORMAT, id, backupId, environment, reason, until, setBy, setAt };
  try {
    checkHold(file);
  } catch (cause) {
    throw new CofreError('bad-input', `this cannot be a hold: ${messageOf(cause)}`, { cause });
  }
  return Buffer.from(`${JSON.stringify(file, null, 1)}\n`);
}

/** @throws CofreError `bad-input`, before anything is started. */
export function checkReason(reason: string): void {
  if (words(500).safeParse(reason).success) return;
  throw new CofreError('bad-input', 'a reason has 1 to 500 characters, on one line');
}

export function isSameHold(one: Hold, other: Hold): boolean {
  return holdBytes(one).equals(holdBytes(other));
}

function checkHold(value: unknown): Hold {
  const format = typeof value === 'object' && value !== null && 'format' in value ? value.format : undefined;
  if (typeof format === 'number' && format > HOLD_FORMAT) {
    throw new CofreError('bad-content', `it has format ${format}, and this Cofre knows ${HOLD_FORMAT}`);
  }
  const parsed = schema.safeParse(value);
  if (!parsed.success) {
    const [first] = parsed.error.issues.map(({ path, message }) => [path.map(String).join('.'), message]);
    const where = first?.[0] === undefined || first[0] === '' ? '' : `${first[0]}: `;
    throw new CofreError('bad-content', `it is not valid: ${where}${first?.[1] ?? ''}`, { cause: parsed.error });
  }
  const { format: _, ...hold } = parsed.data;
  return hold;
}
