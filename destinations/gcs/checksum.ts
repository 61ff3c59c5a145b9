import { crc32c } from '@node-rs/crc32';

/** The checksum that the service itself keeps of every object, over bytes that come one after the other. */
export class Crc32c {
  #value = 0;

  update(bytes: Buffer): void {
    this.#value = crc32c(bytes, this.#value);
  }

  /** As the service writes it. */
  get base64(): string {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(this.#value >>> 0);
    return bytes.toString('base64');
  }
}

export function crc32cOf(bytes: Buffer): string {
  const sum = new Crc32c();
  sum.update(bytes);
  return sum.base64;
}
