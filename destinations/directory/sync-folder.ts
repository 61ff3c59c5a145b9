import { open } from 'node:fs/promises';

/** Makes the names in a folder durable: a file's own fsync does not cover the name under which it is found. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path);
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
