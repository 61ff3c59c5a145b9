import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';

import { createSampleDatabase } from '../../demo/sample-database.ts';
import { fingerprintDatabase } from '../../demo/compare-databases.ts';
import { withClient } from '../../postgres/connect.ts';
import { makeSample, SMALL, testAdmin, type Sample } from './sample.ts';

/** Every kind of object that a backup must not lose, and how many of it the catalog shows. */
const KINDS: Readonly<Record<string, string>> = {
  schema: `pg_namespace WHERE nspowner = 'OWNER'::regrole`,
  'schema whose name must be quoted': `pg_namespace WHERE nspname = 'Relatórios Gerenciais'`,
  table: `pg_class WHERE relkind = 'r'`,
  'table without rows': `pg_class WHERE relname = 'integracao_pendente'`,
  'table without a key': `pg_class WHERE relname = 'carga_legada' AND NOT relhasindex`,
  'unlogged table': `pg_class WHERE relkind = 'r' AND relpersistence = 'u'`,
  'table with options': `pg_class WHERE relkind = 'r' AND 'fillfactor=90' = ANY (reloptions)`,
  'partitioned table by range': `pg_partitioned_table WHERE partstrat = 'r'`,
  'partitioned table by list': `pg_partitioned_table WHERE partstrat = 'l'`,
  'partitioned table by hash': `pg_partitioned_table WHERE partstrat = 'h'`,
  'partition of a partition': `pg_class WHERE relkind = 'p' AND relispartition`,
  'inherited table': `pg_inherits JOIN pg_class c ON c.oid = inhrelid WHERE relkind = 'r' AND NOT relispartition`,
  'dropped column': `pg_attribute WHERE attisdropped`,
  'column added later': `pg_attribute WHERE atthasmissing`,
  'generated column': `pg_attribute WHERE attgenerated = 's'`,
  'identity always': `pg_attribute WHERE attidentity = 'a'`,
  'identity by default': `pg_attribute WHERE attidentity = 'd'`,
  'column with statistics target': `pg_attribute a JOIN pg_class c ON c.oid = attrelid WHERE attstattarget > 0 AND relkind = 'r'`,
  'column with a storage of its own': `pg_attribute WHERE attstorage = 'e' AND attrelid = 'cadastro.pessoa'::regclass`,
  'column with a collation of its own': `pg_attribute WHERE attcollation = 'cadastro.portugues'::regcollation`,
  'serial column': `pg_attrdef WHERE pg_get_expr(adbin, adrelid) LIKE 'nextval(%_id_seq%'`,
  'sequence never used': `pg_sequences WHERE last_value IS NULL`,
  'sequence that cycles': `pg_sequence WHERE seqcycle`,
  'descending sequence': `pg_sequence WHERE seqincrement < 0`,
  domain: `pg_type WHERE typtype = 'd' AND typowner = 'OWNER'::regrole`,
  enum: `pg_type WHERE typtype = 'e'`,
  'enum value added in between': `pg_enum WHERE enumsortorder <> trunc(enumsortorder)`,
  'composite type': `pg_class WHERE relkind = 'c'`,
  'range type': `pg_range WHERE rngtypid = 'financeiro.faixa_valor'::regtype`,
  collation: `pg_collation WHERE collowner = 'OWNER'::regrole`,
  cast: `pg_cast WHERE castsource = 'cadastro.endereco'::regtype`,
  operator: `pg_operator WHERE oprowner = 'OWNER'::regrole`,
  aggregate: `pg_proc WHERE prokind = 'a' AND proowner = 'OWNER'::regrole`,
  procedure: `pg_proc WHERE prokind = 'p' AND proowner = 'OWNER'::regrole`,
  'function with its own search_path': `pg_proc p JOIN pg_language l ON l.oid = prolang WHERE lanname = 'plpgsql' AND proconfig IS NOT NULL`,
  'security definer': `pg_proc WHERE prosecdef AND proowner = 'OWNER'::regrole`,
  'text search configuration': `pg_ts_config WHERE cfgowner = 'OWNER'::regrole`,
  view: `pg_class WHERE relkind = 'v' AND relowner = 'OWNER'::regrole`,
  'recursive view': `pg_views WHERE viewname = 'arvore_categoria' AND definition ~ 'RECURSIVE'`,
  'view with check option': `pg_class WHERE 'check_option=cascaded' = ANY (reloptions)`,
  'materialized view': `pg_matviews WHERE ispopulated`,
  'materialized view without data': `pg_matviews WHERE NOT ispopulated`,
  rule: `pg_rules WHERE schemaname = 'fiscal'`,
  trigger: `pg_trigger WHERE NOT tgisinternal AND tgenabled = 'O'`,
  'disabled trigger': `pg_trigger WHERE NOT tgisinternal AND tgenabled = 'D'`,
  'constraint trigger': `pg_trigger WHERE NOT tgisinternal AND tgdeferrable`,
  'trigger with a transition table': `pg_trigger WHERE tgnewtable IS NOT NULL`,
  'instead-of trigger': `pg_trigger WHERE tgtype::int & 64 > 0`,
  'check constraint': `pg_constraint WHERE contype = 'c'`,
  'constraint that is not valid': `pg_constraint WHERE NOT convalidated AND conparentid = 0`,
  'foreign key': `pg_constraint WHERE contype = 'f'`,
  'circular foreign keys': `pg_constraint a JOIN pg_constraint b ON a.conrelid = b.confrelid AND a.confrelid = b.conrelid WHERE a.conrelid <> b.conrelid`,
  'deferrable unique constraint': `pg_constraint WHERE contype = 'u' AND condeferred`,
  'exclusion constraint': `pg_constraint WHERE contype = 'x'`,
  'GIN index on a tsvector': `pg_indexes WHERE indexname = 'produto_busca'`,
  'BRIN or hash index': `pg_am a JOIN pg_class c ON c.relam = a.oid WHERE amname IN ('brin', 'hash') AND relowner = 'OWNER'::regrole`,
  'partial index': `pg_index WHERE indpred IS NOT NULL`,
  'expression index': `pg_index WHERE indexprs IS NOT NULL`,
  'covering index': `pg_index WHERE indnatts > indnkeyatts`,
  'clustered index': `pg_index WHERE indisclustered`,
  'statistics object': `pg_statistic_ext`,
  'row-level security': `pg_class WHERE relrowsecurity AND NOT relforcerowsecurity`,
  'forced row-level security': `pg_class WHERE relforcerowsecurity`,
  'policy for a role': `pg_policies WHERE 'erp_escrita' = ANY (roles)`,
  'restrictive policy': `pg_policies WHERE permissive = 'RESTRICTIVE'`,
  'column privilege': `pg_attribute WHERE attacl IS NOT NULL AND attrelid = 'cadastro.usuario'::regclass`,
  'default privileges': `pg_default_acl`,
  'large object': `pg_largeobject_metadata`,
  'empty large object': `pg_largeobject_metadata m WHERE NOT EXISTS (SELECT FROM pg_largeobject WHERE loid = m.oid)`,
  'large object of many pages': `pg_largeobject WHERE pageno = 100`,
  'large object with privileges': `pg_largeobject_metadata WHERE lomacl IS NOT NULL`,
  comment: `pg_description JOIN pg_class c ON c.oid = objoid WHERE relowner = 'OWNER'::regrole`,
  'comment on the database': `pg_shdescription WHERE objoid = (SELECT oid FROM pg_database WHERE datname = current_database())`,
  'setting of the database': `pg_db_role_setting WHERE setrole = 0 AND setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())`,
  'setting of a role in the database': `pg_db_role_setting WHERE setrole <> 0 AND setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())`,
  'extension in a schema of its own': `pg_extension WHERE extnamespace = 'extensoes'::regnamespace`,
  'extension in public': `pg_extension WHERE extnamespace = 'public'::regnamespace`,
  emoji: `"Relatórios Gerenciais"."Exportação 100% (v1.0)" WHERE "Conteúdo" ~ '👏'`,
  'array of composites': `cadastro.pessoa WHERE cardinality(telefones) > 1`,
  'number that is none': `estoque.leitura_balanca WHERE peso = 'NaN'`,
  'large object that a table names': `cadastro.documento JOIN pg_largeobject_metadata m ON m.oid = conteudo`,
  'key of an invoice': `fiscal.nota_fiscal WHERE length(chave) = 44`,
  'row in no month, against a rule that is not valid yet': `estoque.movimento_fora_do_periodo WHERE data < '2025-01-01'`,
};

