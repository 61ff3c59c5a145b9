-- Invoices (NF-e), taxes, certificates.

CREATE SEQUENCE fiscal.numero_nfe AS integer MINVALUE 1 MAXVALUE 999999999 CYCLE;
-- Never used: `is_called` is still false.
CREATE SEQUENCE fiscal.numero_contingencia INCREMENT BY -1 MAXVALUE -1 START WITH -1;

CREATE TABLE fiscal.nota_fiscal (
  id uuid NOT NULL DEFAULT public.uuid_generate_v4() PRIMARY KEY,
  chave fiscal.chave_nfe NOT NULL,
  numero integer NOT NULL,
  serie smallint NOT NULL DEFAULT 1,
  filial_id smallint NOT NULL,
  pedido_numero bigint,
  pedido_data date,
  emitida_em timestamp with time zone NOT NULL,
  autorizada boolean NOT NULL DEFAULT false,
  valor financeiro.dinheiro,
  impostos public.hstore,
  xml text NOT NULL,
  assinatura bytea NOT NULL
);
ALTER TABLE fiscal.nota_fiscal ALTER COLUMN assinatura SET STORAGE EXTERNAL;

CREATE TABLE fiscal.aliquota (
  origem character(2) NOT NULL,
  destino character(2) NOT NULL,
  icms numeric(5,2) NOT NULL,
  vigencia daterange NOT NULL DEFAULT daterange('2024-01-01', NULL),
  PRIMARY KEY (origem, destino)
);

CREATE TABLE fiscal.certificado (
  apelido text PRIMARY KEY,
  filial_id smallint NOT NULL,
  pfx bytea NOT NULL,
  validade date NOT NULL
);

-- Partitions of partitions: by state, then by a hash of the key.
CREATE TABLE fiscal.apuracao (
  uf character(2) NOT NULL,
  competencia date NOT NULL,
  imposto text NOT NULL,
  base financeiro.dinheiro,
  devido financeiro.dinheiro,
  PRIMARY KEY (uf, competencia, imposto)
) PARTITION BY LIST (uf);
CREATE TABLE fiscal.apuracao_sudeste PARTITION OF fiscal.apuracao FOR VALUES IN ('ES', 'MG', 'RJ', 'SP')
  PARTITION BY HASH (competencia);
CREATE TABLE fiscal.apuracao_sudeste_0 PARTITION OF fiscal.apuracao_sudeste FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE fiscal.apuracao_sudeste_1 PARTITION OF fiscal.apuracao_sudeste FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE fiscal.apuracao_demais PARTITION OF fiscal.apuracao DEFAULT;
