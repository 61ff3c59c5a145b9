import { bytesPerSecond } from '../config/bandwidth.ts';
import type { DestinationConfig } from '../config/destination-schema.ts';
import { LimitedDestination } from './bandwidth.ts';
import type { Destination } from './destination.ts';
import { DirectoryDestination } from './directory/directory.ts';
import { RcloneDestination } from './rclone/rclone.ts';
import { S3Destination } from './s3/s3.ts';
import { SftpDestination } from './sftp/sftp.ts';

/** Opens a configured destination. The caller closes it; `withDestination` does that for you. */
export function openDestination(name: string, config: DestinationConfig): Destination {
  const place = openPlace(name, config);
  if (config.bandwidth === undefined) return place;
  return new LimitedDestination(name, place, bytesPerSecond(config.bandwidth));
}

function openPlace(name: string, config: DestinationConfig): Destination {
  switch (config.type) {
    case 'directory':
      return new DirectoryDestination(name, config.path);
    case 's3':
      return new S3Destination(name, config);
    case 'sftp':
      return new SftpDestination(name, config);
    case 'rclone':
      return new RcloneDestination(name, config);
  }
}

/** Lends a destination to `use` and always closes it. */
export async function withDestination<T>(
  name: string,
  config: DestinationConfig,
  use: (destination: Destination) => Promise<T>,
): Promise<T> {
  const destination = openDestination(name, config);
  try {
    return await use(destination);
  } finally {
    await destination.close();
  }
}
