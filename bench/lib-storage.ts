import { createReadStream } from 'node:fs';

import { S3Client, type S3ClientConfig } from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';

/** What this process is sent: where to, and the file. */
export interface LibStorageOrder {
  readonly client: S3ClientConfig;
  readonly bucket: string;
  readonly key: string;
  readonly path: string;
}

/** A process that uploads what it is told to as Node and lib-storage do without any setting, and answers when it is done. */
process.on('message', ({ client: config, bucket, key, path }: LibStorageOrder) => {
  const client = new S3Client(config);
  const upload = new Upload({ client, params: { Bucket: bucket, Key: key, Body: createReadStream(path) } });
  void upload.done().then(() => {
    client.destroy();
    process.send?.('done');
  });
});
