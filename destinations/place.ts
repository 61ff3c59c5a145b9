import type { DestinationConfig } from '../config/destination-schema.ts';
import { directoryPlace } from './directory/place.ts';
import { gcsPlace } from './gcs/place.ts';
import { rclonePlace } from './rclone/place.ts';
import { s3Place } from './s3/place.ts';
import { sftpPlace } from './sftp/place.ts';

/** What a place that is to keep copies looks like. */
export type PlaceState = 'prepared' | 'empty' | 'not-empty' | 'missing' | 'foreign';

/** A configured place before it is a destination: how it looks from here, and how it is made one. */
export interface Place {
  /** In words and without secrets: `the folder /backups`. */
  readonly what: string;
  /** How a person provides it, and where to look when it is empty though it should not be. */
  readonly hints: { readonly missing: string; readonly empty: string };
  /** Looks and changes nothing. @throws CofreError where it cannot be looked at from here. */
  state(): Promise<PlaceState>;
  /** What is the same for two names of one place: its marker, and what else tells. None where there is nothing. */
  identities(): Promise<string[]>;
  /**
   * Marks it as a destination, once. Gives false where it is marked already.
   * @throws CofreError `not-mounted` when it is not there, `refused` when it is not empty and `evenIfNotEmpty` is not set.
   */
  prepare(options?: { evenIfNotEmpty?: boolean }): Promise<boolean>;
}

export function placeOf(config: DestinationConfig): Place {
  switch (config.type) {
    case 'directory':
      return directoryPlace(config.path);
    case 's3':
      return s3Place(config);
    case 'gcs':
      return gcsPlace(config);
    case 'sftp':
      return sftpPlace(config);
    case 'rclone':
      return rclonePlace(config);
  }
}

/** What two entries of one name must share to be the same place: changed, it is another one. */
export function addressOf(config: DestinationConfig): string {
  switch (config.type) {
    case 'directory':
      return config.path;
    case 's3':
    case 'gcs':
      return [config.endpoint ?? '', config.bucket, config.prefix ?? ''].join(' ');
    case 'sftp':
      return [config.user, config.host, config.port, config.path].join(' ');
    case 'rclone':
      return [config.configFile ?? '', config.remote].join(' ');
  }
}
