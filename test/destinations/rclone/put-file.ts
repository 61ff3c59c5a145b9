import type { RcloneConfig } from '../../../config/destination-schema.ts';
import { RcloneDestination } from '../../../destinations/rclone/rclone.ts';
import { gatedBody } from '../gated-body.ts';

/** A process that puts half of an object, says so, and waits to be killed: the configuration as JSON, the key. */
const [config = '', key = ''] = process.argv.slice(2);
const body = gatedBody(Buffer.alloc(4_000_000, 'x'));
void body.halfWay.then(() => setTimeout(() => process.stdout.write('half\n'), 200));
await new RcloneDestination('drive', JSON.parse(config) as RcloneConfig).put(key, body);
