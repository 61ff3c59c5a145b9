import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';

import pg from 'pg';

import type { CofreError } from '../../../errors/error.ts';
import { compareWithManifest } from '../../../sources/postgres/compare.ts';
import { Complaints } from '../../../sources/postgres/restore-failure.ts';
import type { RestoreTarget } from '../../../sources/postgres/restore-target.ts';
import { projectFolder } from '../../../tools/project-folder.ts';
import { dump } from './nasty-database.ts';
import { admin, backUp, Bench, restore, roleList, sql } from './restore-fixture.ts';

const run = promisify(execFile);

test('what the processes of pg_restore say at the same instant is told apart', () => {
  const complaints = new Complaints();
  const said = [
    'pg_restore: from TOC entry 11; 0 0 INDEX a\npg_restore:pg_restore: from TOC entry 12; 0 0 INDEX b\n',
    ' error: pg_restore: error: could not execute query: ERROR:  relation "x" does not exist\nCommand was: SELECT 1;\n',
    'could not execute query: ERROR:  relation "y" does not exist\npg_restore: from TOC entry 13; 0 0 INDEX c\n',
  ];
  for (const text of said.join('').match(/.{1,7}/gs) ?? []) complaints.take(text);
  const found = complaints.all().map(({ dumpId, line }) => [dumpId, /relation ".*"/.exec(line)?.[0]]);
  assert.deepEqual(found, [
    [11, 'relation "x"'],
    [12, 'relation "y"'],
    [13, undefined],
  ]);
});

