import { setTimeout as sleep } from 'node:timers/promises';

import { GoogleAuth } from 'google-auth-library';

import type { GcsConfig } from '../../config/destination-schema.ts';
import { resolvePrivateKey } from '../../config/secret.ts';
import { CofreError, messageOf } from '../../errors/error.ts';

/** Objects of the buckets that the account may use, and nothing else of Google's. */
const SCOPE = 'https://www.googleapis.com/auth/devstorage.read_write';
const ASKED_FOR_MS = 60_000;

type Headers = Readonly<Record<string, string>>;

/** What proves to the service who asks; a token is asked for when there is none, and again before it ends. */
export interface Credentials {
  /** @throws what the service that gives tokens said. */
  headers(): Promise<Headers>;
}

/**
 * Those of the configuration, read on the host that uses them; else what the machine itself has. A service that is not
 * Google's gets none of the machine's: its address alone does not say that it is to be trusted with them.
 */
export function credentialsOf({ credentials, endpoint }: GcsConfig): Credentials {
  if (credentials === undefined && endpoint !== undefined) return { headers: () => Promise.resolve({}) };
  let auth: Promise<GoogleAuth> | undefined;
  return {
    headers: async () => {
      auth ??= open(credentials);
      const known = await auth.catch((error: unknown) => {
        auth = undefined;
        throw error;
      });
      const giveUp = new AbortController();
      try {
        const headers = await Promise.race([known.getRequestHeaders(), tooLate(giveUp.signal)]);
        const found: Record<string, string> = {};
        headers.forEach((value, name) => (found[name] = value));
        return found;
      } finally {
        giveUp.abort();
      }
    },
  };
}

async function open(reference: string | undefined): Promise<GoogleAuth> {
  if (reference === undefined) return new GoogleAuth({ scopes: SCOPE });
  const text = (await resolvePrivateKey(reference)).reveal();
  const content = parse(text);
  if (content === undefined || typeof content['type'] !== 'string') {
    throw new CofreError('bad-config', `the secret ${reference} is not a file of credentials of Google Cloud`, {
      hint: 'it must be the JSON that `gcloud iam service-accounts keys create` writes, or that of a workload identity federation',
    });
  }
  const auth = new GoogleAuth({ credentials: content, scopes: SCOPE });
  // What is not in it is told here, before anybody is asked for a token.
  await auth.getClient().catch((cause: unknown) => {
    throw new CofreError('bad-config', `the secret ${reference} cannot be used: ${messageOf(cause)}`, {
      hint: 'let Google Cloud write the file again',
    });
  });
  return auth;
}

function parse(text: string): Record<string, unknown> | undefined {
  try {
    const content: unknown = JSON.parse(text);
    return typeof content === 'object' && content !== null ? (content as Record<string, unknown>) : undefined;
  } catch {
    // What the parser says quotes the text.
    return undefined;
  }
}

async function tooLate(signal: AbortSignal): Promise<never> {
  await sleep(ASKED_FOR_MS, undefined, { signal, ref: false }).catch(() => new Promise<never>(() => undefined));
  throw new Error('asking for a token took too long');
}
