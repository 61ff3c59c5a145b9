/** Above this, comparing with each would take longer than a person looking. */
const MOST_CANDIDATES = 500;

/** `; did you mean policy?` where a candidate is one or two letters away, else ''. */
export function didYouMean(written: string, candidates: readonly string[]): string {
  const nearest = nearestOf(written, candidates);
  return nearest === undefined ? '' : `; did you mean ${nearest}?`;
}

export function nearestOf(written: string, candidates: readonly string[]): string | undefined {
  if (written.length > 64 || candidates.length > MOST_CANDIDATES) return undefined;
  const allowed = written.length > 5 ? 2 : 1;
  const near = candidates
    .map((candidate) => ({ candidate, distance: distanceOf(written.toLowerCase(), candidate.toLowerCase()) }))
    .filter(({ distance }) => distance <= allowed)
    .sort((a, b) => a.distance - b.distance);
  return near[0]?.candidate;
}

/** How many letters to insert, remove or change (Levenshtein). */
function distanceOf(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const change = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(change, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
