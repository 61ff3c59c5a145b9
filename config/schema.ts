import { z } from 'zod';

/**
 * The shape of `cofre.yaml`: the one schema for the file, the stored configuration and the editors' JSON schema.
 * Secrets are only ever references; what a reference points at is read on the host that needs it (`secret.ts`).
 */

/** Names become file names, key prefixes, task queues and workflow ids, so they are kept easy. */
const name = z
  .string()
  .regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, 'must be a name of 1 to 63 characters: a-z, 0-9, and - inside');

const SECRET_RULE = 'must be a reference to the secret, env:NAME or file:/absolute/path, never the secret itself';

export const secretReference = z
  .string({ error: ({ input }) => (input === undefined ? undefined : SECRET_RULE) })
  .regex(/^(env:[A-Za-z_][A-Za-z0-9_]*|file:\/.+)$/, SECRET_RULE)
  .describe('a reference to a secret: env:NAME or file:/absolute/path');

const port = z.int().min(1).max(65535);
const text = z.string().min(1).max(255);
/** Also keeps out connection strings, which would carry a password past the rule for secrets. */
const address = text.regex(
  /^(\/.+|[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9.])?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*)$/,
  'must be a host name or an address alone, without scheme, user or port',
);
const absolutePath = z
  .string()
  .max(1024)
  .regex(/^(?!.*\/\.\.(\/|$))\/.*[^/.]/, 'must be an absolute path without .., and not the root folder');
const timeOfDay = z.string().regex(/^([01][0-9]|2[0-3]):[0-5][0-9]$/, 'must be a time of day such as "21:00"');
const duration = z.string().regex(/^[1-9][0-9]{0,4}(m|h|d)$/, 'must be a number and m, h or d, such as 26h');
const tls = z.enum(['off', 'require', 'verify']).describe('verify needs a certificate that this machine trusts');
const timezone = z.string().refine(isTimezone, 'must be a time zone name, written exactly, such as America/Sao_Paulo');
/** PostgreSQL cuts longer names off without an error, so two of them could be one. It counts bytes: accents are two. */
const identifier = z
  .string()
  .min(1)
  .max(63)
  .refine((value) => new TextEncoder().encode(value).length <= 63, 'must have at most 63 bytes (an accent is two)')
  // A name may hold anything, and is printed; what stands here by mistake has a password in it.
  .refine((value) => !/:\/\/|password *=/i.test(value), 'must be a name alone, not a connection string');

const login = z.strictObject({ user: identifier, password: secretReference });

const temporal = z.strictObject({
  address: text
    .regex(/^([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):[1-9][0-9]{0,4}$/, 'must be host:port, such as 127.0.0.1:7233')
    .default('127.0.0.1:7233'),
  namespace: text.regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, 'must be the name of a Temporal namespace').default('default'),
});

const catalog = z.strictObject({
  host: address,
  port: port.default(5432),
  database: identifier,
  user: identifier,
  password: secretReference,
  owner: login.optional().describe('who runs the migrations, where the runtime role may not'),
  tls: tls.default('off'),
});

const host = z.strictObject({
  spool: absolutePath.describe('the local folder for work in progress; Cofre alone writes there'),
  keepFree: z
    .string()
    .regex(/^([1-9][0-9]?%|[1-9][0-9]{0,5}(MB|GB|TB))$/, 'must be a share such as 20% or a size such as 50GB')
    .default('10%')
    .describe('what a dump must leave free in the file system of the spool'),
  heavy: z.int().min(1).max(64).default(2).describe('how many dumps, uploads and restores at once'),
  unfixedClients: z
    .enum(['refuse', 'warn'])
    .default('refuse')
    .describe("warn: use PostgreSQL's clients with known holes where there are no others, and say so"),
});

const server = z.strictObject({
  host: address,
  port: port.default(5432),
  tls: tls.default('off'),
  backup: login.describe('reads everything, writes nothing'),
  admin: login.describe('creates roles and databases, renames databases'),
  maintenanceDatabase: identifier.default('postgres').describe('where Cofre logs in to create and rename databases'),
  atOnce: z.int().min(1).max(64).default(2).describe('how many environments of this server a routine works on at once'),
});

const seenBy = z.array(name).min(1).optional();
/** Part of every object's name there, so it obeys the rule of keys (`destinations/key.ts`). */
const prefix = z
  .string()
  .max(200)
  .regex(/^[A-Za-z0-9_=-][A-Za-z0-9._=-]*(\/[A-Za-z0-9_=-][A-Za-z0-9._=-]*)*$/, 'must be names with / between them')
  .describe('the folder in it that is the destination; all of it unless told');
const sizeInMb = z.string().regex(/^[1-9][0-9]{0,3}MB$/, 'must be a number and MB, such as 16MB');

