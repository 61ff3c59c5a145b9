-- Views, materialized views, trigger functions, triggers, procedures and rules.

CREATE VIEW vendas.pedido_aberto WITH (security_barrier = true) AS
  SELECT numero, emitido_em, cliente_id, vendedor_id, situacao, total FROM vendas.pedido
  WHERE situacao IN ('aberto', 'em separação')
  WITH CASCADED CHECK OPTION;

CREATE VIEW vendas.resumo_cliente AS
  SELECT p.id, p.nome, p.endereco::text AS endereco, count(v.numero) AS pedidos, coalesce(sum(v.total), 0) AS comprado,
    max(v.emitido_em) AS "Última compra", rank() OVER (ORDER BY sum(v.total) DESC NULLS LAST) AS posicao
  FROM cadastro.pessoa p LEFT JOIN vendas.pedido v ON v.cliente_id = p.id AND v.situacao = 'faturado'
  GROUP BY p.id;

CREATE RECURSIVE VIEW cadastro.arvore_categoria (id, caminho, nivel) AS
  SELECT id, nome::text, 1 FROM cadastro.categoria WHERE pai_id IS NULL
  UNION ALL
  SELECT c.id, a.caminho || ' › ' || c.nome, a.nivel + 1 FROM cadastro.categoria c JOIN arvore_categoria a ON a.id = c.pai_id;

CREATE VIEW cadastro.cliente_rapido AS SELECT id, nome, cpf, email FROM cadastro.pessoa WHERE tipo = 'física';

CREATE MATERIALIZED VIEW "Relatórios Gerenciais"."Faturamento Mensal" AS
  SELECT date_trunc('month', p.emitido_em)::date AS "Mês", f.nome AS "Filial", count(*) AS "Pedidos", sum(p.total) AS "Total (R$)"
  FROM vendas.pedido p JOIN cadastro.filial f ON f.id = p.filial_id WHERE p.situacao = 'faturado' GROUP BY 1, 2;
CREATE UNIQUE INDEX faturamento_mensal_chave ON "Relatórios Gerenciais"."Faturamento Mensal" ("Mês", "Filial");
-- Needs the one above: the order of refreshing matters.
CREATE MATERIALIZED VIEW "Relatórios Gerenciais"."Ticket Médio" AS
  SELECT "Filial", round(sum("Total (R$)") / sum("Pedidos"), 2) AS "Médio" FROM "Relatórios Gerenciais"."Faturamento Mensal" GROUP BY 1;
-- Never filled, and a restore must not fill it.
CREATE MATERIALIZED VIEW vendas.ranking_produto AS
  SELECT produto_id, sum(quantidade) AS quantidade FROM vendas.item_pedido GROUP BY 1 WITH NO DATA;

CREATE FUNCTION auditoria.registrar() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO auditoria.registro (quando, quem, tabela, operacao, antes, depois)
  VALUES (clock_timestamp(), session_user, TG_TABLE_SCHEMA || '.' || TG_TABLE_NAME, left(TG_OP, 1),
    CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) END, CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) END);
  RETURN NULL;
END $$;

CREATE FUNCTION vendas.totalizar_pedido() RETURNS trigger
LANGUAGE plpgsql SET search_path = vendas, pg_temp AS $$
BEGIN
  UPDATE pedido p SET total = (SELECT coalesce(round(sum(valor) * (100 - p.desconto) / 100, 2), 0) FROM item_pedido i
      WHERE (i.pedido_numero, i.pedido_data) = (p.numero, p.emitido_em))
    WHERE (p.numero, p.emitido_em) IN (SELECT pedido_numero, pedido_data FROM linhas);
  RETURN NULL;
END $$;

CREATE FUNCTION financeiro.exigir_partida_dobrada() RETURNS trigger
LANGUAGE plpgsql SET search_path = financeiro, pg_temp AS $$
BEGIN
  IF (SELECT sum(valor) FROM lancamento WHERE documento = NEW.documento AND data = NEW.data) <> 0 THEN
    RAISE EXCEPTION 'o documento % não fecha: débitos e créditos são diferentes', NEW.documento;
  END IF;
  RETURN NULL;
