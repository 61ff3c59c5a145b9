import { readFile, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';

import { nativeCode } from '../errors/error.ts';
import { ConfigDocument } from './document.ts';
import { hasWildcard, matchFiles, patternMistake } from './include.ts';
import { didYouMean } from './nearest.ts';
import { fieldName, showName, type ConfigProblem, type Finding, type Path } from './problem.ts';
import { entrySchemas, type Section } from './schema.ts';

/** Files read at the same time. */
const AT_ONCE = 64;
const MOST_BYTES = 64 * 1024 * 1024;
export const SECTIONS = Object.keys(entrySchemas) as readonly Section[];
const MAIN_ONLY = ['temporal', 'catalog', 'host', 'include'];

/** Reads a main file and, if `follow` says so, what it includes. Never throws: see `problems`. */
export async function readConfiguration(path: string, follow: boolean): Promise<Reading> {
  const reading = new Reading();
  await reading.read(path, follow);
  return reading;
}

export type PlainMap = Record<string, unknown>;

export function isMap(value: unknown): value is PlainMap {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A main file and what it includes, as one value that nobody has validated yet. */
export class Reading {
  readonly files: string[] = [];
  readonly raw: PlainMap = {};
  readonly problems: ConfigProblem[] = [];
  readonly hints: ConfigProblem[] = [];
  /** False when a file could not be understood at all: then what is missing here may stand there. */
  complete = true;
  #main: ConfigDocument | undefined;
  /** Which file defines `section` (its first one) and `section.name`. */
  readonly #owners = new Map<string, ConfigDocument>();

  locate(finding: Finding): ConfigProblem {
    const document = this.#ownerOf(finding.path);
    if (document !== undefined) return document.locate(finding);
    return { file: this.files[0] ?? '', line: 1, column: 1, field: fieldName(finding.path), message: finding.message };
  }

  mayHoldPieceOfSecret(path: Path): boolean {
    return this.#ownerOf(path)?.mayHoldPieceOfSecret(path) ?? false;
  }

  #ownerOf([section, name]: Path): ConfigDocument | undefined {
    return this.#owners.get(`${section}.${name}`) ?? this.#owners.get(`${section}`) ?? this.#main;
  }

  async read(path: string, follow: boolean): Promise<void> {
    this.#main = this.#readDocument(path, await readText(path));
    const value = this.#main?.value;
    if (this.#main === undefined || !isMap(value)) return;
    Object.assign(this.raw, value);
    for (const section of SECTIONS) this.#take(this.#main, value, section);
    if (!follow || !Array.isArray(value['include'])) return;
    const files = await this.#findIncluded(path, value['include']);
    for (let start = 0; start < files.length; start += AT_ONCE) {
      const some = files.slice(start, start + AT_ONCE);
      const texts = await Promise.all(some.map(readText));
      for (const [index, file] of some.entries()) {
        const document = this.#readDocument(file, texts[index] ?? '');
        if (document !== undefined) this.#takeIncluded(document, path);
      }
    }
  }

  /** Each file once, whatever patterns it matches; a folder's `*.yaml` may well match the main file too. */
  async #findIncluded(main: string, patterns: readonly unknown[]): Promise<string[]> {
    const found = new Map([[resolve(main), main]]);
    for (const [index, pattern] of patterns.entries()) {
      if (typeof pattern !== 'string' || pattern === '') continue;
      for (const file of (await this.#match(pattern, dirname(main), ['include', index])) ?? []) {
        if (!found.has(resolve(file))) found.set(resolve(file), file);
      }
    }
    return [...found.values()].slice(1).sort();
  }

  async #match(pattern: string, folder: string, path: Path): Promise<string[] | undefined> {
    const mistake = patternMistake(pattern);
    if (mistake !== undefined) {
      this.#fail({ path, message: mistake });
      return undefined;
    }
    try {
      const files = await matchFiles(pattern, folder);
      if (files.length === 0) {
        const finding = { path, message: 'matches no file' };
        if (hasWildcard(pattern)) this.hints.push(this.locate(finding));
        else this.#fail(finding);
      }
      return files;
    } catch (error) {
      this.#fail({ path, message: `cannot be followed (${nativeCode(error) ?? 'unknown error'})` });
      return undefined;
    }
  }

  #fail(finding: Finding): void {
    this.complete = false;
    this.problems.push(this.locate(finding));
  }

  #readDocument(file: string, text: FileText): ConfigDocument | undefined {
    this.files.push(file);
    if (typeof text !== 'string') {
      this.complete = false;
      this.problems.push({ file, line: 1, column: 1, field: '', message: text.mistake });
      return undefined;
    }
    const document = new ConfigDocument(file, text);
    this.problems.push(...document.problems);
    if (document.value !== undefined && !isMap(document.value)) {
      this.problems.push(document.locate({ path: [], message: 'must be a mapping of fields (name: value)' }));
    }
    if (!isMap(document.value)) this.complete = false;
    return document;
  }

  #takeIncluded(document: ConfigDocument, main: string): void {
    if (!isMap(document.value)) return;
    for (const [key, value] of Object.entries(document.value)) {
      const section = SECTIONS.find((known) => known === key);
      if (section !== undefined) this.#take(document, { [section]: value }, section);
      else {
        const message = MAIN_ONLY.includes(key)
          ? `belongs into ${main}, not into an included file`
          : `unknown field${didYouMean(key, SECTIONS)}; allowed in an included file: ${SECTIONS.join(', ')}`;
        this.problems.push(document.locate({ path: [key], message, at: 'name' }));
      }
    }
  }

  /** Adds a file's part of a section to the whole. */
  #take(document: ConfigDocument, value: PlainMap, section: Section): void {
    if (!Object.hasOwn(value, section)) return;
    const part = value[section];
    const whole = this.#owners.has(section) ? (this.raw[section] as PlainMap) : {};
    if (!this.#owners.has(section)) this.#owners.set(section, document);
    this.raw[section] = whole;
    if (!isMap(part)) {
      const message = part === null ? 'is empty; fill it or leave it out' : 'must be a mapping of names';
      this.problems.push(document.locate({ path: [section], message }));
      return;
    }
    for (const [name, entry] of Object.entries(part)) {
      const path = [section, name];
      const first = this.#owners.get(path.join('.'));
      if (first === undefined) {
        this.#owners.set(path.join('.'), document);
        whole[name] = entry;
      } else {
        const { file, line, column } = first.locate({ path, message: '', at: 'name' });
        const message = `${showName(name)} is defined already at ${file}:${line}:${column}`;
        this.problems.push(document.locate({ path, message, at: 'name' }));
      }
    }
  }
}

type FileText = string | { readonly mistake: string };

async function readText(file: string): Promise<FileText> {
  try {
    const found = await stat(file);
    // A pipe or a device would be waited for, perhaps for ever.
    if (!found.isFile()) return { mistake: 'is not a regular file' };
    if (found.size > MOST_BYTES) return { mistake: `is larger than ${MOST_BYTES / 1024 / 1024} MiB` };
    return new TextDecoder('utf-8', { fatal: true }).decode(await readFile(file));
  } catch (error) {
    if (nativeCode(error) === 'ERR_ENCODING_INVALID_ENCODED_DATA') return { mistake: 'is not UTF-8 text' };
    return { mistake: `cannot be read (${nativeCode(error) ?? 'unknown error'})` };
  }
}
