import { CofreError } from '../../errors/error.ts';
import type { ToolFailure } from '../../processes/tool.ts';
import { tellable } from './server-words.ts';
import { describeEntry, type TocEntry } from './table-of-contents.ts';

const COMPLAINT = /^pg_restore: (while PROCESSING TOC|error):/m;
const COMPLAINT_LENGTH = 8192;

/** The beginning of the first complaint, out of a log that names every object and may repeat statements of any length. */
export function keepComplaint(kept: string, text: string): string {
  if (COMPLAINT.test(kept)) return kept + text.slice(0, Math.max(0, COMPLAINT_LENGTH - kept.length));
  const both = kept + text;
  const start = both.search(COMPLAINT);
  return start === -1 ? both.slice(-COMPLAINT_LENGTH) : both.slice(start);
}

/**
 * What pg_restore says, without what it must not tell: its `Command was:` can hold passwords of foreign servers, and
 * its CONTEXT and DETAIL hold rows. So the tool's own failure is not kept as the cause. `names` are those of the archive.
 */
export function toRestoreError(
  failure: ToolFailure,
  complaint: string,
  entries: readonly TocEntry[],
  names: ReadonlySet<string>,
): CofreError {
  const id = /from TOC entry (\d+);/.exec(complaint)?.[1];
  const lost = entries.find(({ dumpId }) => dumpId === Number(id));
  const own = ownWords(complaint);
  const said = /ERROR: +(.*)/.exec(complaint)?.[1] ?? own;
  const error = isPlain(lost) || said === own ? said.slice(0, 500) : tellable(said, (name) => isKnown(names, name));
  if (/No space left on device|could not extend file|Disk quota exceeded/.test(said)) {
    return new CofreError('no-space', `the disk of the server or of this host is full: ${error}`);
  }
  const gone = /server closed the connection|terminating connection|connection to server|the database system is|SSL/;
  if (/ ended by SIG/.test(failure.message) || gone.test(own)) {
    return new CofreError('server-unavailable', `pg_restore lost the server or was ended: ${error}`);
  }
  const what = lost === undefined ? 'pg_restore failed' : `${describeEntry(lost)} could not be restored`;
  return new CofreError('restore-failed', `${what}: ${error}`, {
    hint: hintOf(error, lost === undefined ? 'the source' : `${describeEntry(lost)} at the source`),
  });
}

/** Of these the statement itself holds addresses and passwords. */
const SECRET_TYPES = new Set(['SERVER', 'USER MAPPING', 'SUBSCRIPTION', 'FOREIGN TABLE', 'FOREIGN DATA WRAPPER']);

/** Before the data there is nobody's row in the database, and no function of theirs runs. */
function isPlain(lost: TocEntry | undefined): boolean {
  return lost?.section === 'pre-data' && !SECRET_TYPES.has(lost.type);
}

function isKnown(names: ReadonlySet<string>, name: string): boolean {
  return names.has(name) || name.split('.').every((part) => names.has(part));
}

/** The names of everything in an archive, with their schemas' and owners'. */
export function namesOf(entries: readonly TocEntry[]): ReadonlySet<string> {
  return new Set(entries.flatMap(({ schema, name, owner }) => [schema ?? '', owner, name, ...name.split(/[ (]/, 1)]));
}

/** What pg_restore says itself, or a connection that ends. A server that does not speak English is not quoted. */
function ownWords(complaint: string): string {
  const line = /error: (.*)/.exec(complaint)?.[1] ?? 'it said nothing';
  const server = /^(could not execute query|COPY failed for table ".*"|error returned by PQ\w+): (\p{L}+): +/u.exec(
    line,
  );
  return server === null || server[2] === 'FATAL' ? line : tellable('');
}

function hintOf(error: string, where: string): string {
  if (/does not exist/.test(error)) {
    return 'a function that names tables without their schema fails in a restore: give it a search path at the source (ALTER FUNCTION … SET search_path)';
  }
  const otherwise = `the live database was not touched; restore another backup, or mend ${where} and back up again`;
  return /permission denied|must be (owner|superuser|member)/.test(error)
    ? `only a superuser may do this: where the source is trusted, \`trusted: true\` in the database: of the environment may help; ${otherwise}`
    : otherwise;
}
