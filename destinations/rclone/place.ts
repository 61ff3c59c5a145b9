import type { RcloneConfig } from '../../config/destination-schema.ts';
import { CofreError } from '../../errors/error.ts';
import type { Place } from '../place.ts';
import { folderState, prepareFolder, requireMarker } from './marker.ts';
import { RcloneRemote } from './remote.ts';

/** A folder of one of rclone's remotes that is, or is to be, a destination. */
export function rclonePlace(config: RcloneConfig): Place {
  const remote = new RcloneRemote(config);
  return {
    what: `the rclone remote ${config.remote}`,
    hints: {
      missing: `make the folder (rclone mkdir ${config.remote})`,
      empty: 'look whether it is the right one',
    },
    state: () => folderState(remote),
    identities: async () => {
      try {
        return [await requireMarker(remote, undefined)];
      } catch (error) {
        if (error instanceof CofreError) return [];
        throw error;
      }
    },
    prepare: (options) => prepareFolder(remote, options),
  };
}
