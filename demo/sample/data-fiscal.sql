SELECT setseed(0.2604);

INSERT INTO fiscal.aliquota (origem, destino, icms)
SELECT o, d, CASE WHEN o = d THEN 18 WHEN d IN ('ES', 'BA', 'CE') THEN 7 ELSE 12 END FROM unnest(pg_temp.ufs()) o, unnest(pg_temp.ufs()) d;

INSERT INTO fiscal.certificado (apelido, filial_id, pfx, validade)
SELECT 'e-CNPJ A1 filial ' || i, i, pg_temp.bytes('certificado ' || i, 3200), date '2027-01-31' + i FROM generate_series(1, 6) i;

-- OFFSET 0: the key is computed once for each row, not once for each use.
-- State, year and month, CNPJ, model 55, series, number, form of emission, code, check digit: the 44 digits of the key.
INSERT INTO fiscal.nota_fiscal (id, chave, numero, filial_id, pedido_numero, pedido_data, emitida_em, autorizada, valor, impostos, xml, assinatura)
SELECT public.uuid_generate_v5(public.uuid_ns_oid(), 'nota ' || n.numero), n.chave, n.numero, n.filial_id, n.pedido, n.data, n.emitida_em, n.numero % 40 > 0,
  n.total, public.hstore('icms', round(n.total * 0.18, 2)::text) || public.hstore('pis', round(n.total * 0.0165, 2)::text),
  '<?xml version="1.0" encoding="UTF-8"?>' || chr(10) || '<NFe xmlns="http://www.portalfiscal.inf.br/nfe"><infNFe Id="NFe' || n.chave || '" versao="4.00">'
    || '<ide><natOp>Venda de mercadoria – operação interna</natOp><serie>1</serie><nNF>' || n.numero || '</nNF><dhEmi>' || n.emitida_em || '</dhEmi></ide>'
    || '<dest><xNome>' || p.nome || '</xNome>' || coalesce('<CPF>' || p.cpf || '</CPF>', '<CNPJ>' || p.cnpj || '</CNPJ>') || '</dest>'
    || '<total><ICMSTot><vBC>' || n.total || '</vBC><vICMS>' || round(n.total * 0.18, 2) || '</vICMS><vNF>' || n.total || '</vNF></ICMSTot></total>'
    || '<infAdic><infCpl>Procon: avenida São João, 1. Não é válido como recibo até a quitação.</infCpl></infAdic></infNFe></NFe>',
  sha256(convert_to(n.chave, 'UTF8')) || sha256(convert_to(n.chave || '!', 'UTF8'))
FROM (SELECT *, fiscal.chave_completa('35' || to_char(data, 'YYMM') || f.cnpj || '55001' || lpad(v.numero::text, 9, '0') || '1'
      || lpad((v.numero * 7919::bigint % 99999999)::text, 8, '0')) AS chave
    FROM (SELECT nextval('fiscal.numero_nfe')::integer AS numero, s.* FROM (SELECT numero AS pedido, emitido_em AS data, filial_id, cliente_id, total,
        criado_em + interval '3 hours' AS emitida_em FROM vendas.pedido WHERE situacao = 'faturado' ORDER BY pedido.numero) s) v
    JOIN (SELECT id, cnpj FROM cadastro.filial) f ON f.id = v.filial_id OFFSET 0) n
JOIN cadastro.pessoa p ON p.id = n.cliente_id;

INSERT INTO fiscal.apuracao (uf, competencia, imposto, base, devido)
SELECT u, '2025-07-01'::date + make_interval(months => m), i, 1000 * m + length(u), 180 * m FROM unnest(pg_temp.ufs()) u, generate_series(0, 11) m, unnest(ARRAY['ICMS', 'PIS', 'COFINS']) i;
