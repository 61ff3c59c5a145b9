import { finishAll, startTool, type RunningTool, type ToolContext } from '../../processes/tool.ts';
import type { Wrapping } from './archive-files.ts';
import type { Clients } from './clients.ts';
import { DataScript, type ScriptContent } from './data-script.ts';
import { Decompression } from './decompression.ts';
import { runTogether } from './run-together.ts';

export interface DecodeContext extends ToolContext {
  readonly clients: Clients;
  readonly signal: AbortSignal;
  /** Aborts `signal`, which ends the tools. */
  readonly stop: () => void;
  readonly wrapping: Wrapping;
}

/**
 * Decodes a dump in one file, of which `feed` writes all bytes, and reads it to its end: pg_restore writes out all its data.
 * From when all is written `watch` may look at the tools until they have ended.
 * @throws ToolFailure when it cannot be decoded; CofreError `bad-content`; what `feed` and `watch` throw; `signal.reason`.
 */
export async function decodeStreamed(
  context: DecodeContext,
  feed: (write: (piece: Buffer) => Promise<void>) => Promise<void>,
  watch?: (tools: readonly RunningTool[]) => Promise<void>,
): Promise<ScriptContent> {
  const decompression = new Decompression(context, context.wrapping);
  const { tool: unwrap } = decompression;
  const pgRestore = startTool(
    { name: 'pg_restore', path: context.clients.pgRestore, args: ['--section=data', '--file=-'] },
    { stdin: unwrap, stdout: 'pipe' },
    context,
  );
  const script = new DataScript();
  const feeding = async (): Promise<void> => {
    await feed((piece) => decompression.write(piece));
    decompression.end();
    await watch?.([unwrap, pgRestore]);
  };
  const reading = async (): Promise<void> => {
    for await (const chunk of pgRestore.stdout) script.update(chunk as Buffer);
    await finishAll([unwrap, pgRestore]);
  };
  await runTogether([feeding(), reading()], context.stop);
  return script.finish();
}
