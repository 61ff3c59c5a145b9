import { mkdir } from 'node:fs/promises';

import type { DestinationConfig } from '../config/destination-schema.ts';
import { bytesBody, localFileBody } from '../destinations/local-file.ts';
import { withDestination } from '../destinations/open.ts';
import { hashOf } from '../destinations/stored.ts';
import { collectGarbageAtOnce } from '../processes/garbage.ts';
import { observe } from './observe.ts';
import type { Measured } from './contest.ts';

/** A process that puts one file and reads it back, and tells what memory each took, beside a small object before. */
const [config = '', path = '', sizeBytes = '', sha256 = '', uploads = ''] = process.argv.slice(2);
collectGarbageAtOnce();
const peaks: Record<string, Measured> = {};
await mkdir(uploads, { recursive: true, mode: 0o700 });
await withDestination(
  'bench',
  JSON.parse(config) as DestinationConfig,
  async (place) => {
    const watch = async (name: string, work: () => Promise<unknown>): Promise<void> => {
      const { workerBytes, toolsBytes } = await observe(process.pid, uploads, work);
      peaks[name] = { workerBytes, toolsBytes };
    };
    // What is loaded and kept open for the first object of all is idle memory from then on.
    const putSmall = (key: string) => place.put(key, bytesBody(Buffer.from(key)));
    await putSmall('a/first');
    await watch('idle: a small object', () => putSmall('a/small'));
    await watch('put', () => place.put('a/large', localFileBody(path, Number(sizeBytes), sha256)));
    await watch('read back', async () => {
      if ((await hashOf(place, 'a/large', undefined)) !== sha256) throw new Error('it came back as something else');
    });
  },
  { uploads },
);
process.stdout.write(JSON.stringify(peaks));
