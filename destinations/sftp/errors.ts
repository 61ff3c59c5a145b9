import { CofreError, type ErrorCode } from '../../errors/error.ts';

/** What a server answers with, of version 3 of the protocol, and of later ones that some servers use all the same. */
export const STATUS = { endOfFile: 1, noSuchFile: 2, permissionDenied: 3, failure: 4, unsupported: 8 } as const;

const CODES: Readonly<Record<number, ErrorCode>> = {
  [STATUS.permissionDenied]: 'access-denied',
  // The server can do it and this account may not, or it cannot do it at all: the same for who waits for it.
  [STATUS.unsupported]: 'access-denied',
  12: 'access-denied', // write-protected
  14: 'no-space',
  15: 'no-space', // quota
};

const HINTS: Readonly<Partial<Record<ErrorCode, string>>> = {
  'no-space': 'make room there, or raise the quota of its user',
  'access-denied': 'the user of the destination must be allowed to do that in its folder, and own what is in it',
  'destination-unavailable':
    'look at the log of the SSH server; if its disk or the quota of its user is full, it says no more',
};

/** The server's refusal of one request. */
export class SftpStatus extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.name = 'SftpStatus';
    this.status = status;
  }
}

export function hasStatus(error: unknown, ...statuses: readonly number[]): boolean {
  return error instanceof SftpStatus && statuses.includes(error.status);
}

/** For a `catch` in which these answers are no failure. */
export function ignoreStatus(...statuses: readonly number[]): (error: unknown) => undefined {
  return (error) => {
    if (!hasStatus(error, ...statuses)) throw error;
    return undefined;
  };
}

/** The server's refusal as one of Cofre's errors. Everything else passes through: Cofre's own, the body's, the signal's. */
export function toSftpError(cause: unknown, doing: string): unknown {
  if (!(cause instanceof SftpStatus)) return cause;
  const code = CODES[cause.status] ?? 'destination-unavailable';
  const hint = HINTS[code];
  return new CofreError(code, `${doing}: the server says ${JSON.stringify(cause.message)}`, {
    cause,
    ...(hint === undefined ? {} : { hint }),
  });
}
