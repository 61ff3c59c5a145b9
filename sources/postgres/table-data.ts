/** An entry of `pg_restore --list` that has data of a table. */
export interface TableData {
  readonly dumpId: number;
  readonly oid: number;
}

/**
 * The tables whose data an archive has, in its order. Only numbers are read: the list prints names without quotes and
 * with line breaks as spaces, so they cannot be told apart from its own words. What has data belongs to no catalog (0):
 * a table itself is of pg_class, so that one in a schema called `DATA` is not taken for `TABLE DATA`.
 */
export function parseTableData(list: string): TableData[] {
  const found: TableData[] = [];
  for (const match of list.matchAll(/^(\d+); 0 (\d+) TABLE DATA /gm))
    found.push({ dumpId: Number(match[1]), oid: Number(match[2]) });
  return found;
}
