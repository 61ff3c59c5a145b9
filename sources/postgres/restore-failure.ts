import { CofreError } from '../../errors/error.ts';
import { KILLED_HINT, type ToolFailure } from '../../processes/tool.ts';
import { serverIsFull } from './restore-target.ts';
import { tellable } from './server-words.ts';
import { describeEntry, type TocEntry } from './table-of-contents.ts';

/** A line may repeat a statement of any length. */
const LINE_LENGTH = 8192;
const KEPT = 200;
const NAMED = 20;

interface Complaint {
  /** The number of the entry that is lost; undefined where it is none. */
  readonly dumpId: number | undefined;
  /** Begins with `pg_restore: error: `, unless other processes wrote at the same instant. */
  readonly line: string;
}

/**
 * The errors out of what pg_restore writes, piece by piece, among its names of every object. Its processes write
 * together and not whole lines at once, so the name of an entry and its error may stand apart, or after each other's.
 */
export class Complaints {
  readonly #found: Complaint[] = [];
  readonly #named: number[] = [];
  #last: number | undefined;
  #line = '';

  take(text: string): void {
    for (const piece of text.split(/(?<=\n)/)) {
      if (this.#line.length < LINE_LENGTH) this.#line += piece.slice(0, LINE_LENGTH - this.#line.length);
      if (piece.endsWith('\n')) this.#takeLine();
    }
  }

  /** What was said until now. */
  all(): readonly Complaint[] {
    this.#takeLine();
    return [...this.#found, ...this.#named.map((dumpId) => ({ dumpId, line: '' }))];
  }

  #takeLine(): void {
    const line = this.#line;
    this.#line = '';
    const entry = /from TOC entry (\d+);/.exec(line)?.[1];
    if (entry !== undefined) this.#named.push(Number(entry));
    else if (/error: |ERROR: /.test(line) && !/^(WARNING|NOTICE|INFO): /.test(line) && this.#found.length < KEPT) {
      this.#last = this.#named.shift() ?? this.#last;
      this.#found.push({ dumpId: this.#last, line });
    }
  }
}

/**
 * What pg_restore says, without what it must not tell: its `Command was:` can hold passwords of foreign servers, and
 * its CONTEXT and DETAIL hold rows. So the tool's own failure is not kept as the cause. `names` are those of the archive.
 * The first complaint decides what kind of failure it is; where pg_restore went on, all objects that are lost are named.
 */
export function toRestoreError(
  failure: ToolFailure,
  complaints: readonly Complaint[],
  entries: readonly TocEntry[],
  names: ReadonlySet<string>,
): CofreError {
  const explained = (complaints.length > 0 ? complaints : [{ dumpId: undefined, line: '' }]).map(({ dumpId, line }) => {
    const lost = entries.find((entry) => entry.dumpId === dumpId);
    const own = ownWords(line);
    const said = /ERROR: +(.*)/.exec(line)?.[1] ?? own;
    const error = isPlain(lost) || said === own ? said.slice(0, 500) : tellable(said, (name) => isKnown(names, name));
    return { lost, own, said, error };
  });
  // What is said of no entry may be anything that a function wrote.
  const first = explained.find((one) => one.lost !== undefined) ?? explained[0];
  if (first === undefined) return failure;
  const { lost, own, said, error } = first;
  if (/No space left on device|could not extend file|Disk quota exceeded/.test(said)) {
    return said === own
      ? new CofreError('no-space', `the disk of this host is full: ${error}`)
      : serverIsFull(lost === undefined ? 'pg_restore' : describeEntry(lost), error);
  }
  // Without a word of its own before it: one of pg_restore's own processes was killed.
  if (failure.code === 'killed' || own === 'a worker process died unexpectedly') {
    return new CofreError('killed', 'pg_restore or one of its processes was killed', { hint: KILLED_HINT });
  }
  const gone = /server closed the connection|terminating connection|connection to server|the database system is|SSL/;
  if (/ ended by SIG/.test(failure.message) || gone.test(own)) {
    return new CofreError('server-unavailable', `pg_restore lost the server or was ended: ${error}`);
  }
  const objects = new Map<TocEntry, string>();
  for (const one of explained) if (one.lost !== undefined && !objects.has(one.lost)) objects.set(one.lost, one.error);
  const hint = hintOf(error, lost === undefined ? 'the source' : `${describeEntry(lost)} at the source`);
  if (objects.size <= 1) {
    const what = lost === undefined ? 'pg_restore failed' : `${describeEntry(lost)} could not be restored`;
    return new CofreError('restore-failed', `${what}: ${error}`, { hint });
  }
  const named = [...objects].slice(0, NAMED).map(([entry, why]) => `${describeEntry(entry)}: ${why}`);
  const more = objects.size > NAMED ? `; and ${objects.size - NAMED} more` : '';
  return new CofreError('restore-failed', `${objects.size} objects could not be restored: ${named.join('; ')}${more}`, {
    hint,
  });
}

/** Of these the statement itself holds addresses and passwords. */
const SECRET_TYPES = new Set(['SERVER', 'USER MAPPING', 'SUBSCRIPTION', 'FOREIGN TABLE', 'FOREIGN DATA WRAPPER']);

/** Whether a restore of them sends passwords to the server in statements. */
export function holdSecrets(entries: readonly TocEntry[]): boolean {
  return entries.some(({ type }) => SECRET_TYPES.has(type));
}

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
function ownWords(errorLine: string): string {
  if (errorLine === '') return 'it said nothing';
  // Anything else may come from the database: what a function raises as a warning is written there, too.
  const line = /^(?:pg_restore: )+error: (.*)/.exec(errorLine)?.[1];
  if (line === undefined) return tellable('');
  const server = /^(could not execute query|COPY failed for table ".*"|error returned by PQ\w+): (\p{L}+): +/u.exec(
    line,
  );
  return server === null || server[2] === 'FATAL' ? line : tellable('');
}

const BROKEN_CONSTRAINT =
  /violates (foreign key|check|unique|exclusion|not-null) constraint|could not create (unique index|exclusion constraint)|(contains null values|is violated by some row)$/;

function hintOf(error: string, where: string): string {
  if (/does not exist/.test(error)) {
    return 'a function that names tables without their schema fails in a restore: give it a search path at the source (ALTER FUNCTION … SET search_path)';
  }
  if (BROKEN_CONSTRAINT.test(error)) {
    return `the rows themselves break it: mend them at the source and back up again; docs/restoring.md, "Rows that break their own constraints", says how to get the data back all the same`;
  }
  const otherwise = `the live database was not touched; restore another backup, or mend ${where} and back up again`;
  return /permission denied|must be (owner|superuser|member)/.test(error)
    ? `only a superuser may do this: where the source is trusted, \`trusted: true\` in the database: of the environment may help; ${otherwise}`
    : otherwise;
}
