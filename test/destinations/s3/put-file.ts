import { S3Destination } from '../../../destinations/s3/s3.ts';
import type { S3Config } from '../../../config/destination-schema.ts';
import { localFileBody } from '../../../destinations/local-file.ts';

/** A process that puts a file, tells of each part that is stored, and at the end of the memory that it took: to be killed in between. */
const [config = '', path = '', sizeBytes = '', sha256 = ''] = process.argv.slice(2);
const before = process.memoryUsage.rss();
const bucket = new S3Destination('bucket', JSON.parse(config) as S3Config);
await bucket.put('a/b', localFileBody(path, Number(sizeBytes), sha256), {
  onProgress: (bytes) => process.stdout.write(`stored ${bytes}\n`),
});
await bucket.close();
process.stdout.write(`took ${process.resourceUsage().maxRSS * 1024 - before}\n`);
