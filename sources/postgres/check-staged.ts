import { CofreError } from '../../errors/error.ts';
import type { ByteReader } from './byte-reader.ts';
import type { CheckContext } from './check-archive.ts';
import { checkTable, ContentCheck, labelOf } from './content-check.ts';
import { Decompression, toContentError } from './decompression.ts';
import { RawDigest, type RawContent } from './raw-digest.ts';
import { parseRawFile, type RawFile } from './raw-files.ts';
import { runTogether } from './run-together.ts';
import { readTarMembers, type TarMember } from './tar-members.ts';
import { ZSTD_HEADER_BYTES, zstdContentBytes } from './zstd-header.ts';

/** Where all tables are small nothing is compressed, and no input at all is an error to zstd. */
const EMPTY_FRAME = Buffer.from('28b52ffd2000010000', 'hex');

/** Raw data that are expected, whole, from the decoder or the tar itself. */
interface Expected {
  readonly label: string;
  readonly rawBytes: number;
  accept(content: RawContent): void;
}

/**
 * Checks `database.tar`. All compressed members go through one decoder, one after the other; its output is cut by the
 * raw sizes, which for tables the manifest knows and for large objects the frame's header.
 */
export async function checkStaged(reader: ByteReader, context: CheckContext): Promise<void> {
  const check = new ContentCheck(context.content);
  const decompression = new Decompression(context, 'zstd');
  const queue: Expected[] = [];
  const reading = async (): Promise<void> => {
    await decompression.write(EMPTY_FRAME);
    for await (const member of readTarMembers(reader)) await readMember(member, reader, check, decompression, queue);
    decompression.end();
  };
  await runTogether([reading(), cutOutput(decompression, queue)], context.stop);
  check.finish();
}

async function readMember(
  member: TarMember,
  reader: ByteReader,
  check: ContentCheck,
  decompression: Decompression,
  queue: Expected[],
): Promise<void> {
  const file = parseRawFile(member.name);
  if (file === undefined)
    throw new CofreError('bad-content', `it has a member ${JSON.stringify(member.name)} that no dump has`);
  if (!file.compressed) {
    const expected = expect(file, member.sizeBytes, check);
    const digest = new RawDigest();
    await reader.forward(member.sizeBytes, (piece) => digest.update(piece));
    expected.accept(digest.finish());
    return;
  }
  const head = await reader.take(Math.min(ZSTD_HEADER_BYTES, member.sizeBytes));
  const rawBytes = zstdContentBytes(head);
  if (rawBytes === undefined || rawBytes === 0)
    throw new CofreError('bad-content', `its member ${member.name} is not a zstd file with a known size`);
  // Queued before its first byte can come out of the decoder.
  queue.push(expect(file, rawBytes, check));
  await decompression.write(head);
  await reader.forward(member.sizeBytes - head.length, (piece) => decompression.write(piece));
}

function expect({ name, kind }: RawFile, rawBytes: number, check: ContentCheck): Expected {
  if (kind === 'toc') return { label: name, rawBytes, accept: (content) => check.addToc(name, content) };
  if (kind === 'largeObject')
    return { label: name, rawBytes, accept: (content) => check.addLargeObject(name, content) };
  const table = check.takeTable(name);
  if (table.rawBytes !== rawBytes) {
    throw new CofreError(
      'bad-content',
      `the data of ${labelOf(table)} take ${rawBytes} bytes, and ${table.rawBytes} were dumped`,
    );
  }
  return { label: labelOf(table), rawBytes, accept: (content) => checkTable(table, content) };
}

async function cutOutput({ tool: zstd }: Decompression, queue: Expected[]): Promise<void> {
  let current: { readonly expected: Expected; readonly digest: RawDigest } | undefined;
  for await (const chunk of zstd.stdout) {
    for (let rest = chunk as Buffer; rest.length > 0;) {
      if (current === undefined) {
        const expected = queue.shift();
        if (expected === undefined) throw new CofreError('bad-content', 'a member has more data than it announces');
        current = { expected, digest: new RawDigest() };
      }
      const { expected, digest } = current;
      const piece = rest.subarray(0, expected.rawBytes - digest.rawBytes);
      digest.update(piece);
      rest = rest.subarray(piece.length);
      if (digest.rawBytes < expected.rawBytes) continue;
      expected.accept(digest.finish());
      current = undefined;
    }
  }
  const label = (current?.expected ?? queue[0])?.label;
  // The decoder's own verdict before the conclusion from its silence.
  await zstd.done.catch((error: unknown) => {
    throw toContentError(error, label ?? 'a member');
  });
  if (label !== undefined) throw new CofreError('bad-content', `the data of ${label} end early`);
}
