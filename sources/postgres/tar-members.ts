import { CofreError } from '../../errors/error.ts';
import type { ByteReader } from './byte-reader.ts';

export interface TarMember {
  readonly name: string;
  readonly sizeBytes: number;
}

const BLOCK = 512;
const REGULAR_FILE = '0';

/**
 * Gives the members of a GNU tar as `compressDump` writes it: plain files with short names, nothing else; whoever gets
 * a member reads its bytes, all of them, before the next. A general tar library is more lenient than a proof may be.
 * @throws CofreError `bad-content` for a damaged header, anything but a plain file, a missing end, bytes after it.
 */
export async function* readTarMembers(reader: ByteReader): AsyncGenerator<TarMember> {
  for (;;) {
    const header = await reader.take(BLOCK);
    if (header.length < BLOCK) throw new CofreError('bad-content', 'its end is missing');
    if (isZero(header)) break;
    const member = parseHeader(header);
    yield member;
    await reader.forward((BLOCK - (member.sizeBytes % BLOCK)) % BLOCK, requireZero);
  }
  if ((await reader.take(BLOCK)).length < BLOCK) throw new CofreError('bad-content', 'its end is missing');
  await reader.drain(requireZero);
}

function parseHeader(header: Buffer): TarMember {
  const text = (start: number, length: number): string => {
    const field = header.toString('latin1', start, start + length);
    return field.includes('\0') ? field.slice(0, field.indexOf('\0')) : field;
  };
  let sum = 8 * 32; // the sum's own field counts as spaces
  // Indexed loops here and below: an iterator's steps would take most of the time of an archive with many members.
  for (let index = 0; index < BLOCK; index += 1) if (index < 148 || index >= 156) sum += header[index] ?? 0;
  const name = text(0, 100);
  const plain = text(156, 1) === REGULAR_FILE && text(257, 8).startsWith('ustar');
  if (Number.parseInt(text(148, 8), 8) !== sum || !plain) {
    throw new CofreError('bad-content', `a header is damaged (${JSON.stringify(name.slice(0, 100))})`);
  }
  // Sizes from 8 GiB on do not fit in octal digits; the first bit says that the field is binary.
  const binary = (header[124] ?? 0) === 0x80;
  const sizeBytes = binary ? Number(header.readBigUInt64BE(128)) : Number.parseInt(text(124, 12), 8);
  if (!Number.isSafeInteger(sizeBytes) || sizeBytes < 0)
    throw new CofreError('bad-content', `the size of ${name} is damaged`);
  return { name, sizeBytes };
}

function isZero(bytes: Buffer): boolean {
  for (let index = 0; index < bytes.length; index += 1) if (bytes[index] !== 0) return false;
  return true;
}

function requireZero(bytes: Buffer): void {
  if (!isZero(bytes)) throw new CofreError('bad-content', 'it has bytes where there must be none');
}
