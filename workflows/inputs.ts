import { ApplicationFailure } from '@temporalio/common';

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
}

export type Field = 'text' | 'texts' | 'flag';

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
    } else if (!isKind(value, kind)) {
      return `the field "${name}" must be ${WORDS[kind]}`;
    }
  }
  const [unknown] = given.keys();
  if (unknown === undefined) return undefined;
  const allowed = Object.keys(fields).map((key) => key.replace('?', ''));
  return `there is no field "${unknown.slice(0, 50)}"; allowed: ${allowed.join(', ')}`;
}

const WORDS: Readonly<Record<Field, string>> = {
  text: 'a text of 1 to 1000 characters',
  texts: 'a list of texts',
  flag: 'true or false',
};

function isKind(value: unknown, kind: Field): boolean {
  if (kind === 'flag') return typeof value === 'boolean';
  if (kind === 'texts') return Array.isArray(value) && value.length > 0 && value.every((item) => isKind(item, 'text'));
  return typeof value === 'string' && value.length >= 1 && value.length <= 1000;
}
