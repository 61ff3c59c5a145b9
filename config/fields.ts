import { z } from 'zod';

/** Shapes of single values that several parts of the schema share. */

/** Names become file names, key prefixes, task queues and workflow ids, so they are kept easy. */
export const name = z
  .string()
  .regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, 'must be a name of 1 to 63 characters: a-z, 0-9, and - inside');

const SECRET_RULE = 'must be a reference to the secret, env:NAME or file:/absolute/path, never the secret itself';

export const secretReference = z
  .string({ error: ({ input }) => (input === undefined ? undefined : SECRET_RULE) })
  .regex(/^(env:[A-Za-z_][A-Za-z0-9_]*|file:\/.+)$/, SECRET_RULE)
  .describe('a reference to a secret: env:NAME or file:/absolute/path');

export const port = z.int().min(1).max(65535);
export const text = z.string().min(1).max(255);
/** Also keeps out connection strings, which would carry a password past the rule for secrets. */
export const address = text.regex(
  /^(\/.+|[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9.])?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*)$/,
  'must be a host name or an address alone, without scheme, user or port',
);
export const absolutePath = z
  .string()
  .max(1024)
  .regex(/^(?!.*\/\.\.(\/|$))\/.*[^/.]/, 'must be an absolute path without .., and not the root folder');
export const timeOfDay = z.string().regex(/^([01][0-9]|2[0-3]):[0-5][0-9]$/, 'must be a time of day such as "21:00"');
export const duration = z.string().regex(/^[1-9][0-9]{0,4}(m|h|d)$/, 'must be a number and m, h or d, such as 26h');
export const tls = z.enum(['off', 'require', 'verify']).describe('verify needs a certificate that this machine trusts');
export const timezone = z
  .string()
  .refine(isTimezone, 'must be a time zone name, written exactly, such as America/Sao_Paulo');
/** PostgreSQL cuts longer names off without an error, so two of them could be one. It counts bytes: accents are two. */
export const identifier = z
  .string()
  .min(1)
  .max(63)
  .refine((value) => new TextEncoder().encode(value).length <= 63, 'must have at most 63 bytes (an accent is two)')
  // A name may hold anything, and is printed; what stands here by mistake has a password in it.
  .refine((value) => !/:\/\/|password *=/i.test(value), 'must be a name alone, not a connection string');

const KNOWN_TIMEZONES = new Set<string>();

/** Temporal's server wants the exact letters, where `Intl` would take `america/sao_paulo` and offsets too. */
function isTimezone(value: string): boolean {
  if (KNOWN_TIMEZONES.has(value)) return true;
  if (!/^[A-Z][A-Za-z0-9_+-]*(\/[A-Z][A-Za-z0-9_+-]*)*$/.test(value)) return false;
  try {
    const { timeZone } = new Intl.DateTimeFormat('en', { timeZone: value }).resolvedOptions();
    if (timeZone.toLowerCase() === value.toLowerCase() && timeZone !== value) return false;
  } catch {
    return false;
  }
  KNOWN_TIMEZONES.add(value);
  return true;
}
