import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { tableOf } from '../../../sources/postgres/copy-name.ts';
import { DataScript } from '../../../sources/postgres/data-script.ts';

function read(script: Buffer, pieceBytes: number): ReturnType<DataScript['finish']> {
  const reader = new DataScript();
  for (let at = 0; at < script.length; at += pieceBytes) reader.update(script.subarray(at, at + pieceBytes));
  return reader.finish();
}

const DATA = '1\\ta\n\\.\n\n\n';

describe('the tables of a script that pg_restore writes', () => {
  for (const [encoding, charset] of [
    ['UTF8', 'utf8'],
    ['LATIN1', 'latin1'],
  ] as const) {
    test(`have their names, quoted or not, in ${encoding}`, () => {
      const script = Buffer.from(
        [
          `SET client_encoding = '${encoding}';\n`,
          `COPY public.t (id, body) FROM stdin;\n${DATA}`,
          `COPY "My ""schema"" (x)"."ação FROM stdin;\n" ("a b") FROM stdin;\n${DATA}`,
          `COPY public.none  FROM stdin;\n\\.\n\n\n`,
        ].join(''),
        charset,
      );
      for (const pieceBytes of [1, 7, script.length]) {
        const { tables, hasInserts, encoding: found } = read(script, pieceBytes);
        assert.deepEqual([found, hasInserts], [encoding, false]);
        assert.deepEqual(
          tables.map(({ name, rows }) => ({ ...tableOf(name, found), rows })),
          [
            { schema: 'public', name: 't', rows: 1 },
            { schema: 'My "schema" (x)', name: 'ação FROM stdin;\n', rows: 1 },
            { schema: 'public', name: 'none', rows: 0 },
          ],
        );
      }
    });
  }

  test('of a dump with --inserts are told', () => {
    assert.equal(read(Buffer.from('INSERT INTO public.t VALUES (1);\n'), 100).hasInserts, true);
  });

  const wrong: [name: Buffer, encoding: string | null, says: RegExp][] = [
    [Buffer.from('t'), 'UTF8', /no table in a schema/],
    [Buffer.from('"é".t', 'latin1'), 'UTF8', /not in the encoding UTF8/],
    [Buffer.from('"é".t', 'utf8'), 'EUC_JIS_2004', /EUC_JIS_2004, which is not read here/],
    [Buffer.from('"é".t', 'utf8'), null, /SQL_ASCII/],
  ];
  for (const [name, encoding, says] of wrong)
    test(`a name that cannot be read is refused: ${String(says)}`, () => {
      assert.throws(() => tableOf(name, encoding), says);
    });
});
