-- Accounts, receivables and payables, the ledger; the audit trail and the management reports.

CREATE TABLE financeiro.conta (
  codigo text COLLATE "C" PRIMARY KEY,
  pai text COLLATE "C",
  nome text NOT NULL,
  natureza financeiro.natureza NOT NULL
);

CREATE TABLE financeiro.titulo (
  id serial PRIMARY KEY,
  pessoa_id integer NOT NULL,
  nota_id uuid,
  natureza financeiro.natureza NOT NULL,
  parcela smallint NOT NULL DEFAULT 1,
  emissao date NOT NULL,
  vencimento date NOT NULL,
  valor financeiro.dinheiro,
  juros_dia numeric(8,6) NOT NULL DEFAULT 0.000333,
  codigo_barras text,
  CONSTRAINT vence_depois CHECK (vencimento >= emissao)
);

CREATE TABLE financeiro.baixa (
  titulo_id integer NOT NULL,
  pago_em timestamp with time zone NOT NULL,
  valor financeiro.dinheiro,
  forma text NOT NULL,
  PRIMARY KEY (titulo_id, pago_em)
);

CREATE TABLE financeiro.lancamento (
  id bigserial,
  documento integer NOT NULL,
  data date NOT NULL,
  conta text COLLATE "C" NOT NULL,
  valor numeric(14,2) NOT NULL,
  historico text NOT NULL
);
ALTER TABLE financeiro.lancamento ADD CONSTRAINT lancamento_pk PRIMARY KEY (id);

CREATE TABLE financeiro.periodo (
  id smallint PRIMARY KEY,
  dias daterange NOT NULL,
  fechado boolean NOT NULL DEFAULT false,
  EXCLUDE USING gist (dias WITH &&) DEFERRABLE
);

CREATE TABLE auditoria.registro (
  id bigint GENERATED ALWAYS AS IDENTITY,
  quando timestamp with time zone NOT NULL,
  quem text NOT NULL,
  tabela text NOT NULL,
  operacao character(1) NOT NULL CHECK (operacao IN ('I', 'U', 'D')),
  antes jsonb,
  depois jsonb
) PARTITION BY RANGE (quando);
CALL auditoria.particionar_por_mes('auditoria.registro', '2025-07-01', 12);

CREATE TABLE auditoria.acesso (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  login text NOT NULL,
  endereco inet NOT NULL,
  iniciou timestamp(0) with time zone NOT NULL,
  durou interval
);

-- No key at all: the same row may be there twice.
CREATE TABLE auditoria.carga_legada (arquivo text, linha text);

CREATE TABLE "Relatórios Gerenciais"."Metas por Vendedor" (
  "Vendedor" integer NOT NULL,
  "Mês/Ano" date NOT NULL,
  "Meta (R$)" financeiro.dinheiro,
  "Observação ""livre""" text,
  PRIMARY KEY ("Vendedor", "Mês/Ano")
);
CREATE TABLE "Relatórios Gerenciais"."Exportação 100% (v1.0)" (
  "ID" serial PRIMARY KEY,
  "Conteúdo" text,
  "Opções" json
);
