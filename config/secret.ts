import { readFile, stat } from 'node:fs/promises';
import { inspect } from 'node:util';

import { CofreError } from '../errors/error.ts';

const MOST_BYTES = 4096;
/** A private key of RSA with 16384 bits has some 13 KB. */
const MOST_BYTES_OF_KEY = 16_384;

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
 * Reads the password that a reference points at: `env:NAME` or `file:/path` (one trailing newline is not part of it).
 * @throws CofreError `secret-missing` or, for what no tool would take as a password, `bad-config`: both name the
 * reference and never the value.
 */
export async function resolveSecret(reference: string): Promise<Secret> {
  const value = await readReference(reference, MOST_BYTES);
  // A password file of PostgreSQL has one password a line, and its tools end a text at NUL.
  if (/[\0\r\n]/.test(value)) throw unfit(reference, 'has a line break or a NUL in it');
  return new Secret(value);
}

/** The same for a private key, which has many lines. What is in it is for whoever uses it to say. */
export async function resolvePrivateKey(reference: string): Promise<Secret> {
  return new Secret(await readReference(reference, MOST_BYTES_OF_KEY));
}

async function readReference(reference: string, mostBytes: number): Promise<string> {
  const value = reference.startsWith('env:')
    ? readVariable(reference.slice(4))
    : await readSecretFile(reference, mostBytes);
  if (value !== undefined && value !== '') return value;
  throw new CofreError('secret-missing', `the secret ${reference} is empty or not set on this machine`, {
    hint: 'set it where this process runs, then run again',
  });
}

/** Own variables only: `__proto__` would be an object. */
function readVariable(name: string): string | undefined {
  return Object.hasOwn(process.env, name) ? process.env[name] : undefined;
}

async function readSecretFile(reference: string, mostBytes: number): Promise<string> {
  const bytes = await readSmallFile(reference, mostBytes).catch((cause: unknown) => {
    if (cause instanceof CofreError) throw cause;
    throw new CofreError('secret-missing', `the secret ${reference} cannot be read on this machine`, {
      cause,
      hint: 'create the file, readable only by the user that runs Cofre (mode 0600)',
    });
  });
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes).replace(/\r?\n$/, '');
  } catch {
    throw unfit(reference, 'is not UTF-8 text');
  }
}

async function readSmallFile(reference: string, mostBytes: number): Promise<Buffer> {
  const path = reference.slice('file:'.length);
  const found = await stat(path);
  // A pipe or a device would be waited for, perhaps for ever.
  if (!found.isFile() || found.size > mostBytes) throw unfit(reference, 'is not a small file');
  return await readFile(path);
}

function unfit(reference: string, why: string): CofreError {
  return new CofreError('bad-config', `the secret ${reference} ${why}: it must be a password, on one line`, {
    hint: 'write the password alone into it, without quotes',
  });
}