const directory = z
  .strictObject({
    type: z.literal('directory'),
    path: absolutePath.describe('the folder that keeps the copies'),
    hosts: seenBy.describe('the hosts that see this folder'),
    shared: z.boolean().optional().describe('true: the same folder on every host'),
  })
  .refine(
    (value) => (value.hosts === undefined) !== (value.shared !== true),
    'needs either hosts: [...] or shared: true',
  );

const s3 = z.strictObject({
  type: z.literal('s3'),
  bucket: z
    .string()
    .regex(/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/, 'must be the name of a bucket: 3 to 63 of a-z, 0-9, - and .'),
  prefix: prefix.optional(),
  region: text.regex(/^[a-z0-9-]+$/, 'must be the name of a region, such as sa-east-1').default('us-east-1'),
  endpoint: z
    .string()
    .regex(
      /^https?:\/\/[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[1-9][0-9]{0,4})?\/?$/,
      'must be http(s)://host or http(s)://host:port',
    )
    .optional()
    .describe('for a service that is not that of AWS'),
  pathStyle: z
    .boolean()
    .optional()
    .describe('the bucket stands in the path and not in the host name; so with an endpoint, unless told'),
  credentials: z
    .strictObject({
      accessKeyId: secretReference,
      secretAccessKey: secretReference,
      sessionToken: secretReference.optional(),
    })
    .optional()
    .describe('read again as they change; what the machine itself has (a role, its environment) unless told'),
  checksum: z
    .enum(['crc32', 'md5'])
    .default('crc32')
    .describe('crc32: of every part and of the whole object; md5: of parts alone, for a service that knows no other'),
  partSize: sizeInMb
    .refine((value) => Number.parseInt(value) >= 6 && Number.parseInt(value) <= 512, 'must be 6MB to 512MB')
    .default('16MB')
    .describe('of what is sent at once; more for objects that would have over 10,000 parts'),
  connections: z.int().min(1).max(16).default(4).describe('how many parts of one object at once'),
  encryption: z
    .enum(['aes256', 'kms'])
    .optional()
    .describe('what the service encrypts with; as the bucket says unless told'),
  kmsKey: text.optional().describe("with encryption: kms: the id of its key; the service's own unless told"),
  objectLock: z
    .strictObject({ mode: z.enum(['governance', 'compliance']), days: z.int().min(1).max(36_500) })
    .optional()
    .describe('nobody can delete an object for so long; the bucket must have object lock'),
  hosts: seenBy.describe('the hosts that reach it; every one unless told'),
});

const hostKey = z
  .string()
  .regex(/^SHA256:[A-Za-z0-9+/]{43}$/, 'must be a fingerprint as ssh-keygen -lf prints it: SHA256: and 43 characters');

const sftp = z
  .strictObject({
    type: z.literal('sftp'),
    host: address,
    port: port.default(22),
    user: z.string().regex(/^[A-Za-z0-9_][A-Za-z0-9._@+-]{0,63}$/, 'must be the name of an account'),
    path: absolutePath.describe('the folder on the server that keeps the copies'),
    hostKey: z
      .union([hostKey, z.array(hostKey).min(1).max(8)], {
        error: ({ input }) => (input === undefined ? undefined : 'must be a fingerprint SHA256:…, or a list of them'),
      })
      .describe('the fingerprints that the server may show; two while its key is being changed'),
    privateKey: secretReference.optional().describe('a private key of OpenSSH'),
    passphrase: secretReference.optional().describe('of the private key'),
    password: secretReference.optional().describe('instead of a private key'),
    hosts: seenBy.describe('the hosts that reach it; every one unless told'),
  })
  .refine(
    ({ privateKey, password }) => (privateKey === undefined) !== (password === undefined),
    'needs either privateKey or password',
  )
  .refine(
    ({ privateKey, passphrase }) => passphrase === undefined || privateKey !== undefined,
    'passphrase is that of a privateKey',
  );

const destination = z.discriminatedUnion('type', [directory, s3, sftp]);

const policy = z.strictObject({
  pipeline: z.enum(['staged', 'streamed']).default('staged'),
  jobs: z.int().min(1).max(32).default(2).describe('processes that dump, compress and restore one database'),
  copies: z.strictObject({
    to: z.array(name).min(1),
    complete: z
      .int()
      .min(1)
      .optional()
      .describe('how many verified copies make a backup complete; all of them unless told'),
  }),
  endsWithin: duration.default('20h').describe('a run closes by then, before the next slot'),
  keepOldDatabaseFor: duration.default('24h').describe('how long the replaced database is kept after a restore'),
  ensure: z.strictObject({ maxAge: duration.optional().describe('ensure refuses an older backup') }).default({}),
});

