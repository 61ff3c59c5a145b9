import { randomBytes } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Where a secret was found that should not be there. */
export interface Hit {
  readonly canary: string;
  readonly place: string;
}

/** What every tool and protocol has to escape: quotes, %, the separators of addresses and of password files, an accent. */
const AWKWARD = `%zz/#@:\\'"ç `;

/**
 * Passwords that stand nowhere by chance. The middle of each is letters and digits, which no escaping of URLs, JSON, SQL
 * or shells changes; so one search finds all of those, and pieces of a password too. base64 and hex are looked for besides.
 */
export class Canaries {
  readonly #needles: { readonly canary: string; readonly bytes: Buffer }[] = [];

  /** A new password that is looked for from now on under this name. */
  make(canary: string): string {
    const middle = randomBytes(15)
      .toString('base64')
      .replace(/[^A-Za-z0-9]/g, 'x');
    this.add(canary, middle);
    return `K${middle}${AWKWARD}`;
  }

  /** Looks for a secret that somebody else made. */
  add(canary: string, secret: string): void {
    for (const text of formsOf(secret)) this.#needles.push({ canary, bytes: Buffer.from(text) });
  }

  find(place: string, content: Buffer | string): Hit[] {
    const bytes = typeof content === 'string' ? Buffer.from(content) : content;
    const found = this.#needles.filter((needle) => bytes.includes(needle.bytes)).map(({ canary }) => canary);
    return [...new Set(found)].map((canary) => ({ canary, place }));
  }

  /** In the content and the path of every file below a folder. */
  async findBelow(folder: string): Promise<Hit[]> {
    const hits: Hit[] = [];
    for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name);
      hits.push(...this.find(path, path));
      // Gone meanwhile, or not ours to read: a socket, a pipe.
      if (entry.isFile()) hits.push(...this.find(path, await readFile(path).catch(() => '')));
    }
    return hits;
  }

  /** In whatever a library gives: texts, bytes, and everything below. */
  findIn(place: string, value: unknown): Hit[] {
    return this.find(place, Buffer.concat(piecesOf(value, new Set())));
  }
}

function formsOf(secret: string): string[] {
  const bytes = Buffer.from(secret);
  const hex = bytes.toString('hex');
  const base64 = [0, 1, 2].flatMap((offset) => {
    // What stands before and after shares a digit with it, so the first and the last are not known.
    const text = Buffer.concat([Buffer.alloc(offset), bytes]).toString('base64');
    const known = text.slice(Math.ceil((offset * 8) / 6), Math.floor(((offset + bytes.length) * 8) / 6));
    return [known, known.replaceAll('+', '-').replaceAll('/', '_')];
  });
  return [...new Set([secret, encodeURIComponent(secret), hex, hex.toUpperCase(), ...base64])];
}

function piecesOf(value: unknown, seen: Set<unknown>): Buffer[] {
  if (typeof value === 'string') return [Buffer.from(`${value}\n`)];
  if (value instanceof Uint8Array) return [Buffer.from(value), Buffer.from('\n')];
  if (typeof value !== 'object' || value === null || seen.has(value)) return [];
  seen.add(value);
  const items = value instanceof Map ? [...value.entries()] : Object.entries(value);
  return items.flatMap(([key, item]: [unknown, unknown]) => [...piecesOf(key, seen), ...piecesOf(item, seen)]);
}
