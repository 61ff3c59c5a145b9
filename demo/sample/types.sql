-- Schemas, collations, domains, enums, composite and range types, and the functions that they need.
-- Functions name everything outside pg_catalog in full: a restore runs them with an empty search_path.

CREATE SCHEMA cadastro;
CREATE SCHEMA estoque;
CREATE SCHEMA vendas;
CREATE SCHEMA fiscal;
CREATE SCHEMA financeiro;
CREATE SCHEMA auditoria;
CREATE SCHEMA "Relatórios Gerenciais";

-- A server built without ICU still gets the sample, with plain byte order.
DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_collation WHERE collname = 'pt-BR-x-icu') THEN
    CREATE COLLATION cadastro.portugues FROM pg_catalog."pt-BR-x-icu";
    CREATE COLLATION cadastro.sem_caixa (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
  ELSE
    CREATE COLLATION cadastro.portugues FROM pg_catalog."C";
    CREATE COLLATION cadastro.sem_caixa FROM pg_catalog."C";
  END IF;
END $$;

-- CPF, CNPJ and the key of an NF-e all end in check digits modulo 11; only the weights differ.
CREATE FUNCTION cadastro.digito_modulo_11(numero text, pesos integer[]) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
  soma integer := 0;
BEGIN
  FOR i IN 1..length(numero) LOOP
    soma := soma + (ascii(substr(numero, i, 1)) - 48) * pesos[i];
  END LOOP;
  RETURN CASE WHEN soma % 11 < 2 THEN '0' ELSE (11 - soma % 11)::text END;
END $$;

CREATE FUNCTION cadastro.cpf_completo(base text) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
  com_um text := base || cadastro.digito_modulo_11(base, '{10,9,8,7,6,5,4,3,2}');
BEGIN
  RETURN com_um || cadastro.digito_modulo_11(com_um, '{11,10,9,8,7,6,5,4,3,2}');
END $$;

CREATE FUNCTION cadastro.cnpj_completo(base text) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
  com_um text := base || cadastro.digito_modulo_11(base, '{5,4,3,2,9,8,7,6,5,4,3,2}');
BEGIN
  RETURN com_um || cadastro.digito_modulo_11(com_um, '{6,5,4,3,2,9,8,7,6,5,4,3,2}');
END $$;

CREATE FUNCTION fiscal.chave_completa(base text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT base || cadastro.digito_modulo_11(base,
    '{4,3,2,9,8,7,6,5,4,3,2,9,8,7,6,5,4,3,2,9,8,7,6,5,4,3,2,9,8,7,6,5,4,3,2,9,8,7,6,5,4,3,2}')
$$;

CREATE DOMAIN cadastro.cpf AS text
  CONSTRAINT onze_digitos CHECK (VALUE ~ '^[0-9]{11}$')
  CONSTRAINT digitos_verificadores CHECK (VALUE = cadastro.cpf_completo(left(VALUE, 9)));
CREATE DOMAIN cadastro.cnpj AS text
  CONSTRAINT quatorze_digitos CHECK (VALUE ~ '^[0-9]{14}$')
  CONSTRAINT digitos_verificadores CHECK (VALUE = cadastro.cnpj_completo(left(VALUE, 12)));
CREATE DOMAIN cadastro.cep AS text CONSTRAINT oito_digitos CHECK (VALUE ~ '^[0-9]{8}$');
CREATE DOMAIN fiscal.chave_nfe AS text
  CONSTRAINT quarenta_e_quatro_digitos CHECK (VALUE ~ '^[0-9]{44}$')
  CONSTRAINT digito_verificador CHECK (VALUE = fiscal.chave_completa(left(VALUE, 43)));
CREATE DOMAIN financeiro.dinheiro AS numeric(14,2) DEFAULT 0 NOT NULL;

CREATE TYPE cadastro.tipo_pessoa AS ENUM ('física', 'jurídica');
CREATE TYPE vendas.situacao_pedido AS ENUM ('orçamento', 'aberto', 'faturado', 'cancelado');
-- A value added in between later, as every old system has one.
ALTER TYPE vendas.situacao_pedido ADD VALUE 'em separação' BEFORE 'faturado';
CREATE TYPE estoque.tipo_movimento AS ENUM ('entrada', 'saída', 'devolução', 'ajuste');
CREATE TYPE financeiro.natureza AS ENUM ('crédito', 'débito');

CREATE TYPE cadastro.endereco AS (
  logradouro text,
  numero text,
  complemento text,
  bairro text,
  municipio text,
  uf character(2),
  cep cadastro.cep
);
CREATE TYPE cadastro.telefone AS (ddd smallint, numero text, tipo text);
CREATE TYPE financeiro.faixa_valor AS RANGE (subtype = numeric);

CREATE FUNCTION cadastro.endereco_por_extenso(e cadastro.endereco) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT concat_ws(', ', (e).logradouro, (e).numero, (e).complemento, (e).bairro)
    || ' – ' || (e).municipio || '/' || (e).uf || ' – CEP ' || (e).cep
$$;
CREATE CAST (cadastro.endereco AS text) WITH FUNCTION cadastro.endereco_por_extenso(cadastro.endereco) AS ASSIGNMENT;

-- unaccent() is only STABLE because its dictionary may change; with the dictionary named it may serve an index.
CREATE FUNCTION cadastro.sem_acento(texto text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT lower(extensoes.unaccent('extensoes.unaccent'::regdictionary, texto))
$$;

CREATE FUNCTION cadastro.igual_sem_acento(a text, b text) RETURNS boolean
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT cadastro.sem_acento(a) = cadastro.sem_acento(b)
$$;
CREATE OPERATOR cadastro.=~ (
  LEFTARG = text, RIGHTARG = text, FUNCTION = cadastro.igual_sem_acento, COMMUTATOR = OPERATOR(cadastro.=~)
);

CREATE FUNCTION financeiro.acumula_juros(fator numeric, taxa numeric) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT fator * (1 + coalesce(taxa, 0)) $$;
CREATE AGGREGATE financeiro.juros_compostos(numeric) (
  SFUNC = financeiro.acumula_juros, STYPE = numeric, INITCOND = '1', PARALLEL = SAFE
);

CREATE TEXT SEARCH CONFIGURATION estoque.portugues_sem_acento (COPY = pg_catalog.portuguese);
ALTER TEXT SEARCH CONFIGURATION estoque.portugues_sem_acento
  ALTER MAPPING FOR hword, hword_part, word WITH extensoes.unaccent, pg_catalog.portuguese_stem;

-- Twelve partitions of one month each, and one for what belongs to none.
CREATE PROCEDURE auditoria.particionar_por_mes(tabela regclass, primeiro date, meses integer)
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
  esquema text;
  nome text;
  mes date;
BEGIN
  SELECT n.nspname, c.relname INTO esquema, nome
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = tabela;
  FOR i IN 0..meses - 1 LOOP
    mes := (primeiro + make_interval(months => i))::date;
    EXECUTE format('CREATE TABLE %I.%I PARTITION OF %s FOR VALUES FROM (%L) TO (%L)', esquema,
      nome || to_char(mes, '_YYYY_MM'), tabela, mes, (mes + interval '1 month')::date);
  END LOOP;
  EXECUTE format('CREATE TABLE %I.%I PARTITION OF %s DEFAULT', esquema, nome || '_fora_do_periodo', tabela);
END $$;
