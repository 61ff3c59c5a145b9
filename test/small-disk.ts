import { execFileSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A real file system of `size` (`1m`) of its own, in memory. Only root can mount one; anybody else's test fails saying so. */
export class SmallDisk {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  static async mount(size: string): Promise<SmallDisk> {
    if (process.getuid?.() !== 0) throw new Error('only root can mount a small file system: run the tests as root');
    const path = await mkdtemp(join(tmpdir(), 'cofre-disk-'));
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size},mode=700`, 'cofre-test', path]);
    return new SmallDisk(path);
  }

  /** Somebody makes room, or takes it away. */
  resize(size: string): void {
    execFileSync('mount', ['-o', `remount,size=${size}`, this.path]);
  }

  async unmount(): Promise<void> {
    // Lazily: a tool that is just being ended may still have a file open.
    execFileSync('umount', ['--lazy', this.path]);
    await rm(this.path, { recursive: true, force: true });
  }
}
