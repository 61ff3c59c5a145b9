import { z } from 'zod';

import { destination } from './destination-schema.ts';
import {
  name,
  secretReference,
  port,
  text,
  address,
  absolutePath,
  timeOfDay,
  duration,
  tls,
  timezone,
  identifier,
} from './fields.ts';

/**
 * The shape of `cofre.yaml`: the one schema for the file, the stored configuration and the editors' JSON schema.
 * Secrets are only ever references; what a reference points at is read on the host that needs it (`secret.ts`).
 */

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
    alias: z
      .array(name)
      .min(1)
      .optional()
      .describe(
        'the destinations of `to` where <namespace>/database_latest.dump.gz is kept up to date for old consumers',
      ),
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
  run: z.enum(['backupDatabase', 'copyBackups', 'verifyCopies', 'syncCatalog']),
  from: name.optional().describe('for copyBackups: the destination to read from first'),
  to: z.array(name).min(1).optional().describe('for copyBackups: the destinations that get what they lack'),
  within: duration
    .optional()
    .describe('for verifyCopies: how long it may take until every copy was read again; 30d unless told'),
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

/** What the commands on single destinations need. */
export const destinationsSchema = z.looseObject({ destinations: sections.destinations });

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
export type PolicyConfig = Config['policies'][string];
export type EnvironmentConfig = Config['environments'][string];
export type RoutineConfig = Config['routines'][string];

/** What is stored in the catalog: everything but how to reach the catalog and Temporal, and which host this is. */
export type AppliedConfig = z.output<typeof appliedSchema>;
export type Section = keyof AppliedConfig;
