import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto';

import type { Secret } from '../../config/secret.ts';

const ITERATIONS = 4096;

/**
 * The verifier that PostgreSQL stores for a password (RFC 5803), made here so that the password itself never stands
 * in a statement, which servers log.
 */
export function scramVerifier(password: Secret, salt: Buffer = randomBytes(16)): string {
  const salted = pbkdf2Sync(prepare(password.reveal()), salt, ITERATIONS, 32, 'sha256');
  const storedKey = createHash('sha256').update(hmac(salted, 'Client Key')).digest('base64');
  const serverKey = hmac(salted, 'Server Key').toString('base64');
  return `SCRAM-SHA-256$${ITERATIONS}:${salt.toString('base64')}$${storedKey}:${serverKey}`;
}

/** SASLprep (RFC 4013) where it changes anything in practice; like PostgreSQL, what it forbids is taken as it is. */
function prepare(password: string): string {
  if (/^[\x20-\x7e]*$/.test(password) || /[\p{Cc}\p{Co}\p{Cn}\p{Cs}]/u.test(password)) return password;
  return password
    .replace(/[\u00ad\u034f\u1806\u180b-\u180d\u200b-\u200d\u2060\ufe00-\ufe0f\ufeff]/g, '')
    .replace(/[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]/g, ' ')
    .normalize('NFKC');
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}
