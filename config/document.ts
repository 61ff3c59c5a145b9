import {
  isAlias,
  isCollection,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  parseDocument,
  type Alias,
  type Document,
  type Node,
  type Pair,
  type YAMLMap,
} from 'yaml';

import { fieldName, mayHoldSecret, type ConfigProblem, type Finding, type Path } from './problem.ts';
import { syntaxMessage } from './syntax.ts';

const MOST_LEVELS = 50;
/** How many nodes aliases may add: enough for defaults shared by a large fleet, far below what fills the memory. */
const MOST_ALIASED_NODES = 1_000_000;
/** What YAML forbids in a file; `\n` and its like are refused in values too, where they only do harm. */
const FORBIDDEN_IN_FILE = /[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x84\x86-\x9f]/;
const FORBIDDEN_IN_VALUE = /\p{Cc}/u;

type Entry = Pair<unknown, Node | null>;
type Step = Path[number];

/**
 * One YAML file: its content as plain values, its own mistakes, and where each field stands.
 * Never throws: what cannot be read is a problem, and then `value` is undefined.
 */
export class ConfigDocument {
  readonly file: string;
  readonly value: unknown;
  readonly problems: ConfigProblem[] = [];
  readonly #lines = new LineCounter();
  readonly #root: Node | null = null;
  readonly #anchors = new Map<string, Node>();
  readonly #aliases = new Map<Node, Node>();
  readonly #entries = new Map<YAMLMap, Map<string, Entry>>();
  readonly #values = new Map<Node, unknown>();
  /** How many nodes there are below one, with aliases followed. */
  readonly #sizes = new Map<Node, number>();
  #nodes = 0;

  constructor(file: string, text: string) {
    this.file = file;
    const forbidden = FORBIDDEN_IN_FILE.exec(text);
    if (forbidden !== null) {
      const before = text.slice(0, forbidden.index).split('\n');
      const place = { line: before.length, column: (before.at(-1) ?? '').length + 1 };
      this.problems.push({ file, ...place, field: '', message: 'a control character; the file must be plain text' });
      return;
    }
    const document = this.#parse(text);
    if (document === undefined) return;
    this.#root = document.contents;
    if (this.#root === null || (isScalar(this.#root) && this.#root.value === null)) {
      this.#add(0, [], 'the file is empty');
    } else {
      const sizeNodes = this.#inspect(this.#root, [], new Set());
      if (sizeNodes - this.#nodes > MOST_ALIASED_NODES) this.#add(0, [], 'aliases (*name) repeat too much');
    }
    if (this.problems.length === 0) this.value = this.#convert(this.#root, []);
  }

  /** Where a field stands; of a field that is missing, where it should be. */
  locate({ path, message, at }: Finding): ConfigProblem {
    const { node, name, found } = this.#find(path);
    // A block begins on the line after its name, where its first field stands: the name is the better place.
    const byName =
      at === 'name' || !found || node === null || isEmpty(node) || (isCollection(node) && node.flow !== true);
    const shown = byName ? (name ?? node) : node;
    return { file: this.file, ...this.#placeAt(shown?.range?.[0] ?? 0), field: fieldName(path), message };
  }

  /**
   * Whether an unknown name in this mapping may be a piece of a secret: in `{ user: a, password: x,y }` the `y`
   * is a field without a value to YAML.
   */
  mayHoldPieceOfSecret(path: Path): boolean {
    const map = this.#follow(this.#find(path).node);
    return isMap(map) && map.flow === true && [...this.#entriesOf(map, path).keys()].some(mayHoldSecret);
  }

  /** The node at `path`, or of the last step that exists. */
  #find(path: Path): { node: Node | null; name: Node | null; found: boolean } {
    let node = this.#root;
    let name: Node | null = null;
    for (const [index, step] of path.entries()) {
      const inside = this.#follow(node);
      if (isSeq(inside) && typeof step === 'number' && step < inside.items.length) {
        node = name = inside.items[step] as Node;
        continue;
      }
      const entry = isMap(inside) ? this.#entriesOf(inside, path.slice(0, index)).get(String(step)) : undefined;
      if (entry === undefined) return { node, name, found: false };
      node = entry.value;
      name = entry.key as Node;
    }
    return { node, name, found: true };
  }

  #parse(text: string): Document | undefined {
    try {
      const document = parseDocument(text, {
        lineCounter: this.#lines,
        prettyErrors: false,
        // Ours is linear, and says where the first one is.
        uniqueKeys: false,
      });
      for (const { pos, code } of [...document.errors, ...document.warnings])
        this.#add(pos[0], [], syntaxMessage(code));
      // YAML 1.1 reads `no` as false and 21:00 as 1260.
      if (document.directives?.yaml.explicit && document.directives.yaml.version !== '1.2') {
        this.#add(0, [], 'leave out the %YAML line: the file is read as YAML 1.2');
      }
      return this.problems.length === 0 ? (document as unknown as Document) : undefined;
    } catch {
      // The stack ends before the parser's patience does.
      this.#add(0, [], syntaxMessage('RESOURCE_EXHAUSTION'));
      return undefined;
    }
  }

  /** Goes through all nodes in the order of the text, finds what aliases mean, and returns the size with them followed. */
  #inspect(node: Node, path: Step[], open: Set<Node>): number {
    this.#nodes += 1;
    if (isScalar(node)) {
      if (node.anchor !== undefined) this.#anchors.set(node.anchor, node);
      return 1;
    }
    if (isAlias(node)) return this.#inspectAlias(node, path, open);
    if (open.size >= MOST_LEVELS) {
      this.#addAt(node, path, 'nested too deeply');
      return 1;
    }
    if (!isSeq(node) && !isMap(node)) return 1;
    if (node.anchor !== undefined) this.#anchors.set(node.anchor, node);
    let size = 1;
    open.add(node);
    for (const [index, item] of node.items.entries()) {
      const { key, value } = isMap(node) ? (item as Entry) : { key: undefined, value: item as Node };
      if (isScalar(key) && key.anchor !== undefined) this.#anchors.set(key.anchor, key as Node);
      if (value === null) continue;
      path.push(key === undefined ? index : isScalar(key) ? nameOf(key) : '?');
      size += this.#inspect(value, path, open);
      path.pop();
    }
    open.delete(node);
    if (node.anchor !== undefined) this.#sizes.set(node, size);
    return size;
  }

