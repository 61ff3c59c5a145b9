import { ApplicationFailure } from '@temporalio/common';

import { isBackupId, isName } from '../catalog/backup-id.ts';

/**
 * What the workflows take: one small JSON object each, typed by hand in the Temporal UI, so everything is checked
 * in a workflow's first lines and a mistake fails the run at once with a sentence that says what is allowed.
 */
export interface BackupInput {
  readonly environment: string;
  /** Names of destinations; the policy's unless told. */
  readonly to?: readonly string[];
  /** Set by a routine. */
  readonly routine?: string;
  readonly endsAt?: string;
}

export interface CopyInput {
  readonly environment: string;
  /** Names of destinations that are to have copies. */
  readonly to: readonly string[];
  /** The destination to read from first; that of the policy unless told. */
  readonly from?: string;
  /** Only this one; every verified backup unless told. */
  readonly backup?: string;
  /** Only copies that should be there: what is missing is made, what is not proven is proven, what is damaged is replaced. */
  readonly repair?: boolean;
  /** Only backups of which no destination but this has a verified copy. */
  readonly onlyIn?: string;
  /** Set by a routine. */
  readonly routine?: string;
  readonly endsAt?: string;
}

export interface HoldInput {
  readonly backup: string;
  /** Why it must not be deleted: no secret, it lies beside the copies. */
  readonly reason: string;
  readonly until: string;
  readonly requestedBy?: string;
}

export interface ReleaseInput {
  readonly backup: string;
  readonly requestedBy?: string;
}

export interface RetireInput {
  readonly destination: string;
  /** The destination that gets what only the other one has. */
  readonly to: string;
}

export interface SyncInput {
  /** Names of destinations; every one unless told. */
  readonly destinations?: readonly string[];
  /** Afterwards make, prove or replace the copies that are not verified. */
  readonly repair?: boolean;
  /** Set by a routine. */
  readonly routine?: string;
  readonly endsAt?: string;
}

export interface VerifyInput {
  readonly environment: string;
  /** Only this one, and also what was found damaged of it; every verified copy unless told. */
  readonly backup?: string;
  /** Names of destinations; all of them unless told. */
  readonly in?: readonly string[];
  /** Set by a routine, which has its share read. */
  readonly routine?: string;
  readonly endsAt?: string;
}

/** `{backup, to}` for a backup of Cofre's, `{file, to}` for a dump that another job made. */
export interface RestoreInput {
  readonly backup?: string;
  readonly file?: string;
  readonly to: string;
  readonly reason?: string;
  readonly ticket?: string;
  readonly requestedBy?: string;
}

export interface EnsureInput {
  readonly environment: string;
  /** Where there is no backup: make users, an empty database and nothing else. */
  readonly createEmpty?: boolean;
}

export interface RoutineInput {
  readonly routine: string;
  /** Only environments that have no verified backup since the routine should have started last. */
  readonly missing?: boolean;
}

/** What a field holds. Names become search attributes, ids of runs and folders, and paths are opened on a host. */
export type Field = keyof typeof KINDS;

/**
 * Checks that `input` is one object with these fields and no other; names ending in `?` may be left out.
 * @throws ApplicationFailure `bad-input`, not retryable.
 */
export function checkInput(
  workflow: string,
  input: unknown,
  fields: Readonly<Record<string, Field>>,
  example: string,
): void {
  const wrong = findMistake(input, fields);
  if (wrong === undefined) return;
  throw ApplicationFailure.create({
    type: 'bad-input',
    message: `${workflow}: ${wrong}`,
    nonRetryable: true,
    details: [{ hint: `give it one JSON object such as ${example}` }],
  });
}

function findMistake(input: unknown, fields: Readonly<Record<string, Field>>): string | undefined {
  if (typeof input !== 'object' || input === null || Array.isArray(input)) return 'the input is not one JSON object';
  const given = new Map(Object.entries(input));
  for (const [key, kind] of Object.entries(fields)) {
    const name = key.replace('?', '');
    const value: unknown = given.get(name);
    given.delete(name);
    if (value === undefined || value === null) {
      if (!key.endsWith('?')) return `the field "${name}" is missing`;
    } else if (!KINDS[kind].fits(value)) {
      return `the field "${name}" must be ${KINDS[kind].words}`;
    }
  }
  const [unknown] = given.keys();
  if (unknown === undefined) return undefined;
  const allowed = Object.keys(fields).map((key) => key.replace('?', ''));
  return `there is no field "${unknown.slice(0, 50)}"; allowed: ${allowed.join(', ')}`;
}

const KINDS = {
  name: { words: 'a name: 1 to 63 of a-z, 0-9 and - inside', fits: isText(isName) },
  names: {
    words: 'a list of names',
    fits: (value: unknown) => Array.isArray(value) && value.length > 0 && value.every(isText(isName)),
  },
  backup: { words: 'the id of a backup, such as 20261120T210000Z-1f3a9c04', fits: isText(isBackupId) },
  path: { words: 'an absolute path of at most 1000 characters, without ..', fits: isText(isPath) },
  time: { words: 'a time such as 2026-11-20T21:00:00.000Z', fits: isText(isTime) },
  text: { words: 'a text of 1 to 1000 characters', fits: isText((text) => !text.includes('\0')) },
  flag: { words: 'true or false', fits: (value: unknown) => typeof value === 'boolean' },
} as const;

function isText(fits: (text: string) => boolean): (value: unknown) => boolean {
  return (value) => typeof value === 'string' && value.length >= 1 && value.length <= 1000 && fits(value);
}

function isPath(text: string): boolean {
  return text.startsWith('/') && !/\p{Cc}/u.test(text) && !text.split('/').includes('..');
}

function isTime(text: string): boolean {
  return !Number.isNaN(Date.parse(text)) && new Date(text).toISOString() === text;
}
