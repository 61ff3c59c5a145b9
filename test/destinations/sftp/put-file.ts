import { SftpDestination } from '../../../destinations/sftp/sftp.ts';
import { hashFile, localFileBody } from '../../../destinations/local-file.ts';
import type { SftpConfig } from '../../../config/destination-schema.ts';

/** A process that puts a file, to be killed on the way: the configuration as JSON, the file, the key. */
const [config = '', path = '', key = ''] = process.argv.slice(2);
const { sizeBytes, sha256 } = await hashFile(path);
const destination = new SftpDestination('offsite', JSON.parse(config) as SftpConfig);
await destination.put(key, localFileBody(path, sizeBytes, sha256));
await destination.close();
