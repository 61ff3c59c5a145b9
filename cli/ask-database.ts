import { setTimeout as delay } from 'node:timers/promises';

import type { EnsureConfig } from '../config/schema.ts';
import { resolveSecret } from '../config/secret.ts';
import { CofreError } from '../errors/error.ts';
import { sqlStateOf, withClient, type PostgresTarget } from '../postgres/connect.ts';

/** What a database server says about an environment's database. */
export type DatabaseAnswer =
  | { readonly says: 'exists' }
  | { readonly says: 'missing' }
  /** This login may not know; somebody with more rights has to look. */
  | { readonly says: 'cannot-tell'; readonly why: string };

const ASK_AGAIN_MS = 1_000;
/** PostgreSQL's classes of errors that pass: the server is starting or ending, or has no room for another session. */
const PASSING = /^(57P0|08|53)/;

/**
 * Asks whether the environment's database exists, as its own owner: whoever starts an environment has no other login.
 * Waits for a server that does not answer yet, because both may be starting together.
 * @throws CofreError `server-unavailable` when it did not answer within `waitMs`.
 */
export async function askDatabase(
  config: EnsureConfig,
  environment: string,
  { waitMs, tell }: { readonly waitMs: number; readonly tell: (text: string) => void },
): Promise<DatabaseAnswer> {
  const target = await targetOf(config, environment);
  if ('why' in target) return { says: 'cannot-tell', why: target.why };
  const until = Date.now() + waitMs;
  for (let told = false; ;) {
    try {
      await withClient(target, () => Promise.resolve());
      return { says: 'exists' };
    } catch (error) {
      const answer = answerIn(error);
      if (answer !== undefined) return answer;
      if (Date.now() + ASK_AGAIN_MS > until) throw error;
      if (!told && error instanceof CofreError)
        tell(`${error.message}; waits for it, ${Math.round(waitMs / 1000)} s at most`);
      told = true;
    }
    await delay(ASK_AGAIN_MS);
  }
}

function answerIn(error: unknown): DatabaseAnswer | undefined {
  if (!(error instanceof CofreError)) return undefined;
  if (error.code === 'database-missing') return { says: 'missing' };
  const sqlState = sqlStateOf(error.cause);
  const refused = sqlState !== undefined && !PASSING.test(sqlState);
  return refused ? { says: 'cannot-tell', why: `${error.message}; asks a worker` } : undefined;
}

async function targetOf(
  { environments, servers }: EnsureConfig,
  id: string,
): Promise<PostgresTarget | { why: string }> {
  const database = environments[id]?.database;
  const server = database === undefined ? undefined : servers[database.server];
  if (database === undefined || server === undefined)
    throw new CofreError('not-known', `there is no environment "${id}" with a server`);
  const role = database.roles[database.owner];
  if (role === undefined)
    return { why: `the configuration has no password of ${database.owner}, the owner of the database; asks a worker` };
  try {
    const password = await resolveSecret(role.password);
    const { host, port, tls } = server;
    return { host, port, tls, user: database.owner, password, database: database.name };
  } catch (error) {
    if (error instanceof CofreError && error.code === 'secret-missing')
      return { why: `${error.message}; asks a worker` };
    throw error;
  }
}
