import { CofreError, nativeCode, type ErrorCode } from '../../errors/error.ts';

/** What the names of S3's errors, and those of services like it, mean; of any other the status decides. */
const CODES: Readonly<Record<string, ErrorCode>> = {
  NoSuchKey: 'not-found',
  NotFound: 'not-found',
  NoSuchBucket: 'not-mounted',
  PreconditionFailed: 'already-exists',
  // A service on a file system (Versity) cannot keep `a` beside `a/b`.
  ExistingObjectIsDirectory: 'already-exists',
  InvalidRange: 'invalid-range',
  KeyTooLongError: 'invalid-key',
  // Renewed credentials let the upload go on where it was, so this one is tried again.
  ExpiredToken: 'destination-unavailable',
  CredentialsProviderError: 'access-denied',
  QuotaExceeded: 'no-space',
  XMinioStorageFull: 'no-space',
  XMinioAdminBucketQuotaExceeded: 'no-space',
  InsufficientStorage: 'no-space',
  PermanentRedirect: 'bad-config',
  AuthorizationHeaderMalformed: 'bad-config',
  NotImplemented: 'bad-config',
  // In transit: the next try sends other bytes.
  BadDigest: 'destination-unavailable',
  InvalidDigest: 'bad-config',
  // Another writer had the same parts under its hands; the next try finds out.
  InvalidPart: 'destination-unavailable',
  NoSuchUpload: 'destination-unavailable',
};

const BY_STATUS: Readonly<Record<number, ErrorCode>> = {
  301: 'bad-config',
  401: 'access-denied',
  403: 'access-denied',
  404: 'not-found',
  412: 'already-exists',
  416: 'invalid-range',
  501: 'bad-config',
  507: 'no-space',
};

const HINTS: Readonly<Record<string, string>> = {
  RequestTimeTooSkewed: 'the clock of this host is wrong: set it (timedatectl), then run again',
  RequestExpired: 'the clock of this host is wrong: set it (timedatectl), then run again',
  ExpiredToken: 'renew the credentials; the upload goes on where it was',
  CredentialsProviderError: 'give the destination credentials, or this machine a role',
  NoSuchBucket: 'make the bucket, or correct its name, region and endpoint',
  PermanentRedirect: "correct the destination's region",
  AuthorizationHeaderMalformed: "correct the destination's region",
  NotImplemented: 'the service does not know what Cofre needs; checksum: md5 may help',
  InvalidDigest: 'the service does not know the checksum; checksum: md5 may help',
};

const HINTS_BY_CODE: Readonly<Partial<Record<ErrorCode, string>>> = {
  'no-space': 'make room there, or raise its quota',
  'access-denied': 'look at the credentials, and at what the service lets them do (docs/destinations.md)',
  'destination-unavailable': 'look at the service and at the network between',
};

/** How an error of the SDK names itself, and the status of the answer if there was one. */
export function nameOf(cause: unknown): { name: string; status: number | undefined } {
  if (!(cause instanceof Error)) return { name: 'UnknownError', status: undefined };
  const { $metadata } = cause as { $metadata?: { httpStatusCode?: number } };
  const native = nativeCode(cause);
  const name = cause.name === 'Error' && native !== undefined ? native : cause.name;
  return { name, status: $metadata?.httpStatusCode };
}

/**
 * A failure of the SDK as one of Cofre's. Only its name and its sentence are kept: its other fields hold the request, with
 * the id of the access key and what was signed. Cofre's own errors pass through.
 */
export function toS3Error(cause: unknown, doing: string): CofreError {
  if (cause instanceof CofreError) return cause;
  const { name, status } = nameOf(cause);
  const said = sentenceOf(cause, name, status);
  const code =
    CODES[name] ?? (isFull(said) ? 'no-space' : undefined) ?? BY_STATUS[status ?? 0] ?? 'destination-unavailable';
  const hint = HINTS[name] ?? HINTS_BY_CODE[code];
  const bare = Object.assign(new Error(said), { name });
  return new CofreError(code, `${doing}: ${said}`, { cause: bare, ...(hint === undefined ? {} : { hint }) });
}

function sentenceOf(cause: unknown, name: string, status: number | undefined): string {
  // The answer to a question for an object's head has no words.
  if (/^Unknown(Error)?$/.test(name)) return `the answer was ${status ?? 'none'}`;
  const message = cause instanceof Error ? cause.message : '';
  return message === '' || message === name || /^Unknown(Error)?$/.test(message) ? name : `${name}: ${message}`;
}

/** Services on a file system pass its words on under names of their own. */
function isFull(said: string): boolean {
  return /no space left|quota exceeded|insufficient (storage|space)|disk full/i.test(said);
}
