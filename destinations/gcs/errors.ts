import { CofreError, messageOf, nativeCode, type ErrorCode } from '../../errors/error.ts';

/** What the service answered instead of doing what it was asked. */
export class GcsRefusal extends Error {
  readonly status: number;
  /** The service's own word for it, such as `rateLimitExceeded`. */
  readonly reason: string | undefined;

  constructor(status: number, text: string) {
    const { message, reason } = explanationIn(text);
    super(message === undefined ? `the answer was ${status}` : `${status}: ${message}`);
    this.name = 'GcsRefusal';
    this.status = status;
    this.reason = reason;
  }
}

const BY_REASON: Readonly<Record<string, ErrorCode>> = {
  quotaExceeded: 'no-space',
  storageQuotaExceeded: 'no-space',
  insufficientStorage: 'no-space',
  rateLimitExceeded: 'destination-unavailable',
  userRateLimitExceeded: 'destination-unavailable',
  backendError: 'destination-unavailable',
};

const BY_STATUS: Readonly<Record<number, ErrorCode>> = {
  401: 'access-denied',
  403: 'access-denied',
  404: 'not-found',
  412: 'already-exists',
  416: 'invalid-range',
  501: 'bad-config',
  507: 'no-space',
};

const HINTS: Readonly<Partial<Record<ErrorCode, string>>> = {
  'no-space': 'make room there, or raise its quota',
  'access-denied': 'look at the credentials, and at the roles of their account (docs/destinations.md)',
  'destination-unavailable': 'look at the service and at the network between',
};

/** Whether the same request may be answered otherwise in a moment. */
export function isPassing(cause: unknown): boolean {
  if (!(cause instanceof GcsRefusal)) return !(cause instanceof CofreError);
  return [408, 429, 500, 502, 503, 504].includes(cause.status) && codeOf(cause) === 'destination-unavailable';
}

/** A failure of a request as one of Cofre's. Cofre's own pass through. */
export function toGcsError(cause: unknown, doing: string): CofreError {
  if (cause instanceof CofreError) return cause;
  const code = codeOf(cause);
  const said = withoutAddresses(messageOf(cause));
  const hint = HINTS[code];
  // The request is on the error of some libraries; its headers hold the token.
  const bare = Object.assign(new Error(said), { name: cause instanceof Error ? cause.name : 'Error' });
  return new CofreError(code, `${doing}: ${said}`, { cause: bare, ...(hint === undefined ? {} : { hint }) });
}

/** What asking for a token failed with. Google answers so to a key that was deleted, and to a clock that is wrong. */
export function toTokenError(cause: unknown, doing: string): CofreError {
  if (cause instanceof CofreError) return cause;
  const said = withoutAddresses(messageOf(cause));
  const bare = Object.assign(new Error(said), { name: 'TokenError' });
  // The key in it is none: OpenSSL says so, and Node puts its word on the error.
  if (nativeCode(cause)?.startsWith('ERR_OSSL') === true) {
    return new CofreError('bad-config', `${doing}: the key in its credentials is none`, {
      cause: bare,
      hint: 'let Google Cloud write the file again',
    });
  }
  const status = statusOf(cause);
  const isDenied = status !== undefined && status < 500 && status !== 408 && status !== 429;
  // Without an answer: there are no credentials here, or nobody to ask.
  const isMissing = /default credentials|no key|metadata/i.test(said) && nativeCode(cause) === undefined;
  const code = isDenied || isMissing ? 'access-denied' : 'destination-unavailable';
  const hint = /iat|exp|reasonable timeframe|short-lived/i.test(said)
    ? 'the clock of this host may be wrong: set it (timedatectl), then run again'
    : isMissing
      ? 'give the destination credentials, or this machine a service account'
      : HINTS[code];
  return new CofreError(code, `${doing}: ${said}`, { cause: bare, ...(hint === undefined ? {} : { hint }) });
}

function codeOf(cause: unknown): ErrorCode {
  if (!(cause instanceof GcsRefusal)) return 'destination-unavailable';
  const byReason = cause.reason === undefined ? undefined : BY_REASON[cause.reason];
  if (byReason !== undefined) return byReason;
  if (isFull(cause.message)) return 'no-space';
  return BY_STATUS[cause.status] ?? 'destination-unavailable';
}

/** Services on a file system pass its words on. */
function isFull(said: string): boolean {
  return /no space left|quota exceeded|insufficient (storage|space)|disk full/i.test(said);
}

/** The address of an upload lets everybody who knows it write; whoever repeats it in an answer must not bring it into a log. */
function withoutAddresses(text: string): string {
  return text.replace(/upload_id=[^&\s"'<>]+/gi, 'upload_id=[secret]').slice(0, 500);
}

function explanationIn(text: string): { message: string | undefined; reason: string | undefined } {
  try {
    const { error } = JSON.parse(text) as { error?: { message?: unknown; errors?: { reason?: unknown }[] } };
    const reason = error?.errors?.[0]?.reason;
    return {
      message: typeof error?.message === 'string' && error.message !== '' ? error.message : undefined,
      reason: typeof reason === 'string' ? reason : undefined,
    };
  } catch {
    const plain = text.trim();
    return { message: plain === '' || plain.startsWith('<') ? undefined : plain, reason: undefined };
  }
}

function statusOf(cause: unknown): number | undefined {
  if (typeof cause !== 'object' || cause === null) return undefined;
  const { response, status } = cause as { response?: { status?: unknown }; status?: unknown };
  const found = response?.status ?? status;
  return typeof found === 'number' ? found : undefined;
}
