import { CofreError } from '../../errors/error.ts';
import { startTool, ToolFailure } from '../../processes/tool.ts';

/**
 * Asks the kernel to forget a file's pages, which must be written already (fsync), so that the next reader, the
 * verification, gets what the medium holds and not what memory still remembers. Node has no posix_fadvise; dd has, and
 * with a count of 0 it advises on the whole file and reads nothing. The kernel may keep pages that others use, and a file
 * server has a memory of its own: this is the most that can be asked for from here.
 */
export async function dropFromMemory(path: string, signal?: AbortSignal): Promise<void> {
  const args = [`if=${path}`, 'iflag=nocache', 'count=0', 'status=none'];
  try {
    await startTool({ name: 'dd', path: 'dd', args }, {}, { signal }).done;
  } catch (cause) {
    if (!(cause instanceof ToolFailure) || cause.code === 'killed') throw cause;
    throw new CofreError('destination-unavailable', `cannot read ${path} again: ${cause.message}`, {
      cause,
      hint: 'look whether the folder is still mounted, and at the kernel log of this host',
    });
  }
}
