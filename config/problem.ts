import { CofreError } from '../errors/error.ts';

/** Where a field is: the names and list positions that lead to it. */
export type Path = readonly (string | number)[];

/** Something about a field, before anybody looked up where it stands in a file. */
export interface Finding {
  readonly path: Path;
  readonly message: string;
  /** Points at the field's name instead of its value. */
  readonly at?: 'name';
}

/** A mistake in a file. `line` and `column` count from 1. Never holds a secret, nor the value of an unknown field. */
export interface ConfigProblem {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  /** `environments.acme-prod.database.server`; '' for a file as a whole. */
  readonly field: string;
  readonly message: string;
}

const SHOWN_PROBLEMS = 200;

/** Every mistake of a configuration at once; the message has one a line. */
export class ConfigError extends CofreError {
  readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[]) {
    const lines = problems.slice(0, SHOWN_PROBLEMS).map(problemLine);
    if (problems.length > SHOWN_PROBLEMS) lines.push(`… and ${problems.length - SHOWN_PROBLEMS} more`);
    const count = problems.length === 1 ? 'this mistake' : `these ${problems.length} mistakes`;
    super('bad-config', lines.join('\n'), { hint: `correct ${count}; docs/configuration.md describes every field` });
    this.problems = problems;
  }
}

/** `cofre.yaml:12:5 environments.acme-prod.polcy: unknown field; allowed: …` */
export function problemLine({ file, line, column, field, message }: ConfigProblem): string {
  return `${file}:${line}:${column}${field === '' ? '' : ` ${field}`}: ${message}`;
}

/** A path for people. It ends at the first field that may hold a secret: what stands below could be part of one. */
export function fieldName(path: Path): string {
  let field = '';
  for (const [index, step] of path.entries()) {
    field += typeof step === 'number' ? `[${step}]` : `${field === '' ? '' : '.'}${showName(step)}`;
    if (typeof step === 'string' && !isChosenName(path, index) && mayHoldSecret(step)) break;
  }
  return field;
}

/**
 * A name as it may be printed. Other characters than those of names end it, because what follows may be a value
 * (`password:hunter2` without a space is a name to YAML), and because they could play tricks with a terminal.
 */
export function showName(name: string): string {
  const start = /^[\p{L}\p{N}_.-]{0,64}/u.exec(name)?.[0] ?? '';
  return start === name && !name.includes('.') && name !== '' ? name : `"${start}${start === name ? '' : '…'}"`;
}

/** Whether a field of this name may hold a secret, known to the schema or not. */
export function mayHoldSecret(name: string): boolean {
  if (/pass|pwd|senha|secret|token|credential|chave|auth/i.test(name)) return true;
  const words = name
    .replace(/([a-z])([A-Z])/g, '$1 $2')
    .toLowerCase()
    .split(/[^a-z]+/);
  return words.includes('key') || words.includes('keys');
}

/** The operator's own name for something (`environments.<name>`): an environment may well be called `token`. */
function isChosenName(path: Path, index: number): boolean {
  if (path[index - 1] === 'roles' || path[index - 1] === 'labels') return true;
  return index === 1 && path[0] !== 'catalog' && path[0] !== 'temporal';
}
