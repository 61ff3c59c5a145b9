import { readFile } from 'node:fs/promises';
import { inspect } from 'node:util';

import { CofreError } from '../errors/error.ts';

/** A value that does not print: not by `String`, `JSON.stringify`, `console.log` or an error's details. */
export class Secret {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
  }

  /** The value, for the one call that needs it. */
  reveal(): string {
    return this.#value;
  }

  toString(): string {
    return '[secret]';
  }

  toJSON(): string {
    return '[secret]';
  }

  [inspect.custom](): string {
    return '[secret]';
  }
}

/**
 * Reads what a reference points at: `env:NAME` or `file:/path` (one trailing newline is not part of it).
 * @throws CofreError `secret-missing`, naming the reference and never the value.
 */
export async function resolveSecret(reference: string): Promise<Secret> {
  const value = reference.startsWith('env:') ? readVariable(reference.slice(4)) : await readSecretFile(reference);
  if (value === undefined || value === '') {
    throw new CofreError('secret-missing', `the secret ${reference} is empty or not set on this machine`, {
      hint: 'set it where this process runs, then run again',
    });
  }
  return new Secret(value);
}

/** Own variables only: `__proto__` would be an object. */
function readVariable(name: string): string | undefined {
  return Object.hasOwn(process.env, name) ? process.env[name] : undefined;
}

async function readSecretFile(reference: string): Promise<string> {
  try {
    return (await readFile(reference.slice('file:'.length), 'utf8')).replace(/\r?\n$/, '');
  } catch (cause) {
    throw new CofreError('secret-missing', `the secret ${reference} cannot be read on this machine`, {
      cause,
      hint: 'create the file, readable only by the user that runs Cofre (mode 0600)',
    });
  }
}
