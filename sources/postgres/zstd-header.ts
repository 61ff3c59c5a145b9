/** Enough of a frame to have its content size: RFC 8878, section 3.1.1.1. */
export const ZSTD_HEADER_BYTES = 18;

const MAGIC = 0xfd2fb528;

/** The raw size that a zstd frame announces; undefined where it is none or does not say. */
export function zstdContentBytes(frame: Buffer): number | undefined {
  if (frame.length < ZSTD_HEADER_BYTES || frame.readUInt32LE(0) !== MAGIC) return undefined;
  const descriptor = frame[4] ?? 0;
  const singleSegment = (descriptor & 0x20) !== 0;
  const dictionaryBytes = [0, 1, 2, 4][descriptor & 3] ?? 0;
  const at = 5 + (singleSegment ? 0 : 1) + dictionaryBytes;
  switch (descriptor >> 6) {
    case 0:
      return singleSegment ? frame.readUInt8(at) : undefined;
    case 1:
      return frame.readUInt16LE(at) + 256;
    case 2:
      return frame.readUInt32LE(at);
    default:
      return Number(frame.readBigUInt64LE(at));
  }
}
