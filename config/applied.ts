import { createHash } from 'node:crypto';

import { CofreError } from '../errors/error.ts';
import { freezeConfig } from './freeze.ts';
import { appliedSchema, type AppliedConfig } from './schema.ts';

/** What `cofre apply` stores: the same for every machine, and without how to reach the catalog and Temporal. */
export function appliedPart(config: AppliedConfig): AppliedConfig {
  const { hosts, servers, destinations, policies, environments, routines } = config;
  return Object.freeze({ hosts, servers, destinations, policies, environments, routines });
}

/** JSON that is the same text for the same content, in whatever order it was written. */
export function canonicalJson(value: unknown): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  const fields = Object.entries(value)
    .filter(([, item]) => item !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, item]) => `${JSON.stringify(name)}:${canonicalJson(item)}`);
  return `{${fields.join(',')}}`;
}

/** SHA-256 of the canonical JSON, lower-case hex. */
export function digestOf(applied: AppliedConfig): string {
  return createHash('sha256').update(canonicalJson(applied)).digest('hex');
}

/**
 * Reads what the catalog gives back, as JSON text or parsed, frozen.
 * @throws CofreError `catalog-version` when this version of Cofre does not understand all of it, `bad-content` when it
 * is no configuration at all.
 */
export function parseApplied(json: unknown): AppliedConfig {
  const value = typeof json === 'string' ? parseJson(json) : json;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new CofreError('bad-content', 'the stored configuration is not a JSON object');
  }
  const parsed = appliedSchema.safeParse(value);
  if (parsed.success) return freezeConfig(parsed.data);
  // A field left out could be the one that says how to keep the data: what is not understood is not used.
  const fields = parsed.error.issues.slice(0, 5).map(({ path }) => path.map(String).join('.') || 'the whole');
  const newer = parsed.error.issues.some(({ code }) =>
    ['unrecognized_keys', 'invalid_value', 'invalid_union'].includes(code),
  );
  throw new CofreError(
    'catalog-version',
    `the configuration in the catalog was written by ${newer ? 'a newer' : 'another'} version of Cofre (see ${fields.join(', ')})`,
    { hint: newer ? 'upgrade Cofre on this machine' : 'run `cofre apply` with this version' },
  );
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The parser's own message quotes the text.
    throw new CofreError('bad-content', 'the stored configuration is not JSON');
  }
}
