import { CofreError, isErrorCode, type ErrorCode } from '../errors/error.ts';

/** Exit codes, as the help and `docs/operations.md` list them. */
export const EXIT = {
  done: 0,
  failed: 1,
  usage: 2,
  refused: 3,
  unreachable: 4,
  debt: 5,
  interrupted: 130,
} as const;

const REFUSED: ReadonlySet<ErrorCode> = new Set([
  'refused',
  'server-changed',
  'no-backup',
  'backup-too-old',
  'backup-anomalous',
  'privileged-objects',
]);
const USAGE: ReadonlySet<ErrorCode> = new Set(['bad-input', 'bad-config', 'not-known', 'secret-missing']);
const UNREACHABLE: ReadonlySet<ErrorCode> = new Set(['temporal-unavailable', 'catalog-unavailable', 'catalog-version']);

/** The exit code of a failure with this code, whether it was thrown here or in a run. */
export function exitCodeOf(code: string): number {
  if (!isErrorCode(code)) return EXIT.failed;
  if (REFUSED.has(code)) return EXIT.refused;
  if (USAGE.has(code)) return EXIT.usage;
  if (UNREACHABLE.has(code)) return EXIT.unreachable;
  return EXIT.failed;
}

export function exitCodeOfError(error: unknown): number {
  return error instanceof CofreError ? exitCodeOf(error.code) : EXIT.failed;
}
