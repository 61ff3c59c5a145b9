import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import type { CofreError } from '../../../errors/error.ts';
import { parseListing, planEntries } from '../../../sources/postgres/table-of-contents.ts';

/** As pg_restore 15 prints it; names with spaces are not quoted. */
const listing = `;
;     Dumped from database version: 15.20 (Debian 15.20-0+deb12u1)
;
9; 2615 16469 SCHEMA - a b odd role
8; 2615 16387 SCHEMA - ext postgres
2; 3079 16388 EXTENSION - pg_trgm 
3459; 0 0 COMMENT - EXTENSION pg_trgm 
260; 1255 16487 FUNCTION public cf(internal) postgres
258; 1255 16479 FUNCTION a b f(integer, text) odd role
3460; 0 0 COMMENT a b FUNCTION f(a integer, b text) odd role
219; 1259 16471 TABLE a b t one odd role
3462; 0 0 ACL a b TABLE "t one" odd role
3461; 0 0 COMMENT a b TABLE "t one" odd role
3447; 0 16471 TABLE DATA a b t one odd role
3451; 0 0 BLOBS - BLOBS 
3296; 2606 16477 CONSTRAINT a b t one t one_pkey odd role
3465; 0 0 COMMENT a b CONSTRAINT "t one_pkey" ON "t one" odd role
2130; 826 16501 DEFAULT ACL - DEFAULT PRIVILEGES FOR TABLES odd role
3294; 3466 16482 EVENT TRIGGER - evt postgres
3466; 0 0 COMMENT - EVENT TRIGGER evt postgres
`;

describe('the table of contents of an archive', () => {
  const { entries, serverVersionNumber } = parseListing(listing, ['odd role', 'postgres']);
  const ids = (list: readonly { dumpId: number }[]): number[] => list.map(({ dumpId }) => dumpId);

  test('is read with names that hold spaces', () => {
    assert.equal(serverVersionNumber, 150_020);
    const found = new Map(entries.map((entry) => [entry.dumpId, entry]));
    assert.deepEqual(found.get(219), {
      dumpId: 219,
      type: 'TABLE',
      schema: 'a b',
      name: 't one',
      owner: 'odd role',
      section: 'pre-data',
    });
    assert.deepEqual(found.get(3447), {
      dumpId: 3447,
      type: 'TABLE DATA',
      schema: 'a b',
      name: 't one',
      owner: 'odd role',
      section: 'data',
    });
    assert.equal(found.get(258)?.name, 'f(integer, text)');
    assert.deepEqual([found.get(2)?.name, found.get(2)?.owner, found.get(2)?.schema], ['pg_trgm', '', null]);
    assert.equal(found.get(3465)?.section, 'post-data');
  });

  test('tells a table in a schema called DATA from the data of a table', () => {
    const lines = [
      '1; 2615 16469 SCHEMA - DATA dono',
      '2; 1259 17000 TABLE DATA t dono',
      '3; 1259 17001 SEQUENCE SET s dono',
      '4; 0 17000 TABLE DATA DATA t dono',
      '5; 0 0 SEQUENCE SET DATA s dono',
    ];
    assert.deepEqual(
      parseListing(lines.join('\n')).entries.map(({ type, schema, name, section }) => [type, schema, name, section]),
      [
        ['SCHEMA', null, 'DATA', 'pre-data'],
        ['TABLE', 'DATA', 't', 'pre-data'],
        ['SEQUENCE', 'SET', 's', 'pre-data'],
        ['TABLE DATA', 'DATA', 't', 'data'],
        ['SEQUENCE SET', 'DATA', 's', 'data'],
      ],
    );
  });

  const privileged = [{ type: 'FUNCTION', schema: 'public', name: 'cf(internal)' }];

  test('is divided between the login and the admin, in its own order, and nothing is lost', () => {
    const plan = planEntries(entries, { extensionSchemas: ['ext'], privileged, trusted: true, legacy: false });
    assert.deepEqual(ids(plan.skipped), [8, 2]);
    assert.deepEqual(
      plan.preData.map(({ by, entries: list }) => [by, ids(list)]),
      [
        ['admin', [3459]],
        ['login', [9]],
        ['admin', [260]],
        ['login', [258, 3460, 219, 3461]],
      ],
    );
    assert.deepEqual(ids(plan.data), [3447, 3451]);
    assert.deepEqual(ids(plan.postData), [3296, 3465]);
    assert.deepEqual(ids(plan.postDataAdmin), [3294, 3466]);
    assert.deepEqual(ids(plan.acl), [3462, 2130]);
    const all = [
      plan.skipped,
      ...plan.preData.map((segment) => segment.entries),
      plan.data,
      plan.postData,
      plan.postDataAdmin,
      plan.acl,
    ];
    assert.deepEqual(all.flatMap(ids).sort(), ids(entries).sort());
  });

  test('without trust it is refused, and a legacy file’s rights with it', () => {
    const refusal = (legacy: boolean): string => {
      try {
        planEntries(entries, { extensionSchemas: ['ext'], privileged, trusted: false, legacy });
      } catch (error) {
        assert.equal((error as CofreError).code, 'privileged-objects');
        return (error as CofreError).message;
      }
      return assert.fail('it was not refused');
    };
    assert.match(refusal(false), /: FUNCTION public\.cf\(internal\), EVENT TRIGGER evt$/);
    assert.match(refusal(true), /ACL a b\.TABLE "t one"/);
  });
});
