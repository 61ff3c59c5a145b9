import { z } from 'zod';

import { CofreError, messageOf } from '../errors/error.ts';
import { isBackupId } from './backup-id.ts';
import { MANIFEST_FORMAT, type Manifest } from './manifest.ts';
import { since1970 } from './times.ts';

/** A hundred thousand tables need about half of it. */
export const MANIFEST_MAX_BYTES = 64 * 1024 * 1024;

// A manifest may come from a place that others can write to: names in it become paths, SQL and words on a screen.
const text = (max: number) =>
  z
    .string()
    .max(max)
    .refine((value) => !value.includes('\0'), 'no NUL');
const word = text(1_000).min(1);
const long = text(1_000_000);
const count = z.int().nonnegative();
const time = since1970(z.iso.datetime());
const sha256 = z.string().regex(/^[0-9a-f]{64}$/, '64 hexadecimal digits');
const segment = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._=-]{0,199}$/, 'a plain name');

const server = z.strictObject({
  systemIdentifier: z.string().regex(/^[0-9]{1,20}$/, 'digits'),
  version: word,
  versionNumber: count,
  inRecovery: z.boolean(),
  lagMs: count.exactOptional(),
});

const database = z.strictObject({
  name: word,
  oid: count,
  owner: word,
  encoding: word,
  collate: word,
  ctype: word,
  localeProvider: z.enum(['libc', 'icu', 'builtin']),
  icuLocale: word.nullable(),
  icuRules: long.nullable(),
  collationVersion: word.nullable(),
  connectionLimit: z.int().min(-2),
  comment: long.nullable(),
  privileges: z
    .array(z.strictObject({ grantee: text(1_000), grantor: word, privilege: word, grantable: z.boolean() }))
    .nullable(),
  settings: z.array(
    z.strictObject({ role: word.nullable(), name: word, value: long.nullable(), superuser: z.boolean() }),
  ),
  extensions: z.array(z.strictObject({ name: word, version: word, schema: word })),
  roles: z.array(
    z.strictObject({
      name: word,
      login: z.boolean(),
      superuser: z.boolean(),
      inherit: z.boolean(),
      createRole: z.boolean(),
      createDatabase: z.boolean(),
      replication: z.boolean(),
      bypassRowSecurity: z.boolean(),
      connectionLimit: z.int().min(-2),
    }),
  ),
  memberships: z.array(
    z.strictObject({
      role: word,
      member: word,
      admin: z.boolean(),
      inherit: z.boolean().exactOptional(),
      set: z.boolean().exactOptional(),
    }),
  ),
  privileged: z.array(z.strictObject({ type: word, schema: word.nullable(), name: long.min(1) })),
  sizeBytes: count,
  owners: z.array(z.strictObject({ type: word, identity: long.min(1), owner: word })).exactOptional(),
  needs: z
    .strictObject({
      forcedRowSecurity: z.array(long),
      superusersRights: z.array(long),
      closedToOwners: z.array(long),
      defaultPrivileges: z.array(word),
      extensionTables: z.array(word),
      changedPublic: z.boolean(),
    })
    .exactOptional(),
});

const content = z.strictObject({
  tables: z.array(
    z.strictObject({
      schema: word,
      name: word,
      rows: count,
      rawBytes: count.nullable(),
      rawSha256: sha256.nullable(),
      file: segment.nullable(),
    }),
  ),
  largeObjects: z.strictObject({ count, rawBytes: count, sha256: sha256.nullable() }),
  tocSha256: sha256.exactOptional(),
  rows: count,
  rawBytes: count,
  inventory: z
    .strictObject({
      schemas: count,
      tables: count,
      columns: count,
      views: count,
      materializedViews: count,
      populatedMaterializedViews: count,
      sequences: count,
      indexes: count,
      validIndexes: count,
      constraints: count,
      validConstraints: count,
      triggers: count,
      functions: count,
      types: count,
      policies: count,
      rules: count,
      eventTriggers: count,
      publications: count,
      foreignTables: count,
      largeObjects: count,
    })
    .nullable(),
});

