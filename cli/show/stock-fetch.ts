import { join } from 'node:path';

import type {
  DestinationConfig,
  GcsConfig,
  RcloneConfig,
  S3Config,
  SftpConfig,
} from '../../config/destination-schema.ts';

/** How stock tools reach an object of a destination. */
export interface StockFetch {
  /** The file to read it from: where it lies, or where `lines` put it in the current folder. */
  readonly path: string;
  /** Commands that bring it to this machine; none where it is a file already. */
  readonly lines: readonly string[];
  /** The tools that those need. */
  readonly tools: readonly string[];
}

/** What brings the object `key` of a destination to the machine that restores. */
export function stockFetch(destination: DestinationConfig, key: string): StockFetch {
  switch (destination.type) {
    case 'directory':
      return { path: objectAddress(destination, key), lines: [], tools: [] };
    case 's3':
      return {
        path: 'archive',
        lines: [s3Copy(destination, key)],
        tools: ['aws (with credentials that may read the bucket)'],
      };
    case 'gcs':
      return {
        path: 'archive',
        lines: [gcsCopy(destination, key)],
        tools: ['gcloud (with an account that may read the bucket)'],
      };
    case 'sftp':
      return {
        path: 'archive',
        lines: [sftpGet(destination, key)],
        tools: [`sftp (with a key or the password of ${destination.user} there; -i FILE names a key)`],
      };
    case 'rclone':
      return {
        path: 'archive',
        lines: [rcloneCopy(destination, key)],
        tools: [`rclone (with the remote ${destination.remote.split(':')[0]} in its configuration)`],
      };
  }
}

/** Where the object lies, for the machines that reach the destination. */
export function objectAddress(destination: DestinationConfig, key: string): string {
  switch (destination.type) {
    case 'directory':
      return join(destination.path, key);
    case 's3':
      return `s3://${join(destination.bucket, destination.prefix ?? '', key)}`;
    case 'gcs':
      return `gs://${join(destination.bucket, destination.prefix ?? '', key)}`;
    case 'sftp':
      return `sftp://${destination.user}@${uriHost(destination)}:${destination.port}${join(destination.path, key)}`;
    case 'rclone':
      return destination.remote.endsWith(':') ? destination.remote + key : `${destination.remote}/${key}`;
  }
}

function s3Copy(destination: S3Config, key: string): string {
  const { region, endpoint } = destination;
  const from = objectAddress(destination, key);
  const at = endpoint === undefined ? '' : ` --endpoint-url ${quote(endpoint)}`;
  return `aws s3 cp --region ${region}${at} ${quote(from)} archive`;
}

function gcsCopy(destination: GcsConfig, key: string): string {
  const { endpoint } = destination;
  const at =
    endpoint === undefined
      ? ''
      : `CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE=${quote(`${endpoint.replace(/\/$/, '')}/`)} `;
  return `${at}gcloud storage cp ${quote(objectAddress(destination, key))} archive`;
}

function sftpGet(destination: SftpConfig, key: string): string {
  const from = `${destination.user}@${uriHost(destination)}:${join(destination.path, key)}`;
  return `sftp -P ${destination.port} ${quote(from)} archive`;
}

function rcloneCopy(destination: RcloneConfig, key: string): string {
  const { configFile } = destination;
  const config = configFile === undefined ? '' : ` --config ${quote(configFile)}`;
  return `rclone${config} copyto ${quote(objectAddress(destination, key))} archive`;
}

function uriHost({ host }: SftpConfig): string {
  return host.includes(':') ? `[${host}]` : host;
}

/** One word for the shell, whatever is in it. */
export function quote(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
