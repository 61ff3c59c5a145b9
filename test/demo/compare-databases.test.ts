import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';

import { compareFingerprints, fingerprintDatabase, type Fingerprint } from '../../demo/compare-databases.ts';
import { captureTool } from '../../processes/tool.ts';
import { withClient } from '../../postgres/connect.ts';
import { withToolEnvironment } from '../../sources/postgres/tool-environment.ts';
import { makeSample, type Sample } from './sample.ts';

const JUROS = 'schema FUNCTION financeiro.acumula_juros(numeric, numeric)';

function functionBody(body: string): string {
  return `CREATE OR REPLACE FUNCTION financeiro.acumula_juros(fator numeric, taxa numeric) RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$${body}$$`;
}

/** What somebody does to the database, and everything that the comparison must name, and nothing else. */
const CHANGES: readonly (readonly [what: string, sql: string, named: readonly string[]])[] = [
  ['one changed value', `UPDATE cadastro.municipio SET nome = 'Maceio' WHERE id = 2`, ['rows of cadastro.municipio']],
  ['a space at the end', `UPDATE cadastro.uf SET nome = nome || ' ' WHERE sigla = 'SP'`, ['rows of cadastro.uf']],
  [
    'empty instead of null',
    `UPDATE estoque.movimento_2025_09 SET lote = '' WHERE id = (SELECT min(id) FROM estoque.movimento_2025_09 WHERE lote IS NULL)`,
    ['rows of estoque.movimento_2025_09'],
  ],
  [
    'zero instead of minus zero',
    `UPDATE estoque.leitura_balanca SET peso = 0 WHERE peso = 0`,
    ['rows of estoque.leitura_balanca'],
  ],
  [
    'a space in a json',
    `UPDATE "Relatórios Gerenciais"."Exportação 100% (v1.0)" SET "Opções" = '{ "ordem" : 1, "ordem" : 0 }' WHERE "ID" = 1`,
    ['rows of "Relatórios Gerenciais"."Exportação 100% (v1.0)"'],
  ],
  ['a missing row', `DELETE FROM cadastro.feriado WHERE dia = 'infinity'`, ['rows of cadastro.feriado']],
  [
    'a row twice',
    `INSERT INTO auditoria.carga_legada SELECT * FROM auditoria.carga_legada LIMIT 1`,
    ['rows of auditoria.carga_legada'],
  ],
  [
    'a row twice instead of another',
    `UPDATE auditoria.carga_legada SET linha = 'NULL' WHERE ctid = (SELECT min(ctid) FROM auditoria.carga_legada WHERE linha <> 'NULL')`,
    ['rows of auditoria.carga_legada'],
  ],
  [
    'values swapped between rows',
    `UPDATE cadastro.funcionario SET salario = CASE id WHEN 1 THEN (SELECT salario FROM cadastro.funcionario WHERE id = 2) ELSE (SELECT salario FROM cadastro.funcionario WHERE id = 1) END WHERE id IN (1, 2)`,
    ['rows of cadastro.funcionario'],
  ],
  [
    'values swapped between columns',
    `UPDATE cadastro.contato_fiscal SET nome = inscricao_estadual, inscricao_estadual = nome`,
    ['rows of cadastro.contato_fiscal'],
  ],
  ['a sequence that went on', `SELECT nextval('fiscal.numero_contingencia')`, ['sequence fiscal.numero_contingencia']],
  [
    'a refreshed view',
    `UPDATE cadastro.filial SET nome = 'Filial Nova' WHERE id = 1; REFRESH MATERIALIZED VIEW "Relatórios Gerenciais"."Faturamento Mensal"`,
    ['rows of "Relatórios Gerenciais"."Faturamento Mensal"', 'rows of cadastro.filial'],
  ],
  [
    'a view filled that was not',
    `REFRESH MATERIALIZED VIEW vendas.ranking_produto`,
    ['rows of vendas.ranking_produto'],
  ],
  ['one byte of a large object', `SELECT lo_put(900036, 250000, '\\x00')`, ['large object 900036']],
  ['a lost large object', `SELECT lo_unlink(900003)`, ['large object 900003']],
  ['privileges of a large object', `REVOKE SELECT ON LARGE OBJECT 900004 FROM erp_leitura`, ['large object 900004']],
  ['a lost index', `DROP INDEX cadastro.pessoa_cpf`, ['schema INDEX cadastro.pessoa_cpf ON cadastro.pessoa']],
  [
    'a lost constraint',
    `ALTER TABLE estoque.preco_vigente DROP CONSTRAINT sem_sobreposicao`,
    ['schema CONSTRAINT estoque.preco_vigente sem_sobreposicao'],
  ],
  ['a privilege more', `GRANT INSERT ON fiscal.aliquota TO erp_leitura`, ['schema ACL fiscal.TABLE aliquota']],
  [
    'a privilege of a column',
    `REVOKE UPDATE (ultimo_acesso) ON cadastro.usuario FROM erp_leitura`,
    ['schema ACL cadastro.COLUMN usuario.ultimo_acesso'],
  ],
  [
    'another owner',
    `ALTER FUNCTION financeiro.acumula_juros OWNER TO erp_escrita`,
    ['schema FUNCTION financeiro.acumula_juros(numeric, numeric)'],
  ],
  [
    'another owner of a table',
    `ALTER TABLE auditoria.carga_legada OWNER TO erp_escrita`,
    ['schema TABLE auditoria.carga_legada'],
  ],
  [
    'a trigger switched on',
    `ALTER TABLE vendas.pedido_2025_07 ENABLE TRIGGER auditar_pedido`,
    ['schema TRIGGER vendas.pedido_2025_07 auditar_pedido'],
  ],
  ['a policy less', `DROP POLICY nada_cancelado ON vendas.pedido`, ['schema POLICY vendas.pedido nada_cancelado']],
  [
    'row-level security off',
    `ALTER TABLE auditoria.acesso NO FORCE ROW LEVEL SECURITY`,
    ['schema TABLE auditoria.acesso'],
  ],
  ['the body of a function', functionBody('SELECT fator\n * (1 + taxa)'), [JUROS]],
  ['an empty line in a function', functionBody('SELECT fator\n\n * (1 + taxa)'), [JUROS]],
  [
    'another comment',
    `COMMENT ON COLUMN cadastro.pessoa.observacao IS 'x'`,
    ['schema COMMENT cadastro.COLUMN pessoa.observacao'],
  ],
  [
    'another setting',
    `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET timezone = UTC', current_database()); END $$`,
    ['database setting TimeZone'],
  ],
  [
    'a privilege on the database',
    `DO $$ BEGIN EXECUTE format('REVOKE CONNECT ON DATABASE %I FROM erp_app', current_database()); END $$`,
    ['database privilege CONNECT of erp_app'],
  ],
];

