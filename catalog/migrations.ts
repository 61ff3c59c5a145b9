import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';

export interface Migration {
  readonly version: number;
  /** The file's name: `0001-catalog.sql`. */
  readonly name: string;
  readonly sql: string;
  readonly sha256: string;
}

/** Beside this module, in the source tree and in `dist`, where the build copies it. */
const FOLDER = new URL('./migrations/', import.meta.url);
const NAME = /^([0-9]{4})-[a-z0-9-]+\.sql$/;

/** The migrations of this Cofre, 1, 2, 3, … without a gap. */
export async function readMigrations(): Promise<readonly Migration[]> {
  const names = (await readdir(FOLDER)).filter((name) => name.endsWith('.sql')).sort();
  return await Promise.all(
    names.map(async (name, index) => {
      const version = Number(NAME.exec(name)?.[1]);
      if (version !== index + 1)
        throw new Error(`the migration ${name} is out of line: number ${index + 1} is expected`);
      const sql = await readFile(new URL(name, FOLDER), 'utf8');
      return { version, name, sql, sha256: createHash('sha256').update(sql).digest('hex') };
    }),
  );
}
