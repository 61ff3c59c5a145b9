import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const COFRE = fileURLToPath(new URL('../../cli/cofre.js', import.meta.url));

/** A `cofre` command that runs, as a person would start it. */
export class RunningCommand {
  readonly child: ChildProcessWithoutNullStreams;
  stdout = '';
  stderr = '';
  readonly ended: Promise<number | null>;

  constructor(args: readonly string[]) {
    this.child = spawn(process.execPath, [COFRE, ...args]);
    this.child.stdin.end();
    this.child.stdout.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text;
    });
    this.child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
    });
    this.ended = once(this.child, 'close').then(([code]) => code as number | null);
  }

  /** Waits until it has said something on stderr. */
  async says(pattern: RegExp, withinMs = 60_000): Promise<void> {
    const deadline = Date.now() + withinMs;
    while (!pattern.test(this.stderr)) {
      if (this.child.exitCode !== null || Date.now() > deadline) {
        throw new Error(`never said ${pattern}, but: ${this.stderr}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

/** Runs a command to its end. */
export async function cofre(
  ...args: readonly string[]
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const command = new RunningCommand(args);
  const code = await command.ended;
  return { code, stdout: command.stdout, stderr: command.stderr };
}
