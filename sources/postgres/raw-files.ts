/**
 * The files of a directory-format dump, which are also the members of `database.tar`, there with `.zst` where compressed.
 * `toc` are pg_dump's own lists; `blobs.toc` has a number in it from PostgreSQL 17 on.
 */
export interface RawFile {
  /** Without `.zst`. */
  readonly name: string;
  readonly kind: 'toc' | 'table' | 'largeObject';
  /** Dump id of a table's data, or the large object's oid. */
  readonly number: number;
  readonly compressed: boolean;
}

const KINDS = [
  { kind: 'toc', pattern: /^toc\.dat$/, rank: 0 },
  { kind: 'table', pattern: /^(\d+)\.dat$/, rank: 1 },
  { kind: 'toc', pattern: /^blobs(?:_(\d+))?\.toc$/, rank: 2 },
  { kind: 'largeObject', pattern: /^blob_(\d+)\.dat$/, rank: 3 },
] as const;

/** undefined for a name that no dump has. */
export function parseRawFile(member: string): RawFile | undefined {
  const compressed = member.endsWith('.zst');
  const name = compressed ? member.slice(0, -'.zst'.length) : member;
  for (const { kind, pattern } of KINDS) {
    const match = pattern.exec(name);
    // pg_dump's lists are never compressed, so that pg_restore can be given them as they are.
    if (match !== null && !(compressed && kind === 'toc'))
      return { name, kind, number: Number(match[1] ?? 0), compressed };
  }
  return undefined;
}

/** The one order of members: `toc.dat`, tables, the lists of large objects, large objects; each by number. */
export function inMemberOrder(files: readonly RawFile[]): RawFile[] {
  const rank = (file: RawFile): number => KINDS.find(({ pattern }) => pattern.test(file.name))?.rank ?? 0;
  return [...files].sort((a, b) => rank(a) - rank(b) || a.number - b.number);
}
