/** Four: one is read, one is hashed, and two are on their way to the medium, which must not wait for JavaScript. */
const PIECES = 4;
export const PIECE_BYTES = 2 * 1024 * 1024;

const WASM_PAGE_BYTES = 64 * 1024;

/** The part that is used here; its types stand only in the browser's library. */
declare const WebAssembly: { readonly Memory: new (size: { initial: number }) => { readonly buffer: ArrayBuffer } };

/** As many are kept for the next ones: more put at once is rare. */
const KEPT = 4;

const free: Buffer[][] = [];

/**
 * Buffers to copy a body through, to be given back when nobody reads into them or writes from them. They begin at a page
 * of memory, as O_DIRECT wants it (open(2)): Node's own buffers do not, memory of WebAssembly does, because the engine
 * gets it from the kernel in pages. Some are kept, because such memory is made and taken away slowly.
 */
export function takePieces(): Buffer[] {
  const kept = free.pop();
  if (kept !== undefined) return kept;
  const { buffer } = new WebAssembly.Memory({ initial: (PIECES * PIECE_BYTES) / WASM_PAGE_BYTES });
  return Array.from({ length: PIECES }, (_, index) => Buffer.from(buffer, index * PIECE_BYTES, PIECE_BYTES));
}

export function giveBackPieces(pieces: Buffer[]): void {
  if (free.length < KEPT) free.push(pieces);
}