  #inspectAlias(node: Alias, path: Path, open: Set<Node>): number {
    const target = this.#anchors.get(node.source);
    // An alias's name is not shown: `password: *something` may be a password.
    if (target === undefined) {
      this.#addAt(node, path, 'an alias (*name) of nothing defined above; put the value in quotes if it is text');
    } else if (open.has(target)) {
      this.#addAt(node, path, 'an alias (*name) of what it stands in');
    } else {
      this.#aliases.set(node, target);
    }
    return (target && this.#sizes.get(target)) ?? 1;
  }

  /** Plain values. What an anchor marks is converted once and shared, so this takes no longer than the file is. */
  #convert(node: Node | null, path: Step[]): unknown {
    const source = this.#follow(node);
    if (source === null) return null;
    if (isScalar(source)) {
      if (typeof source.value !== 'string' || !FORBIDDEN_IN_VALUE.test(source.value)) return source.value;
      this.#addAt(source, path, 'must be one line without control characters');
      return '';
    }
    const shared = this.#values.get(source);
    if (shared !== undefined) return shared;
    const value = isMap(source) ? this.#convertMap(source, path) : this.#convertList(source, path);
    if ('anchor' in source && source.anchor !== undefined) this.#values.set(source, value);
    return value;
  }

  #convertMap(map: YAMLMap, path: Step[]): Record<string, unknown> {
    const value: Record<string, unknown> = {};
    for (const [name, entry] of this.#entriesOf(map, path)) {
      path.push(name);
      value[name] = this.#convert(entry.value, path);
      path.pop();
    }
    return value;
  }

  #convertList(list: Node, path: Step[]): unknown[] {
    if (!isSeq(list)) return [];
    return list.items.map((item, index) => {
      path.push(index);
      const value = this.#convert(item as Node, path);
      path.pop();
      return value;
    });
  }

  /** A mapping's fields by name, those of `<<: *defaults` included where the mapping has none of that name. */
  #entriesOf(map: YAMLMap, path: Path): Map<string, Entry> {
    const known = this.#entries.get(map);
    if (known !== undefined) return known;
    const entries = new Map<string, Entry>();
    const merged: Node[] = [];
    for (const entry of map.items as Entry[]) {
      const key = entry.key as Node;
      const name = isScalar(key) ? nameOf(key) : undefined;
      const first = name === undefined ? undefined : entries.get(name);
      if (name === undefined || name === '__proto__' || FORBIDDEN_IN_VALUE.test(name)) {
        this.#addAt(key, path, 'a field needs a plain name');
      } else if (name === '<<' && entry.value !== null) {
        merged.push(entry.value);
      } else if (first === undefined) {
        entries.set(name, entry);
      } else {
        const { line } = this.#placeAt((first.key as Node).range?.[0] ?? 0);
        this.#addAt(key, [...path, name], `defined twice, first in line ${line}`);
      }
    }
    this.#entries.set(map, entries);
    for (const node of merged) this.#merge(entries, node, path);
    return entries;
  }

  #merge(entries: Map<string, Entry>, node: Node, path: Path): void {
    const source = this.#follow(node);
    for (const part of isSeq(source) ? (source.items as Node[]) : [node]) {
      const map = this.#follow(part);
      if (!isMap(map)) this.#addAt(node, path, '<< needs a mapping, such as *defaults');
      else for (const [name, entry] of this.#entriesOf(map, path)) if (!entries.has(name)) entries.set(name, entry);
    }
  }

  #follow(node: Node | null): Node | null {
    let source = node;
    while (isAlias(source)) source = this.#aliases.get(source) ?? null;
    return source;
  }

  #addAt(node: Node, path: Path, message: string): void {
    this.#add(node.range?.[0] ?? 0, path, message);
  }

  #add(offset: number, path: Path, message: string): void {
    this.problems.push({ file: this.file, ...this.#placeAt(offset), field: fieldName(path), message });
  }

  #placeAt(offset: number): { line: number; column: number } {
    const { line, col } = this.#lines.linePos(offset);
    return { line: Math.max(line, 1), column: Math.max(col, 1) };
  }
}

/** As it is written, so that `007:` and `7:` stay two names. */
function nameOf(key: { value: unknown; source?: string | undefined }): string {
  return typeof key.value === 'string' ? key.value : (key.source ?? String(key.value));
}

function isEmpty(node: Node): boolean {
  return isScalar(node) && node.value === null && (node.source ?? '') === '';
}
