import { z } from 'zod';

import { DUMP_PATTERN } from './adoption.ts';
import { name, secretReference, port, text, address, absolutePath, timezone } from './fields.ts';

const BANDWIDTH = 'must be a number and kB/s or MB/s, such as 20MB/s';
const bandwidth = z
  .string(BANDWIDTH)
  .regex(/^[1-9][0-9]{0,4}(kB|MB)\/s$/, BANDWIDTH)
  .optional()
  .describe('of what one host sends there and reads back; a restore takes all it gets');
const connections = z
  .int()
  .min(1)
  .max(64)
  .optional()
  .describe(
    'how many objects of over 1 MB at once one host sends there, and how many it reads back; a restore does not wait',
  );
const adopt = z
  .strictObject({
    dumps: z
      .array(
        z
          .string()
          .max(200)
          .regex(
            DUMP_PATTERN,
            'must be names with / between them, one {namespace}, and in each at most one * for any text',
          ),
      )
      .min(1)
      .max(20),
    timezone: timezone.optional().describe("of the clock of the job that dumps; the environment's unless told"),
  })
  .optional()
  .describe(
    'dumps that another job leaves there, such as {namespace}/database_latest.dump.gz: syncCatalog makes backups of them',
  );
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
    bandwidth,
    adopt,
    hosts: seenBy.describe('the hosts that see this folder'),
    shared: z.boolean().optional().describe('true: the same folder on every host'),
  })
  .refine(
    (value) => (value.hosts === undefined) !== (value.shared !== true),
    'needs either hosts: [...] or shared: true',
  );

const endpoint = z
  .string()
  .regex(
    /^https?:\/\/[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[1-9][0-9]{0,4})?\/?$/,
    'must be http(s)://host or http(s)://host:port',
  )
  .refine((value) => URL.canParse(value), 'must have a port up to 65535');

const s3 = z.strictObject({
  type: z.literal('s3'),
  bucket: z
    .string()
    .regex(/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/, 'must be the name of a bucket: 3 to 63 of a-z, 0-9, - and .'),
  prefix: prefix.optional(),
  region: text.regex(/^[a-z0-9-]+$/, 'must be the name of a region, such as sa-east-1').default('us-east-1'),
  endpoint: endpoint.optional().describe('for a service that is not that of AWS'),
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
  bandwidth,
  adopt,
  hosts: seenBy.describe('the hosts that reach it; every one unless told'),
});

const gcs = z.strictObject({
  type: z.literal('gcs'),
  bucket: z
    .string()
    .regex(
      /^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$/,
      'must be the name of a bucket: 3 or more of a-z, 0-9, -, _ and ., without gs://',
    ),
  prefix: prefix.optional(),
  credentials: secretReference
    .optional()
    .describe(
      'the JSON of a key of a service account, or of a workload identity; what the machine itself has unless told',
    ),
  endpoint: endpoint
    .optional()
    .describe('where the service is, if not at storage.googleapis.com; without credentials none are shown there'),
  bandwidth,
  connections,
  adopt,
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
    bandwidth,
    connections,
    adopt,
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

const rclone = z.strictObject({
  type: z.literal('rclone'),
  remote: z
    .string()
    .max(1024)
    // With settings of its own (`gdrive,token=…:`) it would carry a secret past the rule for secrets.
    .regex(
      /^[A-Za-z0-9_+@][A-Za-z0-9_.+@ -]*:(?!.*(^|[:/])\.\.(\/|$))([^\p{Cc}\\]*[^\p{Cc}\\/])?$/u,
      'must be NAME:FOLDER, the name of a remote as `rclone listremotes` has it and a folder there, without settings',
    )
    .describe('a remote of the rclone configuration of the hosts, and the folder in it that keeps the copies'),
  configFile: absolutePath
    .optional()
    .describe('the rclone configuration; that of the user who runs the worker unless told'),
  configPassword: secretReference.optional().describe('of an rclone configuration that is encrypted'),
  bandwidth,
  connections,
  adopt,
  hosts: seenBy.describe('the hosts that reach it; every one unless told'),
});

/** A place that keeps copies, by its type. */
export const destination = z.discriminatedUnion('type', [directory, s3, gcs, sftp, rclone]);

export type DestinationConfig = z.output<typeof destination>;
export type DirectoryConfig = Extract<DestinationConfig, { type: 'directory' }>;
export type S3Config = Extract<DestinationConfig, { type: 's3' }>;
export type GcsConfig = Extract<DestinationConfig, { type: 'gcs' }>;
export type SftpConfig = Extract<DestinationConfig, { type: 'sftp' }>;
export type RcloneConfig = Extract<DestinationConfig, { type: 'rclone' }>;