describe('a restore that cannot bring back every object', () => {
  let bench: Bench;
  let owner: string;
  before(async () => {
    bench = await Bench.open();
    owner = bench.role('dono');
    await sql('postgres', `CREATE ROLE ${owner} LOGIN PASSWORD 'x'`);
  });
  after(() => bench.close());

  async function makeSource(name: string, text: string): Promise<{ name: string; target: RestoreTarget }> {
    const database = bench.database(name);
    await sql('postgres', `CREATE DATABASE ${pg.escapeIdentifier(database)} OWNER ${owner} TEMPLATE template0`);
    await sql(database, `SET ROLE ${owner}; ${text}`);
    return { name: database, target: { admin, database, owner, roles: [], trusted: false } };
  }

  /** The live database and whatever else has its name in its own, and all roles. */
  async function everything(name: string): Promise<unknown> {
    const databases = await sql(
      'postgres',
      `SELECT oid, datname, datallowconn FROM pg_database WHERE datname LIKE ${pg.escapeLiteral(`${name}%`)}`,
    );
    return { databases, roles: await roleList(bench), rows: await sql(name, 'SELECT * FROM public.preco') };
  }

  const unqualified = `
    CREATE TABLE public.preco (v int); INSERT INTO public.preco VALUES (1), (2);
    CREATE FUNCTION public.total() RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN RETURN (SELECT sum(v) FROM preco); END $$;
    CREATE FUNCTION public.acima(x int) RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN RETURN x > (SELECT min(v) FROM preco); END $$;
    CREATE MATERIALIZED VIEW public.vista AS SELECT public.total() AS t; CREATE INDEX acima ON public.preco (public.acima(v));
    CREATE INDEX inteiro ON public.preco (v);`;

  for (const format of ['staged', 'streamed', 'legacy'] as const) {
    test(`case 84: ${format}: names without their schema in an index and a view: fails naming both, and nothing else has changed`, async () => {
      const { name, target } = await makeSource(`nomes ${format}`, unqualified);
      const backup = await backUp(name, format, bench.folder);
      const before = await everything(name);
      await assert.rejects(restore(backup, target, bench.folder, { id: bench.id }), (error: CofreError) => {
        assert.equal(error.code, 'restore-failed');
        assert.match(error.message, /^2 objects could not be restored: /);
        assert.match(error.message, /MATERIALIZED VIEW DATA public\.vista: relation "preco" does not exist/);
        assert.match(error.message, /INDEX public\.acima: relation "preco" does not exist/);
        assert.match(error.hint ?? '', /search_path/);
        return true;
      });
      assert.deepEqual(await everything(name), before);
    });
  }

  const orders = `
    CREATE TABLE public.preco (v int); INSERT INTO public.preco VALUES (1);
    CREATE TABLE public.cliente (id int PRIMARY KEY); INSERT INTO public.cliente VALUES (1);
    CREATE TABLE public.pedido (id int PRIMARY KEY, cliente int REFERENCES public.cliente, valor numeric);
    INSERT INTO public.pedido VALUES (1, 1, 10);`;
  const brokenKey = `RESET ROLE; SET session_replication_role = replica; INSERT INTO public.pedido VALUES (2, 77, 20);`;
  /** A check that was true of every row until what it asks was changed. */
  const brokenCheck = `
    CREATE FUNCTION public.positivo(n numeric) RETURNS boolean IMMUTABLE LANGUAGE sql AS 'SELECT true';
    INSERT INTO public.pedido VALUES (3, 1, -30); ALTER TABLE public.pedido ADD CONSTRAINT pedido_valor_check CHECK (public.positivo(valor));
    CREATE OR REPLACE FUNCTION public.positivo(n numeric) RETURNS boolean IMMUTABLE LANGUAGE sql AS 'SELECT n > 0';`;

  test('case 91: constraints that are NOT VALID are warned of by the backup, and come back as they are', async () => {
    const { name, target } = await makeSource(
      'invalidas',
      `${orders} ALTER TABLE public.pedido DROP CONSTRAINT pedido_cliente_fkey; INSERT INTO public.pedido VALUES (2, 77, -20);
       ALTER TABLE public.pedido ADD CONSTRAINT pedido_cliente_fkey FOREIGN KEY (cliente) REFERENCES public.cliente NOT VALID,
         ADD CONSTRAINT pedido_valor_check CHECK (valor > 0) NOT VALID;
       CREATE TABLE public.item (pedido int REFERENCES public.pedido); RESET ROLE; ALTER TABLE public.item DISABLE TRIGGER ALL`,
    );
    for (const pipeline of ['staged', 'streamed'] as const) {
      const folder = join(bench.folder, `warned-${pipeline}`);
      await mkdir(folder);
      const { warnings } = await dump(folder, { target: { ...admin, database: name }, pipeline });
      assert.match(
        warnings.join('\n'),
        /^constraints never validated .*: pedido_cliente_fkey of public\.pedido, pedido_valor_check of public\.pedido$/m,
      );
      assert.match(warnings.join('\n'), /^constraints not enforced, .*: item_pedido_fkey of public\.item$/m);
    }
    const backup = await backUp(name, 'staged', bench.folder);
    const restored = await restore(backup, target, bench.folder);
    bench.keep(restored.replacement.name);
    await compareWithManifest(target, restored.replacement, backup.content, backup.facts);
    const found = await sql(
      restored.replacement.name,
      `SELECT conname AS name, convalidated AS valid FROM pg_constraint WHERE contype IN ('f', 'c') AND conrelid = 'public.pedido'::regclass ORDER BY 1`,
    );
    assert.deepEqual(found, [
      { name: 'pedido_cliente_fkey', valid: false },
      { name: 'pedido_valor_check', valid: false },
    ]);
  });

  for (const format of ['staged', 'streamed', 'legacy'] as const) {
    test(`case 91: ${format}: a constraint that the rows break is named with its table, and never left out in silence`, async () => {
      const cases = [
        [
          `fk ${format}`,
          brokenKey,
          /^FK CONSTRAINT public\.pedido pedido_cliente_fkey could not be restored: insert or update on table "pedido" violates foreign key constraint "pedido_cliente_fkey"$/,
        ],
        [
          `check ${format}`,
          brokenCheck,
          /^TABLE DATA public\.pedido could not be restored: new row for relation "pedido" violates check constraint "pedido_valor_check"$/,
        ],
      ] as const;
      for (const [title, broken, told] of cases) {
        const { name, target } = await makeSource(title, orders + broken);
        const backup = await backUp(name, format, bench.folder);
        const before = await everything(name);
        await assert.rejects(restore(backup, target, bench.folder), (error: CofreError) => {
          assert.equal(error.code, 'restore-failed');
          assert.match(error.message, told);
          assert.match(error.hint ?? '', /docs\/restoring\.md, "Rows that break their own constraints"/);
          return true;
        });
        assert.deepEqual(await everything(name), before);
      }
    });
  }

  test('case 91: the commands of docs/restoring.md bring such data back, and Cofre then takes them', async () => {
    const text = await readFile(join(projectFolder, 'docs/restoring.md'), 'utf8');
    const [, section] = text.split('## Rows that break their own constraints');
    const [byKey, byCheck, into] = (section ?? '').match(/(?<=```sh\n).*?(?=```)/gs) ?? [];
    assert.ok(byKey !== undefined && byCheck !== undefined && into !== undefined);
    for (const [title, broken, commands] of [
      ['chave', brokenKey, byKey],
      ['regra', brokenCheck, byCheck],
    ] as const) {
      const { name, target } = await makeSource(title, orders + broken);
      const folder = join(bench.folder, title);
      await mkdir(folder);
      const { host, port, user, password } = admin;
      const env = {
        PATH: process.env['PATH'],
        PGHOST: host,
        PGPORT: String(port),
        PGUSER: user,
        PGPASSWORD: password.reveal(),
      };
      const bash = async (script: string): Promise<string> =>
        (await run('bash', ['-e', '-o', 'pipefail', '-c', script], { cwd: folder, env })).stdout;
      await bash(`pg_dump -Fd -Z0 -f d "$NAME"`.replace('$NAME', name));
      const mended = bench.database(`mend ${title}`);
      const here = (script: string): string => script.replaceAll('acme_mend', `"${mended}"`);
      await bash(`createdb "${mended}"`);
      const shown = await bash(here(commands));
      if (title === 'chave') assert.match(shown, /FOREIGN KEY \(cliente\) REFERENCES public\.cliente\(id\)/);
      const [dumpIt] = into.split('\n');
      await bash(here(dumpIt ?? ''));
      const { facts, content } = await backUp(mended, 'staged', bench.folder);
      const restored = await restore(
        { file: join(folder, 'mended.dump'), format: 'legacy', facts, content },
        target,
        bench.folder,
      );
      bench.keep(restored.replacement.name);
      const [row] = await sql(
        restored.replacement.name,
        `SELECT (SELECT count(*)::int FROM public.pedido) AS rows, array_agg(conname::text) AS constraints
           FROM pg_constraint WHERE NOT convalidated`,
      );
      assert.deepEqual(row, {
        rows: 2,
        constraints: [title === 'chave' ? 'pedido_cliente_fkey' : 'pedido_valor_check'],
      });
    }
  });
});
