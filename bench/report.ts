import type { Measured, Result } from './contest.ts';

/** What is compared, in the order of the columns; the others are only told. */
const COMPARED = ['wallMs', 'cpuMs', 'bytes'];

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1
    ? (sorted[middle] ?? Number.NaN)
    : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
}

/** What every way may have; what else is told are the steps of one. */
const COLUMNS = [
  ...['wallMs', 'cpuMs', 'clientMs', 'serverMs', 'temporalMs'],
  ...['bytes', 'workerBytes', 'toolsBytes', 'diskBytes'],
];

/** A table: a row for each way, medians with their ranges, and ratios to the first row; then what each step took. */
export function toMarkdown({ what, ways }: Result): string {
  const found = new Set(ways.flatMap(({ rounds }) => rounds.flatMap((round) => Object.keys(round))));
  const columns = COLUMNS.filter((column) => found.has(column));
  const header = columns.flatMap((column) => [headOf(column), ...(COMPARED.includes(column) ? ['×'] : [])]);
  const rows = ways.map(({ name, rounds }) => [
    name,
    ...columns.flatMap((column) => {
      const values = valuesOf(rounds, column);
      const base = valuesOf(ways[0]?.rounds ?? [], column);
      const ratio = values.length === 0 || base.length === 0 ? '' : (median(values) / median(base)).toFixed(3);
      return [inWords(column, values), ...(COMPARED.includes(column) ? [ratio] : [])];
    }),
  ]);
  return [
    `### ${what}`,
    '',
    ...[['', ...header], ['', ...header].map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`),
    '',
    ...ways.flatMap(({ name, rounds }) => stepsOf(name, rounds)),
  ].join('\n');
}

function stepsOf(name: string, rounds: readonly Measured[]): string[] {
  const steps = [...new Set(rounds.flatMap((round) => Object.keys(round)))].filter((key) => !COLUMNS.includes(key));
  if (steps.length === 0) return [];
  const told = steps.map((step) => `${step.replace(/Ms$/, '')} ${inWords(step, valuesOf(rounds, step))}`);
  return [`Steps of ${name}, in seconds: ${told.join('; ')}.`, ''];
}

function valuesOf(rounds: readonly Measured[], column: string): number[] {
  return rounds.flatMap((round) => (round[column] === undefined ? [] : [round[column]]));
}

/** `wallMs` becomes `wall s` and `clientBytes` `client MB`: what a median of seconds or megabytes reads best in. */
function headOf(column: string): string {
  return column
    .replace(/Ms$/, ' s')
    .replace(/Bytes$/, ' MB')
    .replace(/^bytes$/, 'MB');
}

function inWords(column: string, values: readonly number[]): string {
  if (values.length === 0) return '';
  const unit = column.endsWith('Ms') ? 1000 : 1e6;
  const digits = column.endsWith('Ms') ? 2 : 1;
  const text = (value: number): string => (value / unit).toFixed(digits);
  const [least, most] = [text(Math.min(...values)), text(Math.max(...values))];
  return least === most ? least : `${text(median(values))} (${least}–${most})`;
}
