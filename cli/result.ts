import { printJson, printText } from './print.ts';
import type { GlobalOptions } from './session.ts';

/** What a command that only looks has found: the JSON document with --json, else the text; on stdout, to be piped on. */
export function printResult(options: Pick<GlobalOptions, 'json'>, value: unknown, text: string): void {
  if (options.json) printJson(value);
  else printText(text);
}