describe('the sample database', () => {
  let sample: Sample;
  before(async () => {
    sample = await makeSample();
  });
  after(() => sample.remove());

  it('has every kind of object that a backup must not lose', async () => {
    const missing = await withClient(sample.target, async (client) => {
      const found: string[] = [];
      for (const [kind, from] of Object.entries(KINDS)) {
        const { rows } = await client.query<{ count: string }>(
          `SELECT count(*) FROM ${from.replaceAll("'OWNER'", `'${sample.owner}'`)}`,
        );
        if (rows[0]?.count === '0') found.push(kind);
      }
      return found;
    });
    assert.deepEqual(missing, []);
  });

  it('belongs to its owner, but for the extensions', async () => {
    const { rows } = await withClient(sample.target, (client) =>
      client.query(`
        SELECT kind, name FROM (
          SELECT 'relation' AS kind, oid, oid::regclass::text AS name, relowner AS owner, relnamespace AS schema FROM pg_class
          UNION ALL SELECT 'function', oid, oid::regprocedure::text, proowner, pronamespace FROM pg_proc
          UNION ALL SELECT 'type', oid, oid::regtype::text, typowner, typnamespace FROM pg_type
          UNION ALL SELECT 'operator', oid, oid::regoperator::text, oprowner, oprnamespace FROM pg_operator
          UNION ALL SELECT 'schema', oid, nspname, nspowner, oid FROM pg_namespace
        ) objects
        WHERE schema::regnamespace::text !~ '^(pg_|information_schema)' AND owner <> '${sample.owner}'::regrole
          AND name <> 'public' AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = objects.oid AND d.deptype IN ('e', 'i'))
        UNION ALL SELECT 'large object', oid::text FROM pg_largeobject_metadata WHERE lomowner <> '${sample.owner}'::regrole`),
    );
    assert.deepEqual(rows, []);
  });

  it('reports what it made', () => {
    assert.equal(sample.report.largeObjects, 36);
    assert.ok(sample.report.rows > SMALL && sample.report.rows < 4 * SMALL, `${sample.report.rows} rows`);
    assert.ok(sample.report.tables > 60);
  });

  it('is the same each time', async () => {
    const other = await makeSample();
    try {
      const [first, second] = [await fingerprintDatabase(sample.target), await fingerprintDatabase(other.target)];
      assert.deepEqual(first.tables, second.tables);
      assert.deepEqual(first.sequences, second.sequences);
      const contents = (objects: ReadonlyMap<string, string>): string[] =>
        [...objects].map(([oid, text]) => `${oid}: ${text.split(', owner')[0]}`);
      assert.deepEqual(contents(first.largeObjects), contents(second.largeObjects));
    } finally {
      await other.remove();
    }
  });

  it('never replaces a database that is there', async () => {
    const { admin, target, owner, ownerPassword } = sample;
    await assert.rejects(createSampleDatabase(admin, { database: target.database, owner, ownerPassword }), {
      code: 'already-exists',
    });
    await withClient(target, (client) => client.query('SELECT FROM vendas.pedido'));
  });

  it('leaves no half of itself behind when it fails', async () => {
    const { admin, owner, ownerPassword } = sample;
    const database = `${sample.target.database} 2`;
    await assert.rejects(createSampleDatabase(admin, { database, owner, ownerPassword, rows: 0 }), {
      code: 'bad-input',
    });
    await assert.rejects(createSampleDatabase(admin, { database, owner, ownerPassword, rows: 1e12 }));
    await assert.rejects(
      withClient({ ...testAdmin(), database }, () => Promise.resolve()),
      { code: 'database-missing' },
    );
  });
});
