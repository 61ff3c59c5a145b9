import { captureTool } from '../processes/tool.ts';
import { withClient, type PostgresTarget } from '../postgres/connect.ts';
import { digestLargeObjects, digestTables, readSequences } from './content-digests.ts';
import { readDatabaseFacts } from './database-facts.ts';
import { readSchema } from './schema-text.ts';

/** Everything that makes two databases equal: for each part, what it is called and what it is, as text. */
export interface Fingerprint {
  /** Owner, encoding, locale, privileges, settings, comment, extensions with their versions. */
  readonly database: ReadonlyMap<string, string>;
  /** What `pg_dump --schema-only` says of each object: definition, owner, privileges, comment. */
  readonly schema: ReadonlyMap<string, string>;
  /** For each table, partition and materialized view: the number of rows and a digest of all of them. */
  readonly tables: ReadonlyMap<string, string>;
  readonly sequences: ReadonlyMap<string, string>;
  readonly largeObjects: ReadonlyMap<string, string>;
  readonly totals: { readonly rows: number; readonly largeObjectBytes: number };
}

/** How messages call what is in each part. */
const PARTS = {
  database: 'database',
  schema: 'schema',
  tables: 'rows of',
  sequences: 'sequence',
  largeObjects: 'large object',
} as const;

export interface Difference {
  /** Which thing: `rows of vendas.pedido`, `schema INDEX vendas.pedido_cliente ON vendas.pedido`. */
  readonly where: string;
  /** What was there before and what is there now. */
  readonly what: string;
}

/**
 * Reads the whole database, every row, and sums it up. It shares nothing with the code that makes and checks backups,
 * so that the two cannot be wrong together. Nobody may write meanwhile, and the login must see everything: a superuser.
 * `pgDump` is the program that reads the schema, of the server's major version or newer.
 */
export async function fingerprintDatabase(target: PostgresTarget, pgDump = 'pg_dump'): Promise<Fingerprint> {
  const [schema, tables, rest] = await Promise.all([
    readSchema(target, (env) => captureTool({ name: 'pg_dump', path: pgDump, args: ['--schema-only', '-w'], env })),
    digestTables(target),
    withClient(target, async (client) => ({
      database: await readDatabaseFacts(client),
      sequences: await readSequences(client),
      largeObjects: await digestLargeObjects(client),
    })),
  ]);
  return {
    database: rest.database,
    schema,
    tables: tables.digests,
    sequences: rest.sequences,
    largeObjects: rest.largeObjects.digests,
    totals: { rows: tables.rows, largeObjectBytes: rest.largeObjects.sizeBytes },
  };
}

/** All that is different, by part and name; nothing means that the databases are equal in schema and in every row. */
export function compareFingerprints(before: Fingerprint, after: Fingerprint): Difference[] {
  return (Object.keys(PARTS) as (keyof typeof PARTS)[]).flatMap((part) => {
    const names = [...new Set([...before[part].keys(), ...after[part].keys()])].sort();
    return names.flatMap((name) => {
      const what = describeChange(before[part].get(name), after[part].get(name));
      return what === undefined ? [] : [{ where: `${PARTS[part]} ${name}`, what }];
    });
  });
}

function describeChange(before: string | undefined, after: string | undefined): string | undefined {
  if (before === after) return undefined;
  if (before === undefined) return `not there before, now: ${after?.split('\n')[0]}`;
  if (after === undefined) return `not there any more, before: ${before.split('\n')[0]}`;
  const linesBefore = before.split('\n');
  const linesAfter = after.split('\n');
  const gone = linesBefore.find((line) => !linesAfter.includes(line));
  const come = linesAfter.find((line) => !linesBefore.includes(line));
  if (gone === undefined && come === undefined) return 'the same lines, in another order or number';
  return `before: ${gone ?? '(nothing)'}; now: ${come ?? '(nothing)'}`;
}
