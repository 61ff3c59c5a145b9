import type { DumpContent } from '../../catalog/manifest.ts';
import { CofreError, messageOf } from '../../errors/error.ts';
import type { ToolContext } from '../../processes/tool.ts';
import { STAGED_FILE, wrappingOf } from './archive-files.ts';
import { checkStaged } from './check-staged.ts';
import { checkStreamed } from './check-streamed.ts';
import type { Clients } from './clients.ts';
import { readOnce, type Ending, type ReadOnce } from './read-once.ts';

export interface CheckRequest extends ToolContext, ReadOnce {
  /** What the manifest says was dumped. */
  readonly content: DumpContent;
  /** The object's name without its folder, which tells what it is. */
  readonly file: string;
  readonly clients: Clients;
}

/** What a check of one pipeline's object is given; it reads all of `reader`. */
export interface CheckContext extends ToolContext, Ending {
  readonly signal: AbortSignal;
  readonly content: DumpContent;
  readonly clients: Clients;
}

/**
 * Reads a whole object once and proves that it decodes to what was dumped: every table of the manifest exactly once
 * with its hash and rows, every large object, and nothing else. Nothing is written to disk; memory stays flat.
 * The caller compares size and hash with what was sent.
 * @throws CofreError `bad-content` naming object and table; the stream's own failures; `signal.reason`.
 */
export async function checkArchive(request: CheckRequest): Promise<{ sizeBytes: number; sha256: string }> {
  const { file } = request;
  const wrapping = wrappingOf(file);
  if (wrapping === undefined && file !== STAGED_FILE) {
    request.stream.destroy();
    throw new CofreError('bad-content', `no backup has an object ${file}`);
  }
  try {
    const { content, clients, records } = request;
    const { sizeBytes, sha256 } = await readOnce(request, (reader, ending) => {
      const context = { content, clients, records, ...ending };
      return wrapping === undefined ? checkStaged(reader, context) : checkStreamed(reader, context, wrapping);
    });
    return { sizeBytes, sha256 };
  } catch (error) {
    if (!(error instanceof CofreError) || error.code !== 'bad-content') throw error;
    throw new CofreError('bad-content', `${file} is damaged: ${messageOf(error)}`, {
      cause: error,
      hint: 'this copy cannot be relied on; check the medium, and restore from another copy',
    });
  }
}
