import type { z } from 'zod';

import { configJsonSchema } from './json-schema.ts';
import { didYouMean, nearestOf } from './nearest.ts';
import { notYet } from './not-yet.ts';
import { type Finding, type Path } from './problem.ts';
import { isMap } from './reading.ts';

type Issue = z.core.$ZodIssue;

const KINDS: Readonly<Record<string, string>> = {
  string: 'a text',
  number: 'a whole number',
  int: 'a whole number',
  boolean: 'true or false',
  object: 'a mapping of fields (name: value)',
  record: 'a mapping of names',
  array: 'a list',
};

/** Cofre's words for zod's issues, where the schema gives none of its own. They never repeat the value: it may be a secret. */
export const describeIssue: z.core.$ZodErrorMap = (issue) => {
  const { input } = issue;
  if (input === undefined) return 'is missing';
  if (input === null) return 'is empty; fill it or leave it out';
  switch (issue.code) {
    case 'invalid_type': {
      const inQuotes = issue.expected === 'string' && typeof input !== 'object' ? '; put it in quotes' : '';
      return `must be ${KINDS[issue.expected] ?? issue.expected}${inQuotes}`;
    }
    case 'invalid_value':
      return `must be ${issue.values.length === 1 ? '' : 'one of '}${issue.values.map(String).join(', ')}`;
    case 'too_small':
      return issue.origin === 'string' || issue.origin === 'array'
        ? 'must not be empty'
        : `must be at least ${issue.minimum}`;
    case 'too_big':
      return `must ${issue.origin === 'string' ? 'have at most' : 'be at most'} ${issue.maximum}${issue.origin === 'string' ? ' characters' : ''}`;
    case 'invalid_union': {
      const { discriminator } = issue;
      if (discriminator === undefined || !isMap(input)) return undefined;
      const options = Array.isArray(issue['options']) ? issue['options'] : [];
      return Object.hasOwn(input, discriminator) ? `must be one of ${options.map(String).join(', ')}` : 'is missing';
    }
    default:
      return undefined;
  }
};

/** What zod found wrong with `raw`, as findings in Cofre's words. */
export function explainIssues(
  issues: readonly Issue[],
  raw: unknown,
  mayHoldPieceOfSecret: (path: Path) => boolean,
): Finding[] {
  const findings: Finding[] = [];
  // Of something that this version does not have at all, its fields need no second refusal.
  const refused = new Set<string>();
  for (const issue of issues) {
    const path = issue.path as Path;
    const isChoice = issue.code === 'invalid_value' || issue.code === 'invalid_union';
    const message = isChoice ? notYet(path, valueAt(raw, path)) : undefined;
    if (message === undefined) continue;
    refused.add(path.slice(0, 2).join('\n'));
    findings.push({ path, message });
  }
  for (const issue of issues) {
    const path = issue.path as Path;
    if (refused.has(path.slice(0, 2).join('\n'))) continue;
    if (issue.code === 'unrecognized_keys') {
      const allowed = allowedFields(path, raw);
      findings.push(...issue.keys.map((key) => explainUnknown(path, key, allowed, mayHoldPieceOfSecret)));
    } else if (issue.code === 'invalid_key') {
      findings.push({ path, at: 'name', message: issue.issues[0]?.message ?? 'is not a name' });
    } else findings.push({ path, message: issue.message });
  }
  return findings;
}

function explainUnknown(
  path: Path,
  key: string,
  allowed: readonly string[],
  mayHoldPieceOfSecret: (path: Path) => boolean,
): Finding {
  const later = notYet([...path, key]);
  if (later !== undefined) return { path: [...path, key], at: 'name', message: later };
  const list = `allowed: ${allowed.join(', ')}`;
  if (nearestOf(key, allowed) === undefined && mayHoldPieceOfSecret(path)) {
    return {
      path,
      message: `has an unknown field, not shown because it stands beside a secret (quote secrets with a comma); ${list}`,
    };
  }
  return { path: [...path, key], at: 'name', message: `unknown field${didYouMean(key, allowed)}; ${list}` };
}

let jsonSchema: object | undefined;

/** The fields that the schema knows at `path`, where a mapping's `type` may decide. */
function allowedFields(path: Path, raw: unknown): string[] {
  let schema: unknown = (jsonSchema ??= configJsonSchema());
  for (const [index, step] of path.entries()) {
    schema = chosen(schema, valueAt(raw, path.slice(0, index)));
    if (!isMap(schema)) return [];
    const properties = isMap(schema['properties']) ? schema['properties'] : {};
    schema = Object.hasOwn(properties, step) ? properties[step] : (schema['additionalProperties'] ?? schema['items']);
  }
  schema = chosen(schema, valueAt(raw, path));
  return isMap(schema) && isMap(schema['properties']) ? Object.keys(schema['properties']) : [];
}

/** Of alternatives, the one for the value's `type`. */
function chosen(schema: unknown, value: unknown): unknown {
  if (!isMap(schema) || !Array.isArray(schema['oneOf']) || !isMap(value)) return schema;
  return schema['oneOf'].find((one: unknown) => valueAt(one, ['properties', 'type', 'const']) === value['type']);
}

function valueAt(raw: unknown, path: Path): unknown {
  let value = raw;
  for (const step of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, step)) return undefined;
    value = (value as Record<string | number, unknown>)[step];
  }
  return value;
}
