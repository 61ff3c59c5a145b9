import { rm } from 'node:fs/promises';
import { join } from 'node:path';

import type pg from 'pg';

import type {
  DatabaseFacts,
  DumpContent,
  Inventory,
  Pipeline,
  ServerFacts,
  TableContent,
} from '../../catalog/manifest.ts';
import { CofreError } from '../../errors/error.ts';
import type { RunningTool, Tool, ToolContext } from '../../processes/tool.ts';
import { RAW_FOLDER, STREAMED_FILE } from './archive-files.ts';
import { toolVersion, type Clients } from './clients.ts';
import { type PostgresTarget } from '../../postgres/connect.ts';
import { withToolEnvironment } from './tool-environment.ts';
import { toContentError } from './decompression.ts';
import { toDumpError } from './dump-failure.ts';
import { doubtfulConstraints } from './doubtful-constraints.ts';
import { dumpStaged, readStagedDump } from './dump-staged.ts';
import { dumpStreamed, readStreamedDump } from './dump-streamed.ts';
import { IS_DUMPED } from './dumped.ts';
import { readDatabaseFacts, readServerFacts } from './facts.ts';
import { readInventory } from './inventory.ts';
import { withSnapshot } from './snapshot.ts';
import { standbyLag, standbyWarning } from './standby.ts';
import { hiddenMappings } from './user-mappings.ts';
import { finishWatched } from './watch-tools.ts';

export interface DumpRequest extends ToolContext {
  readonly target: PostgresTarget;
  readonly clients: Clients;
  readonly pipeline: Pipeline;
  /** A folder of this attempt alone. */
  readonly directory: string;
  readonly jobs: number;
  /** A folder of this process, for the login file. */
  readonly scratch: string;
  readonly stallMs: number;
  /** A standby that is further behind is refused; an hour unless told. */
  readonly maxLagMs?: number | undefined;
  /** About each second: raw bytes so far. */
  readonly onProgress?: ((bytes: number) => void) | undefined;
  /** About each second while dumping; what it throws ends the dump. */
  readonly checkSpace?: (() => Promise<void>) | undefined;
}

export interface DumpResult {
  /** ISO 8601, UTC: the data are those of this time. */
  readonly snapshotAt: string;
  readonly server: ServerFacts;
  readonly database: DatabaseFacts;
  readonly content: DumpContent;
  readonly tools: Readonly<Record<string, string>>;
  /** What the dump lacks though it ended well, and what pg_dump said. */
  readonly warnings: readonly string[];
  /** The streamed dump in `directory`; null for a staged one, which `compressDump` makes into an archive. */
  readonly file: string | null;
}

/** What a pipeline finds in its own finished dump, in the archive's order. */
export interface DumpedData {
  readonly tables: readonly (Omit<TableContent, 'schema' | 'name'> & { readonly oid: number })[];
  readonly largeObjects: DumpContent['largeObjects'];
  readonly tocSha256?: string;
}

/** Runs pg_dump with the arguments of a pipeline; `start` starts it and what follows it. Gives what they said. */
export type RunPgDump = (args: readonly string[], start: (pgDump: Tool) => readonly RunningTool[]) => Promise<string[]>;

const LOCK_WAIT_MS = 60_000;
const WARNINGS_KEPT = 50;

/**
 * Dumps a database as of one instant into `directory`: `raw/` (staged) or one compressed file (streamed). Row counts
 * and hashes are taken from the dump's own data, so they hold for exactly what was dumped. Called again after a kill
 * it starts anew.
 * @throws CofreError `database-missing`, `database-locked`, `server-denied`, `server-unavailable`, `no-space`,
 * `standby-behind`, `tool-stalled`, `tool-failed`, `bad-content`; what `checkSpace` throws; `signal.reason`.
 */
export async function dumpDatabase(request: DumpRequest): Promise<DumpResult> {
  await rm(join(request.directory, RAW_FOLDER), { recursive: true, force: true });
  const staged = request.pipeline === 'staged';
  try {
    // The transaction ends with pg_dump: while it is open the server cannot clean up, and the rest needs no server.
    const { names, inventory, ...result } = await withSnapshot(
      request.target,
      lockWaitMs(request),
      async (snapshotId, client) => {
        const { rows } = await client.query<{ at: Date }>('select transaction_timestamp() as at');
        const facts = await readServerFacts(client);
        const lagMs = facts.inRecovery ? await standbyLag(client, request.target, request.maxLagMs) : undefined;
        const database = await readDatabaseFacts(client);
        const inventory = await readInventory(client);
        const names = await readTableNames(client);
        const noticed = [...(await hiddenMappings(client)), ...(await doubtfulConstraints(client))];
        const run = pgDumpRunner(request, snapshotId, database.encoding);
        const said = await (staged ? dumpStaged(request, run) : dumpStreamed(request, run));
        return {
          // A standby's data are of that time on its primary.
          snapshotAt: new Date((rows[0]?.at ?? new Date()).getTime() - (lagMs ?? 0)).toISOString(),
          server: lagMs === undefined ? facts : { ...facts, lagMs },
          ...{ database, inventory, names },
          warnings: [...(lagMs === undefined ? [] : [standbyWarning(lagMs)]), ...noticed, ...said],
        };
      },
    );
    const data = await (staged ? readStagedDump(request) : readStreamedDump(request)).catch((error: unknown) => {
      throw toContentError(error, 'pg_dump ended well, but what it wrote');
    });
    const { warning } = request.clients;
    return {
      ...result,
      warnings: [...(warning === null ? [] : [warning]), ...result.warnings],
      content: toContent(data, names, inventory),
      tools: { pg_dump: request.clients.version, zstd: await toolVersion('zstd') },
      file: staged ? null : STREAMED_FILE,
    };
  } catch (error) {
    request.signal?.throwIfAborted();
    throw toDumpError(error, request.target);
  }
}

