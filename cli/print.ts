import { createInterface } from 'node:readline/promises';

import { CofreError } from '../errors/error.ts';
import type { GlobalOptions } from './session.ts';

export { bytesInWords, durationInWords } from '../workflows/words.ts';

/** What moves a cursor, paints, or turns the direction of writing. Lines and columns are ours. */
const UNPRINTABLE = /(?![\n\t])[\p{Cc}\p{Bidi_Control}\u2028\u2029]/gu;

/**
 * The same text with what a terminal would obey written out, as in `\u001b`: names come from databases, from Temporal and from
 * manifests that others can write, and whoever reads an error must see what it says.
 */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** Text for people, as all that is not asked for: to stderr, because stdout is for what scripts read. */
export function tell(text: string): void {
  process.stderr.write(`${printable(text)}\n`);
}

/** The same, but nothing with --quiet. */
export function say(options: Pick<GlobalOptions, 'quiet'>, text: string): void {
  if (!options.quiet) tell(text);
}

/** What a command was asked for, in words: to stdout. */
export function printText(text: string): void {
  process.stdout.write(`${printable(text)}\n`);
}

/** The one JSON document of a command with --json. */
export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
}

/** Rows as aligned columns without borders; the first row may be the heading. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, column) => {
      widths[column] = Math.max(widths[column] ?? 0, cell.length);
    });
  }
  const lineOf = (row: readonly string[]): string =>
    row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ');
  return rows.map((row) => lineOf(row).trimEnd()).join('\n');
}

/**
 * Asks a person for a yes; with --yes it is a yes without asking.
 * @throws CofreError `bad-input` when there is nobody to ask: no terminal and no --yes.
 */
export async function confirm(options: GlobalOptions, question: string): Promise<boolean> {
  if (options.yes) return true;
  return /^(y|yes|s|sim)$/i.test(await ask(`${question} [y/N] `));
}

/**
 * Asks a person for a line of text.
 * @throws CofreError `bad-input` without a terminal; Interrupted for Ctrl-C or Ctrl-D.
 */
export async function ask(
  question: string,
  hint = 'look at what it would do, then run it again with --yes',
): Promise<string> {
  if (!process.stdin.isTTY || !process.stderr.isTTY) {
    throw new CofreError('bad-input', 'this needs an answer, and there is no terminal to ask on', { hint });
  }
  const reader = createInterface({ input: process.stdin, output: process.stderr });
  // Without this, Ctrl-C and Ctrl-D would leave the question open and the process would end as if all was well.
  const gone = new Promise<never>((_resolve, reject) => {
    reader.once('close', () => reject(new Interrupted('interrupted at the question; nothing was started')));
  });
  try {
    return (await Promise.race([reader.question(printable(question)), gone])).trim();
  } finally {
    gone.catch(() => undefined);
    reader.close();
  }
}

/** A person pressed Ctrl-C: exit code 130. */
export class Interrupted extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'Interrupted';
  }
}
