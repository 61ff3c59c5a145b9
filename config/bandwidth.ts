/** `20MB/s` or `500kB/s`, as the schema lets it pass, in bytes for each second. */
export function bytesPerSecond(text: string): number {
  const [, amount, unit] = /^([0-9]+)(kB|MB)\/s$/.exec(text) ?? [];
  return Number(amount) * (unit === 'MB' ? 1_000_000 : 1_000);
}
