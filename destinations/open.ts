import { bytesPerSecond } from '../config/bandwidth.ts';
import type { DestinationConfig, GcsConfig, RcloneConfig, SftpConfig } from '../config/destination-schema.ts';
import type { Destination } from './destination.ts';
import { DirectoryDestination } from './directory/directory.ts';
import { GcsDestination } from './gcs/gcs.ts';
import { LimitedDestination } from './limits.ts';
import { RcloneDestination } from './rclone/rclone.ts';
import { S3Destination } from './s3/s3.ts';
import { SftpDestination } from './sftp/sftp.ts';

/** What this host keeps for its destinations. */
export interface OpenOptions {
  /** The worker's own folder for addresses of unfinished uploads (secrets); without it those of GCS begin again. */
  readonly uploads?: string | undefined;
}

/** The same destination without its limits: a restore does not wait for what is no hurry. */
export function withoutLimits(config: DestinationConfig): DestinationConfig {
  return { ...withoutConnections(config), bandwidth: undefined };
}

/** The same without the limit of what goes there at once. The connections of S3 are the parts of one object, and stay. */
export function withoutConnections(config: DestinationConfig): DestinationConfig {
  return hasConnections(config) ? { ...config, connections: undefined } : config;
}

function hasConnections(config: DestinationConfig): config is GcsConfig | SftpConfig | RcloneConfig {
  return config.type !== 's3' && config.type !== 'directory';
}

/** Opens a configured destination. The caller closes it; `withDestination` does that for you. */
export function openDestination(name: string, config: DestinationConfig, options: OpenOptions = {}): Destination {
  const place = openPlace(name, config, options);
  const { bandwidth } = config;
  const connections = hasConnections(config) ? config.connections : undefined;
  if (bandwidth === undefined && connections === undefined) return place;
  const limit = bandwidth === undefined ? undefined : bytesPerSecond(bandwidth);
  return new LimitedDestination(name, place, { bytesPerSecond: limit, connections });
}

function openPlace(name: string, config: DestinationConfig, { uploads }: OpenOptions): Destination {
  switch (config.type) {
    case 'directory':
      return new DirectoryDestination(name, config.path);
    case 's3':
      return new S3Destination(name, config);
    case 'gcs':
      return new GcsDestination(name, config, { uploads });
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
  options: OpenOptions = {},
): Promise<T> {
  const destination = openDestination(name, config, options);
  try {
    return await use(destination);
  } finally {
    await destination.close();
  }
}