/** For so long the others of the database may have to queue behind us. Shorter than a stall, so that it is called what it is. */
function lockWaitMs({ stallMs }: DumpRequest): number {
  return Math.min(LOCK_WAIT_MS, Math.ceil(stallMs / 2));
}

function pgDumpRunner(request: DumpRequest, snapshotId: string, encoding: string): RunPgDump {
  return async (args, start) =>
    withToolEnvironment(request.target, request.scratch, async (environment) => {
      const pgDump: Tool = {
        name: 'pg_dump',
        path: request.clients.pgDump,
        args: [
          ...args,
          '--compress=0',
          '--no-password',
          `--snapshot=${snapshotId}`,
          // Both are settings that a role may have changed for itself: the same data must give the same bytes.
          `--encoding=${encoding}`,
          `--lock-wait-timeout=${lockWaitMs(request)}`,
        ],
        env: { ...environment, PGOPTIONS: '-c bytea_output=hex' },
      };
      const tools = start(pgDump);
      // pg_dump alone writes its files, and zstd alone reads its pipe: the greater is the raw size so far.
      await finishWatched(tools, {
        stallMs: request.stallMs,
        check: request.checkSpace,
        onProgress: ({ readBytes, writtenBytes }) => request.onProgress?.(tools.length > 1 ? readBytes : writtenBytes),
      });
      const said = tools.flatMap((tool) => tool.stderr.split('\n')).filter((line) => line.trim() !== '');
      return said.slice(0, WARNINGS_KEPT);
    });
}

interface TableName {
  readonly schema: string;
  readonly name: string;
  /** A dump of the whole database has its rows. */
  readonly dumped: boolean;
}

/** Names by oid, as of the snapshot: pg_restore's list gives the oid exactly, and names only for the eye. */
async function readTableNames(client: pg.Client): Promise<Map<number, TableName>> {
  const { rows } = await client.query<TableName & { oid: number }>(`
    select c.oid, n.nspname as schema, c.relname as name,
      ${IS_DUMPED} and not (c.relpersistence = 'u' and pg_is_in_recovery()) as dumped
    from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.relkind = 'r' and c.oid >= 16384`);
  return new Map(rows.map(({ oid, ...table }) => [oid, table]));
}

/** Whoever dumps may leave out a table and end well all the same: the catalog of the same snapshot knows what there is. */
function requireWhole(data: DumpedData, names: ReadonlyMap<number, TableName>, inventory: Inventory): void {
  const found = new Set(data.tables.map(({ oid }) => oid));
  const missing = [...names].filter(([oid, { dumped }]) => dumped && !found.has(oid)).map(([, table]) => table);
  const named = missing.slice(0, 3).map(({ schema, name }) => `the table ${schema}.${name}`);
  if (missing.length > 3) named.push(`${missing.length - 3} more`);
  const lost = inventory.largeObjects - data.largeObjects.count;
  if (lost !== 0) named.push(`${lost} of ${inventory.largeObjects} large objects`);
  if (named.length > 0)
    throw new CofreError('bad-content', `pg_dump ended well, but its dump lacks ${named.join(', ')}`);
}

function toContent(data: DumpedData, names: ReadonlyMap<number, TableName>, inventory: Inventory): DumpContent {
  requireWhole(data, names, inventory);
  const tables = data.tables.map(({ oid, rows, rawBytes, rawSha256, file }) => {
    const table = names.get(oid);
    if (table === undefined) throw new Error(`the dump has data of a table ${oid} that its snapshot does not have`);
    return { schema: table.schema, name: table.name, rows, rawBytes, rawSha256, file };
  });
  return {
    tables,
    largeObjects: data.largeObjects,
    rows: tables.reduce((sum, table) => sum + table.rows, 0),
    rawBytes: tables.reduce((sum, table) => sum + (table.rawBytes ?? 0), data.largeObjects.rawBytes),
    inventory,
    ...(data.tocSha256 === undefined ? {} : { tocSha256: data.tocSha256 }),
  };
}
