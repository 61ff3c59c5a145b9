import { execFileSync } from 'node:child_process';
import { chmod, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** A program that this or any of its children became, with the arguments and the environment that it was given. */
export interface Execution {
  readonly text: string;
  /** Whether it is `cofre` itself, which has the environment that the operator gave it. */
  readonly isCofre: boolean;
}

/**
 * Starts every `node` of this process from now on under strace(1), which misses no execution, however short; until the
 * returned function is called. The traces are files in `folder`.
 */
export async function traceNode(folder: string): Promise<() => void> {
  const node = process.execPath;
  const script = join(folder, 'node');
  await mkdir(folder, { recursive: true });
  // The process itself stays the child of whoever starts it, so that signals reach it as always.
  const strace = `strace -D -f -qq --seccomp-bpf -e trace=execve,execveat -e signal=none -v -s 1000000 -o '${folder}/trace.'$$`;
  await writeFile(script, `#!/bin/sh\nexec ${strace} -- '${node}' "$@"\n`);
  await chmod(script, 0o755);
  execFileSync('strace', ['--version'], { stdio: 'ignore' });
  process.execPath = script;
  return () => {
    process.execPath = node;
  };
}

export async function readExecutions(folder: string): Promise<Execution[]> {
  const executions: Execution[] = [];
  for (const file of await readdir(folder)) {
    if (!file.startsWith('trace.')) continue;
    const lines = (await readFile(join(folder, file), 'utf8'))
      .split('\n')
      .filter((line) => /\bexecve(at)?\(/.test(line));
    for (const text of lines) {
      const args = /\bexecve\("[^"]*", \[(.*?)\], \[/.exec(text)?.[1] ?? '';
      executions.push({ text, isCofre: args.includes('/cli/cofre.js"') });
    }
  }
  return executions;
}
