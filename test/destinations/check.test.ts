import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { checkDestination } from '../../destinations/check/check.ts';
import { PROMISES } from '../../destinations/check/promises.ts';
import { prepareDirectory } from '../../destinations/directory/marker.ts';
import { SmallDisk } from '../small-disk.ts';
import { RcloneRemotes, markedFolder } from '../rclone.ts';

test('a directory keeps every promise, and nothing of the check is left', async () => {
  const path = await mkdtemp(join(tmpdir(), 'cofre-check-'));
  try {
    await prepareDirectory(path);
    const heard: string[] = [];
    const report = await checkDestination(
      'volume',
      { type: 'directory', path, shared: true },
      {
        signal: new AbortController().signal,
        onFinding: ({ promise }) => void heard.push(promise),
        onLeft: () => undefined,
      },
    );
    assert.deepEqual(
      report.findings.filter(({ kept }) => !kept),
      [],
    );
    assert.deepEqual(
      heard,
      PROMISES.map(({ name }) => name),
    );
    assert.equal(report.left, undefined);
    assert.ok((report.speed?.readsBytesPerSecond ?? 0) > 0);
    assert.deepEqual(await readdir(path), ['cofre.json']);
  } finally {
    await rm(path, { recursive: true });
  }
});

test('a place that is full in the middle breaks no promise, and what is left there is told', async () => {
  const disk = await SmallDisk.mount('10m');
  try {
    await prepareDirectory(disk.path);
    const broken: string[] = [];
    const left: (string | undefined)[] = [];
    const checking = checkDestination(
      'volume',
      { type: 'directory', path: disk.path, shared: true },
      {
        signal: new AbortController().signal,
        onFinding: ({ promise, kept }) => void (kept || broken.push(promise)),
        onLeft: (what) => void left.push(what),
      },
    );
    await assert.rejects(checking, { code: 'no-space' });
    assert.deepEqual([broken, left], [[], [undefined]]);
    assert.deepEqual(await readdir(disk.path), ['cofre.json']);
  } finally {
    await disk.unmount();
  }
});

test('a remote of rclone is not asked for what no alias is configured there for', async () => {
  const path = await markedFolder();
  const remotes = await RcloneRemotes.make({ here: { type: 'local' } });
  try {
    const { signal } = new AbortController();
    const report = await checkDestination('remote', remotes.config(`here:${path}`), {
      signal,
      onFinding: () => undefined,
      onLeft: () => undefined,
    });
    assert.deepEqual(
      report.findings.map(({ promise, kept }) => [promise, kept]),
      PROMISES.flatMap(({ name }) => (name === 'replaces-alias' ? [] : [[name, true]])),
    );
    assert.equal(report.left, undefined);
  } finally {
    await remotes.remove();
    await rm(path, { recursive: true });
  }
});
