import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { Readable } from 'node:stream';
import { after, before, type TestContext } from 'node:test';

import type { Pipeline } from '../../../catalog/manifest.ts';
import { checkArchive } from '../../../sources/postgres/check-archive.ts';
import type { Clients } from '../../../sources/postgres/clients.ts';
import { compressDump } from '../../../sources/postgres/compress.ts';
import type { DumpResult } from '../../../sources/postgres/dump.ts';
import { dump, makeDatabase, makeFolder, testClients, type TestDatabase } from './nasty-database.ts';

/** A good archive, and what was dumped. */
export interface Sample {
  readonly pipeline: Pipeline;
  readonly clients: Clients;
  readonly bytes: Buffer;
  readonly dumped: DumpResult;
  readonly path: string;
  readonly sha256: string;
}

export async function makeSample(context: TestContext, { target }: TestDatabase, pipeline: Pipeline): Promise<Sample> {
  const directory = await makeFolder(context);
  const dumped = await dump(directory, { target, pipeline });
  const request = { directory, jobs: 2, scratch: join(directory, 'scratch'), stallMs: 30_000 };
  const { path, sha256 } = await compressDump(request);
  return { pipeline, clients: await testClients(), bytes: await readFile(path), dumped, path, sha256 };
}

/** Samples of one database by both pipelines, made before the tests of a file and removed after them. */
export function samplesOf(sql?: string): (pipeline: Pipeline) => Sample {
  const samples = new Map<Pipeline, Sample>();
  const cleanup: (() => unknown)[] = [];
  before(async () => {
    const context = { after: (hook: () => unknown) => cleanup.push(hook) } as unknown as TestContext;
    const source = await makeDatabase(context, sql);
    for (const pipeline of ['staged', 'streamed'] as const)
      samples.set(pipeline, await makeSample(context, source, pipeline));
  });
  after(async () => {
    for (const hook of cleanup) await hook();
  });
  return (pipeline) => {
    const sample = samples.get(pipeline);
    assert.ok(sample);
    return sample;
  };
}

/** As a verification checks it, with what `options` changes. */
export function check(
  { path, clients, dumped }: Sample,
  stream: Readable,
  options: { readonly signal?: AbortSignal; readonly content?: DumpResult['content'] } = {},
): Promise<{ sizeBytes: number; sha256: string }> {
  return checkArchive({ stream, file: basename(path), content: dumped.content, clients, ...options });
}

/** In pieces of an odd size, as a network gives them. */
export function inPieces(bytes: Buffer, size = 7_001): Readable {
  const pieces: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += size) pieces.push(bytes.subarray(at, at + size));
  return Readable.from(pieces, { objectMode: false });
}

/** Where the members of a tar begin, with their headers, and end. */
export function membersOf(tar: Buffer): Map<string, { start: number; end: number; sizeBytes: number }> {
  const members = new Map<string, { start: number; end: number; sizeBytes: number }>();
  for (let at = 0; tar[at] !== 0;) {
    const sizeBytes = Number.parseInt(tar.toString('latin1', at + 124, at + 135), 8);
    const end = at + 512 + Math.ceil(sizeBytes / 512) * 512;
    members.set(tar.toString('latin1', at, tar.indexOf(0, at)), { start: at, end, sizeBytes });
    at = end;
  }
  return members;
}
