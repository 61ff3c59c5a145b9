import { rm } from 'node:fs/promises';
import { join } from 'node:path';

import type pg from 'pg';

import type { DatabaseFacts, DumpContent, Pipeline, ServerFacts, TableContent } from '../../catalog/manifest.ts';
import { CofreError } from '../../errors/error.ts';
import type { RunningTool, Tool, ToolContext } from '../../processes/tool.ts';
import { RAW_FOLDER, STREAMED_FILE } from './archive-files.ts';
import type { Clients } from './clients.ts';
import { SESSION_OPTIONS, type PostgresTarget } from '../../postgres/connect.ts';
import { withToolEnvironment } from './tool-environment.ts';
import { toContentError } from './decompression.ts';
import { toDumpError } from './dump-failure.ts';
import { readDumpFacts, type DumpFacts } from './dump-facts.ts';
import { stagedDump } from './dump-staged.ts';
import { streamedDump } from './dump-streamed.ts';
import { readServerFacts } from './facts.ts';
import { runTogether } from './run-together.ts';
import { withSnapshot } from './snapshot.ts';
import { standbyLag, standbyWarning } from './standby.ts';
import { toolVersion } from './tool-version.ts';
import { finishWatched } from './watch-tools.ts';

export interface DumpRequest extends ToolContext {
  readonly target: PostgresTarget;
  /** Decides whether this server may be dumped, before anything is, and gives the clients for it. */
  readonly clientsFor: (server: ServerFacts) => Promise<Clients>;
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

/** A dump under way. */
export type RunningDump = DumpRequest & { readonly clients: Clients };

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

/** How one pipeline dumps. */
export interface DumpWay {
  /** The part that needs the server. Gives warnings. */
  write(run: RunPgDump): Promise<string[]>;
  /** What the finished dump turns out to hold; afterwards it has its name. */
  read(): Promise<DumpedData>;
}

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
  // Ends whatever is still under way after a failure.
  const stop = new AbortController();
  try {
    // The transaction ends with pg_dump: while it is open the server cannot clean up, and the rest needs no server.
    const { way, version, facts, ...result } = await withSnapshot(
      request.target,
      lockWaitMs(request),
      async (snapshotId, client) => await dumpSnapshot(request, stop, snapshotId, client),
    );
    const data = await way.read().catch((error: unknown) => {
      throw toContentError(error, 'pg_dump ended well, but what it wrote');
    });
    return {
      ...result,
      database: facts.database,
      content: toContent(data, facts),
      tools: { pg_dump: version, zstd: await toolVersion('zstd') },
      file: request.pipeline === 'staged' ? null : STREAMED_FILE,
    };
  } catch (error) {
    stop.abort();
    request.signal?.throwIfAborted();
    throw toDumpError(error, request.target);
  }
}

/** The part that needs the server: pg_dump and, meanwhile, what the catalog of the same snapshot says. */
async function dumpSnapshot(
  request: DumpRequest,
  stop: AbortController,
  snapshotId: string,
  client: pg.Client,
): Promise<
  Pick<DumpResult, 'snapshotAt' | 'server' | 'warnings'> & {
    readonly way: DumpWay;
    readonly version: string;
    readonly facts: DumpFacts;
  }
> {
  const { rows } = await client.query<{ at: Date; encoding: string }>(`
    select transaction_timestamp() as at, pg_encoding_to_char(encoding) as encoding
    from pg_database where datname = current_database()`);
  const { at, encoding } = rows[0] ?? { at: new Date(), encoding: 'UTF8' };
  const server = await readServerFacts(client);
  const lagMs = server.inRecovery ? await standbyLag(client, request.target, request.maxLagMs) : undefined;
  const running: RunningDump = {
    ...request,
    clients: await request.clientsFor(server),
    signal: request.signal === undefined ? stop.signal : AbortSignal.any([request.signal, stop.signal]),
  };
  const way = request.pipeline === 'staged' ? stagedDump(running) : streamedDump(running);
  const run = pgDumpRunner(running, snapshotId, encoding);
  let facts: DumpFacts | undefined;
  let said: readonly string[] = [];
  const reading = async (): Promise<void> => {
    facts = await readDumpFacts(client);
  };
  const dumping = async (): Promise<void> => {
    said = await way.write(run);
  };
  await runTogether([reading(), dumping()], () => stop.abort());
  if (facts === undefined) throw new Error('the facts were not read, and nothing failed');
  const { version, warning } = running.clients;
  return {
    // A standby's data are of that time on its primary.
    snapshotAt: new Date(at.getTime() - (lagMs ?? 0)).toISOString(),
    server: lagMs === undefined ? server : { ...server, lagMs },
    warnings: [
      ...(warning === null ? [] : [warning]),
      ...(lagMs === undefined ? [] : [standbyWarning(lagMs)]),
      ...facts.warnings,
      ...said,
    ],
    ...{ way, version, facts },
  };
}

/** For so long the others of the database may have to queue behind us. Shorter than a stall, so that it is called what it is. */
function lockWaitMs({ stallMs }: DumpRequest): number {
  return Math.min(LOCK_WAIT_MS, Math.ceil(stallMs / 2));
}

function pgDumpRunner(request: RunningDump, snapshotId: string, encoding: string): RunPgDump {
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
        env: { ...environment, PGOPTIONS: `${SESSION_OPTIONS} -c bytea_output=hex` },
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

/** Whoever dumps may leave out a table and end well all the same: the catalog of the same snapshot knows what there is. */
function requireWhole(data: DumpedData, { names, inventory }: DumpFacts): void {
  const found = new Set(data.tables.map(({ oid }) => oid));
  const missing = [...names].filter(([oid, { dumped }]) => dumped && !found.has(oid)).map(([, table]) => table);
  const named = missing.slice(0, 3).map(({ schema, name }) => `the table ${schema}.${name}`);
  if (missing.length > 3) named.push(`${missing.length - 3} more`);
  const lost = inventory.largeObjects - data.largeObjects.count;
  if (lost !== 0) named.push(`${lost} of ${inventory.largeObjects} large objects`);
  if (named.length > 0)
    throw new CofreError('bad-content', `pg_dump ended well, but its dump lacks ${named.join(', ')}`);
}

function toContent(data: DumpedData, facts: DumpFacts): DumpContent {
  const { names, inventory } = facts;
  requireWhole(data, facts);
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
