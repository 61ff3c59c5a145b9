/**
 * Every failure that Cofre names, and whether trying the same thing again could help.
 * This table is the one place that decides it; activities and the command line only look it up.
 */
const RETRYABLE = {
  // what was asked for
  'bad-input': false,
  'bad-config': false,
  'secret-missing': false,
  'not-known': false,
  // policy: exit code 3
  refused: false,
  'server-changed': false,
  'no-backup': false,
  'backup-too-old': false,
  'backup-anomalous': false,
  // machines and services
  'host-unavailable': false,
  'temporal-unavailable': true,
  'catalog-unavailable': true,
  'catalog-version': false,
  busy: false,
  'run-lost': false,
  // tools
  'tool-missing': false,
  'tool-version': false,
  'tool-failed': true,
  'tool-stalled': true,
  // from outside, mostly because memory ran out: tried again with less at once, but not for ever
  killed: true,
  // database servers
  'server-unavailable': true,
  'server-denied': false,
  'database-missing': false,
  'database-locked': true,
  'standby-behind': false,
  // destinations
  'not-found': false,
  'already-exists': false,
  'invalid-key': false,
  'invalid-range': false,
  'access-denied': false,
  'not-mounted': false,
  'destination-unavailable': true,
  // space, content, restore
  'no-space': false,
  'bad-content': false,
  'privileged-objects': false,
  'restore-failed': false,
  'comparison-failed': false,
  // a routine in which not every environment came through
  'part-failed': false,
  // a defect of Cofre's own
  unexpected: true,
} as const;

export type ErrorCode = keyof typeof RETRYABLE;

export function isErrorCode(value: unknown): value is ErrorCode {
  return typeof value === 'string' && Object.hasOwn(RETRYABLE, value);
}

/**
 * A failure with a code, a sentence that says what happened, and a hint that says what to do next.
 * `message` and `hint` go to logs, Temporal's history and the catalog: never put a secret into them.
 */
export class CofreError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;

  constructor(code: ErrorCode, message: string, options: { hint?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'CofreError';
    this.code = code;
    this.hint = options.hint;
  }

  get retryable(): boolean {
    return RETRYABLE[this.code];
  }
}

/** The error's own sentence, whatever was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The `code` that Node (`ENOENT`) and `pg` (SQLSTATE `3D000`) put on their errors. */
export function nativeCode(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}
