import { S3Client, type ServerSideEncryption } from '@aws-sdk/client-s3';

import { resolveSecret } from '../../config/secret.ts';
import type { S3Config } from '../../config/destination-schema.ts';
import { toS3Error } from './errors.ts';

// Which Node is needed is Cofre's to say; the SDK's own warning would stand in every command's output.
process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] ??= 'true';

/** A connection that carries nothing for so long is given up: a cable that was pulled says nothing. */
const IDLE_MS = 2 * 60_000;
const CONNECT_MS = 15_000;
/** Of single requests, against a short disturbance; anything longer is Temporal's to try again. */
const TRIES = 3;
/** The SDK asks again five minutes before: so soon a rotated secret is noticed. */
const CREDENTIALS_LAST_MS = 10 * 60_000;
const DAY_MS = 24 * 60 * 60_000;

export interface BucketOptions {
  readonly idleMs?: number | undefined;
  /** Entries of one page of a list. */
  readonly pageSize?: number | undefined;
}

/** One configured bucket: its client, its names, and what every new object there gets. */
export class S3Bucket {
  readonly client: S3Client;
  readonly bucket: string;
  /** Where this is, for messages. */
  readonly url: string;
  readonly config: S3Config;
  readonly pageSize: number;
  readonly #prefix: string;

  constructor(config: S3Config, { idleMs = IDLE_MS, pageSize = 1000 }: BucketOptions = {}) {
    const { bucket, prefix, region, endpoint, pathStyle } = config;
    this.config = config;
    this.bucket = bucket;
    this.pageSize = pageSize;
    this.#prefix = prefix === undefined ? '' : `${prefix}/`;
    this.url = `s3://${bucket}/${prefix ?? ''}`;
    const agent = { keepAlive: true, noDelay: true, maxSockets: config.connections + 4 };
    this.client = new S3Client({
      region,
      ...(endpoint === undefined ? {} : { endpoint }),
      forcePathStyle: pathStyle ?? endpoint !== undefined,
      ...(config.credentials === undefined ? {} : { credentials: credentialsOf(config.credentials) }),
      maxAttempts: TRIES,
      // Checksums are given with what is sent, and what is read is compared with its SHA-256 by whoever reads it.
      requestChecksumCalculation: 'WHEN_REQUIRED',
      responseChecksumValidation: 'WHEN_REQUIRED',
      // It would cost a round trip for each part.
      expectContinueHeader: false,
      requestHandler: {
        connectionTimeout: CONNECT_MS,
        socketTimeout: idleMs,
        httpAgent: agent,
        httpsAgent: agent,
      },
    });
  }

  /** The name of a key, or the beginning of names of a prefix, in the bucket. */
  nameOf(key: string): string {
    return this.#prefix + key;
  }

  keyOf(name: string): string {
    return name.slice(this.#prefix.length);
  }

  /** Asks the service. Its failures become Cofre's; the signal's reason passes through. */
  async ask<T>(
    doing: string,
    signal: AbortSignal | undefined,
    call: (client: S3Client, options: { abortSignal?: AbortSignal }) => Promise<T>,
  ): Promise<T> {
    signal?.throwIfAborted();
    try {
      return await call(this.client, signal === undefined ? {} : { abortSignal: signal });
    } catch (cause) {
      signal?.throwIfAborted();
      throw toS3Error(cause, `${this.url} failed ${doing}`);
    }
  }

  /** What new objects are stored with, by the configuration. */
  newObject(): {
    ServerSideEncryption?: ServerSideEncryption;
    SSEKMSKeyId?: string;
    ObjectLockMode?: 'GOVERNANCE' | 'COMPLIANCE';
    ObjectLockRetainUntilDate?: Date;
  } {
    const { encryption, kmsKey, objectLock } = this.config;
    return {
      ...(encryption === undefined ? {} : { ServerSideEncryption: encryption === 'kms' ? 'aws:kms' : 'AES256' }),
      ...(kmsKey === undefined ? {} : { SSEKMSKeyId: kmsKey }),
      ...(objectLock === undefined
        ? {}
        : {
            ObjectLockMode: objectLock.mode === 'compliance' ? 'COMPLIANCE' : 'GOVERNANCE',
            ObjectLockRetainUntilDate: new Date(Date.now() + objectLock.days * DAY_MS),
          }),
    };
  }
}

/** Read on the host that uses them, and again from time to time, so that what rotates them needs no restart. */
function credentialsOf({ accessKeyId, secretAccessKey, sessionToken }: NonNullable<S3Config['credentials']>) {
  return async () => ({
    accessKeyId: (await resolveSecret(accessKeyId)).reveal(),
    secretAccessKey: (await resolveSecret(secretAccessKey)).reveal(),
    ...(sessionToken === undefined ? {} : { sessionToken: (await resolveSecret(sessionToken)).reveal() }),
    expiration: new Date(Date.now() + CREDENTIALS_LAST_MS),
  });
}
