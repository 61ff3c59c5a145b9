/** A small database with what a plain table does not have: accents, large objects, partitions, views, privileges. */
export function sampleSql(rows: number): string {
  return `
    CREATE SCHEMA vendas;
    CREATE TYPE vendas.faixa AS RANGE (subtype = numeric);
    CREATE TABLE vendas.cliente (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, nome text NOT NULL, criado timestamptz DEFAULT '2026-01-01');
    INSERT INTO vendas.cliente (nome) SELECT 'João Conceição ' || g || ' ' || md5(g::text) || repeat(md5((g * 7)::text), 4) FROM generate_series(1, ${rows}) g;
    CREATE TABLE vendas."Nota Fiscal" (numero int, emitida date NOT NULL, valor numeric(12,2), dobro numeric GENERATED ALWAYS AS (valor * 2) STORED) PARTITION BY RANGE (emitida);
    CREATE TABLE vendas.nota_2025 PARTITION OF vendas."Nota Fiscal" FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
    CREATE TABLE vendas.nota_2026 PARTITION OF vendas."Nota Fiscal" FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
    INSERT INTO vendas."Nota Fiscal" SELECT g, date '2025-01-01' + g % 700, g * 1.5 FROM generate_series(1, ${Math.ceil(rows / 10)}) g;
    CREATE INDEX ON vendas."Nota Fiscal" (valor);
    CREATE MATERIALIZED VIEW vendas.total AS SELECT count(*) AS notas, sum(valor) AS soma FROM vendas."Nota Fiscal";
    SELECT lo_from_bytea(0, decode(repeat('c0ffee', 5000), 'hex'));
    SELECT lo_from_bytea(0, '\\x01');
  `;
}