describe('comparing two databases', () => {
  let sample: Sample;
  let fingerprint: Fingerprint;
  before(async () => {
    sample = await makeSample();
    fingerprint = await fingerprintDatabase(sample.target);
  });
  after(() => sample.remove());

  it('finds a database equal to itself', async () => {
    assert.deepEqual(compareFingerprints(fingerprint, await fingerprintDatabase(sample.target)), []);
    assert.equal(fingerprint.tables.get('cadastro.integracao_pendente')?.split(',')[0], '0 rows');
  });

  it('finds a restored database equal to what it was', async () => {
    const scratch = await mkdtemp(join(tmpdir(), 'cofre-test-'));
    try {
      const file = join(scratch, 'dump');
      await withToolEnvironment(sample.target, scratch, (env) =>
        captureTool({ name: 'pg_dump', path: 'pg_dump', args: ['-Fc', '-Z0', '-f', file], env }),
      );
      await withClient(sample.admin, (client) => client.query(`DROP DATABASE "${sample.target.database}"`));
      await withToolEnvironment(sample.admin, scratch, (env) =>
        captureTool({ name: 'pg_restore', path: 'pg_restore', args: ['--create', '-j2', '-d', 'postgres', file], env }),
      );
    } finally {
      await rm(scratch, { recursive: true });
    }
    assert.deepEqual(compareFingerprints(fingerprint, await fingerprintDatabase(sample.target)), []);
  });

  it('does not care in which order the rows lie', async () => {
    await withClient(sample.target, async (client) => {
      await client.query(`CLUSTER vendas.item_pedido USING item_produto`);
      await client.query(`VACUUM FULL cadastro.pessoa`);
      await client.query(`ALTER TABLE vendas.item_pedido SET WITHOUT CLUSTER`);
    });
    assert.deepEqual(compareFingerprints(fingerprint, await fingerprintDatabase(sample.target)), []);
  });

  for (const [what, sql, named] of CHANGES) {
    it(`finds and names ${what}`, async () => {
      await withClient(sample.target, (client) => client.query(sql));
      const unchanged = fingerprint;
      fingerprint = await fingerprintDatabase(sample.target);
      const differences = compareFingerprints(unchanged, fingerprint);
      assert.deepEqual(
        differences.map((difference) => difference.where),
        named,
      );
    });
  }
});
