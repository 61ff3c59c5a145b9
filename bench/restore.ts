import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';

import type { Bench } from './bench.ts';
import { hold, type Contestant, type Measured, type Result } from './contest.ts';
import { databaseScript, GIGABYTE } from './data.ts';
import { DUMP, RESTORE } from './practice.ts';
import { Site } from './site.ts';

const SOURCE = 'bench_1gb';
const RESTORED = 'bench_restored';
const BY_HAND = 'bench_by_hand';
const LOAD = ['load: schema', 'load: data', 'load: indexes'];

/** A restore, and its load alone, against `gunzip | pg_restore` into an empty database. */
export async function restore(bench: Bench): Promise<Result[]> {
  await bench.database(SOURCE, databaseScript(GIGABYTE));
  const folder = join(bench.folder, 'restore');
  await mkdir(folder);
  await bench.shell(DUMP, SOURCE, { D: folder });
  await bench.sql(`create database ${RESTORED} template ${SOURCE}`);
  const site = await Site.open(bench, RESTORED);
  try {
    const { backupId } = await site.backup();
    const result = await hold(
      {
        name: 'restore',
        what: 'A complete restore of 1 GB',
        contestants: [byHand(bench, folder), withCofre(bench, site, backupId)],
      },
      bench.rounds,
    );
    return [result, loadOf(result)];
  } finally {
    await site.close();
  }
}

function byHand(bench: Bench, folder: string): Contestant {
  return {
    name: 'gunzip \\| pg_restore',
    prepare: async () => {
      await bench.sql(`drop database if exists ${BY_HAND} with (force)`);
      await bench.sql(`create database ${BY_HAND} template template0`);
      await bench.sql('checkpoint');
    },
    run: async () => {
      await bench.shell(RESTORE, BY_HAND, { D: folder });
      return {};
    },
    cpu: bench.shellCpu(),
  };
}

function withCofre(bench: Bench, site: Site, backupId: string): Contestant {
  return {
    name: 'Cofre',
    prepare: async () => {
      await bench.dropReplaced(RESTORED);
      await bench.sql('checkpoint');
    },
    run: async () => {
      const { phases } = await site.restore(backupId);
      return Object.fromEntries(phases.map(({ phase, tookMs }) => [`load: ${phase}Ms`, tookMs]));
    },
    tell: () => site.steps(),
    cpu: site.cpu,
  };
}

/** Schema, data and indexes, without what comes before and after them. */
function loadOf({ ways }: Result): Result {
  const [practice, cofre] = ways;
  const wall = (rounds: readonly Measured[], parts: readonly string[]): Measured[] =>
    rounds.map((round) => ({ wallMs: parts.reduce((sum, part) => sum + (round[`${part}Ms`] ?? 0), 0) }));
  return {
    name: 'load',
    what: 'Of a restore of 1 GB: load and indexes',
    ways: [
      { name: practice?.name ?? '', rounds: wall(practice?.rounds ?? [], ['wall']) },
      { name: cofre?.name ?? '', rounds: wall(cofre?.rounds ?? [], LOAD) },
    ],
  };
}
