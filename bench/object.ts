import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

import type { Destination } from '../destinations/destination.ts';
import { hashFile, localFileBody } from '../destinations/local-file.ts';
import { hashOf } from '../destinations/stored.ts';
import type { Bench } from './bench.ts';
import { hold, type Contestant, type Result } from './contest.ts';

const run = promisify(execFile);

/** The archive of a database of 1 GB is about so large. */
const OBJECT_BYTES = 246_000_000;

/** A file of bytes that nothing can compress. */
export interface ObjectFile {
  readonly path: string;
  readonly sizeBytes: number;
  readonly sha256: string;
}

export async function makeObject(bench: Bench, name: string, sizeBytes = OBJECT_BYTES): Promise<ObjectFile> {
  const path = join(bench.folder, name);
  await run('sh', ['-c', `head -c ${sizeBytes} /dev/urandom > "$0"`, path]);
  return { path, ...(await hashFile(path)) };
}

/** One place that takes an object and gives it back, and those it is compared with. */
interface ObjectRace {
  /** What results are called by: `s3`. */
  readonly name: string;
  /** In words, such as `an S3 service`. */
  readonly where: string;
  readonly file: ObjectFile;
  readonly open: () => Destination;
  /** The first is the baseline. */
  readonly putters: readonly Contestant[];
  readonly getters: readonly Contestant[];
}

const KEY = 'objects/cofre';

/** Puts an object and reads it back, in turns with the others. Both include the way to the place and the leave from it. */
export async function race(bench: Bench, { name, where, file, open, ...others }: ObjectRace): Promise<Result[]> {
  const use = async (work: (place: Destination) => Promise<unknown>): Promise<undefined> => {
    const place = open();
    try {
      await work(place);
    } finally {
      await place.close();
    }
  };
  const ourPut: Contestant = {
    name: 'Cofre: put with its hash, durable, whole or not at all',
    prepare: () => use((place) => place.remove(KEY)),
    run: () => use((place) => place.put(KEY, localFileBody(file.path, file.sizeBytes, file.sha256))),
    cpu: bench.ownCpu(),
  };
  const ourGet: Contestant = {
    name: 'Cofre: read all of it and hash it',
    run: () => use((place) => hashOf(place, KEY, undefined)),
    cpu: bench.ownCpu(),
  };
  const size = `${Math.round(file.sizeBytes / 1e6)} MB`;
  return [
    await hold(
      { name: `${name} put`, what: `An object of ${size} to ${where}`, contestants: [...others.putters, ourPut] },
      bench.rounds,
    ),
    await hold(
      {
        name: `${name} get`,
        what: `An object of ${size} back from ${where}`,
        contestants: [...others.getters, ourGet],
      },
      bench.rounds,
    ),
  ];
}

/** A way of a shell's commands, which find the file in `$FILE`. */
export function shellContestant(
  bench: Bench,
  name: string,
  commands: string,
  environment: NodeJS.ProcessEnv = {},
): Contestant {
  const run = async (): Promise<undefined> => {
    await bench.shell(commands, 'postgres', environment);
  };
  return { name, run, cpu: bench.shellCpu() };
}
