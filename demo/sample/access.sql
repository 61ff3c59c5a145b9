-- Who may do what: grants, default privileges, row-level security; and the settings of the database.

GRANT USAGE ON SCHEMA extensoes TO PUBLIC;
GRANT USAGE ON SCHEMA cadastro, estoque, vendas, fiscal, financeiro, "Relatórios Gerenciais" TO erp_leitura;
GRANT USAGE, CREATE ON SCHEMA vendas TO erp_escrita;

GRANT SELECT ON ALL TABLES IN SCHEMA cadastro, estoque, vendas, fiscal, financeiro, "Relatórios Gerenciais" TO erp_leitura;
GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA cadastro, estoque, vendas, financeiro TO erp_escrita;
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA cadastro, estoque, vendas, fiscal TO erp_escrita;
REVOKE SELECT ON cadastro.usuario, fiscal.certificado FROM erp_leitura;
-- Everything about a user but the password.
GRANT SELECT (login, funcionario_id, permissoes), UPDATE (ultimo_acesso) ON cadastro.usuario TO erp_leitura WITH GRANT OPTION;
GRANT INSERT, SELECT ON auditoria.acesso TO erp_app;
GRANT ALL ON vendas.carrinho TO PUBLIC;
REVOKE EXECUTE ON PROCEDURE financeiro.fechar_mes(date, integer) FROM PUBLIC;
GRANT EXECUTE ON PROCEDURE financeiro.fechar_mes(date, integer) TO erp_escrita;
REVOKE EXECUTE ON FUNCTION auditoria.registrar() FROM PUBLIC;
REVOKE USAGE ON TYPE financeiro.faixa_valor FROM PUBLIC;
GRANT USAGE ON TYPE financeiro.faixa_valor TO erp_escrita;
GRANT USAGE ON DOMAIN cadastro.cpf TO erp_leitura;

ALTER DEFAULT PRIVILEGES IN SCHEMA cadastro, vendas GRANT SELECT ON TABLES TO erp_leitura;
ALTER DEFAULT PRIVILEGES IN SCHEMA vendas GRANT INSERT, UPDATE, DELETE ON TABLES TO erp_escrita;
ALTER DEFAULT PRIVILEGES IN SCHEMA vendas GRANT USAGE ON SEQUENCES TO erp_escrita;
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;

DO $$
DECLARE
  objeto oid;
BEGIN
  FOR objeto IN SELECT conteudo FROM cadastro.documento ORDER BY id LOOP
    EXECUTE format('GRANT SELECT ON LARGE OBJECT %s TO erp_leitura', objeto);
    IF objeto::bigint % 5 = 0 THEN
      EXECUTE format('GRANT UPDATE ON LARGE OBJECT %s TO erp_escrita', objeto);
      EXECUTE format('COMMENT ON LARGE OBJECT %s IS %L', objeto, 'Digitalização nº ' || objeto);
    END IF;
  END LOOP;
END $$;

ALTER TABLE vendas.pedido ENABLE ROW LEVEL SECURITY;
CREATE POLICY leitura_geral ON vendas.pedido FOR SELECT TO erp_leitura USING (true);
CREATE POLICY somente_da_filial ON vendas.pedido FOR ALL TO erp_escrita
  USING (filial_id = nullif(current_setting('erp.filial', true), '')::smallint)
  WITH CHECK (filial_id = nullif(current_setting('erp.filial', true), '')::smallint AND situacao <> 'cancelado');
CREATE POLICY nada_cancelado ON vendas.pedido AS RESTRICTIVE FOR DELETE TO erp_escrita, erp_app USING (situacao <> 'faturado');
-- Even the owner sees nothing here but the own accesses: a dump needs a role that passes row-level security.
ALTER TABLE auditoria.acesso ENABLE ROW LEVEL SECURITY;
ALTER TABLE auditoria.acesso FORCE ROW LEVEL SECURITY;
CREATE POLICY proprios ON auditoria.acesso TO PUBLIC USING (login = CURRENT_USER) WITH CHECK (login = CURRENT_USER);

DO $$
BEGIN
  EXECUTE format('ALTER DATABASE %I SET search_path = cadastro, vendas, estoque, financeiro, fiscal, public, extensoes', current_database());
  EXECUTE format('ALTER DATABASE %I SET timezone = %L', current_database(), 'America/Sao_Paulo');
  EXECUTE format('ALTER DATABASE %I SET datestyle = %L', current_database(), 'ISO, DMY');
  EXECUTE format('ALTER DATABASE %I SET default_text_search_config = %L', current_database(), 'pg_catalog.portuguese');
  EXECUTE format('REVOKE CONNECT, TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
  EXECUTE format('GRANT CONNECT ON DATABASE %I TO erp_leitura, erp_app', current_database());
  EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO erp_escrita WITH GRANT OPTION', current_database());
  EXECUTE format('COMMENT ON DATABASE %I IS %L', current_database(), 'ERP de demonstração: dados inventados, nenhuma pessoa real. ☕');
END $$;
