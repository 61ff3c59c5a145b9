import { CofreError } from '../../errors/error.ts';

/** PostgreSQL's encodings whose names are read; in the words of the Encoding standard, whose decoders they are given to. */
const DECODERS: Readonly<Record<string, string>> = {
  UTF8: 'utf-8',
  LATIN1: 'iso-8859-1',
  LATIN2: 'iso-8859-2',
  LATIN3: 'iso-8859-3',
  LATIN4: 'iso-8859-4',
  LATIN6: 'iso-8859-10',
  LATIN7: 'iso-8859-13',
  LATIN8: 'iso-8859-14',
  LATIN9: 'iso-8859-15',
  LATIN10: 'iso-8859-16',
  WIN866: 'ibm866',
  WIN874: 'windows-874',
  WIN1250: 'windows-1250',
  WIN1251: 'windows-1251',
  WIN1252: 'windows-1252',
  WIN1253: 'windows-1253',
  WIN1254: 'windows-1254',
  WIN1255: 'windows-1255',
  WIN1256: 'windows-1256',
  WIN1257: 'windows-1257',
  WIN1258: 'windows-1258',
};

/**
 * The table of a COPY statement, from what stands there: `public."My table"`, in the script's encoding.
 * @throws CofreError `bad-content` for what is no such name, or cannot be read in that encoding.
 */
export function tableOf(name: Buffer, encoding: string | null): { schema: string; name: string } {
  const text = decode(name, encoding ?? 'SQL_ASCII');
  const [, schema, table] = /^("(?:[^"]|"")+"|[^".]+)\.("(?:[^"]|"")+"|[^".]+)$/su.exec(text) ?? [];
  if (schema !== undefined && table !== undefined) return { schema: unquote(schema), name: unquote(table) };
  throw new CofreError('bad-content', `the dump has data of ${text.slice(0, 200)}, which is no table in a schema`);
}

function decode(name: Buffer, encoding: string): string {
  if (name.every((byte) => byte < 0x80)) return name.toString('latin1');
  const decoder = Object.hasOwn(DECODERS, encoding) ? DECODERS[encoding] : undefined;
  try {
    if (decoder !== undefined) return new TextDecoder(decoder, { fatal: true }).decode(name);
  } catch (cause) {
    throw new CofreError('bad-content', `the name of a table is not in the encoding ${encoding} of the dump`, {
      cause,
    });
  }
  throw new CofreError(
    'bad-content',
    `the dump has names of tables in the encoding ${encoding}, which is not read here`,
    {
      hint: 'restore it from a file: cofre restore --file PATH --to ENVIRONMENT',
    },
  );
}

function unquote(text: string): string {
  return text.startsWith('"') ? text.slice(1, -1).replaceAll('""', '"') : text;
}
