import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { inspect } from 'node:util';

import { CofreError } from '../../../errors/error.ts';
import { tellable } from '../../../sources/postgres/server-words.ts';
import { admin, backUp, Bench, restore, sql } from './restore-fixture.ts';

const CPF = '111.222.333-44';
const PASSWORD = 'senha-do-joao';

describe('what a restore says of a backup whose code fails', () => {
  let bench: Bench;
  let owner: string;
  before(async () => {
    bench = await Bench.open();
    owner = bench.role('dono');
    await sql('postgres', `CREATE ROLE ${owner}`);
  });
  after(() => bench.close());

  /** As it was when the backup was made, and as it is found in the restore. */
  const harmless = (body: string): string =>
    `CREATE OR REPLACE FUNCTION public.f(v text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN ${body} END $$;`;
  const cases: readonly [title: string, make: string, then: string, told: RegExp][] = [
    [
      'a check that raises the row and a password',
      'ALTER TABLE public.t ADD CHECK (public.f(cpf) IS NOT NULL)',
      harmless(`RAISE 'a senha ${PASSWORD} de % vale', v;`),
      /^TABLE DATA public\.t could not be restored: why is in the log of the server/,
    ],
    [
      'an index function that raises them after pages of words, and what looks like the end of it',
      'CREATE INDEX ix ON public.t (public.f(cpf))',
      harmless(`RAISE E'% ${PASSWORD}\\nDETAIL: x\\nCommand was: %', v, repeat('x', 20000);`),
      /^INDEX public\.ix could not be restored: why is in the log/,
    ],
    [
      'one that pretends to be another sentence of the server',
      'CREATE INDEX ix ON public.t (public.f(cpf))',
      harmless(`RAISE 'relation "%" does not exist', v;`),
      /^INDEX public\.ix could not be restored: relation "…" does not exist$/,
    ],
    [
      'one that says that the connection broke',
      'CREATE INDEX ix ON public.t (public.f(cpf))',
      harmless(`RAISE 'SSL: server closed the connection, ${PASSWORD}';`),
      /^INDEX public\.ix could not be restored: why is in the log/,
    ],
    [
      'one that warns with the words of an error first',
      'ALTER TABLE public.t ADD CHECK (public.f(cpf) IS NOT NULL)',
      harmless(`RAISE WARNING E'error: %\\nerror: ${PASSWORD}', v; RAISE 'no error: %', v;`),
      /^TABLE DATA public\.t could not be restored: why is in the log/,
    ],
    [
      'a cast that cannot read a value',
      'CREATE INDEX ix ON public.t (public.f(cpf))',
      harmless(`RETURN v::int;`),
      /^INDEX public\.ix could not be restored: invalid input syntax for type integer$/,
    ],
    [
      'a statement put together out of data',
      'CREATE INDEX ix ON public.t (public.f(cpf))',
      harmless(`EXECUTE format('SELECT %I()', v); RETURN v;`),
      /^INDEX public\.ix could not be restored: function "…" does not exist$/,
    ],
    [
      'a function that fails only while statistics are made',
      'CREATE INDEX ix ON public.t (public.f(cpf))',
      harmless(
        `IF pg_catalog.current_query() LIKE 'ANALYZE%' THEN RAISE '% ${PASSWORD}', v USING ERRCODE = '57000'; END IF; RETURN v;`,
      ),
      /^the restored table public\.t cannot be analyzed: why is in the log/,
    ],
  ];
  for (const [index, [title, make, then, told]] of cases.entries()) {
    test(`case 96: ${title}: is told without it`, async () => {
      const name = bench.database(`erro${index}`);
      await sql('postgres', `CREATE DATABASE "${name}" OWNER ${owner}`);
      await sql(
        name,
        `SET ROLE ${owner}; ${harmless('RETURN v;')} CREATE TABLE public.t (cpf text); INSERT INTO public.t VALUES ('${CPF}'); ${make}; ${then}`,
      );
      const backup = await backUp(name, 'staged', bench.folder);
      const target = { admin, database: name, owner, roles: [], trusted: false };
      await assert.rejects(restore(backup, target, bench.folder), (error) => {
        assert.ok(error instanceof CofreError);
        assert.match(error.message, told);
        const all = inspect(error, { depth: 9, showHidden: true });
        assert.ok(!all.includes('222.333') && !all.includes(PASSWORD), all);
        return true;
      });
    });
  }

  test("case 96: the server's own sentences are told, with names and without values", () => {
    const told: readonly [said: string, told: string][] = [
      ['relation "preco" does not exist', 'relation "preco" does not exist'],
      ['column "cpf" of relation "t" does not exist', 'column "cpf" of relation "t" does not exist'],
      ['function public.unaccent(text) does not exist', 'function "public.unaccent" does not exist'],
      ['insert or update on table "a" violates foreign key constraint "a_fk"', ''],
      ['could not create unique index "p9"', 'could not create unique index "p9"'],
      ['could not create unique index "p8"', 'could not create unique index "…"'],
      ['value "99999999999" is out of range for type integer', 'value is out of range for type integer'],
      ['invalid input syntax for type date: "a"b c"', 'invalid input syntax for type date'],
      ['value too long for type character varying(3)', ''],
      ['permission denied for schema app', ''],
      ['permission denied for function s3cr3t(text)', 'permission denied for function'],
    ];
    for (const [said, expected] of told) {
      assert.equal(
        tellable(said, (name) => name === 'p9'),
        expected === '' ? said : expected,
      );
    }
    for (const said of [
      'senha 1',
      'invalid connection string syntax: missing "=" after "s3nha"',
      'relation "a" does not exist: x',
    ]) {
      assert.match(tellable(said), /^why is in the log/);
    }
  });
});
