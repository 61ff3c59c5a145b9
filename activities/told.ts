/** Of a list. What lies in Temporal's history must not grow with what lies in a database or on a host. */
const LINES = 20;
const LINE_LENGTH = 1_000;

/** A list as a run tells it: its first lines, cut, and how many more there are. The whole is in the log or the manifest. */
export function told(lines: readonly string[], most = LINES): string[] {
  const first = lines.slice(0, lines.length > most ? most - 1 : most).map((line) => cut(line, LINE_LENGTH));
  return first.length === lines.length ? first : [...first, `… and ${lines.length - first.length} more`];
}

export function cut(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length - 1)}…`;
}