const environment = z.strictObject({
  name: z.string().min(1).max(200).optional(),
  stage: z.enum(['production', 'homologation', 'development']),
  customer: name,
  namespace: name.optional(),
  productionOf: name.optional().describe('for a homologation environment: the production environment it belongs to'),
  policy: name,
  hosts: z
    .array(name)
    .min(1)
    .optional()
    .describe('the hosts that reach its data, in order of preference; any unless told'),
  timezone: timezone.default('America/Sao_Paulo'),
  labels: z.record(name, z.string().max(63)).default({}),
  database: z.strictObject({
    server: name,
    name: identifier,
    owner: identifier.describe('the role that owns the database after a restore'),
    roles: z
      .record(identifier, z.strictObject({ password: secretReference }))
      .default({})
      .describe('the logins of the application; a restore creates those that are missing'),
    extensions: z
      .array(z.string().min(1).max(63))
      .default([])
      .describe('what `cofre ensure --create-empty` makes; a backup knows its own'),
    trusted: z
      .boolean()
      .default(false)
      .describe('a restore may create, as the admin login, what only a superuser can (C functions, event triggers, …)'),
  }),
});

const routine = z.strictObject({
  at: timeOfDay,
  until: timeOfDay.optional().describe('what has not started by then is not started any more'),
  days: z
    .union([z.literal('daily'), z.array(z.enum(['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'])).min(1)], {
      error: 'must be daily, or a list of mon, tue, wed, thu, fri, sat, sun',
    })
    .default('daily'),
  timezone: timezone.default('America/Sao_Paulo'),
  run: z.enum(['backupDatabase', 'copyBackups']),
  from: name.optional().describe('for copyBackups: the destination to read from first'),
  to: z.array(name).min(1).optional().describe('for copyBackups: the destinations that get what they lack'),
  environments: z
    .strictObject({
      stage: z.enum(['production', 'homologation', 'development']).optional(),
      customer: name.optional(),
      labels: z.record(name, z.string()).optional(),
      names: z.array(name).min(1).optional(),
    })
    .default({})
    .describe('which environments; every one unless told'),
  atOnce: z.int().min(1).max(500).default(4).describe('how many environments at once, over all servers'),
  catchUp: duration.default('6h').describe('a slot missed while Temporal was down is made up for within this time'),
});

const NIGHTLY = { nightly: { at: '21:00', run: 'backupDatabase' as const } };

/** One entry of each section that is a map of names: what an included file may add to. */
export const entrySchemas = {
  hosts: host,
  servers: server,
  destinations: destination,
  policies: policy,
  environments: environment,
  routines: routine,
};

const sections = {
  hosts: z.record(name, host).describe('the machines that run a worker'),
  servers: z.record(name, server).describe('the PostgreSQL servers'),
  destinations: z.record(name, destination).describe('the places that keep copies'),
  policies: z.record(name, policy).describe('how environments are backed up and restored'),
  environments: z.record(name, environment).describe("the customers' installations; the key is the id for ever"),
  routines: z.record(name, routine).describe('what runs by itself, and when'),
};

const thisHost = name.optional().describe('which of hosts: this machine is');

/** A whole configuration: what `cofre apply` and `cofre up` read. */
export const configSchema = z.strictObject({
  temporal: temporal.prefault({}).describe('how to reach Temporal'),
  catalog: catalog.describe('how to reach the catalog'),
  host: thisHost,
  ...sections,
  routines: sections.routines.prefault(NIGHTLY),
  include: z.array(text).optional().describe('more files, such as environments.d/*.yaml'),
});

/** What is stored in the catalog: nothing is filled in here but what a field itself leaves open. */
export const appliedSchema = z.strictObject(sections);

/** What a worker's or an operator's machine needs: the rest is taken from the version last applied. */
export const connectionSchema = z.looseObject({ temporal: temporal.prefault({}), catalog, host: thisHost });

/** What `cofre ensure` needs on an environment's own machine: where its database is, and its own credential. */
export const ensureSchema = z.looseObject({
  temporal: temporal.prefault({}),
  servers: z.record(name, z.looseObject({ host: address, port: port.default(5432), tls: tls.default('off') })),
  environments: z.record(
    name,
    z.looseObject({
      database: z.looseObject({
        server: name,
        name: identifier,
        owner: identifier,
        roles: z.record(identifier, z.looseObject({ password: secretReference })).default({}),
      }),
    }),
  ),
});

export type Config = z.output<typeof configSchema>;
export type ConnectionConfig = z.output<typeof connectionSchema>;
export type EnsureConfig = z.output<typeof ensureSchema>;
export type TemporalConfig = Config['temporal'];
export type CatalogConfig = Config['catalog'];
export type HostConfig = Config['hosts'][string];
export type ServerConfig = Config['servers'][string];
export type DestinationConfig = Config['destinations'][string];
export type DirectoryConfig = Extract<DestinationConfig, { type: 'directory' }>;
export type S3Config = Extract<DestinationConfig, { type: 's3' }>;
export type SftpConfig = Extract<DestinationConfig, { type: 'sftp' }>;
export type PolicyConfig = Config['policies'][string];
export type EnvironmentConfig = Config['environments'][string];
export type RoutineConfig = Config['routines'][string];

/** What is stored in the catalog: everything but how to reach the catalog and Temporal, and which host this is. */
export type AppliedConfig = z.output<typeof appliedSchema>;
export type Section = keyof AppliedConfig;

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
