const EXIT_WORDS = {
  0: 'done',
  1: 'it failed',
  2: 'wrong usage or configuration',
  3: 'refused by a policy or guard, or no backup to restore',
  4: 'Temporal or the catalog cannot be reached',
  5: 'done, but a copy is missing',
  130: 'interrupted here; the run goes on',
} as const;

export type ExitCode = keyof typeof EXIT_WORDS;

/** What stands below the options in the help of each command. */
export function examplesAndExits(examples: readonly string[], exits: readonly ExitCode[]): string {
  const lines = ['', 'Examples:', ...examples.map((example) => `  ${example}`), '', 'Exit codes:'];
  for (const code of exits) lines.push(`  ${String(code).padEnd(4)} ${EXIT_WORDS[code]}`);
  return lines.join('\n');
}
