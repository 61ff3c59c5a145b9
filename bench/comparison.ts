/** The same work done in two ways, in turns, on one machine. */
export interface Comparison {
  readonly name: string;
  readonly what: string;
  readonly baseline: string;
  readonly subject: string;
  readonly unit: 'ms';
  readonly baselineMs: number[];
  readonly subjectMs: number[];
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

/** A row of the report: medians, ranges, the ratio of the medians and their difference. */
export function toMarkdown(comparison: Comparison): string {
  const { what, baseline, subject, baselineMs, subjectMs } = comparison;
  const range = (values: readonly number[]): string =>
    `${Math.round(median(values))} (${Math.round(Math.min(...values))}–${Math.round(Math.max(...values))})`;
  const ratio = (median(subjectMs) / median(baselineMs)).toFixed(2);
  const difference = Math.round(median(subjectMs) - median(baselineMs));
  return [
    `### ${what}`,
    '',
    '| | median ms (range) | ratio | difference |',
    '|---|---|---|---|',
    `| ${baseline} | ${range(baselineMs)} | 1.00 | |`,
    `| ${subject} | ${range(subjectMs)} | ${ratio} | ${difference} ms |`,
    '',
  ].join('\n');
}
