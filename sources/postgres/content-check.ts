import type { DumpContent, TableContent } from '../../catalog/manifest.ts';
import { CofreError } from '../../errors/error.ts';
import { digestOfList, type ListedFile, type RawContent } from './raw-digest.ts';
import { parseRawFile } from './raw-files.ts';

/** Compares what an archive turns out to hold with what its manifest says. All mismatches are `bad-content`. */
export class ContentCheck {
  readonly #content: DumpContent;
  readonly #awaited: Map<string, TableContent>;
  readonly #toc: ListedFile[] = [];
  readonly #largeObjects: ListedFile[] = [];
  #largeObjectBytes = 0;

  constructor(content: DumpContent) {
    this.#content = content;
    this.#awaited = new Map(content.tables.map((table) => [table.file ?? '', table]));
  }

  /** The table whose data are in a member, each once. */
  takeTable(file: string): TableContent {
    const table = this.#awaited.get(file);
    if (table === undefined)
      throw new CofreError('bad-content', `it has a member ${file} that was not dumped, or has it twice`);
    this.#awaited.delete(file);
    return table;
  }

  addToc(name: string, content: RawContent): void {
    this.#toc.push({ name, sha256: content.sha256 });
  }

  addLargeObject(name: string, content: RawContent): void {
    this.#largeObjects.push({ name, sha256: content.sha256 });
    this.#largeObjectBytes += content.rawBytes;
  }

  /** What only the whole can tell: that nothing is missing. */
  finish(): void {
    const [missing] = this.#awaited.values();
    if (missing !== undefined) throw new CofreError('bad-content', `it has no data of ${labelOf(missing)}`);
    if (digestOfList(this.#toc) !== this.#content.tocSha256) {
      throw new CofreError('bad-content', 'its table of contents is not the one that was dumped');
    }
    // A small one is not compressed and overtakes a large one that is still in the decoder.
    const inOrder = this.#largeObjects.sort((a, b) => numberOf(a) - numberOf(b));
    checkLargeObjects(this.#content, inOrder, this.#largeObjectBytes);
  }
}

function numberOf({ name }: ListedFile): number {
  return parseRawFile(name)?.number ?? 0;
}

export function checkTable(expected: TableContent, found: RawContent): void {
  if (found.sha256 === expected.rawSha256 && found.rawBytes === expected.rawBytes && found.rows === expected.rows)
    return;
  throw new CofreError('bad-content', `the data of ${labelOf(expected)} are not those that were dumped`);
}

export function checkLargeObjects(content: DumpContent, found: readonly ListedFile[], rawBytes: number): void {
  const expected = content.largeObjects;
  if (found.length !== expected.count) {
    throw new CofreError('bad-content', `it has ${found.length} large objects, and ${expected.count} were dumped`);
  }
  const sha256 = found.length === 0 ? null : digestOfList(found);
  if (rawBytes !== expected.rawBytes || sha256 !== expected.sha256) {
    throw new CofreError('bad-content', 'the large objects are not those that were dumped');
  }
}

export function labelOf({ schema, name }: TableContent): string {
  return `the table ${schema}.${name}`;
}
