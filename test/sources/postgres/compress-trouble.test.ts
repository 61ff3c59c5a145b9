import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { cp, mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { Readable } from 'node:stream';
import { test, type TestContext } from 'node:test';

import { checkSource } from '../../../sources/postgres/check-source.ts';
import { compressDump, type CompressRequest } from '../../../sources/postgres/compress.ts';
import { zstdContentBytes } from '../../../sources/postgres/zstd-header.ts';
import { readTarMembers } from '../../../sources/postgres/tar-members.ts';
import { ByteReader } from '../../../sources/postgres/byte-reader.ts';
import { FaultProxy } from '../../fault-proxy.ts';
import { until } from '../../until.ts';
import { dump, makeDatabase, makeFolder } from './nasty-database.ts';

function requestFor(directory: string): CompressRequest {
  return { directory, jobs: 1, scratch: join(directory, 'scratch'), stallMs: 30_000 };
}

/** A finished dump as pg_dump leaves it, with three data files. */
async function makeRaw(t: TestContext): Promise<string> {
  const directory = await makeFolder(t);
  await mkdir(join(directory, 'raw'));
  await writeFile(join(directory, 'raw', 'toc.dat'), 'a table of contents');
  for (const id of [1, 2, 3]) {
    const text = randomBytes(300_000).toString('base64');
    await writeFile(join(directory, 'raw', `${id}.dat`), `${text}\n\\.\n\n\n`);
  }
  return directory;
}

const TOOLS = ['setpriv', 'tar', 'zstd', 'dd', 'bash', 'head', 'touch', 'sleep'];

/** This process and what it starts find the system's tools, and in the place of this one a shell script, or nothing. Gives the way back. */
async function replaceTool(t: TestContext, replaced: string, script?: string): Promise<() => void> {
  const folder = await makeFolder(t);
  const path = process.env['PATH'];
  const find = (tool: string): string => execFileSync('which', [tool], { encoding: 'utf8' }).trim();
  for (const tool of TOOLS.filter((name) => name !== replaced)) await symlink(find(tool), join(folder, tool));
  if (script !== undefined)
    await writeFile(join(folder, replaced), `#!/bin/bash\nreal=${find(replaced)}\n${script}\n`, { mode: 0o755 });
  process.env['PATH'] = folder;
  const restore = (): void => {
    process.env['PATH'] = path;
  };
  t.after(restore);
  return restore;
}

/** The process groups of running tools, by the program, and of zstd by what it does. */
async function runningTools(records: string): Promise<Map<string, number>> {
  const pids = await readdir(records).catch(() => []);
  const named = pids.map(async (pid) => {
    const [program = '', task = ''] = (await readFile(`/proc/${pid}/cmdline`, 'utf8')).split('\0');
    const name = basename(program);
    return [name === 'zstd' ? `${name} ${task}` : name, Number(pid)] as const;
  });
  return new Map(await Promise.all(named).catch(() => []));
}

/** Compresses the first of its files, and then stands still. */
const HELD_AFTER_ONE = (held: string): string => `list="\${@: -1}"
head --lines=1 "$list" > "$list.first"
"$real" "\${@:1:$#-1}" "$list.first"
touch '${held}'
exec sleep 60`;

test('case 20: a compressor that is killed fails the step, leaves nothing behind, and the next try goes on to the same bytes', async (t) => {
  const directory = await makeRaw(t);
  const copy = await makeFolder(t);
  await cp(join(directory, 'raw'), join(copy, 'raw'), { recursive: true });
  const records = join(directory, 'records');
  const restore = await replaceTool(t, 'zstd', HELD_AFTER_ONE(join(copy, 'held')));
  const compressing = compressDump({ ...requestFor(directory), records });
  compressing.catch(() => undefined);
  await until('one file is compressed', async () => (await readdir(copy)).includes('held'));
  const [pid = '', ...others] = await readdir(records);
  assert.match(pid, /^\d+$/);
  assert.deepEqual(others, []);
  process.kill(Number(pid), 'SIGKILL');
  await assert.rejects(compressing, { code: 'killed', message: /zstd ended by SIGKILL/, retryable: true });
  await assert.rejects(stat(`/proc/${pid}`), { code: 'ENOENT' });
  assert.deepEqual(await readdir(records), []);
  const left = await readdir(join(directory, 'raw'));
  assert.equal(left.filter((name) => name.endsWith('.zst')).length, 1);
  assert.equal(left.filter((name) => /^\d+\.dat$/.test(name)).length, 2, 'what was not compressed is still there');
  await assert.rejects(stat(join(directory, 'database.tar')), { code: 'ENOENT' });
  restore();
  const undisturbed = await compressDump(requestFor(copy));
  assert.equal((await compressDump(requestFor(directory))).sha256, undisturbed.sha256);
});

test('case 20: a compressor that is killed in the middle of a stream ends pg_dump too, and leaves no dump', async (t) => {
  const source = await makeDatabase(
    t,
    'create table big as select g, repeat(md5(g::text), 30) as body from generate_series(1, 20000) g',
  );
  const proxy = await FaultProxy.start(source.target);
  t.after(() => proxy.stop());
  const directory = await makeFolder(t);
  const records = join(directory, 'records');
  proxy.stallAfter(5_000_000);
  const dumping = dump(directory, { target: { ...source.target, port: proxy.port }, pipeline: 'streamed', records });
  dumping.catch(() => undefined);
  await until('rows stop coming', () => proxy.stalled);
  const tools = await runningTools(records);
  assert.deepEqual([...tools.keys()].sort(), ['pg_dump', 'pg_restore', 'zstd -3', 'zstd -d']);
  process.kill(tools.get('zstd -3') ?? Number.NaN, 'SIGKILL');
  await until('the other tools are gone', async () => (await readdir(records)).length === 0);
  proxy.restore();
  await assert.rejects(dumping, { code: 'killed', message: /zstd ended by SIGKILL/, retryable: true });
  for (const pid of tools.values()) await assert.rejects(stat(`/proc/${pid}`), { code: 'ENOENT' });
  await assert.rejects(stat(join(directory, 'database.dump.zst')), { code: 'ENOENT' });
});

test('case 20: a host without a compressor is found before the dump, and neither dumps nor compresses', async (t) => {
  const source = await makeDatabase(t, 'create table a (b int)');
  const directory = await makeRaw(t);
  await replaceTool(t, 'zstd');
  const missing = { code: 'tool-missing', message: /^zstd is not installed/, hint: /cofre doctor/, retryable: false };
  await assert.rejects(checkSource(source.target), missing);
  const folder = await makeFolder(t);
  const records = join(folder, 'records');
  await assert.rejects(dump(folder, { target: source.target, pipeline: 'streamed', records }), missing);
  assert.deepEqual(await readdir(records), [], 'pg_dump has ended too');
  await assert.rejects(stat(join(folder, 'database.dump.zst')), { code: 'ENOENT' });
  await assert.rejects(compressDump(requestFor(directory)), missing);
  assert.equal((await readdir(join(directory, 'raw'))).length, 4, 'the dump is still there for when zstd is');
});

test('case 20: a host without tar is found before the dump', async (t) => {
  const source = await makeDatabase(t, 'create table a (b int)');
  await replaceTool(t, 'tar');
  await assert.rejects(checkSource(source.target), { code: 'tool-missing', message: /^tar is not installed/ });
});

test('case 23: sizes beyond 32 bits are read as they are written', async () => {
  for (const bytes of [2 ** 32 - 1, 2 ** 32, 5 * 2 ** 30 + 7]) {
    // Its header comes first, with the size that was announced.
    const script = `zstd -q -c --stream-size=${bytes} </dev/zero | head -c 18`;
    const header = execFileSync('bash', ['-c', script], { stdio: ['ignore', 'pipe', 'ignore'] });
    assert.equal(zstdContentBytes(header), bytes);
  }
});

test('case 23: a member of more than 8 GiB is told by its header', async (t) => {
  const folder = await makeFolder(t);
  const bytes = 9 * 2 ** 30 + 5;
  // A hole: it takes no room, and of the tar only the header is read.
  execFileSync('truncate', [`--size=${bytes}`, join(folder, '1.dat.zst')]);
  const args = ['--create', '--format=gnu', '--file=-', `--directory=${folder}`, '1.dat.zst'];
  const script = `tar ${args.join(' ')} | head -c 512`;
  const header = execFileSync('bash', ['-c', script], { stdio: ['ignore', 'pipe', 'ignore'] });
  const members = readTarMembers(new ByteReader(Readable.from([header], { objectMode: false }), () => undefined));
  assert.deepEqual((await members.next()).value, { name: '1.dat.zst', sizeBytes: bytes });
});