// The order of the fields here is the order in the file; a new version adds, and never moves.
const schema = z
  .strictObject({
    format: z.literal(MANIFEST_FORMAT),
    backupId: z.string().refine(isBackupId, 'a backup id such as 20261120T210000Z-1f3a9c04'),
    attempt: segment,
    environment: z.strictObject({
      id: z.string().regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, 'the name of an environment'),
      stage: word,
      customer: word,
      name: word.exactOptional(),
    }),
    kind: z.literal('database'),
    mode: z.literal('full'),
    pipeline: z.enum(['staged', 'streamed', 'adopted']),
    host: word,
    configVersion: count,
    startedAt: time,
    snapshotAt: time,
    finishedAt: time,
    tools: z.record(word, word),
    server: server.nullable(),
    database: database.nullable(),
    content,
    objects: z
      .array(z.strictObject({ key: z.string(), sizeBytes: count, sha256 }))
      .min(1)
      .max(1_000),
  })
  .check(({ value, issues }) => {
    const keys = new Set<string>();
    for (const [index, { key }] of value.objects.entries()) {
      const [folder, name, ...more] = key.split('/');
      const own = folder === value.attempt && segment.safeParse(name).success && more.length === 0;
      if (!own || keys.has(key)) {
        issues.push({
          code: 'custom',
          message: `a name of its own in the folder ${value.attempt}/`,
          input: key,
          path: ['objects', index, 'key'],
        });
      }
      keys.add(key);
    }
    const adopted = value.pipeline === 'adopted';
    for (const [path, fact] of [
      [['server'], value.server],
      [['database'], value.database],
      [['content', 'inventory'], value.content.inventory],
    ] as const) {
      if ((fact === null) === adopted) continue;
      const message = adopted ? 'null: nobody wrote it down of an adopted dump' : 'what was written down of the source';
      issues.push({ code: 'custom', message, input: fact, path: [...path] });
    }
  }) satisfies z.ZodType<Manifest>;

/**
 * Reads a manifest's bytes.
 * @throws CofreError `bad-content` when they are not a manifest, or one of a format that a newer Cofre writes.
 */
export function parseManifest(bytes: Buffer): Manifest {
  if (bytes.length > MANIFEST_MAX_BYTES)
    throw new CofreError('bad-content', `a manifest of ${bytes.length} bytes is not one of Cofre's`);
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch (cause) {
    throw new CofreError('bad-content', `the manifest is not JSON: ${messageOf(cause)}`, { cause });
  }
  return checkManifest(value);
}

/** The same for a manifest that is a JSON value already. */
export function checkManifest(value: unknown): Manifest {
  const format = typeof value === 'object' && value !== null && 'format' in value ? value.format : undefined;
  if (typeof format === 'number' && format > MANIFEST_FORMAT) {
    throw new CofreError('bad-content', `the manifest has format ${format}, and this Cofre knows ${MANIFEST_FORMAT}`, {
      hint: 'a newer Cofre wrote it: upgrade this one, or restore with the stock tools (docs/format.md)',
    });
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [first, ...others] = parsed.error.issues.map(
    ({ path, message }) => `${path.map(String).join('.')}: ${message}`,
  );
  const more = others.length === 0 ? '' : `, and ${others.length} more`;
  throw new CofreError('bad-content', `the manifest is not valid: ${first}${more}`, { cause: parsed.error });
}

/**
 * The bytes of a manifest: the same for the same content, however it was put together, because every destination must
 * hold the same. What could not be read again is not written (`bad-content`).
 */
export function manifestBytes(manifest: Manifest): Buffer {
  const checked = checkManifest(manifest);
  const tools = Object.fromEntries(Object.entries(checked.tools).sort(([a], [b]) => (a < b ? -1 : 1)));
  const bytes = Buffer.from(`${JSON.stringify({ ...checked, tools }, null, 1)}\n`);
  if (bytes.length > MANIFEST_MAX_BYTES)
    throw new CofreError('bad-content', `the manifest would have ${bytes.length} bytes: too many tables`);
  return bytes;
}
