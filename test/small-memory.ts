import { existsSync } from 'node:fs';
import { mkdir, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { nativeCode } from '../errors/error.ts';
import { until } from './until.ts';

const VERSION_1 = '/sys/fs/cgroup/memory';
const VERSION_2 = '/sys/fs/cgroup';

/**
 * A control group with so little memory that the kernel kills what needs more. Only root can make one; where there is no
 * memory controller the test that wants it fails saying so.
 */
export class SmallMemory {
  readonly #folder: string;
  readonly #limit: string;

  private constructor(folder: string, limit: string) {
    this.#folder = folder;
    this.#limit = limit;
  }

  /** Without a limit yet. */
  static async create(): Promise<SmallMemory> {
    const first = existsSync(join(VERSION_1, 'memory.limit_in_bytes'));
    const folder = join(first ? VERSION_1 : VERSION_2, `cofre-test-${process.pid}`);
    try {
      if (!first) await writeFile(join(VERSION_2, 'cgroup.subtree_control'), '+memory');
      await mkdir(folder);
      return new SmallMemory(folder, join(folder, first ? 'memory.limit_in_bytes' : 'memory.max'));
    } catch (cause) {
      throw new Error(
        'a control group with a memory limit cannot be made: run the tests as root, on a machine that has them',
        {
          cause,
        },
      );
    }
  }

  /** From now on all its processes have this much together. */
  async limit(bytes: number): Promise<void> {
    const isSet = async (): Promise<boolean> => {
      try {
        await writeFile(this.#limit, String(bytes));
        return true;
      } catch (error) {
        // What its processes wrote is its memory, too, until it is on the disk.
        if (nativeCode(error) === 'EBUSY') return false;
        throw error;
      }
    };
    await until('the memory is limited', isSet);
  }

  /** A process whose number is written here belongs to the group from then on, with the children that it starts. */
  get processes(): string {
    return join(this.#folder, 'cgroup.procs');
  }

  /** Once no process is in it any more. */
  async remove(): Promise<void> {
    await rmdir(this.#folder);
  }
}
