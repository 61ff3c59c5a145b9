import { appendFile, open, truncate } from 'node:fs/promises';

/** What happens to a file at rest; `at` is a position in it. */
export const DAMAGES: Readonly<Record<string, (path: string, at: number) => Promise<void>>> = {
  flip: async (path, at) => {
    const file = await open(path, 'r+');
    try {
      const { buffer } = await file.read(Buffer.alloc(1), 0, 1, at);
      buffer[0] = (buffer[0] ?? 0) ^ 1;
      await file.write(buffer, 0, 1, at);
    } finally {
      await file.close();
    }
  },
  cut: async (path, at) => await truncate(path, at),
  append: async (path) => await appendFile(path, '\0'),
};
