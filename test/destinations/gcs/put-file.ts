import type { GcsConfig } from '../../../config/destination-schema.ts';
import { GcsDestination } from '../../../destinations/gcs/gcs.ts';
import { localFileBody } from '../../../destinations/local-file.ts';

/** A process that puts a file, tells of what is stored, and at the end of the memory that it took: to be killed in between. */
const [config = '', options = '', path = '', sizeBytes = '', sha256 = ''] = process.argv.slice(2);
const before = process.memoryUsage.rss();
const bucket = new GcsDestination('bucket', JSON.parse(config) as GcsConfig, JSON.parse(options) as object);
await bucket.put('a/b', localFileBody(path, Number(sizeBytes), sha256), {
  onProgress: (bytes) => process.stdout.write(`stored ${bytes}\n`),
});
await bucket.close();
process.stdout.write(`took ${process.resourceUsage().maxRSS * 1024 - before}\n`);
