import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { CofreError } from '../errors/error.ts';
import { type PostgresTarget } from '../postgres/connect.ts';
import { withToolEnvironment } from '../sources/postgres/tool-environment.ts';

/** What pg_dump writes above each object. */
const HEADER =
  /^--\n-- Name: (?<name>.*); Type: (?<type>[^;\n]*); Schema: (?<schema>[^;\n]*); (?<rest>Owner: .*)\n--\n/gm;

/** What stands between an object and the next one: it depends on the order of the dump, or on the run. */
const NOISE =
  /^(|\\(un)?restrict .*|SET default_(tablespace|table_access_method) = .*|-- PostgreSQL database dump complete|--)$/;

/**
 * The text of `pg_dump --schema-only` in pieces, one for each object, by type and name.
 * The order of the objects in a dump may change when a database is restored; the text of each may not.
 */
export async function readSchema(
  target: PostgresTarget,
  dumpSchema: (environment: Record<string, string>) => Promise<string>,
): Promise<Map<string, string>> {
  const scratch = await mkdtemp(join(tmpdir(), 'cofre-schema-'));
  try {
    return splitSchema(await withToolEnvironment(target, scratch, dumpSchema));
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

function splitSchema(text: string): Map<string, string> {
  if (!text.includes('\n-- PostgreSQL database dump complete\n')) {
    throw new CofreError('bad-content', 'pg_dump did not write a whole schema');
  }
  const objects = new Map<string, string>();
  const headers = [...text.matchAll(HEADER)];
  for (const [index, header] of headers.entries()) {
    const { name = '', type = '', schema = '', rest = '' } = header.groups ?? {};
    const body = text.slice(header.index + header[0].length, headers[index + 1]?.index);
    // Only at the end: within a function's body, an empty line is part of the function.
    const lines = body.trimStart().split('\n');
    while (lines.length > 0 && NOISE.test(lines.at(-1) ?? '')) lines.pop();
    // Grants are written in the order in which they were given, which is no part of what they mean.
    if (type.endsWith('ACL')) lines.sort();
    const key = keyOf(type, schema, name, lines);
    const before = objects.get(key);
    // Two of one name (the same function in an overload that pg_dump shortens): both, in an order of their own.
    const pieces = [...(before === undefined ? [] : [before]), [...lines, rest].join('\n')];
    objects.set(key, pieces.sort().join('\n'));
  }
  return objects;
}

/** Constraints, triggers, policies and rules are called by their table already; an index is not. */
function keyOf(type: string, schema: string, name: string, lines: readonly string[]): string {
  const table = type === 'INDEX' ? / ON (?:ONLY )?(.+?) USING /.exec(lines[0] ?? '')?.[1] : undefined;
  return `${type} ${schema === '-' ? '' : `${schema}.`}${name}${table === undefined ? '' : ` ON ${table}`}`;
}