END $$;

CREATE FUNCTION cadastro.inserir_cliente_rapido() RETURNS trigger
LANGUAGE plpgsql SET search_path = cadastro, extensoes, public, pg_temp AS $$
BEGIN
  INSERT INTO pessoa (tipo, nome, cpf, email, codigo_externo)
  VALUES ('física', NEW.nome, NEW.cpf, NEW.email, uuid_generate_v4()) RETURNING id INTO NEW.id;
  RETURN NEW;
END $$;

CREATE TRIGGER auditar AFTER INSERT OR UPDATE OR DELETE ON cadastro.pessoa FOR EACH ROW EXECUTE FUNCTION auditoria.registrar();
CREATE TRIGGER auditar_preco AFTER UPDATE OF preco ON estoque.produto FOR EACH ROW
  WHEN (OLD.preco IS DISTINCT FROM NEW.preco) EXECUTE FUNCTION auditoria.registrar();
CREATE TRIGGER totalizar_inclusao AFTER INSERT ON vendas.item_pedido REFERENCING NEW TABLE AS linhas
  FOR EACH STATEMENT EXECUTE FUNCTION vendas.totalizar_pedido();
CREATE TRIGGER totalizar_exclusao AFTER DELETE ON vendas.item_pedido REFERENCING OLD TABLE AS linhas
  FOR EACH STATEMENT EXECUTE FUNCTION vendas.totalizar_pedido();
CREATE CONSTRAINT TRIGGER partida_dobrada AFTER INSERT OR UPDATE ON financeiro.lancamento
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION financeiro.exigir_partida_dobrada();
CREATE TRIGGER inserir INSTEAD OF INSERT ON cadastro.cliente_rapido FOR EACH ROW EXECUTE FUNCTION cadastro.inserir_cliente_rapido();
-- A trigger that somebody switched off, and that must stay off.
CREATE TRIGGER auditar_pedido AFTER UPDATE ON vendas.pedido FOR EACH ROW EXECUTE FUNCTION auditoria.registrar();
ALTER TABLE vendas.pedido DISABLE TRIGGER auditar_pedido;
CREATE TRIGGER auditar_titulo AFTER DELETE ON financeiro.titulo FOR EACH ROW EXECUTE FUNCTION auditoria.registrar();
ALTER TABLE financeiro.titulo ENABLE ALWAYS TRIGGER auditar_titulo;

-- An authorised invoice is cancelled by an event of its own, never deleted.
CREATE RULE nota_autorizada_fica AS ON DELETE TO fiscal.nota_fiscal WHERE old.autorizada DO INSTEAD NOTHING;
CREATE RULE aviso_de_exclusao AS ON DELETE TO financeiro.conta DO ALSO NOTIFY contas;

CREATE PROCEDURE financeiro.fechar_mes(mes date, INOUT fechados integer DEFAULT 0)
LANGUAGE plpgsql SET search_path = financeiro, pg_temp AS $$
BEGIN
  UPDATE periodo SET fechado = true WHERE upper(dias) <= mes AND NOT fechado;
  GET DIAGNOSTICS fechados = ROW_COUNT;
END $$;

CREATE FUNCTION financeiro.valor_corrigido(titulo financeiro.titulo, ate date DEFAULT CURRENT_DATE) RETURNS numeric
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT round(titulo.valor * (1 + titulo.juros_dia * greatest(0, ate - titulo.vencimento)), 2)
$$;
CREATE FUNCTION vendas.pedidos_do_dia(VARIADIC dias date[]) RETURNS TABLE (numero bigint, cliente text)
LANGUAGE sql STABLE ROWS 100 SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
  SELECT v.numero, p.nome FROM vendas.pedido v JOIN cadastro.pessoa p ON p.id = v.cliente_id WHERE v.emitido_em = ANY (dias)
$$;
